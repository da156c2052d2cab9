/* The slave's registers, what a write to each of them does, and what changes later. */
#ifndef REGISTERS_H
#define REGISTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { REGISTERS = 65536, UNITS = 256 };
enum { HOLDING, INPUT, TABLES };
enum behaviour { APPLY, IGNORE, LATE, REJECT, REVERT };
enum answer { NORMAL, SILENT, MUTE, EXCEPTION };

struct unit {
    uint16_t words[TABLES][REGISTERS];
    bool defined[TABLES][REGISTERS];
    uint8_t behaviour[REGISTERS];
    int behaviour_value[REGISTERS]; /* milliseconds, or the exception code of REJECT */
    enum answer answer;
    int exception;
};

struct link { /* `address` takes `value` through a write: `target` and the registers after it take `words` */
    int unit, address, value; /* value -1: any */
    int after_ms, target, count;
    uint16_t words[8];
};

extern struct unit *units[UNITS]; /* NULL: no such unit */

long now_ms(void); /* of the monotonic clock */
void define_register(int unit, int table, int address, uint16_t word);
void write_register(int unit, int address, uint16_t word); /* as the register's behaviour says */
void add_link(const struct link *link);
void remove_links(int unit, int address);

/* Carries out the events that are due, oldest first; returns the milliseconds until the next, or -1. */
int run_events(void);

#endif
