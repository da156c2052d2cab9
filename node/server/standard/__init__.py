"""The standard Server object and its address space: capabilities, diagnostics, values."""
