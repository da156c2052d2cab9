/* libmodbus parses and builds the frames and checks the CRC. Its RTU side serves one unit per context and drops the
 * frames of others, so the bytes of a serial line are gathered here and handed to it, one frame at a time, over a
 * socket pair on whose context the frame's own unit is set first.
 */
#define _GNU_SOURCE
#include "wire.h"

#include <errno.h>
#include <modbus/modbus.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum kind { UNUSED, LISTEN_TCP, LISTEN_RTU_TCP, CLIENT_TCP, CLIENT_RTU, SERIAL };

/* An RTU frame that is still incomplete after this silence is dropped; far above the 4 ms that RTU knows at 9600 baud,
 * because a pty relay on a busy machine may pause in the middle of a frame. */
static const long FRAME_SILENCE_MS = 50;

struct channel {
    enum kind kind;
    int fd;
    uint8_t frame[MODBUS_MAX_ADU_LENGTH];
    int length;
    long last_byte_ms;
};

struct wiring wiring = {.tcp_port = -1, .rtu_tcp_port = -1};
enum answer unknown_answer = EXCEPTION;
int unknown_exception = MODBUS_EXCEPTION_GATEWAY_TARGET;
bool log_reads;

static struct channel channels[CHANNELS];
static modbus_t *tcp_context, *rtu_context;
static int rtu_feed = -1; /* our end of the socket pair; libmodbus has the other */
static uint16_t scratch[REGISTERS]; /* takes the words of a write: what a write does is decided in registers.c */

/* ---- requests ---------------------------------------------------------------------------------------------------- */

struct request {
    int unit, function, address, count;
    uint16_t words[MODBUS_MAX_WRITE_REGISTERS];
};

static int word_at(const uint8_t *bytes) { return bytes[0] << 8 | bytes[1]; }

static bool is_read(int function)
{
    return function == MODBUS_FC_READ_HOLDING_REGISTERS || function == MODBUS_FC_READ_INPUT_REGISTERS;
}

static bool is_write(int function)
{
    return function == MODBUS_FC_WRITE_SINGLE_REGISTER || function == MODBUS_FC_WRITE_MULTIPLE_REGISTERS;
}

/* `pdu` starts at the function code; libmodbus has checked its length. */
static struct request parse(int unit, const uint8_t *pdu)
{
    struct request r = {.unit = unit, .function = pdu[0], .address = word_at(pdu + 1), .count = word_at(pdu + 3)};
    if (r.function == MODBUS_FC_WRITE_SINGLE_REGISTER) {
        r.words[0] = (uint16_t)r.count;
        r.count = 1;
    } else if (r.function == MODBUS_FC_WRITE_MULTIPLE_REGISTERS) {
        for (int i = 0; i < r.count && i < MODBUS_MAX_WRITE_REGISTERS; i++)
            r.words[i] = (uint16_t)word_at(pdu + 6 + 2 * i);
    }
    return r;
}

static void log_request(const struct request *r)
{
    if (is_write(r->function)) {
        printf("write %ld %d fc%d %d", now_ms(), r->unit, r->function, r->address);
        for (int i = 0; i < r->count && i < MODBUS_MAX_WRITE_REGISTERS; i++)
            printf(" %d", r->words[i]);
        putchar('\n');
    } else if (log_reads && is_read(r->function)) {
        printf("read %ld %d fc%d %d %d\n", now_ms(), r->unit, r->function, r->address, r->count);
    }
}

/* The exception that this request deserves before libmodbus answers it; 0 for none. */
static int objection(const struct request *r)
{
    const struct unit *u = units[r->unit];
    if (!is_read(r->function) && !is_write(r->function))
        return MODBUS_EXCEPTION_ILLEGAL_FUNCTION;
    if (u->answer == EXCEPTION)
        return u->exception;
    const int limit = is_read(r->function) ? MODBUS_MAX_READ_REGISTERS : MODBUS_MAX_WRITE_REGISTERS;
    if (r->count < 1 || r->count > limit)
        return MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE;
    const int table = r->function == MODBUS_FC_READ_INPUT_REGISTERS ? INPUT : HOLDING;
    for (int i = 0; i < r->count; i++)
        if (r->address + i >= REGISTERS || !u->defined[table][r->address + i])
            return MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS;
    for (int i = 0; is_write(r->function) && i < r->count; i++)
        if (u->behaviour[r->address + i] == REJECT)
            return u->behaviour_value[r->address + i];
    return 0;
}

