"""A server's services without sockets: one request by its bytes, the fast and the ordinary way."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from address_space.builder import BuiltSpace, build
from address_space.image import ProcessImage
from address_space.model import Batch, CommandResult, Outcome, Status, Value, ticks_to_datetime
from address_space.nodes import NodeMap
from node.control.setting_results import SettingResults
from node.roles import Caller, Role
from node.server.browsing import Browser
from node.server.calls import MethodCaller
from node.server.dispatcher import Dispatcher, Service
from node.server.fast.lane import Lane, make_lane
from node.server.limits import Limits
from node.server.reading import AttributeReader
from node.server.sessions.sessions import Session, SessionTable
from node.server.transport.channel import Incoming
from node.server.transport.faults import FaultLog
from node.server.transport.tasks import TaskSet
from node.server.writing import SettingWriter
from tests.address_space.conftest import devices
from tests.fake_clock import FakeClock
from tests.node.server.library_space import build_library_nodes

IDS = ua.ObjectIds


class Channel:
    """A channel with security, for who only asks that."""

    is_secure = True


@dataclass
class Line:
    """A connection that keeps what is sent as the bytes that a connection would send."""

    clock: FakeClock
    sent: list[bytes] = field(default_factory=list)
    channel: Any = field(default_factory=Channel)
    peer: str = "test"
    hello_url: str = ""
    running: int = 0

    def send(self, response: Any, request_id: int) -> None:
        response.ResponseHeader.Timestamp = ticks_to_datetime(self.clock.now())
        self.sent.append(struct_to_binary(response))

    @property
    def room(self) -> int:
        return 100_000

    def send_packed(self, body: bytes, request_id: int) -> None:
        self.sent.append(body)


@dataclass
class Desk:
    """Answers what a test wants and remembers what it was asked."""

    asked: list[tuple[Any, ...]] = field(default_factory=list)
    at_once: bool = False  # answers without waiting
    error: Exception | None = None  # a bug in it
    results: list[CommandResult] = field(
        default_factory=lambda: [CommandResult(Outcome.CONFIRMED, Status.GOOD, "a=1", 0.5, "confirmed")]
    )

    def _next(self) -> CommandResult:
        return self.results[(len(self.asked) - 1) % len(self.results)]

    async def call(
        self,
        device_id: str,
        command_id: str,
        arguments: Sequence[Value | None],
        caller: Caller,
        answer_by: float | None,
    ) -> CommandResult:
        self.asked.append((device_id, command_id, tuple(arguments), caller, answer_by))
        await self._turn()
        return self._next()

    async def _turn(self) -> None:
        if not self.at_once:
            await asyncio.sleep(0)
        if self.error is not None:
            raise self.error

    async def write_settings(self, device_id: str, values: Mapping[str, Value], caller: Caller) -> SettingResults:
        results = {}
        for point, value in values.items():
            self.asked.append((device_id, point, value, caller))
            await self._turn()
            results[point] = self._next()
        return SettingResults(results)


class World:
    """Both ways over one plant."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.limits = Limits(references_per_node=300, operations=500, browse_operations=200)
        self.image = ProcessImage(devices(), self.clock)
        self.space: BuiltSpace = build(NodeMap(build_library_nodes()), self.image, self.clock, "demo", "Demo plant")
        self.sessions = SessionTable(self.clock, self.limits, lambda _count: None)
        self.line = Line(self.clock)
        self.session = self.log_in(self.line)
        self.reader = AttributeReader(self.space.nodes, self.clock)
        self.browser = Browser(self.space.nodes, self.limits)
        self.tasks = TaskSet()
        self.desk = Desk()
        self.writer = SettingWriter(self.space, self.image, self.desk)
        self.caller = MethodCaller(self.space, self.desk, 5.0)
        services = {
            IDS.WriteRequest_Encoding_DefaultBinary: Service(
                ua.WriteParameters,
                lambda _, session, given: self.writer.write_all(given, session.caller),
                aside=True,
                items="NodesToWrite",
                most=self.limits.write_operations,
            ),
            IDS.CallRequest_Encoding_DefaultBinary: Service(
                ua.CallParameters,
                lambda request, session, given: self.caller.call_all(request, given, session.caller),
                aside=True,
                items="MethodsToCall",
                most=self.limits.call_operations,
            ),
            IDS.ReadRequest_Encoding_DefaultBinary: Service(
                ua.ReadParameters,
                lambda _, session, given: self.reader.read_all(given, session.caller.role),
                waits=True,
                items="NodesToRead",
                most=self.limits.operations,
            ),
            IDS.BrowseRequest_Encoding_DefaultBinary: Service(
                ua.BrowseParameters,
                lambda _, session, given: self.browser.browse(given, session),
                waits=True,
                items="NodesToBrowse",
                most=self.limits.browse_operations,
            ),
        }
        self.dispatcher = Dispatcher(
            services, self.sessions, self.clock, self.limits, self.tasks, FaultLog(), allow_none=False
        )
        self.lane: Lane = make_lane(
            self.space,
            self.image,
            self.reader,
            self.browser,
            self.writer,
            self.caller,
            self.sessions,
            self.clock,
            self.limits,
            self.tasks,
            allow_none=False,
        )

    def log_in(self, line: Line, role: Role = Role.OBSERVER) -> Session:
        session = self.sessions.create(line, "test", 60_000.0, b"")
        self.sessions.activate(session, line, Caller("ann", role))
        return session

    def put(self, path: str, value: Value | None, status: int = 0) -> None:
        device, _, point = path.partition(".")
        self.image.publish(Batch([self.image.slot(device, point)], [value], [status], self.clock.now()))

    def bytes_of(self, request: Any, session: Session | None = None) -> bytes:
        request.RequestHeader.AuthenticationToken = (session or self.session).token
        request.RequestHeader.RequestHandle = 77
        return struct_to_binary(request)

    def fast(self, body: bytes, line: Line | None = None) -> bytes | None:
        return self.lane.answer(line or self.line, Incoming(1, body), self.clock.now())

    async def fast_later(self, body: bytes) -> bytes | None:
        """The fast answer to what is carried out by a desk; None when the ordinary way has to answer."""
        self.line.sent.clear()
        self.desk.asked.clear()
        answer = self.fast(body)
        if answer is None:
            assert not self.desk.asked
            return None
        if answer:
            return answer
        while not self.line.sent:  # noqa: ASYNC110 - both run in this loop
            await asyncio.sleep(0)
        return self.line.sent[0]

    async def ordinary(self, body: bytes, line: Line | None = None) -> bytes:
        line = line or self.line
        line.sent.clear()
        self.desk.asked.clear()
        await self.dispatcher.handle(line, Incoming(1, body))  # type: ignore[arg-type]
        while not line.sent:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
        [answer] = line.sent
        return answer

    async def same(self, request: Any) -> bytes:
        """The answer of both ways; the fast one has to have one."""
        body = self.bytes_of(request)
        fast, ordinary = self.fast(body), await self.ordinary(body)
        assert fast is not None
        assert fast == ordinary
        return fast


def read_request(*items: ua.ReadValueId, stamps: int = 2, max_age: float = 0.0) -> ua.ReadRequest:
    request = ua.ReadRequest()
    request.Parameters = ua.ReadParameters(max_age, ua.TimestampsToReturn(stamps), list(items))
    return request


def browse_request(*items: ua.BrowseDescription, most: int = 0) -> ua.BrowseRequest:
    request = ua.BrowseRequest()
    request.Parameters.NodesToBrowse = list(items)
    request.Parameters.RequestedMaxReferencesPerNode = ua.UInt32(most)
    return request
