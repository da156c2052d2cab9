"""Changed bytes of good requests: every answer is a result or a refusal, and the journal takes what is told of it."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary

from address_space.shape import NS_SITE, node_id
from node.server.compat import harden_decoder
from node.server.events.events import SERVER
from node.server.request import ServiceRefused
from node.server.transport.wire import DECODE_ERRORS, Reader
from tests.fake_clock import START
from tests.node.server.history.house import ADMIN, FIVE, MINUTE, House, item, moment
from tests.node.server.history.test_events import select, tell
from tests.node.server.history.test_update import INSERT, UPDATE, delete, sample, write

CHANGED = 400
POWER = node_id("xw1.power", NS_SITE)


def reads() -> list[ua.HistoryReadParameters]:
    start, end = moment(FIVE), moment(FIVE + 10 * MINUTE)
    configuration: Any = ua.AggregateConfiguration(UseServerCapabilitiesDefaults=False, PercentDataBad=100)
    details = [
        ua.ReadRawModifiedDetails(False, start, end, 3, True),
        ua.ReadRawModifiedDetails(True, start, end, 3, False),
        ua.ReadProcessedDetails(start, end, 60_000.0, [ua.NodeId(2342)], configuration),
        ua.ReadAtTimeDetails([start, end], True),
    ]
    wanted = ua.TimestampsToReturn.Both
    events = ua.ReadEventDetails(5, moment(START), moment(START + 60), ua.EventFilter(select("Message", "Severity")))
    found = [ua.HistoryReadParameters(each, wanted, False, [item()]) for each in details]
    return [*found, ua.HistoryReadParameters(events, wanted, False, [item(SERVER)])]


def updates() -> list[ua.HistoryUpdateParameters]:
    note = sample(FIVE, ua.Annotation("seen", "eve", moment(FIVE)), ua.VariantType.ExtensionObject)
    details = [
        write(UPDATE, sample(FIVE, 1.0), sample(FIVE + MINUTE, 2.0)),
        write(INSERT, sample(FIVE, "words", ua.VariantType.String), node="xw1.note"),
        write(INSERT, sample(FIVE, moment(FIVE), ua.VariantType.DateTime), node="xw1.since"),
        delete(FIVE, FIVE + MINUTE),
        ua.DeleteAtTimeDetails(POWER, [moment(FIVE)]),
        ua.UpdateStructureDataDetails(node_id("xw1.power.Annotations", NS_SITE), INSERT, [note]),
    ]
    parameters: list[Any] = [ua.HistoryUpdateParameters([each]) for each in details]
    return parameters


def changed(rng: random.Random, good: bytes) -> bytes:
    """With some bytes replaced, left out or doubled."""
    data = bytearray(good)
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(data))
        what = rng.random()
        if what < 0.7:
            data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        elif what < 0.85:
            del data[at]
        else:
            data[at:at] = data[at : at + 4]
    return bytes(data)


async def try_all(rng: random.Random, given: list[Any], ask: Callable[[Any], Any]) -> int:
    """How many changed requests could be decoded."""
    harden_decoder()
    understood = 0
    for number in range(CHANGED):
        good = given[number % len(given)]
        try:
            reader: Any = Reader(changed(rng, struct_to_binary(good)))
            request = struct_from_binary(type(good), reader)
        except DECODE_ERRORS:
            continue
        understood += 1
        try:
            results = await ask(request)
        except ServiceRefused:
            continue
        entries = request.NodesToRead if isinstance(request, ua.HistoryReadParameters) else request.HistoryUpdateDetails
        assert len(results) == len(entries or ())
        for result in results:
            struct_to_binary(result)
    return understood


@pytest.mark.parametrize("kind", ["read", "update"])
async def test_changed_requests_are_answered_or_refused(house: House, seed: int, kind: str) -> None:
    rng = random.Random(f"{seed} {kind}")
    house.record(FIVE + number * MINUTE for number in range(10))
    tell(house, "something")
    if kind == "read":
        understood = await try_all(rng, reads(), lambda given: house.reader.read(given, house.session, ADMIN))
    else:
        understood = await try_all(rng, updates(), lambda given: house.reader.update(given, house.session, ADMIN))
    assert understood > CHANGED // 20
    assert await house.journal.flush()
    page = await house.journal.events(None, None, limit=10_000)
    assert page.events
