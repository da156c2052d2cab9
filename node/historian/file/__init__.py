"""A journal's file from outside of the node that writes it."""
