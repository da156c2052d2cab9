// Read and Write.
"use strict";

const { AttributeIds, DataType, Variant, resolveNodeId } = require("node-opcua-client");
const { findBasicDataType } = require("node-opcua-pseudo-session");
const { connection } = require("./connections.js");

const LAST_ATTRIBUTE = 27;
const AT_ONCE = 2000; // attributes per request

async function readIds(session, items) {
    const values = [];
    for (let start = 0; start < items.length; start += AT_ONCE) {
        values.push(...(await session.read(items.slice(start, start + AT_ONCE))));
    }
    return values;
}

/** One attribute of some nodes, the Value by default. */
async function read({ name, nodes, attribute = "Value" }) {
    const attributeId = AttributeIds[attribute];
    return readIds(
        connection(name).session,
        nodes.map((nodeId) => ({ nodeId, attributeId })),
    );
}

/** All attributes of some nodes: for each an object by attribute name, without those that the node does not have. */
async function read_all({ name, nodes }) {
    const ids = Array.from({ length: LAST_ATTRIBUTE }, (_, index) => index + 1);
    const items = nodes.flatMap((nodeId) => ids.map((attributeId) => ({ nodeId, attributeId })));
    const values = await readIds(connection(name).session, items);
    return nodes.map((_, index) =>
        Object.fromEntries(
            ids
                .map((id) => [AttributeIds[id], values[index * ids.length + id - 1]])
                .filter(([, value]) => value.statusCode.name !== "BadAttributeIdInvalid"),
        ),
    );
}

/** Built-in types that values of these data types have to have, found by the library through the type tree. */
async function builtin_types({ name, types }) {
    const { session } = connection(name);
    const found = {};
    for (const type of types) {
        found[type] = DataType[await findBasicDataType(session, resolveNodeId(type))];
    }
    return found;
}

/** Let the library learn the data types of the server by itself, as it does before it decodes unknown structures. */
async function learn_types({ name }) {
    await connection(name).session.extractNamespaceDataType();
}

/** Write one Value; answers the name of the status. */
async function write({ name, node, type, value, attribute = "Value" }) {
    return connection(name).session.write({
        nodeId: node,
        attributeId: AttributeIds[attribute],
        value: { value: new Variant({ dataType: DataType[type], value }) },
    });
}

module.exports = { commands: { builtin_types, learn_types, read, read_all, write } };
