/* The slave's links to the outside: listening sockets, their clients, a serial line; frames in and out. */
#ifndef WIRE_H
#define WIRE_H

#include "registers.h"

#include <poll.h>

enum { CHANNELS = 32 };

struct wiring { /* what to open; -1 and NULL: not */
    int tcp_port, rtu_tcp_port; /* 0: the system chooses; then the chosen one */
    const char *tty_path;
};

extern struct wiring wiring;
extern enum answer unknown_answer; /* how a unit that is not there is answered: SILENT or EXCEPTION */
extern int unknown_exception;
extern bool log_reads;

bool prepare_wire(void); /* once, before anything else here */
bool wire_up(void);      /* opens what `wiring` says; false, with the reason on stderr, where one cannot be opened */
void wire_down(void);    /* closes everything, sockets by a reset */

void wire_wait_for(struct pollfd fds[CHANNELS]);
void wire_serve(const struct pollfd fds[CHANNELS]);

#endif
