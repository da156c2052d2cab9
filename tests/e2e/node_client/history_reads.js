// HistoryRead in all its kinds, each followed to its end, and the ways to history that the library has itself.
"use strict";

const {
    AggregateFunction,
    HistoryReadRequest,
    ReadAtTimeDetails,
    ReadEventDetails,
    ReadProcessedDetails,
    ReadRawModifiedDetails,
    TimestampsToReturn,
    coerceNodeId,
    constructEventFilter,
} = require("node-opcua-client");
const { connection } = require("./connections.js");
const { plain } = require("./plain.js");

const PAGES_AT_MOST = 1000;

const DETAILS = {
    raw: ({ start, end, count = 0, bounds = false, modified = false }) =>
        new ReadRawModifiedDetails({
            isReadModified: modified,
            startTime: time(start),
            endTime: time(end),
            numValuesPerNode: count,
            returnBounds: bounds,
        }),
    processed: ({ start, end, interval, aggregates, configuration }) =>
        new ReadProcessedDetails({
            startTime: time(start),
            endTime: time(end),
            processingInterval: interval,
            aggregateType: aggregates.map((each) => coerceNodeId(each)),
            aggregateConfiguration: { useServerCapabilitiesDefaults: configuration === undefined, ...configuration },
        }),
    at_time: ({ times, simple = false }) =>
        new ReadAtTimeDetails({ reqTimes: times.map(time), useSimpleBounds: simple }),
    events: ({ start, end, count = 0, fields }) =>
        new ReadEventDetails({
            startTime: time(start),
            endTime: time(end),
            numValuesPerNode: count,
            filter: constructEventFilter(fields),
        }),
};

/** Times are milliseconds since 1970; null is a time that is not given. */
function time(milliseconds) {
    return milliseconds === null || milliseconds === undefined
        ? new Date(Date.UTC(1601, 0, 1))
        : new Date(milliseconds);
}

/** A value as [time in ms, value, status as a number]. */
function row(value) {
    return [value.sourceTimestamp?.getTime() ?? null, plain(value.value), value.statusCode.value];
}

/**
 * One node's history of a kind, page by page up to `pages` pages: the status of each page, all values (or the fields
 * of all events), and whether a continuation point was left.
 */
async function history_read({ name, kind, node, pages = PAGES_AT_MOST, ...how }) {
    const { session } = connection(name);
    const historyReadDetails = DETAILS[kind](how);
    const statuses = [];
    const values = [];
    const infos = [];
    let continuationPoint;
    while (statuses.length < pages) {
        const { results } = await session.historyRead(
            new HistoryReadRequest({
                historyReadDetails,
                timestampsToReturn: TimestampsToReturn.Source,
                releaseContinuationPoints: false,
                nodesToRead: [{ nodeId: node, continuationPoint }],
            }),
        );
        const [result] = results;
        statuses.push(result.statusCode.name);
        values.push(...(result.historyData?.dataValues ?? []).map(row));
        values.push(...(result.historyData?.events ?? []).map((event) => event.eventFields.map(plain)));
        infos.push(...(result.historyData?.modificationInfos ?? []).map(plain));
        continuationPoint = result.continuationPoint;
        if (!(continuationPoint?.length > 0)) break;
    }
    return { statuses, values, infos, more: continuationPoint?.length > 0 };
}

/** Raw history by the library's own way. */
async function own_history({ name, node, start, end }) {
    const result = await connection(name).session.readHistoryValue(node, time(start), time(end));
    return { status: result.statusCode.name, values: (result.historyData?.dataValues ?? []).map(row) };
}

/** An aggregate by the library's own way. */
async function own_aggregate({ name, node, start, end, function: wanted, interval }) {
    const given = { nodeId: node };
    const { session } = connection(name);
    const result = await session.readAggregateValue(given, time(start), time(end), AggregateFunction[wanted], interval);
    return { status: result.statusCode.name, values: (result.historyData?.dataValues ?? []).map(row) };
}

module.exports = { commands: { history_read, own_aggregate, own_history } };
