"""A plant with its address space, journal and history services, without sockets."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.server.internal_server import InternalServer
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary

from address_space.builder import build
from address_space.history_configuration import HistoryOffer
from address_space.image import ProcessImage
from address_space.model import (
    TICKS_PER_S,
    Batch,
    DataType,
    Device,
    DeviceClass,
    Enumeration,
    EnumMember,
    Point,
    PointKind,
    Range,
    RecordingRule,
    Value,
    device_model,
    ticks_to_datetime,
)
from address_space.nodes import NodeMap
from address_space.shape import NS_SITE, node_id
from address_space.system import node_model
from node.historian.journal import Journal
from node.roles import Caller, Role
from node.server.compat import install_nodes
from node.server.events.audit import Audit
from node.server.events.events import Events
from node.server.history import Archive, HistoryService, record_of
from node.server.limits import Limits
from node.server.standard.aggregate_functions import publish_aggregates
from node.server.standard.capabilities import publish_capabilities
from node.server.standard.standard_values import StandardValues
from tests.fake_clock import START, FakeClock

CALLER = Caller("ann", Role.OBSERVER)
ENGINEER = Caller("eve", Role.ENGINEER)
ADMIN = Caller("ada", Role.ADMIN)
MODES = Enumeration("Mode", (EnumMember(0, "Off"), EnumMember(1, "On")))
MODEL = device_model(
    "test.plant",
    DeviceClass.GENERIC,
    (
        Point(
            "power",
            "Power",
            "",
            DataType.DOUBLE,
            PointKind.ANALOG,
            unit="W",
            historize=True,
            record=RecordingRule(every_s=1.0),
        ),  # lies on a line
        Point("level", "Level", "", DataType.INT32, PointKind.DATA, historize=True, stale_after_s=3600.0),
        Point("note", "Note", "", DataType.STRING, PointKind.DATA, historize=True),
        Point("mode", "Mode", "", DataType.INT32, PointKind.STATE, enumeration=MODES, historize=True),
        Point("heat", "Heat", "", DataType.FLOAT, PointKind.ANALOG, unit="W", range=Range(0, 100), historize=True),
        Point("since", "Since", "", DataType.INT64, PointKind.TIME, historize=True),
        Point("scratch", "Scratch", "", DataType.DOUBLE, PointKind.DATA),
    ),
)
SOURCE = ua.TimestampsToReturn.Source
# 5:00 of the tables; the day is arbitrary.
FIVE = START - 19 * 3600 * TICKS_PER_S
MINUTE = 60 * TICKS_PER_S


class Session:
    """Who reads; continuation points belong to it."""

    closed = False


class House:
    """An address space and its history, without sockets."""

    def __init__(self, image: ProcessImage, journal: Journal, nodes: NodeMap, clock: FakeClock) -> None:
        self.image = image
        self.nodes = nodes
        self.clock = clock
        self.journal = journal
        self.events = Events(nodes, clock)
        self.events.recorder = lambda event: journal.offer_event(record_of(event))
        self.audit = Audit(self.events, "urn:test")
        self.reader = HistoryService(
            Archive(journal, journal, journal), nodes, image, clock, events=self.events, auditor=self.audit
        )
        self.session = Session()

    def record(self, times: Iterable[int], point: str = "power") -> None:
        slot = self.image.slot("xw1", point)
        for number, ticks in enumerate(times):
            self.image.publish(Batch([slot], [float(number)], [0], ticks))

    def publish(self, slot: int, value: Value | None, code: int, ticks: int) -> None:
        """A sample that is recorded even when it is the one before."""
        self.journal.offer(Batch([slot], [value], [code], ticks), [0])

    async def read(
        self,
        start: int | None = None,
        end: int | None = None,
        count: int = 0,
        *,
        bounds: bool = False,
        node: str | ua.NodeId = "xw1.power",
        token: bytes | None = None,
        wanted: ua.TimestampsToReturn = SOURCE,
        session: Session | None = None,
    ) -> ua.HistoryReadResult:
        details = ua.ReadRawModifiedDetails(
            IsReadModified=False,
            StartTime=moment(start),
            EndTime=moment(end),
            NumValuesPerNode=count,
            ReturnBounds=bounds,
        )
        (result,) = await self.ask(details, [item(node, token)], wanted=wanted, session=session)
        return result

    async def ask(
        self,
        details: Any,
        items: Sequence[ua.HistoryReadValueId],
        *,
        wanted: ua.TimestampsToReturn = SOURCE,
        release: bool = False,
        session: Session | None = None,
        caller: Caller = CALLER,
        **how: Any,
    ) -> list[ua.HistoryReadResult]:
        parameters = ua.HistoryReadParameters(details, wanted, release, list(items))
        results = await self.reader.read(parameters, session or self.session, caller, **how)
        # As a client gets them.
        return [struct_from_binary(ua.HistoryReadResult, Buffer(struct_to_binary(result))) for result in results]

    async def update(self, *details: Any, caller: Caller = ENGINEER) -> list[ua.HistoryUpdateResult]:
        given = [struct_from_binary(type(each), Buffer(struct_to_binary(each))) for each in details]
        parameters: Any = ua.HistoryUpdateParameters(given)
        return await self.reader.update(parameters, self.session, caller)


def moment(ticks: int | None) -> datetime:
    return ticks_to_datetime(ticks or 0)


def item(node: str | ua.NodeId = "xw1.power", token: bytes | None = None) -> ua.HistoryReadValueId:
    nodeid = node_id(node, NS_SITE) if isinstance(node, str) else node
    return ua.HistoryReadValueId(NodeId=nodeid, ContinuationPoint=token)


def values(result: ua.HistoryReadResult) -> list[ua.DataValue]:
    found: list[ua.DataValue] = result.HistoryData.DataValues
    return found


def times(result: ua.HistoryReadResult) -> list[datetime]:
    return [value.SourceTimestamp for value in values(result)]


def status(result: ua.HistoryReadResult) -> str:
    return str(result.StatusCode.name)


def make_image(clock: FakeClock) -> ProcessImage:
    return ProcessImage([Device("xw1", MODEL), Device("node", node_model())], clock)


async def build_nodes() -> NodeMap:
    nodes, clock = NodeMap(), FakeClock()
    internal = InternalServer()
    install_nodes(internal, nodes)
    await internal.init()
    offer = HistoryOffer(changes=True, events=True)
    build(nodes, make_image(clock), clock, "test", history=offer)
    publish_capabilities(StandardValues(internal.aspace, clock), Limits(), offer)
    publish_aggregates(nodes)
    await internal.stop()
    return nodes


async def annotate(
    house: House,
    ticks: int,
    message: str,
    *,
    perform: ua.PerformUpdateType = ua.PerformUpdateType.Insert,
    user: str = "",
    at: int = 0,
    caller: Caller = ENGINEER,
) -> ua.HistoryUpdateResult:
    annotation = ua.Annotation(message, user, moment(at))
    value = ua.DataValue(ua.Variant(annotation, ua.VariantType.ExtensionObject), SourceTimestamp=moment(ticks))
    details = ua.UpdateStructureDataDetails(node_id("xw1.power.Annotations", NS_SITE), perform, [value])
    (result,) = await house.update(details, caller=caller)
    return result
