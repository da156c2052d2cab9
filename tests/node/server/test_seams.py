"""What the server takes from asyncua beyond its documented interface: a change there has to be looked at here.

The hashes are of source text, so a failing one says: read the new body of that name, then decide.
"""

import ast
import hashlib
import inspect
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.connection import MessageChunk, SecureConnection, TransportLimits
from asyncua.crypto.security_policies import Cryptography, SignerHMac256, VerifierHMac256
from asyncua.server.address_space import AddressSpace
from asyncua.server.internal_server import InternalServer
from asyncua.ua import ua_binary

from node.server import compat

SERVER = Path(compat.__file__).parent

# Overridden, or called with an object of ours in place of asyncua's.
SIGNATURES = {
    SecureConnection.select_policy: "(self, uri, peer_certificate, mode=None)",
    SecureConnection.open: "(self, params, server)",
    SecureConnection.__init__: "(self, security_policy, limits)",
    SecureConnection.receive_from_header_and_body: "(self, header, body)",
    SecureConnection.message_to_binary: "(self, message, message_type=b'MSG', request_id=0)",
    SecureConnection.is_open: "(self)",
    SecureConnection.close: "(self)",
    Cryptography.verify: "(self, data, sig)",
    Cryptography.signature: "(self, data)",
    Cryptography.remove_padding: "(self, data)",
    InternalServer.__init__: "(self, user_manager=None)",
    InternalServer.init: "(self, shelffile=None)",
    InternalServer.load_standard_address_space: "(self, shelf_file=None)",
    InternalServer.stop: "(self)",
}
HASHES = {
    SecureConnection.select_policy: "14ce611ee5278fb4",
    SecureConnection.open: "30efa932cafd62a4",
    SecureConnection.receive_from_header_and_body: "bf61e1421cdfcc4a",
    SecureConnection._receive: "848858559e7153ba",
    SecureConnection._check_sym_header: "e9e51530bbe4163c",
    SecureConnection._check_incoming_chunk: "e811194f95f3e287",
    SecureConnection.revolve_tokens: "c87c71ac9caecac3",
    SecureConnection.message_to_binary: "4a4fcafb5b81bf59",
    MessageChunk.from_header_and_body: "ee52d0c0bc189968",
    MessageChunk.to_binary: "d5ec5f2c20e64ae1",
    MessageChunk.message_to_chunks: "345a9e3cd1f89686",
    Cryptography: "5faf301819bdb9db",
    SignerHMac256: "70b481a20b6c18fd",
    VerifierHMac256: "ad515cf92cf08025",
    AddressSpace: "e7a89c45039f9566",
    InternalServer.init: "0a4796e1945515cd",
    InternalServer.load_standard_address_space: "90359fe87281bcbf",
    ua_binary._reshape: "ffd8a09aab5f1f49",
    ua_binary._Null: "10ad697966a5c25d",
    ua_binary._create_uatype_deserializer: "9d57ca94ecf3409a",
}


def bare_signature(function: Any) -> str:
    """The signature without annotations."""
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in inspect.signature(function).parameters.values()
    ]
    return str(inspect.Signature(parameters))


def source_hash(thing: Any) -> str:
    """Hash of the code without comments and layout."""
    tree = ast.parse(inspect.cleandoc("\n" + inspect.getsource(thing)))
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]


def test_version_is_the_one_that_was_looked_at() -> None:
    assert version("asyncua") == "2.1.0"


@pytest.mark.parametrize("function", SIGNATURES, ids=lambda each: each.__qualname__)
def test_signature(function: Any) -> None:
    assert bare_signature(function) == SIGNATURES[function]


@pytest.mark.parametrize("thing", HASHES, ids=lambda each: each.__qualname__)
def test_source(thing: Any) -> None:
    assert source_hash(thing) == HASHES[thing], f"review {thing.__qualname__}"


def overridden(cls: type) -> set[Any]:
    """Methods of asyncua's that a class of ours has its own body for."""
    parents = [parent for parent in cls.__mro__[1:] if parent.__module__.startswith("asyncua.")]
    found = set()
    for name, body in vars(cls).items():
        theirs = next((vars(parent)[name] for parent in parents if name in vars(parent)), None)
        if inspect.isfunction(body) and inspect.isfunction(theirs):
            found.add(theirs)
    return found


def test_every_override_is_pinned() -> None:
    ours = [each for each in vars(compat).values() if inspect.isclass(each) and each.__module__ == compat.__name__]
    found = set().union(*map(overridden, ours))
    assert SecureConnection.select_policy in found
    assert found <= set(SIGNATURES), found - set(SIGNATURES)
    whole = {method for thing in HASHES if inspect.isclass(thing) for method in vars(thing).values()}
    # What a constructor does not do is seen by the tests of what comes out of it.
    bodies = {each for each in found if each.__name__ != "__init__"}
    assert bodies <= set(HASHES) | whole, bodies - set(HASHES) - whole


def test_names_that_have_no_signature() -> None:
    assert ua_binary.MAX_RESHAPE_ELEMENTS is not None
    assert AddressSpace()._nodes == {}
    connection = SecureConnection(None, TransportLimits())  # type: ignore[arg-type]
    assert connection.security_token.TokenId == 0


def test_underscored_names_of_asyncua_are_in_one_module() -> None:
    known = {name for cls in (SecureConnection, InternalServer, AddressSpace, MessageChunk) for name in _private(cls)}
    for path in SERVER.glob("*.py"):
        if path.name == "compat.py":
            continue
        tree = ast.parse(path.read_text())
        used = {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and node.attr.startswith("_")
            and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
        }
        assert not used & known, path.name


def _private(cls: type) -> set[str]:
    assigned = {
        node.attr
        for node in ast.walk(ast.parse(inspect.cleandoc("\n" + inspect.getsource(cls))))
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")
    }
    return assigned | {name for name in vars(cls) if name.startswith("_") and not name.startswith("__")}


def test_node_map_stands_in_for_the_dict() -> None:
    server = InternalServer()
    nodes: dict[ua.NodeId, Any] = {}
    space = compat.install_nodes(server, nodes)
    assert space is server.aspace
    space[ua.NodeId(1)] = "node"  # type: ignore[assignment]
    assert nodes == {ua.NodeId(1): "node"}
    assert space.get(ua.NodeId(2)) is None
