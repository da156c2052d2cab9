#define _GNU_SOURCE
#include "commands.h"

#include "registers.h"
#include "wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_TOKENS = 1024, LAST_EXCEPTION = 11 };

bool finished;
static const char *fault; /* why the command is refused; NULL while nothing is wrong */

int parse_number(const char *text, long low, long high, const char **why)
{
    char *end = NULL;
    const long value = text == NULL ? 0 : strtol(text, &end, 0);
    if (text == NULL || *text == '\0' || *end != '\0' || value < low || value > high) {
        *why = "a number is missing, malformed or out of range";
        return (int)low;
    }
    return (int)value;
}

static int number(const char *text, long low, long high) { return parse_number(text, low, high, &fault); }
static int unit_number(const char *text) { return number(text, 0, UNITS - 1); }
static int address_number(const char *text) { return number(text, 0, REGISTERS - 1); }
static int exception_number(const char *text) { return number(text, 1, LAST_EXCEPTION); }
static int milliseconds(const char *text) { return number(text, 0, 3600000); }

/* Index of `text` in the NULL-ended `names`. */
static int choice(const char *text, const char *const *names)
{
    for (int i = 0; text != NULL && names[i] != NULL; i++)
        if (strcmp(text, names[i]) == 0)
            return i;
    fault = "this word is not one of the known ones";
    return 0;
}

static const char *const TABLE_NAMES[] = {"holding", "input", NULL};
static const char *const BEHAVIOUR_NAMES[] = {"apply", "ignore", "late", "reject", "revert", NULL};
static const char *const ANSWER_NAMES[] = {"normal", "silent", "mute", "exception", NULL};
static const char *const SWITCH_NAMES[] = {"off", "on", NULL};

static struct unit *known_unit(const char *text)
{
    struct unit *u = units[unit_number(text)];
    if (u == NULL && fault == NULL)
        fault = "no such unit; `set` makes one";
    return u;
}

static void command_set(char **word)
{
    const int unit = unit_number(word[1]), table = choice(word[2], TABLE_NAMES), address = address_number(word[3]);
    for (int i = 0; i == 0 || word[4 + i] != NULL; i++) {
        const uint16_t value = (uint16_t)number(word[4 + i], 0, 65535);
        if (address + i >= REGISTERS)
            fault = "the registers end at 65535";
        if (fault != NULL)
            return;
        define_register(unit, table, address + i, value);
    }
}

static void command_remove(char **word)
{
    struct unit *u = known_unit(word[1]);
    const int table = choice(word[2], TABLE_NAMES), address = address_number(word[3]);
    const int count = number(word[4], 1, REGISTERS - address);
    if (fault == NULL)
        memset(&u->defined[table][address], false, (size_t)count);
}

static void command_behave(char **word)
{
    struct unit *u = known_unit(word[1]);
    const int address = address_number(word[2]);
    const enum behaviour behaviour = (enum behaviour)choice(word[3], BEHAVIOUR_NAMES);
    int value = 0;
    if (behaviour == LATE || behaviour == REVERT)
        value = milliseconds(word[4]);
    else if (behaviour == REJECT)
        value = exception_number(word[4]);
    if (fault == NULL) {
        u->behaviour[address] = (uint8_t)behaviour;
        u->behaviour_value[address] = value;
    }
}

static void command_link(char **word)
{
    known_unit(word[1]);
    struct link l = {.unit = unit_number(word[1]), .address = address_number(word[2]), .value = -1};
    if (word[3] != NULL && strcmp(word[3], "any") != 0)
        l.value = number(word[3], 0, 65535);
    l.after_ms = milliseconds(word[4]);
    l.target = address_number(word[5]);
    for (; l.count < 8 && (l.count == 0 || word[6 + l.count] != NULL); l.count++)
        l.words[l.count] = (uint16_t)number(word[6 + l.count], 0, 65535);
    for (int i = 0; fault == NULL && i < l.count; i++)
        if (l.target + i >= REGISTERS || !units[l.unit]->defined[HOLDING][l.target + i])
            fault = "the link's target is a hole";
    if (fault == NULL)
        add_link(&l);
}

