"""The historian under load: each job in a process of its own."""
