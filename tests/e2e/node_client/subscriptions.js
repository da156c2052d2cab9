// Subscriptions: changes are told as they come.
"use strict";

const {
    AttributeIds,
    ClientMonitoredItemGroup,
    ClientSubscription,
    TimestampsToReturn,
} = require("node-opcua-client");
const { connection } = require("./connections.js");
const { plain } = require("./plain.js");

/** Subscribe to the Values of some nodes under `subscription`; each change is an event of that name. */
async function subscribe({ name, subscription, nodes, publishing_ms = 100, queue = 10 }, say) {
    const { session, subscriptions } = connection(name);
    const made = ClientSubscription.create(session, {
        requestedPublishingInterval: publishing_ms,
        requestedLifetimeCount: 1000,
        requestedMaxKeepAliveCount: 20,
        maxNotificationsPerPublish: 1000,
        publishingEnabled: true,
        priority: 1,
    });
    await new Promise((resolve, reject) => {
        made.once("started", resolve);
        made.once("error", reject);
    });
    const group = ClientMonitoredItemGroup.create(
        made,
        nodes.map((nodeId) => ({ nodeId, attributeId: AttributeIds.Value })),
        { samplingInterval: 0, queueSize: queue, discardOldest: true },
        TimestampsToReturn.Both,
    );
    group.on("changed", (item, value) => {
        say({ event: "change", subscription, node: item.itemToMonitor.nodeId.toString(), ...plain(value) });
    });
    await new Promise((resolve, reject) => {
        group.once("initialized", resolve);
        group.once("err", (message) => reject(new Error(message)));
    });
    subscriptions.set(subscription, made);
    return {
        publishing_ms: made.publishingInterval,
        items: group.monitoredItems.map((item) => ({
            node: item.itemToMonitor.nodeId,
            status: item.statusCode,
            sampling_ms: item.monitoringParameters.samplingInterval,
        })),
    };
}

async function unsubscribe({ name, subscription }) {
    const { subscriptions } = connection(name);
    await subscriptions.get(subscription).terminate();
    subscriptions.delete(subscription);
}

module.exports = { commands: { subscribe, unsubscribe } };
