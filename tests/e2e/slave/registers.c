#define _GNU_SOURCE
#include "registers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct event { /* a register that changes later */
    long due_ms;
    int unit, address;
    uint16_t word;
    bool written; /* counts as a write, so links follow it */
};

struct unit *units[UNITS];
static struct link *links;
static struct event *events;
static int link_count, event_count;

long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000L + t.tv_nsec / 1000000L;
}

static void *grown(void *array, int count, size_t size)
{
    void *larger = realloc(array, (size_t)(count + 1) * size);
    if (larger == NULL) {
        fputs("out of memory\n", stderr);
        exit(1);
    }
    return larger;
}

void define_register(int unit, int table, int address, uint16_t word)
{
    if (units[unit] == NULL)
        memset(units[unit] = grown(NULL, 0, sizeof **units), 0, sizeof **units);
    units[unit]->words[table][address] = word;
    units[unit]->defined[table][address] = true;
}

void add_link(const struct link *link)
{
    links = grown(links, link_count, sizeof *links);
    links[link_count++] = *link;
}

void remove_links(int unit, int address)
{
    int kept = 0;
    for (int i = 0; i < link_count; i++)
        if (links[i].unit != unit || links[i].address != address)
            links[kept++] = links[i];
    link_count = kept;
}

static void later(long due_ms, int unit, int address, uint16_t word, bool written)
{
    events = grown(events, event_count, sizeof *events);
    events[event_count++] = (struct event){due_ms, unit, address, word, written};
}

static void take(int unit, int address, uint16_t word, bool written)
{
    units[unit]->words[HOLDING][address] = word;
    for (int i = 0; written && i < link_count; i++) {
        const struct link *l = &links[i];
        if (l->unit != unit || l->address != address || (l->value != -1 && l->value != word))
            continue;
        for (int k = 0; k < l->count; k++) {
            if (l->after_ms == 0)
                take(unit, l->target + k, l->words[k], false);
            else
                later(now_ms() + l->after_ms, unit, l->target + k, l->words[k], false);
        }
    }
}

void write_register(int unit, int address, uint16_t word)
{
    struct unit *u = units[unit];
    const long due_ms = now_ms() + u->behaviour_value[address];
    switch ((enum behaviour)u->behaviour[address]) {
    case APPLY:
        take(unit, address, word, true);
        break;
    case LATE:
        later(due_ms, unit, address, word, true);
        break;
    case REVERT:
        later(due_ms, unit, address, u->words[HOLDING][address], true);
        take(unit, address, word, true);
        break;
    case IGNORE:
    case REJECT:
        break;
    }
}

int run_events(void)
{
    for (;;) {
        int next = -1;
        for (int i = 0; i < event_count; i++)
            if (next == -1 || events[i].due_ms < events[next].due_ms)
                next = i;
        if (next == -1)
            return -1;
        const long wait_ms = events[next].due_ms - now_ms();
        if (wait_ms > 0)
            return (int)wait_ms;
        const struct event e = events[next];
        memmove(&events[next], &events[next + 1], (size_t)(--event_count - next) * sizeof *events);
        take(e.unit, e.address, e.word, e.written);
    }
}