static void command_unlink(char **word)
{
    const int unit = unit_number(word[1]), address = address_number(word[2]);
    if (fault == NULL)
        remove_links(unit, address);
}

static void command_answer(char **word)
{
    struct unit *u = known_unit(word[1]);
    const enum answer answer = (enum answer)choice(word[2], ANSWER_NAMES);
    const int exception = answer == EXCEPTION ? exception_number(word[3]) : 0;
    if (fault == NULL) {
        u->answer = answer;
        u->exception = exception;
    }
}

static void command_unknown(char **word)
{
    const enum answer answer = (enum answer)choice(word[1], ANSWER_NAMES);
    const int exception = answer == EXCEPTION ? exception_number(word[2]) : 0;
    if (answer != SILENT && answer != EXCEPTION)
        fault = "an unknown unit is silent or answers an exception";
    if (fault == NULL) {
        unknown_answer = answer;
        unknown_exception = exception;
    }
}

static void command_dump(char **word)
{
    const struct unit *u = known_unit(word[1]);
    for (int table = 0; u != NULL && table < TABLES; table++)
        for (int address = 0; address < REGISTERS; address++)
            if (u->defined[table][address])
                printf("register %s %s %d %d\n", word[1], TABLE_NAMES[table], address, u->words[table][address]);
}

static void command_reads(char **word) { log_reads = choice(word[1], SWITCH_NAMES) == 1; }

static void command_down(char **word)
{
    (void)word;
    wire_down();
}

static void command_up(char **word)
{
    (void)word;
    wire_down();
    if (!wire_up())
        fault = "a link cannot be opened";
}

static void command_end(char **word)
{
    (void)word;
    wire_down();
    finished = true;
}

static const struct {
    const char *name;
    void (*run)(char **);
} COMMANDS[] = {
    {"set", command_set},       {"remove", command_remove}, {"behave", command_behave},   {"link", command_link},
    {"unlink", command_unlink}, {"answer", command_answer}, {"unknown", command_unknown}, {"reads", command_reads},
    {"dump", command_dump},     {"down", command_down},     {"up", command_up},           {"die", command_end},
    {"quit", command_end},
};

/* Runs one line; returns why it is refused, or NULL. */
static const char *run_line(char *line)
{
    char *word[MAX_TOKENS + 10] = {NULL}; /* the end stays NULL, so that a command may look past what was given */
    int count = 0;
    line[strcspn(line, "#\r\n")] = '\0';
    for (char *rest = NULL, *t = strtok_r(line, " \t", &rest); t != NULL; t = strtok_r(NULL, " \t", &rest)) {
        if (count == MAX_TOKENS)
            return "too many words";
        word[count++] = t;
    }
    fault = NULL;
    if (count == 0)
        return NULL;
    for (size_t i = 0; i < sizeof COMMANDS / sizeof *COMMANDS; i++) {
        if (strcmp(word[0], COMMANDS[i].name) == 0) {
            COMMANDS[i].run(word);
            return fault;
        }
    }
    return "unknown command";
}

bool load_commands(const char *path)
{
    char line[8192];
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return false;
    }
    const char *why = NULL;
    for (int n = 1; why == NULL && fgets(line, sizeof line, file) != NULL; n++)
        if ((why = run_line(line)) != NULL)
            fprintf(stderr, "%s:%d: %s\n", path, n, why);
    fclose(file);
    return why == NULL;
}

/* Reads what stdin has; the rest of a half line waits for the next call. */
void serve_stdin(void)
{
    static char buffer[16384];
    static size_t used;
    const ssize_t got = read(STDIN_FILENO, buffer + used, sizeof buffer - 1 - used);
    if (got <= 0) {
        finished = true;
        return;
    }
    used += (size_t)got;
    buffer[used] = '\0';
    char *start = buffer;
    for (char *end; !finished && (end = strchr(start, '\n')) != NULL; start = end + 1) {
        *end = '\0';
        run_events();
        const char *why = run_line(start);
        if (why == NULL)
            puts("ok");
        else
            printf("error %s\n", why);
    }
    used -= (size_t)(start - buffer);
    memmove(buffer, start, used);
    if (used == sizeof buffer - 1)
        finished = true; /* no command is that long */
}
