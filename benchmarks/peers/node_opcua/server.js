"use strict";
// The peer: a node-opcua server with bare Double variables, updated each period by its fastest public call.
// node server.js --port P --points N --per-device M --extra E --period-s S --lifetime-s L --state FOLDER [--history H]
const { parseArgs } = require("node:util");
const {
  DataType, MessageSecurityMode, OPCUACertificateManager, OPCUAServer, SecurityPolicy, StatusCodes, Variant, nodesets,
} = require("node-opcua");

const NAMESPACE = "urn:gridnode:benchmark:node-opcua";
const AT_ONCE = 500; // values between two yields, the same as in the other servers
const SPREAD = 2 ** 20; // a value is pass + index / SPREAD, as the load client checks

const text = { type: "string" };
const { values: given } = parseArgs({
  options: { port: text, points: text, "per-device": text, extra: text, "period-s": text, "lifetime-s": text, state: text,
    history: { type: "string", default: "0" } },
});
const number = (name) => Number(given[name]);
const padded = (value, width) => String(value).padStart(width, "0");

async function build() {
  const manager = new OPCUACertificateManager({ rootFolder: given.state, automaticallyAcceptUnknownCertificate: true });
  await manager.initialize();
  const limits = {};
  for (const name of ["Read", "Write", "Browse", "MethodCall"]) limits[`maxNodesPer${name}`] = 10_000;
  const server = new OPCUAServer({
    port: number("port"),
    hostname: "127.0.0.1",
    nodeset_filename: [nodesets.standard],
    serverCertificateManager: manager,
    userCertificateManager: manager,
    securityModes: [MessageSecurityMode.None],
    securityPolicies: [SecurityPolicy.None],
    allowAnonymous: true,
    disableDiscovery: true,
    maxConnectionsPerEndpoint: 200,
    serverCapabilities: {
      maxSessions: 200,
      maxSubscriptions: 1000,
      maxMonitoredItems: 1_000_000,
      maxMonitoredItemsPerSubscription: 200_000,
      operationLimits: { ...limits, maxMonitoredItemsPerCall: 10_000 },
    },
  });
  await server.initialize();
  return server;
}

function fill(server) {
  const space = server.engine.addressSpace.registerNamespace(NAMESPACE);
  const folder = server.engine.addressSpace.rootFolder.objects;
  const object = (id) => space.addObject({ browseName: id, nodeId: `s=${id}`, organizedBy: folder });
  const variables = (parent, id, count) =>
    Array.from({ length: count }, (_, index) => {
      const name = `p${padded(index, 3)}`;
      return space.addVariable({
        componentOf: parent, browseName: name, nodeId: `s=${id}.${name}`, dataType: DataType.Double,
        minimumSamplingInterval: 0, value: { dataType: DataType.Double, value: 0 },
      });
    });
  const points = [];
  const perDevice = number("per-device");
  for (let first = 0; first < number("points"); first += perDevice) {
    const id = `d${padded(first / perDevice, 5)}`;
    points.push(...variables(object(id), id, Math.min(perDevice, number("points") - first)));
  }
  for (let index = 0; index < number("extra"); index += 1) {
    const settings = `w${padded(index, 5)}`;
    variables(object(settings), settings, 100);
    const adder = `a${padded(index, 5)}`;
    const argument = (name) => ({ name, dataType: DataType.Double });
    const method = space.addMethod(object(adder), {
      browseName: "Add", nodeId: `s=${adder}.Add`,
      inputArguments: [argument("first"), argument("second")], outputArguments: [argument("sum")],
    });
    method.bindMethod(async (inputs, _context) => ({
      statusCode: StatusCodes.Good,
      outputArguments: [new Variant({ dataType: DataType.Double, value: inputs[0].value + inputs[1].value })],
    }));
  }
  remember(server.engine.addressSpace, points[0]);
  return points;
}

// The first variable remembers so many values in memory, one a second, as the load client checks them.
function remember(space, variable) {
  const count = number("history");
  if (!count) return;
  space.installHistoricalDataNode(variable, { maxOnlineValues: count + 10_000 });
  const first = Date.UTC(2025, 0, 1);
  for (let index = 0; index < count; index += 1) {
    const value = ((index * 7919) % 100_003) / 10;
    variable.setValueFromSource({ dataType: DataType.Double, value }, StatusCodes.Good, new Date(first + 1000 * index));
  }
}

async function update(points) {
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const period = 1000 * number("period-s");
  let due = performance.now() + period;
  for (let pass = 1; ; pass += 1) {
    await new Promise((resolve) => setTimeout(resolve, Math.max(due - performance.now(), 0)));
    due += period;
    const taken = new Date();
    for (let index = 0; index < points.length; index += 1) {
      points[index].setValueFromSource(
        { dataType: DataType.Double, value: pass + index / SPREAD }, StatusCodes.Good, taken);
      if (index % AT_ONCE === AT_ONCE - 1) await turn();
    }
  }
}

async function main() {
  const server = await build();
  const points = fill(server);
  await server.start();
  // Its own orderly shutdown waits for clients; a benchmark has none left.
  for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
  setTimeout(() => process.exit(0), 1000 * number("lifetime-s"));
  await update(points);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
