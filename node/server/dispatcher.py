"""From a message to its service and back: decode, who may ask, answer or fault (OPC 10000-4 section 5)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, Final

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary, struct_to_binary

from address_space.model import Clock, ticks_to_datetime
from node.server.limits import Limits
from node.server.request import Request, ServiceRefused
from node.server.sessions.sessions import Session, SessionTable
from node.server.transport.channel import Incoming
from node.server.transport.connection import BadMessage, Connection
from node.server.transport.counting import announced
from node.server.transport.faults import FaultLog
from node.server.transport.tasks import TaskSet
from node.server.transport.wire import DECODE_ERRORS, FIELDS, Reader, TooManyFields

# A longer answer is packed beside the event loop; so many references or values take some milliseconds.
_PACKED_AT_ONCE: Final = 500


class Entry(Enum):
    """Who may ask for a service."""

    ANYBODY = "anybody"  # discovery, on every channel
    CHANNEL = "channel"  # on a channel with security that is offered: what makes and ends sessions
    SESSION = "session"  # with a session that a user has logged into, on its own channel


# Gets request, session (None unless Entry.SESSION) and parameters; the response, or None when it comes later.
Handler = Callable[[Request, Session, Any], Any]
AsyncHandler = Callable[[Request, Session, Any], Awaitable[Any]]
# Gets the service's number, the session if there is one, and the status of every answer.
Served = Callable[[int, Session | None, int], None]


@dataclass(frozen=True, slots=True)
class Service:
    """One service of the server."""

    parameters: type
    handler: Handler | AsyncHandler
    entry: Entry = Entry.SESSION
    waits: bool = False  # the handler is a coroutine
    aside: bool = False  # it may take long: other messages of the connection go on meanwhile
    items: str = ""  # name of the list in the parameters that says how much work it is
    most: int = 0  # entries that the list may have
    decode: Callable[[Any], Any] | None = None  # makes the parameters from a reader; without it asyncua does


class Dispatcher:
    """Hands messages to services."""

    def __init__(
        self,
        services: Mapping[int, Service],
        sessions: SessionTable,
        clock: Clock,
        limits: Limits,
        tasks: TaskSet,
        faults: FaultLog,
        *,
        allow_none: bool,
        served: Served = lambda _number, _session, _status: None,
    ) -> None:
        """`services` by the numeric NodeId of the request's binary encoding."""
        self._served = served
        self._services = services
        self._sessions = sessions
        self._clock = clock
        self._limits = limits
        self._tasks = tasks
        self._faults = faults
        self._allow_none = allow_none
        self._large = asyncio.Lock()  # requests that are a lot of work are worked on one at a time

    async def handle(self, connection: Connection, incoming: Incoming) -> None:
        """Answer one message, or see to it that it is answered. Raises BadMessage for what is no request."""
        reader: Any = Reader(incoming.body, fields=FIELDS)
        try:
            type_id = nodeid_from_binary(reader)
            header = struct_from_binary(ua.RequestHeader, reader)
        except TooManyFields as error:
            raise BadMessage(ua.StatusCodes.BadEncodingLimitsExceeded, f"a header of a request: {error}") from error
        except DECODE_ERRORS as error:
            raise BadMessage(ua.StatusCodes.BadDecodingError, f"not a request: {error}") from error
        request = Request(connection, incoming.request_id, header, self._clock.monotonic())
        if len(reader) <= self._limits.done_at_once_bytes:
            await self._answer(connection, type_id, request, reader, large=False)
        else:
            async with self._large:
                await self._answer(connection, type_id, request, reader, large=True)

    # --- steps

    async def _answer(
        self, connection: Connection, type_id: ua.NodeId, request: Request, reader: Any, *, large: bool
    ) -> None:
        """Work on a request whose parameters come next; a large one beside the event loop where that is possible."""
        session: Any = None
        try:
            service = self._find(type_id)
            session = self._admit(service, request)
            if service.entry is Entry.SESSION:
                reader.allow(self._limits.fields)
            if large:
                parameters = await asyncio.to_thread(self._decode, service, reader)
                if service.entry is Entry.SESSION:
                    session = self._admit(service, request)  # it may have ended or moved meanwhile
            else:
                parameters = self._decode(service, reader)
            if service.aside:
                self._start(service, _number(type_id), connection, request, session, parameters)
                return
            result = service.handler(request, session, parameters)
            response = await result if service.waits else result
        except ServiceRefused as error:
            self._served(_number(type_id), session, error.status)
            if error.reported:
                request.refuse(error.status)
            else:
                self._refuse(request, type_id, error.status, str(error))
        except (ServiceError, ua.UaStatusCodeError) as error:
            self._served(_number(type_id), session, int(error.code))
            self._refuse(request, type_id, int(error.code), str(error))
        else:
            self._served(_number(type_id), session, 0)
            if response is not None:
                await self._send(request, response)

    async def _send(self, request: Request, response: Any) -> None:
        if _parts(response) <= _PACKED_AT_ONCE:
            request.answer(response)
            return
        header = response.ResponseHeader
        header.RequestHandle = request.header.RequestHandle
        header.Timestamp = ticks_to_datetime(self._clock.now())
        request.answer_packed(await asyncio.to_thread(struct_to_binary, response))

    def _find(self, type_id: ua.NodeId) -> Service:
        service = self._services.get(_number(type_id))
        if service is None:
            raise ServiceRefused(ua.StatusCodes.BadServiceUnsupported, f"no service {type_id.to_string()}")
        return service

    def _admit(self, service: Service, request: Request) -> Any:
        if service.entry is Entry.ANYBODY:
            return None
        if not request.line.channel.is_secure and not self._allow_none:
            text = "only discovery without security; choose an endpoint that signs"
            raise ServiceRefused(ua.StatusCodes.BadSecurityPolicyRejected, text)
        if service.entry is Entry.CHANNEL:
            return None
        session = self._sessions.on_line(request.header.AuthenticationToken, request.line)
        if not session.activated:
            # OPC 10000-4 section 5.6.3: such a session is closed, whoever tries to use it has to begin again.
            self._sessions.close(session)
            raise ServiceRefused(ua.StatusCodes.BadSessionNotActivated)
        self._sessions.touch(session)
        return session

    def _decode(self, service: Service, reader: Any) -> Any:
        try:
            # A list that is too long is refused before it is taken apart.
            self._check_count(service, announced(service.parameters, reader) if service.items else None)
            parameters: Any = (service.decode or partial(struct_from_binary, service.parameters))(reader)
        except TooManyFields as error:
            raise ServiceRefused(ua.StatusCodes.BadEncodingLimitsExceeded, str(error)) from error
        except DECODE_ERRORS as error:
            raise ServiceRefused(ua.StatusCodes.BadDecodingError, str(error)) from error
        if service.items:
            self._check_count(service, len(getattr(parameters, service.items) or ()))
        return parameters

    def _check_count(self, service: Service, count: int | None) -> None:
        if count == 0:
            raise ServiceRefused(ua.StatusCodes.BadNothingToDo)
        if count is not None and count > service.most:
            raise ServiceRefused(ua.StatusCodes.BadTooManyOperations, f"{count}, {service.most} are allowed")

    def _start(
        self, service: Service, number: int, connection: Connection, request: Request, session: Any, parameters: Any
    ) -> None:
        """Let a long service run beside the messages that follow; it goes on when its client leaves."""
        if connection.running >= self._limits.running_requests:
            raise ServiceRefused(ua.StatusCodes.BadTooManyOperations, f"{connection.running} requests in work")
        connection.running += 1

        async def run() -> None:
            try:
                response = await service.handler(request, session, parameters)
            except ServiceRefused as error:
                self._served(number, session, error.status)
                request.refuse(error.status)
            except (ServiceError, ua.UaStatusCodeError) as error:
                self._served(number, session, int(error.code))
                request.refuse(int(error.code))
            else:
                self._served(number, session, 0)
                request.answer(response)
            finally:
                connection.running -= 1

        name = service.parameters.__name__.removesuffix("Parameters")
        self._tasks.start(run(), name, lambda _error: request.refuse(ua.StatusCodes.BadInternalError))

    def _refuse(self, request: Request, type_id: ua.NodeId, status: int, text: str) -> None:
        self._faults.refused(request.line.peer, type_id, status, text)
        request.refuse(status)


def _parts(response: Any) -> int:
    """How much there is to pack, about: results, and references in them."""
    if isinstance(response, ua.BrowseResponse):
        return sum(len(result.References or ()) for result in response.Results)
    return len(getattr(response, "Results", None) or ())


def _number(type_id: ua.NodeId) -> int:
    """Number of a request's type; 0, which no request has, for NodeIds that are none of the standard's."""
    number = type_id.Identifier
    return number if type_id.NamespaceIndex == 0 and isinstance(number, int) else 0
