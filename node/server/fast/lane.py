"""The front of the fast path: is this request one that can be answered from its bytes, and whose is it?

Every check of the ordinary way is here too, on what is true now: session, user and connection are looked at with each
request and nothing about them is kept.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

from asyncua import ua

from address_space.builder import BuiltSpace
from address_space.image import ProcessImage
from address_space.model import Clock
from node.begun import Begun
from node.server.browsing import Browser
from node.server.calls import MethodCaller
from node.server.fast.browsing import FastBrowse
from node.server.fast.calling import FastCall
from node.server.fast.layout import FOUR_BYTE, NOTHING, REQUEST, REQUEST_END, response
from node.server.fast.points import Points
from node.server.fast.reading import FastRead
from node.server.fast.writing import FastWrite
from node.server.limits import Limits
from node.server.reading import AttributeReader
from node.server.request import Line
from node.server.sessions.sessions import TOKEN_ID_BYTES, Session, SessionTable
from node.server.transport.channel import Incoming
from node.server.transport.tasks import TaskSet
from node.server.writing import SettingWriter

# Type id, authentication token, then as layout.REQUEST and, without an audit entry's id, as layout.REQUEST_END.
_HEAD: Final = struct.Struct(
    f"<HH{TOKEN_ID_BYTES}s{REQUEST.format.removeprefix('<')}{REQUEST_END.format.removeprefix('<')}"
)
_IDS: Final = ua.ObjectIds

# What `Lane.answer` gives for a request that is answered later.
LATER: Final = b""


# Hears the number of the service, the session and the status of every answer.
Served = Callable[[int, Session, int], None]


class QuickLine(Line, Protocol):
    """A connection as the lane sees it."""

    running: int  # requests that go on beside the order of messages


class _Asked(NamedTuple):
    """A request whose sender may ask it, and that is answered by work."""

    line: QuickLine
    id: int
    session: Session
    handle: int
    type_id: int


@dataclass(frozen=True, slots=True)
class _Service:
    """One service: what answers it, at once or by work that may have to wait, and how its response is called."""

    response: int
    # Of the request's bytes, where its parameters are in them, its session, and the wall time.
    at_once: Callable[[bytes, int, Session, int], bytes | None] | None = None
    # The same, with the milliseconds after which its client gives up.
    begin: Callable[[bytes, int, Session, int], Coroutine[Any, Any, bytes] | None] | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """What answers the requests that the lane knows."""

    reading: FastRead
    browsing: FastBrowse
    writing: FastWrite
    calling: FastCall


def unseen(_number: int, _session: Session, _status: int) -> None:
    """Nobody counts."""


class Lane:
    """Answers requests from their bytes."""

    def __init__(
        self,
        parts: Parts,
        sessions: SessionTable,
        caller: MethodCaller,
        clock: Clock,
        limits: Limits,
        tasks: TaskSet,
        *,
        allow_none: bool,
        served: Served = unseen,
    ) -> None:
        self._sessions = sessions
        self._clock = clock
        self._limits = limits
        self._tasks = tasks
        self._allow_none = allow_none
        self._served = served
        reading, browsing, writing, calling = parts.reading, parts.browsing, parts.writing, parts.calling
        self._services: Mapping[int, _Service] = {
            _IDS.ReadRequest_Encoding_DefaultBinary: _Service(
                _IDS.ReadResponse_Encoding_DefaultBinary,
                lambda data, at, session, now: reading.answer(data, at, session.caller.role, now),
            ),
            _IDS.BrowseRequest_Encoding_DefaultBinary: _Service(
                _IDS.BrowseResponse_Encoding_DefaultBinary,
                lambda data, at, _session, _now: browsing.answer(data, at),
            ),
            _IDS.WriteRequest_Encoding_DefaultBinary: _Service(
                _IDS.WriteResponse_Encoding_DefaultBinary,
                begin=lambda data, at, session, _hint: writing.begin(data, at, session.caller),
            ),
            _IDS.CallRequest_Encoding_DefaultBinary: _Service(
                _IDS.CallResponse_Encoding_DefaultBinary,
                begin=lambda data, at, session, hint_ms: calling.begin(
                    data, at, session.caller, caller.answer_by(clock.monotonic(), hint_ms)
                ),
            ),
        }

    def answer(self, line: QuickLine, incoming: Incoming, now: int) -> bytes | None:
        """The response to a request, LATER, or None when the ordinary way has to answer.

        Nothing has happened then. `now` is the wall time in ticks.
        """
        data = incoming.body
        try:
            encoding, type_id, token, _time, handle, _diagnostics, audit, hint, more = _HEAD.unpack_from(data)
            service = self._services.get(type_id)
            if encoding != FOUR_BYTE or service is None or not (self._allow_none or line.channel.is_secure):
                return None
            session = self._sessions.by_bytes(token)
            if session is None or session.line is not line or not session.activated:
                return None
            begin = _HEAD.size
            if audit > 0:
                begin += audit
                hint, more = REQUEST_END.unpack_from(data, begin - REQUEST_END.size)
            # What a client gives an entry of its own for is audited with it, on the ordinary way.
            if more != NOTHING or audit < -1 or (audit > 0 and service.at_once is None):
                return None
            body = work = None
            if service.at_once is not None:
                body = service.at_once(data, begin, session, now)
            elif service.begin is not None and line.running < self._limits.running_requests:
                work = service.begin(data, begin, session, hint)
        except (struct.error, LookupError, ValueError, ua.UaError):
            # Bytes that are no request: what is wrong with them is for the ordinary way to say.
            return None
        if work is not None:
            self._sessions.touch(session)
            body, begun, error = self._tasks.attempt(work, "request")
            if body is None:
                asked = _Asked(line, incoming.request_id, session, handle, type_id)
                if begun is not None:
                    self._go_on(begun, service, asked)
                elif error is not None:
                    self._failed(asked, error)
                return LATER
        elif body is None:
            return None
        else:
            self._sessions.touch(session)
        self._served(type_id, session, 0)
        return response(service.response, now, handle) + body

    def _go_on(self, begun: Begun[bytes], service: _Service, asked: _Asked) -> None:
        """Let work that has to wait go on beside the messages that follow, even without a client."""
        line = asked.line
        line.running += 1

        async def run() -> None:
            try:
                body = await begun
            finally:
                line.running -= 1
            self._served(asked.type_id, asked.session, 0)
            line.send_packed(response(service.response, self._clock.now(), asked.handle) + body, asked.id)

        self._tasks.start(run(), "request", partial(self._failed, asked))

    def _failed(self, asked: _Asked, _error: BaseException) -> None:
        fault = ua.ServiceFault()
        fault.ResponseHeader.RequestHandle = asked.handle
        fault.ResponseHeader.ServiceResult = ua.StatusCode(ua.UInt32(ua.StatusCodes.BadInternalError))
        asked.line.send(fault, asked.id)


def make_lane(
    space: BuiltSpace,
    image: ProcessImage,
    reader: AttributeReader,
    browser: Browser,
    writer: SettingWriter,
    caller: MethodCaller,
    sessions: SessionTable,
    clock: Clock,
    limits: Limits,
    tasks: TaskSet,
    *,
    allow_none: bool,
    served: Served = unseen,
) -> Lane:
    """The fast path over the parts of the ordinary one."""
    parts = Parts(
        FastRead(Points(space, image, reader), limits),
        FastBrowse(space.nodes, browser, limits),
        FastWrite(space, writer, limits),
        FastCall(caller, limits),
    )
    return Lane(parts, sessions, caller, clock, limits, tasks, allow_none=allow_none, served=served)
