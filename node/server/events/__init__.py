"""Events, their filters, the audit."""
