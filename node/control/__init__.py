"""Who may command what, how a command is carried out, and what came of it."""
