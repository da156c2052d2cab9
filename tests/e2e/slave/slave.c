/* A Modbus slave for the tests, on libmodbus: a stack that shares no code with the node.
 *
 *   slave IMAGE [--tcp PORT] [--rtu TTY] [--rtu-tcp PORT]
 *
 * IMAGE is a text file of commands; the same commands are read from stdin while the slave runs. Port 0 lets the system
 * choose. Numbers are decimal, or hexadecimal with 0x. TABLE is `holding` or `input`; `#` starts a comment.
 *
 *   set UNIT TABLE ADDRESS WORD...        make the unit and the registers, give them these words
 *   remove UNIT TABLE ADDRESS COUNT       make a hole
 *   behave UNIT ADDRESS apply             a write takes effect at once (the default)
 *   behave UNIT ADDRESS ignore            a write is acknowledged and changes nothing
 *   behave UNIT ADDRESS late MS           a write is acknowledged at once and takes effect MS later
 *   behave UNIT ADDRESS reject EXCEPTION  a write is answered by this exception
 *   behave UNIT ADDRESS revert MS         a write takes effect at once; MS later the old word is back
 *   link UNIT ADDRESS VALUE MS TARGET WORD...
 *                                         when ADDRESS takes VALUE (`any`: whatever value) through a write, TARGET and
 *                                         the registers after it get these words MS later
 *   unlink UNIT ADDRESS                   forget the links of this register
 *   answer UNIT normal | silent | mute | exception CODE
 *                                         silent: neither acts nor answers; mute: acts, but the answer is lost
 *   unknown silent | exception CODE       how a unit that is not there is answered (default: exception 11)
 *   reads on | off                        log reads too
 *   dump UNIT                             print the unit's registers
 *   down                                  close every link at once, as a power loss does, but keep the registers
 *   up                                    open the same links again
 *   die                                   close every link at once and end
 *   quit                                  end
 *
 * On stdout: `listening tcp PORT`, `listening rtu TTY`, `listening rtu-tcp PORT`, then `ready`; one line for each frame
 * that arrives, whatever becomes of it, `write MS UNIT fc6|fc16 ADDRESS WORD...` and `read MS UNIT fc3|fc4 ADDRESS
 * COUNT` (MS of the monotonic clock); `register UNIT TABLE ADDRESS WORD` for dump; and `ok` or `error TEXT` after each
 * command from stdin. The end of stdin ends the slave, so that it never outlives its test.
 */
#include "commands.h"
#include "registers.h"
#include "wire.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void loop(void)
{
    while (!finished) {
        struct pollfd fds[1 + CHANNELS] = {{.fd = STDIN_FILENO, .events = POLLIN}};
        wire_wait_for(fds + 1);
        if (poll(fds, 1 + CHANNELS, run_events()) < 0 && errno != EINTR)
            return;
        run_events();
        wire_serve(fds + 1);
        if (fds[0].revents != 0)
            serve_stdin();
    }
}

int main(int argc, char **argv)
{
    const char *why = argc < 2 ? "no image" : NULL;
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    for (int i = 2; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--tcp") == 0)
            wiring.tcp_port = parse_number(value, 0, 65535, &why);
        else if (strcmp(argv[i], "--rtu-tcp") == 0)
            wiring.rtu_tcp_port = parse_number(value, 0, 65535, &why);
        else if (strcmp(argv[i], "--rtu") == 0 && value != NULL)
            wiring.tty_path = value;
        else
            why = "unknown option";
    }
    if (why != NULL) {
        fprintf(stderr, "%s; usage: slave IMAGE [--tcp PORT] [--rtu TTY] [--rtu-tcp PORT]\n", why);
        return 2;
    }
    if (!prepare_wire() || !load_commands(argv[1]) || !wire_up())
        return 2;
    puts("ready");
    loop();
    wire_down();
    return 0;
}
