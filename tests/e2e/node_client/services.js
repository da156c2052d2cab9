// Any service, for what the library has no call of its own for or hides the answer of.
"use strict";

const client = require("node-opcua-client");
const types = require("node-opcua-types");
const { connection } = require("./connections.js");

const { DataType, Variant, resolveNodeId } = client;

/**
 * What JSON describes: `{"$": "Buffer", base64}`, `{"$": "Date", ms}` since 1970, `{"$": "Variant", type, value}`, or a
 * structure by its name.
 */
function made(value) {
    if (Array.isArray(value)) return value.map(made);
    if (value === null || typeof value !== "object") return value;
    const { $: kind, ...rest } = value;
    if (kind === "Buffer") return Buffer.from(rest.base64, "base64");
    if (kind === "Date") return new Date(rest.ms);
    const members = Object.fromEntries(Object.entries(rest).map(([name, member]) => [name, made(member)]));
    if (kind === undefined) return members;
    if (kind === "Variant") return variant(members);
    return new (types[kind] ?? client[kind])(members);
}

function variant({ type, value }) {
    return new Variant({ dataType: DataType[type], value: type === "NodeId" ? resolveNodeId(value) : value });
}

/** Send a request, "Read" for a ReadRequest, with its members; answers the response. */
async function ask({ name, service, ...members }) {
    const request = new types[`${service}Request`](made(members));
    return new Promise((resolve, reject) => {
        connection(name).session.performMessageTransaction(request, (error, response) =>
            error ? reject(error) : resolve(response),
        );
    });
}

module.exports = { made, commands: { ask } };