/* Reads the words from the unit's tables and lets a write go into the scratch table: what a write does is ours. */
static void reply(modbus_t *context, const uint8_t *query, int length, const struct request *r)
{
    struct unit *u = units[r->unit];
    modbus_mapping_t mapping = {0};
    mapping.nb_registers = mapping.nb_input_registers = REGISTERS;
    mapping.tab_registers = is_write(r->function) ? scratch : u->words[HOLDING];
    mapping.tab_input_registers = u->words[INPUT];
    modbus_reply(context, query, length, &mapping);
}

static void serve(modbus_t *context, const uint8_t *query, int length)
{
    const int header = modbus_get_header_length(context);
    const struct request r = parse(query[header - 1], query + header);
    log_request(&r);
    run_events();
    if (units[r.unit] == NULL) {
        if (unknown_answer == EXCEPTION)
            modbus_reply_exception(context, query, (unsigned)unknown_exception);
        return;
    }
    const enum answer answer = units[r.unit]->answer;
    if (answer == SILENT)
        return;
    const int exception = objection(&r);
    if (exception == 0 && is_write(r.function))
        for (int i = 0; i < r.count; i++)
            write_register(r.unit, r.address + i, r.words[i]);
    if (answer == MUTE)
        return;
    if (exception != 0)
        modbus_reply_exception(context, query, (unsigned)exception);
    else
        reply(context, query, length, &r);
}

/* ---- channels ---------------------------------------------------------------------------------------------------- */

static void close_channel(struct channel *c)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0}; /* a reset, as from a machine that lost its power */
    if (c->kind != SERIAL)
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(c->fd);
    *c = (struct channel){.kind = UNUSED, .fd = -1};
}

static struct channel *open_channel(enum kind kind, int fd)
{
    for (int i = 0; i < CHANNELS; i++) {
        if (channels[i].kind == UNUSED) {
            channels[i] = (struct channel){.kind = kind, .fd = fd};
            return &channels[i];
        }
    }
    close(fd);
    return NULL;
}

static void serve_tcp(struct channel *c)
{
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    modbus_set_socket(tcp_context, c->fd);
    const int length = modbus_receive(tcp_context, query);
    if (length > 0)
        serve(tcp_context, query, length);
    else if (length < 0)
        close_channel(c);
}

/* Length of the RTU request that starts in `frame`; 0 while it cannot be told. */
static int rtu_length(const uint8_t *frame, int length)
{
    if (length < 7)
        return 0;
    if (frame[1] >= MODBUS_FC_READ_COILS && frame[1] <= MODBUS_FC_WRITE_SINGLE_REGISTER)
        return 8;
    if (frame[1] == MODBUS_FC_WRITE_MULTIPLE_COILS || frame[1] == MODBUS_FC_WRITE_MULTIPLE_REGISTERS)
        return 9 + frame[6];
    return 0;
}

static void send_all(int fd, const uint8_t *bytes, ssize_t length)
{
    while (length > 0) {
        const ssize_t sent = write(fd, bytes, (size_t)length);
        if (sent < 0 && errno != EAGAIN && errno != EINTR)
            return; /* the peer is gone; the next read notices it */
        if (sent > 0) {
            bytes += sent;
            length -= sent;
        }
    }
}

static void serve_rtu_frame(struct channel *c, int length)
{
    uint8_t query[MODBUS_RTU_MAX_ADU_LENGTH], answer[MODBUS_RTU_MAX_ADU_LENGTH];
    modbus_set_slave(rtu_context, c->frame[0]);
    send_all(rtu_feed, c->frame, length);
    const int received = modbus_receive(rtu_context, query);
    if (received > 0)
        serve(rtu_context, query, received);
    const ssize_t answered = recv(rtu_feed, answer, sizeof answer, MSG_DONTWAIT);
    send_all(c->fd, answer, answered);
}

