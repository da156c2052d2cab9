"""The OPC UA server: what asyncua lacks, by subclassing; certificates, trust, users and roles."""
