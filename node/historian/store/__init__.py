"""The journal's file: frames and blocks, how they are written, read, compacted, kept within bounds and saved."""
