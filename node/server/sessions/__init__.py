"""Sessions and endpoints."""
