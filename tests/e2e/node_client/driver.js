// A client for the tests: one command a line as JSON on standard input, one answer a line on standard output.
//
//   {"id": 7, "do": "read", ...}   ->   {"id": 7, "ok": ...}   or   {"id": 7, "error": "..."}
//
// Commands run beside each other, so an answer may overtake an earlier one. What a subscription brings comes by
// itself: {"event": "change", ...}.
"use strict";

// The library writes its warnings to standard output, where answers belong.
for (const level of ["log", "info", "warn", "debug"]) {
    console[level] = console.error;
}

const readline = require("node:readline");
const { plain } = require("./plain.js");
const { closeAll } = require("./connections.js");

const COMMANDS = {
    ...require("./connections.js").commands,
    ...require("./browsing.js").commands,
    ...require("./attributes.js").commands,
    ...require("./methods.js").commands,
    ...require("./subscriptions.js").commands,
    ...require("./history.js").commands,
    ...require("./history_reads.js").commands,
    ...require("./services.js").commands,
};

function say(message) {
    process.stdout.write(JSON.stringify(message) + "\n");
}

async function run(line) {
    const { id, do: name, ...given } = JSON.parse(line);
    try {
        const command = COMMANDS[name];
        if (command === undefined) {
            throw new Error(`there is no command ${name}`);
        }
        say({ id, ok: plain((await command(given, say)) ?? null) });
    } catch (error) {
        say({ id, error: String(error.message ?? error) });
    }
}

const lines = readline.createInterface({ input: process.stdin });
lines.on("line", run);
lines.on("close", async () => {
    await closeAll();
    process.exit(0);
});
