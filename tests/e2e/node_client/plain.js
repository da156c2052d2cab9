// What the library returns, as plain JSON.
"use strict";

const { DataType, DataValue, LocalizedText, NodeId, QualifiedName, StatusCode, Variant, VariantArrayType } =
    require("node-opcua-client");

const UNSIGNED_32 = 2n ** 32n;

/** Times are milliseconds since 1970, texts and names are strings, statuses are their names. */
function plain(value) {
    if (value === undefined || value === null) return null;
    if (value instanceof Date) return value.getTime();
    if (value instanceof DataValue) return plainDataValue(value);
    if (value instanceof Variant) return plainVariant(value);
    if (value instanceof StatusCode) return value.name;
    if (value instanceof NodeId) return value.toString();
    if (value instanceof LocalizedText) return value.text ?? "";
    if (value instanceof QualifiedName) return `${value.namespaceIndex}:${value.name}`;
    if (Buffer.isBuffer(value)) return value.toString("base64");
    if (ArrayBuffer.isView(value) || Array.isArray(value)) return Array.from(value, plain);
    if (typeof value !== "object") return value;
    const members = Object.entries(value).filter(([, member]) => typeof member !== "function");
    const named = Object.fromEntries(members.map(([name, member]) => [name, plain(member)]));
    // A structure says what it is: with another one in its place a test would not see the difference.
    return value.schema ? { structure: value.schema.name, ...named } : named;
}

function plainDataValue(value) {
    return {
        status: value.statusCode.name,
        type: value.value ? DataType[value.value.dataType] : "Null",
        value: plain(value.value),
        source: plain(value.sourceTimestamp),
        server: plain(value.serverTimestamp),
    };
}

function plainVariant(variant) {
    const wide = variant.dataType === DataType.Int64 || variant.dataType === DataType.UInt64;
    if (!wide) return plain(variant.value);
    return variant.arrayType === VariantArrayType.Scalar ? whole(variant.value) : Array.from(variant.value, whole);
}

/** The library gives 64-bit numbers as their high and low halves. */
function whole([high, low]) {
    return Number(BigInt.asIntN(64, BigInt(high) * UNSIGNED_32 + BigInt(low)));
}

module.exports = { plain };
