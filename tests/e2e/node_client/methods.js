// Call.
"use strict";

const { CallRequest, CallResponse, DataType, Variant } = require("node-opcua-client");
const { ClientSecureChannelLayer } = require("node-opcua-secure-channel");
const { connection } = require("./connections.js");

// Else the library makes five seconds of every shorter TimeoutHint.
ClientSecureChannelLayer.minTransactionTimeout = 500;

/** Call one method with inputs [type, value]; `within_ms` is the TimeoutHint. */
async function call({ name, object, method, inputs = [], within_ms = 0 }) {
    const request = new CallRequest({
        requestHeader: { timeoutHint: within_ms },
        methodsToCall: [
            {
                objectId: object,
                methodId: method,
                inputArguments: inputs.map(([type, value]) => new Variant({ dataType: DataType[type], value })),
            },
        ],
    });
    const response = await ask(connection(name).session, request);
    if (!(response instanceof CallResponse)) throw new Error(response.responseHeader.serviceResult.toString());
    const [result] = response.results;
    return {
        status: result.statusCode,
        inputs: result.inputArgumentResults ?? [],
        outputs: (result.outputArguments ?? []).map((output) => ({ type: DataType[output.dataType], value: output })),
    };
}

function ask(session, request) {
    return new Promise((resolve, reject) => {
        session.performMessageTransaction(request, (error, response) => (error ? reject(error) : resolve(response)));
    });
}

/** Inputs and outputs of a method as the library understands them. */
async function arguments_of({ name, method }) {
    const { inputArguments, outputArguments } = await connection(name).session.getArgumentDefinition(method);
    return { inputs: inputArguments, outputs: outputArguments };
}

module.exports = { commands: { arguments_of, call } };
