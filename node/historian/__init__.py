"""The local history of the points: a journal in one SQLite file and what is read from it. Knows no OPC UA library."""