static void serve_rtu(struct channel *c)
{
    const ssize_t got = read(c->fd, c->frame + c->length, sizeof c->frame - (size_t)c->length);
    if (got <= 0) {
        if (!(got < 0 && (errno == EAGAIN || errno == EINTR)) && c->kind != SERIAL)
            close_channel(c);
        return;
    }
    c->length += (int)got;
    c->last_byte_ms = now_ms();
    const int wanted = rtu_length(c->frame, c->length);
    if (wanted > 0 && wanted <= c->length) {
        serve_rtu_frame(c, wanted);
        c->length = 0; /* a master sends nothing before it has its answer: what follows is noise */
    } else if (c->length == (int)sizeof c->frame) {
        c->length = 0;
    }
}

static int listen_on(enum kind kind, const char *name, int port)
{
    modbus_t *context = modbus_new_tcp("127.0.0.1", port);
    const int fd = context == NULL ? -1 : modbus_tcp_listen(context, 8);
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    modbus_free(context);
    if (fd < 0 || getsockname(fd, (struct sockaddr *)&address, &size) < 0) {
        fprintf(stderr, "cannot listen on port %d: %s\n", port, strerror(errno));
        return -1;
    }
    if (open_channel(kind, fd) == NULL)
        return -1;
    printf("listening %s %d\n", name, ntohs(address.sin_port));
    return ntohs(address.sin_port);
}

static bool open_serial(void)
{
    modbus_t *line = modbus_new_rtu(wiring.tty_path, 9600, 'N', 8, 1);
    if (line == NULL || modbus_connect(line) < 0) {
        fprintf(stderr, "cannot open %s: %s\n", wiring.tty_path, modbus_strerror(errno));
        return false;
    }
    /* modbus_close would put the line's old settings back; the context is only needed to open the line. */
    const int fd = modbus_get_socket(line);
    modbus_free(line);
    printf("listening rtu %s\n", wiring.tty_path);
    return open_channel(SERIAL, fd) != NULL;
}

bool wire_up(void)
{
    if (wiring.tcp_port >= 0 && (wiring.tcp_port = listen_on(LISTEN_TCP, "tcp", wiring.tcp_port)) < 0)
        return false;
    if (wiring.rtu_tcp_port >= 0 && (wiring.rtu_tcp_port = listen_on(LISTEN_RTU_TCP, "rtu-tcp", wiring.rtu_tcp_port)) < 0)
        return false;
    return wiring.tty_path == NULL || open_serial();
}

void wire_down(void)
{
    for (int i = 0; i < CHANNELS; i++)
        if (channels[i].kind != UNUSED)
            close_channel(&channels[i]);
}

bool prepare_wire(void)
{
    int pair[2];
    tcp_context = modbus_new_tcp("127.0.0.1", 0);
    rtu_context = modbus_new_rtu("/dev/null", 9600, 'N', 8, 1);
    if (tcp_context == NULL || rtu_context == NULL || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        return false;
    modbus_set_socket(rtu_context, pair[0]);
    rtu_feed = pair[1];
    return true;
}

static void serve_channel(struct channel *c)
{
    switch (c->kind) {
    case LISTEN_TCP:
    case LISTEN_RTU_TCP: {
        const int fd = accept(c->fd, NULL, NULL);
        if (fd >= 0)
            open_channel(c->kind == LISTEN_TCP ? CLIENT_TCP : CLIENT_RTU, fd);
        break;
    }
    case CLIENT_TCP:
        serve_tcp(c);
        break;
    case CLIENT_RTU:
    case SERIAL:
        serve_rtu(c);
        break;
    case UNUSED:
        break;
    }
}

static void drop_half_frames(void)
{
    for (int i = 0; i < CHANNELS; i++)
        if (channels[i].length > 0 && now_ms() - channels[i].last_byte_ms > FRAME_SILENCE_MS)
            channels[i].length = 0;
}

void wire_wait_for(struct pollfd fds[CHANNELS])
{
    for (int i = 0; i < CHANNELS; i++)
        fds[i] = (struct pollfd){.fd = channels[i].kind == UNUSED ? -1 : channels[i].fd, .events = POLLIN};
}

void wire_serve(const struct pollfd fds[CHANNELS])
{
    drop_half_frames();
    for (int i = 0; i < CHANNELS; i++)
        if (fds[i].fd >= 0 && fds[i].revents != 0)
            serve_channel(&channels[i]);
}
