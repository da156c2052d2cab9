// Subscriptions: changes and events are told as they come.
"use strict";

const {
    AttributeIds,
    ClientMonitoredItem,
    ClientMonitoredItemGroup,
    ClientSubscription,
    MonitoringMode,
    TimestampsToReturn,
    constructEventFilter,
    ofType,
    resolveNodeId,
} = require("node-opcua-client");
const { connection } = require("./connections.js");
const { plain } = require("./plain.js");
const { made } = require("./services.js");

/** Subscribe to the Values of some nodes under `subscription`; each change is an event of that name. */
async function subscribe({ name, subscription, nodes = [], publishing_ms = 100, queue = 10 }, say) {
    const { session, subscriptions } = connection(name);
    const started = ClientSubscription.create(session, {
        requestedPublishingInterval: publishing_ms,
        requestedLifetimeCount: 1000,
        requestedMaxKeepAliveCount: 20,
        maxNotificationsPerPublish: 1000,
        publishingEnabled: true,
        priority: 1,
    });
    await new Promise((resolve, reject) => {
        started.once("started", resolve);
        started.once("error", reject);
    });
    subscriptions.set(subscription, { started, items: new Map() });
    const items = nodes.length > 0 ? await watchAll(started, subscription, nodes, queue, say) : [];
    return { id: started.subscriptionId, publishing_ms: started.publishingInterval, items: items.map(described) };
}

async function watchAll(started, subscription, nodes, queue, say) {
    const group = ClientMonitoredItemGroup.create(
        started,
        nodes.map((nodeId) => ({ nodeId, attributeId: AttributeIds.Value })),
        { samplingInterval: 0, queueSize: queue, discardOldest: true },
        TimestampsToReturn.Both,
    );
    group.on("changed", (item, value) => {
        say({ event: "change", subscription, node: item.itemToMonitor.nodeId.toString(), ...plain(value) });
    });
    await initialized(group);
    return group.monitoredItems;
}

/**
 * Watch one more attribute, as `item`. `filter` is a structure as services.js makes it, `events` those of an event
 * item: names of fields, and the type that they are to have.
 */
async function watch({ name, subscription, item, node, mode = "Reporting", filter, events, ...how }, say) {
    const { started, items } = found(name, subscription);
    const { queue = 10, sampling_ms = 0, attribute = "Value" } = how;
    const watched = ClientMonitoredItem.create(
        started,
        { nodeId: node, attributeId: events === undefined ? AttributeIds[attribute] : AttributeIds.EventNotifier },
        {
            samplingInterval: sampling_ms,
            queueSize: queue,
            discardOldest: true,
            filter: events === undefined ? made(filter) : eventFilter(events),
        },
        TimestampsToReturn.Both,
        MonitoringMode[mode],
    );
    watched.on("changed", (value) => {
        const told = events === undefined ? plain(value) : { fields: plain(value) };
        say({ event: "change", subscription, item, ...told });
    });
    await initialized(watched);
    items.set(item, watched);
    return described(watched);
}

function eventFilter({ fields, of_type }) {
    return constructEventFilter(fields, of_type === undefined ? undefined : ofType(resolveNodeId(of_type)));
}

function initialized(watched) {
    return new Promise((resolve, reject) => {
        watched.once("initialized", resolve);
        watched.once("err", (message) => reject(new Error(message)));
    });
}

function described(item) {
    return {
        id: item.monitoredItemId,
        node: item.itemToMonitor.nodeId,
        status: item.statusCode,
        sampling_ms: item.monitoringParameters.samplingInterval,
        filter: item.filterResult,
    };
}

/** Let `item` trigger others, or no longer; the statuses of both lists. */
async function trigger({ name, subscription, item, add = [], remove = [] }) {
    const { started, items } = found(name, subscription);
    const some = (names) => names.map((each) => items.get(each));
    const result = await started.setTriggering(items.get(item), some(add), some(remove));
    return { added: result.addResults ?? [], removed: result.removeResults ?? [] };
}

async function set_mode({ name, subscription, item, mode }) {
    return found(name, subscription).items.get(item).setMonitoringMode(MonitoringMode[mode]);
}

async function unsubscribe({ name, subscription }) {
    await found(name, subscription).started.terminate();
    connection(name).subscriptions.delete(subscription);
}

function found(name, subscription) {
    return connection(name).subscriptions.get(subscription);
}

module.exports = { commands: { set_mode, subscribe, trigger, unsubscribe, watch } };
