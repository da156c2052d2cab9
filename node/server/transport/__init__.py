"""Connections, secure channels, frames, and how long one may hold the loop."""
