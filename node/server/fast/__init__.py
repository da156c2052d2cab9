"""Requests answered from their bytes: what clients ask most, without an object per value.

The one place of the fast path. Without it (`House.lane` None) every request goes the ordinary way and is answered with
the same bytes. Whatever a part of it does not know, it leaves as a whole to the ordinary way, before anything happened.
"""
