// Browse, BrowseNext and TranslateBrowsePaths.
"use strict";

const { BrowseDirection, NodeClass, makeBrowsePath } = require("node-opcua-client");
const { connection } = require("./connections.js");

const HIERARCHICAL = "i=33";
const ALL = "i=31"; // References
const AT_ONCE = 40; // nodes per request: fewer than the continuation points that a session has

/** All references of some nodes, a few at a time; calls `take(index, reference)` for each. */
async function references(session, nodeIds, { direction, type, most }, take) {
    session.requestedMaxReferencesPerNode = most;
    const results = await session.browse(
        nodeIds.map((nodeId) => ({
            nodeId,
            browseDirection: direction,
            referenceTypeId: type,
            includeSubtypes: true,
            nodeClassMask: 0,
            resultMask: 0x3f,
        })),
    );
    let open = results.map((result, index) => ({ index, result }));
    let longest = 0;
    while (open.length > 0) {
        for (const { index, result } of open) {
            if (!result.statusCode.isGood()) {
                throw new Error(`browse of ${nodeIds[index]}: ${result.statusCode.name}`);
            }
            longest = Math.max(longest, (result.references ?? []).length);
            for (const reference of result.references ?? []) take(index, reference);
        }
        const more = open.filter(({ result }) => result.continuationPoint?.length > 0);
        if (more.length === 0) return longest;
        const next = await session.browseNext(
            more.map(({ result }) => result.continuationPoint),
            false,
        );
        open = more.map(({ index }, position) => ({ index, result: next[position] }));
    }
    return longest;
}

/** Everything that can be reached from `root`: nodes with class, names and type, and how often something was odd. */
async function browse_all({ name, root = "i=84", most = 20 }) {
    const { session } = connection(name);
    const nodes = new Map([[root, { class: "Object", name: "", type: "", parents: [] }]]);
    let level = [root];
    let [depth, longest, pages] = [0, 0, 0];
    const twice = [];
    while (level.length > 0) {
        const found = [];
        for (let start = 0; start < level.length; start += AT_ONCE) {
            const part = level.slice(start, start + AT_ONCE);
            const seen = part.map(() => new Set());
            const options = { direction: BrowseDirection.Forward, type: HIERARCHICAL, most };
            pages += 1;
            const page = await references(session, part, options, (index, reference) => {
                const id = reference.nodeId.toString();
                const key = `${reference.referenceTypeId} ${id}`;
                if (seen[index].has(key)) twice.push(`${part[index]} ${key}`);
                seen[index].add(key);
                const known = nodes.get(id);
                if (known !== undefined) {
                    known.parents.push(part[index]);
                    return;
                }
                nodes.set(id, {
                    class: NodeClass[reference.nodeClass],
                    name: `${reference.browseName.namespaceIndex}:${reference.browseName.name}`,
                    display: reference.displayName.text ?? "",
                    type: reference.typeDefinition?.toString() ?? "",
                    parents: [part[index]],
                });
                found.push(id);
            });
            longest = Math.max(longest, page);
        }
        level = found;
        depth += 1;
    }
    return { nodes: Object.fromEntries(nodes), depth, longest, pages, twice };
}

/** References of some nodes in one direction: [type, target] pairs for each. */
async function browse({ name, nodes, forward = true, type = ALL, most = 0 }) {
    const found = nodes.map(() => []);
    const direction = forward ? BrowseDirection.Forward : BrowseDirection.Inverse;
    for (let start = 0; start < nodes.length; start += AT_ONCE) {
        const part = nodes.slice(start, start + AT_ONCE);
        await references(connection(name).session, part, { direction, type, most }, (index, reference) =>
            found[start + index].push([reference.referenceTypeId.toString(), reference.nodeId.toString()]),
        );
    }
    return found;
}

/** NodeIds at the ends of relative paths such as "/2:ParameterSet/3:AcPower". */
async function translate({ name, start, paths }) {
    const results = await connection(name).session.translateBrowsePath(
        paths.map((path) => makeBrowsePath(start, path)),
    );
    return results.map((result) => ({ status: result.statusCode, targets: result.targets?.map((each) => each.targetId) ?? [] }));
}

module.exports = { commands: { browse, browse_all, translate } };
