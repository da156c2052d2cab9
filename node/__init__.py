"""When and who: configuration, the OPC UA server, control, historian, sinks and the command line."""
