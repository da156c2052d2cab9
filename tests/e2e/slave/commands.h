/* The text commands that set the slave up and change it while it runs; slave.c lists them. */
#ifndef COMMANDS_H
#define COMMANDS_H

#include <stdbool.h>

extern bool finished; /* a command or the end of stdin asked for the end */

bool load_commands(const char *path); /* false, with the faulty line on stderr, where a command is refused */
void serve_stdin(void);

/* A number between `low` and `high`; otherwise sets *why and returns `low`. `text` may be NULL. */
int parse_number(const char *text, long low, long high, const char **why);

#endif
