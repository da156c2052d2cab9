"""What the raw-bytes fuzz of the OPC UA server is made of: its victim, recorded sessions, changes, a second client."""
