// HistoryRead of raw values.
"use strict";

const { HistoryReadRequest, ReadRawModifiedDetails, TimestampsToReturn } = require("node-opcua-client");
const { connection } = require("./connections.js");

/**
 * Raw values of one node in pages of `page`, until the server gives no continuation point any more. Times are
 * milliseconds since 1970; null is a time that is not given.
 */
async function history({ name, node, start, end, page, bounds = false, pages_at_most = 1000 }) {
    const { session } = connection(name);
    const pages = [];
    let continuationPoint;
    while (pages.length < pages_at_most) {
        const result = await onePage(session, { node, start, end, page, bounds, continuationPoint });
        pages.push({ status: result.statusCode, values: result.historyData?.dataValues ?? [] });
        continuationPoint = result.continuationPoint;
        if (!(continuationPoint?.length > 0)) return { pages, complete: true };
    }
    const released = await onePage(session, { node, start, end, page, bounds, continuationPoint, release: true });
    return { pages, complete: false, released: released.statusCode };
}

async function onePage(session, { node, start, end, page, bounds, continuationPoint, release = false }) {
    const request = new HistoryReadRequest({
        historyReadDetails: new ReadRawModifiedDetails({
            isReadModified: false,
            startTime: time(start),
            endTime: time(end),
            numValuesPerNode: page,
            returnBounds: bounds,
        }),
        timestampsToReturn: TimestampsToReturn.Both,
        releaseContinuationPoints: release,
        nodesToRead: [{ nodeId: node, continuationPoint }],
    });
    const { results } = await session.historyRead(request);
    return results[0];
}

function time(milliseconds) {
    return milliseconds === null ? new Date(Date.UTC(1601, 0, 1)) : new Date(milliseconds);
}

module.exports = { commands: { history } };
