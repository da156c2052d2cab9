// Applications (a certificate each), their connections and sessions.
"use strict";

const { readFileSync } = require("node:fs");
const {
    AnonymousIdentityToken,
    MessageSecurityMode,
    OPCUAClient,
    SecurityPolicy,
    UserNameIdentityToken,
    UserTokenType,
} = require("node-opcua-client");
const { OPCUACertificateManager } = require("node-opcua-certificate-manager");

const connections = new Map();
const managers = new Map();

/** The keys of an application, made at its first use. It trusts only servers that it was told to trust. */
async function manager(folder) {
    if (!managers.has(folder)) {
        const made = new OPCUACertificateManager({ rootFolder: folder, automaticallyAcceptUnknownCertificate: false });
        managers.set(folder, made.initialize().then(() => made));
    }
    return managers.get(folder);
}

async function makeClient({ keys, policy = "Basic256Sha256", mode = "SignAndEncrypt", retries = 0 }) {
    return OPCUAClient.create({
        applicationName: "foreign",
        clientCertificateManager: await manager(keys),
        securityPolicy: SecurityPolicy[policy],
        securityMode: MessageSecurityMode[mode],
        endpointMustExist: true,
        keepSessionAlive: false,
        requestedSessionTimeout: 300_000,
        defaultSecureTokenLifetime: 10_000, // so short that every test run sees renewals
        transportTimeout: 120_000,
        connectionStrategy: { maxRetry: retries, initialDelay: 50, maxDelay: 100 },
    });
}

/** Who logs in: a name with a password, a certificate (files of both), or nobody. */
function identity({ user, password, certificate, private_key }) {
    if (certificate !== undefined) {
        return {
            type: UserTokenType.Certificate,
            certificateData: readFileSync(certificate),
            privateKey: readFileSync(private_key, "utf-8"),
        };
    }
    return user === undefined
        ? { type: UserTokenType.Anonymous }
        : { type: UserTokenType.UserName, userName: user, password };
}

function endpointOf(endpoint) {
    return {
        url: endpoint.endpointUrl,
        discovery: endpoint.server.discoveryUrls,
        uri: endpoint.server.applicationUri,
        policy: endpoint.securityPolicyUri.split("#")[1],
        mode: MessageSecurityMode[endpoint.securityMode],
        level: endpoint.securityLevel,
        tokens: endpoint.userIdentityTokens.map((token) => ({
            id: token.policyId,
            type: UserTokenType[token.tokenType],
            policy: (token.securityPolicyUri ?? "").split("#")[1] ?? "",
        })),
        certificate: endpoint.serverCertificate,
        transport: endpoint.transportProfileUri,
    };
}

/** What GetEndpoints says on a channel without security. */
async function endpoints({ url, keys }) {
    const client = await makeClient({ keys, policy: "None", mode: "None" });
    await client.connect(url);
    try {
        return (await client.getEndpoints()).map(endpointOf);
    } finally {
        await client.disconnect();
    }
}

/** Trust the certificate that the server shows, as an engineer does at the first connection. */
async function trust_server({ url, keys }) {
    const [first] = await endpoints({ url, keys });
    await (await manager(keys)).trustCertificate(first.certificate);
}

/** Open a connection with a session under `name`; answers what the server said while it was made. */
async function connect({ name, url, ...how }) {
    const client = await makeClient(how);
    const happened = { renewals: 0, reconnections: 0 };
    client.on("security_token_renewed", () => (happened.renewals += 1));
    client.on("connection_reestablished", () => (happened.reconnections += 1));
    await client.connect(url);
    try {
        const session = await client.createSession2(identity(how));
        connections.set(name, { client, session, happened, subscriptions: new Map() });
        return {
            timeout: session.timeout,
            endpoints: session.serverEndpoints.map(endpointOf),
        };
    } catch (error) {
        await client.disconnect();
        throw error;
    }
}

/** Log in with a token that the server does not offer, as no honest client would; the answer is the server's. */
async function rude_login({ url, user, password, ...how }) {
    const client = await makeClient(how);
    client.createUserIdentityToken = (_context, _identity, callback) => {
        const token =
            user === undefined
                ? new AnonymousIdentityToken({ policyId: "anonymous" })
                : new UserNameIdentityToken({
                      policyId: "username_basic256sha256",
                      userName: user,
                      password: Buffer.from(password, "utf-8"),
                      encryptionAlgorithm: null,
                  });
        callback(null, { userIdentityToken: token, userTokenSignature: undefined });
    };
    await client.connect(url);
    try {
        await client.createSession2(identity({ user, password }));
    } finally {
        await client.disconnect();
    }
}

/** Log another user into a session; answers the name of the status. */
async function change_user({ name, ...how }) {
    return connection(name).session.changeUser(identity(how));
}

/** Say good-bye; `keep` leaves the subscriptions behind. */
async function disconnect({ name, keep = false }) {
    const { client, session } = connection(name);
    connections.delete(name);
    await session.close(!keep);
    await client.disconnect();
}

/** The connection breaks without a word and the client is gone. */
async function lose({ name }) {
    const { client } = connection(name);
    connections.delete(name);
    client._secureChannel.getTransport()._socket.destroy();
    await client.disconnect();
}

/** How often the keys of the channel were renewed, and the connection itself. */
async function happened({ name }) {
    const { session, happened } = connection(name);
    return { ...happened, session: session.sessionId };
}

async function namespaces({ name }) {
    return connection(name).session.readNamespaceArray();
}

function connection(name) {
    const found = connections.get(name);
    if (found === undefined) throw new Error(`there is no connection ${name}`);
    return found;
}

async function closeAll() {
    await Promise.allSettled([...connections.keys()].map((name) => disconnect({ name })));
}

module.exports = {
    closeAll,
    connection,
    commands: { change_user, connect, disconnect, endpoints, happened, lose, namespaces, rude_login, trust_server },
};
