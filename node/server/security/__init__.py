"""Certificates and keys, trust, users and their rights."""
