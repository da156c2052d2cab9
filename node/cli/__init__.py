"""The command line, one command a file. It prints; what it prints comes from the packages below it."""
