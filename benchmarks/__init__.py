"""Side-by-side measurements of this node and other OPC UA servers. Not part of the installed package."""
