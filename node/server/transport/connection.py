"""One TCP connection of a client: Hello, secure channel, messages in their order, its end (OPC 10000-6 section 7.1)."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from enum import Enum
from functools import partial
from struct import Struct
from typing import Any

from asyncua import ua
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary, uatcp_to_binary

from address_space.model import Clock, ticks_to_datetime
from node.server.limits import Limits
from node.server.security.policies import ChannelRefused
from node.server.transport.channel import Channel, Incoming
from node.server.transport.doorway import Doorway
from node.server.transport.faults import FaultLog
from node.server.transport.held import Held
from node.server.transport.tasks import TaskSet
from node.server.transport.wire import DECODE_ERRORS, BadFrame, Frame, FrameCutter, Reader, error_frame

# What one client gets at once before others have their turn: requests, and seconds of work.
_TURN_REQUESTS = 64
_TURN_S = 0.005
# Headers, signature and padding of a chunk, at most.
_CHUNK_OVERHEAD_BYTES = 128
# An answer of several parts is not made larger than this, and its head is not larger than that.
_ROOM_BYTES = 262_144
_HEAD_BYTES = 1_024
_URL_MAX_BYTES = 4_096  # OPC 10000-6 section 7.1.2.3
# Behind the type id of a response: time stamp and handle.
_RESPONSE = Struct("<4xqI")


class BadMessage(Exception):
    """A message that is no request; the connection ends with this status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Stage(Enum):
    """How far a connection has come."""

    NEW = "new"  # waits for Hello
    GREETED = "greeted"  # waits for OpenSecureChannel
    OPEN = "open"  # takes messages
    CLOSED = "closed"  # takes nothing any more


@dataclass(frozen=True, slots=True)
class House:
    """What all connections of a server share."""

    clock: Clock
    limits: Limits
    tasks: TaskSet
    faults: FaultLog
    new_channel: Callable[[], Channel]
    handle: Callable[[Connection, Incoming], Awaitable[None]]  # one message; raises BadMessage
    admit: Callable[[Connection], bool]
    lost: Callable[[Connection], None]
    # Answers a request at wall time `int` from its bytes: the response, nothing when it comes later, None when `handle`
    # has to answer. Without it `handle` has them all.
    quick: Callable[[Connection, Incoming, int], bytes | None] | None = None
    # Hears that a channel was opened or renewed, or why it was not.
    opened: Callable[[Connection, ChannelRefused | None], None] | None = None
    doorway: Doorway | None = None  # through which all channels are opened, one at a time


class Connection(asyncio.Protocol):
    """Reads frames, gives messages to the server one after another and sends what it answers.

    A fault of the peer ends it with an ERR message, never in silence.
    """

    def __init__(self, house: House) -> None:
        self._house = house
        self._cutter = FrameCutter(house.limits.chunk_bytes)
        self._chunks: deque[bytes] = deque()  # not looked at yet
        self._message: Incoming | None = None  # the one before them that has to go the ordinary way
        self._idle = True  # nothing waits and nothing is in work
        self._waiting_bytes = 0
        self._paused = False  # nothing is read until less waits
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: asyncio.Transport | None = None
        self._stage = Stage.NEW
        self._max_response_bytes = 0  # of the client's Hello; 0 is no limit
        self._session_response_bytes = 0  # of the session that logged in last
        self._max_response_chunks = 0
        self._largest_bytes = sys.maxsize  # what all of these allow
        self._send_bytes = house.limits.smallest_chunk_bytes
        self.channel = house.new_channel()
        self.peer = "unknown"
        self.hello_url = ""
        self.touched_s = house.clock.monotonic()  # last message
        self.closed_s: float | None = None  # when it was closed; the rest of its answers may still leave
        self.running = 0  # requests that go on beside the order of messages
        self._rests_until_s = 0.0  # it has held the others up

    # --- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many connections."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a TCP server makes no other
        self._transport = transport
        address = transport.get_extra_info("peername")
        self.peer = str(address[0]) if address else "unknown"
        if not self._house.admit(self):
            self.fail(ua.StatusCodes.BadTcpNotEnoughResources, "too many connections")
            return
        self._house.tasks.start(self._work(), f"connection of {self.peer}", self._failed)

    def data_received(self, data: bytes) -> None:
        """Cut frames and answer what can be answered at once; `_work` has the rest."""
        if self._stage is Stage.CLOSED:
            return
        try:
            chunks = self._cutter.cut(data)
        except BadFrame as error:
            self.fail(error.status, str(error))
            return
        if not chunks:
            return
        self._chunks.extend(chunks)
        self._waiting_bytes += sum(map(len, chunks))
        if self._idle:
            self._answer_at_once()
            if self._chunks or self._message is not None:
                self._idle = False
                self._arrived.set()
        if self._waiting_bytes > self._house.limits.waiting_bytes and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        """The client does not read: take no more requests from it."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the server; what runs for this client goes on."""
        self._stage = Stage.CLOSED
        self.channel.close()
        self._arrived.set()
        self._writable.set()
        self._house.lost(self)

    # --- the server's side

    @property
    def is_closed(self) -> bool:
        """True when nothing can be sent any more."""
        return self._stage is Stage.CLOSED

    def send(self, response: Any, request_id: int) -> None:
        """Send a response; one that is too large for the client becomes a fault."""
        if self._stage is not Stage.OPEN or self._transport is None:
            return
        response.ResponseHeader.Timestamp = ticks_to_datetime(self._house.clock.now())
        self.send_packed(struct_to_binary(response), request_id)

    def send_packed(self, body: bytes, request_id: int) -> None:
        """Send a response whose bytes are made already; one that is too large for the client becomes a fault."""
        if self._stage is Stage.OPEN and self._transport is not None:
            self._transport.write(self.channel.pack(self._fitting(body), request_id))

    @property
    def room(self) -> int:
        """Bytes that an answer of several parts should not exceed."""
        most = min(self._max_response_bytes or _ROOM_BYTES, self._session_response_bytes or _ROOM_BYTES, _ROOM_BYTES)
        if self._max_response_chunks:
            most = min(most, self._max_response_chunks * (self._send_bytes - _CHUNK_OVERHEAD_BYTES))
        return max(most - _HEAD_BYTES, 0)

    def limit_responses(self, most_bytes: int) -> None:
        """Bytes of the largest response that the client's session takes; 0 is no limit beside that of its Hello."""
        self._session_response_bytes = most_bytes
        self._look_at_limits()

    def fail(self, status: int, reason: str, *, reported: bool = False) -> None:
        """Say ERR and close; the log gets the reason unless it has it already."""
        if self._stage is Stage.CLOSED:
            return
        if not reported:
            self._house.faults.report(self.peer, ua.StatusCode(ua.UInt32(status)).name, reason)
        if self._transport is not None:
            # What a stranger did wrong is for the log; the peer gets the status only.
            self._transport.write(error_frame(status, ""))
        self.close()

    def close(self) -> None:
        """Send what is left and close."""
        self._stage = Stage.CLOSED
        self.closed_s = self._house.clock.monotonic()
        self.channel.close()
        self._arrived.set()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once; what was not sent is lost."""
        self.close()
        if self._transport is not None:
            self._transport.abort()

    # --- frames

    def _answer_at_once(self) -> bool:
        """Answer requests in their order until one has to go the ordinary way; True when others have a turn first.

        A turn in which the answers to one message held all others up is followed by a rest, as in the ordinary way.
        """
        house = self._house
        if house.quick is None or self._stage is not Stage.OPEN or not self._writable.is_set():
            return False
        now, answers, taken, over = house.clock.now(), [], 0, False
        self.touched_s = began = house.clock.monotonic()
        if began < self._rests_until_s:
            return True
        chunks, quick, monotonic = self._chunks, house.quick, house.clock.monotonic
        receive_next = self.channel.receive_next
        while chunks and not over:
            incoming = receive_next(chunks[0])
            if incoming is None:
                break
            self._drop_chunk()
            body = quick(self, incoming, now)
            if body is None:
                self._message = incoming
                break
            taken += 1
            if body:
                answers.append((body, incoming.request_id))
            over = taken >= _TURN_REQUESTS or monotonic() - began > _TURN_S
        # Packed together: a chunk's number is given where nothing else can be sent in between.
        if answers and self._transport is not None:
            pack, fitting, largest = self.channel.pack, self._fitting, self._largest_bytes
            self._transport.write(
                b"".join([pack(body if len(body) <= largest else fitting(body), request) for body, request in answers])
            )
        if over:
            ended = house.clock.monotonic()
            if ended - began > house.limits.held_s:
                self._rests_until_s = ended + min(ended - began, house.limits.rest_s)
        return over

    def _drop_chunk(self) -> bytes:
        chunk = self._chunks.popleft()
        self._waiting_bytes -= len(chunk)
        if self._paused and self._waiting_bytes <= self._house.limits.waiting_bytes and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return chunk

    async def _work(self) -> None:
        while self._stage is not Stage.CLOSED:
            if not self._chunks and self._message is None:
                self._idle = True
                self._arrived.clear()
                await self._arrived.wait()
                continue
            if self._message is not None or not self._answer_at_once():
                try:
                    await self._in_turn(self._take_next())
                except ChannelRefused as error:
                    self.fail(error.status, str(error), reported=error.reported)
                    return
                except BadMessage as error:
                    self.fail(error.status, str(error))
                    return
            await self._let_others_run()

    async def _take_next(self) -> None:
        """Work on the next message in the ordinary way."""
        incoming, self._message = self._message, None
        if incoming is None and self._chunks:
            chunk = self._drop_chunk()
            incoming = self.channel.receive_next(chunk) if self._stage is Stage.OPEN else None
            if incoming is None:
                await self._take(Frame.of(chunk))
                return
        if incoming is not None:
            self.touched_s = self._house.clock.monotonic()
            await self._house.handle(self, incoming)

    async def _in_turn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do some work; what holds all others up for long is followed by as long a rest of this connection."""
        clock, limits = self._house.clock, self._house.limits
        held_s = await Held(work, clock.monotonic, limits.held_s)
        if held_s:
            await clock.sleep(min(held_s, limits.rest_s))

    async def _let_others_run(self) -> None:
        rest_s = self._rests_until_s - self._house.clock.monotonic() if self._rests_until_s else 0.0
        if rest_s > 0:
            await self._house.clock.sleep(rest_s)
        else:
            await asyncio.sleep(0)
        if self._writable.is_set():
            return
        try:
            async with asyncio.timeout(self._house.limits.stalled_s):
                await self._writable.wait()
        except TimeoutError:
            self._house.faults.report(self.peer, "stalled", "it does not read its answers")
            self.abort()

    async def _take(self, frame: Frame) -> None:
        if frame.type == b"HEL":
            self._greet(frame)
        elif self._stage is Stage.NEW:
            raise BadMessage(ua.StatusCodes.BadTcpMessageTypeInvalid, "a message before Hello")
        elif frame.type == b"OPN":
            await self._pass_the_door(frame)
        elif frame.type == b"CLO":
            self.channel.receive(frame)
            self.close()
        else:
            incoming = self.channel.receive(frame)
            if incoming is not None:
                self.touched_s = self._house.clock.monotonic()
                await self._house.handle(self, incoming)

    async def _pass_the_door(self, frame: Frame) -> None:
        if self._house.doorway is None:
            self._open(frame)
        else:
            await self._house.doorway.through(partial(self._open, frame))

    def _open(self, frame: Frame) -> None:
        if self._stage is Stage.CLOSED:  # while it waited for its turn
            return
        opened = self._house.opened
        try:
            answer = self.channel.open(frame, self.peer)
        except ChannelRefused as error:
            if opened is not None:
                opened(self, error)
            raise
        self._stage = Stage.OPEN
        self._write(answer)
        if opened is not None:
            opened(self, None)

    def _greet(self, frame: Frame) -> None:
        if self._stage is not Stage.NEW:
            raise BadMessage(ua.StatusCodes.BadTcpMessageTypeInvalid, "a second Hello")
        try:
            hello = struct_from_binary(ua.Hello, Reader(frame.body))  # type: ignore[arg-type]
        except DECODE_ERRORS as error:
            raise BadMessage(ua.StatusCodes.BadDecodingError, f"not a Hello: {error}") from error
        limits = self._house.limits
        if min(hello.ReceiveBufferSize, hello.SendBufferSize) < limits.smallest_chunk_bytes:
            text = f"buffers of less than {limits.smallest_chunk_bytes} bytes"
            raise BadMessage(ua.StatusCodes.BadTcpNotEnoughResources, text)
        self.hello_url = hello.EndpointUrl or ""
        if len(self.hello_url.encode("utf-8", "surrogateescape")) > _URL_MAX_BYTES:
            raise BadMessage(ua.StatusCodes.BadTcpEndpointUrlInvalid, "an EndpointUrl that is too long")
        self._max_response_bytes = hello.MaxMessageSize
        self._max_response_chunks = hello.MaxChunkCount
        self._send_bytes = min(hello.ReceiveBufferSize, limits.chunk_bytes)
        self.channel.set_send_bytes(self._send_bytes)
        self._look_at_limits()
        kind: Any = ua.MessageType.Acknowledge
        acknowledge = ua.Acknowledge(
            ProtocolVersion=ua.UInt32(0),
            ReceiveBufferSize=ua.UInt32(min(hello.SendBufferSize, limits.chunk_bytes)),
            SendBufferSize=ua.UInt32(self._send_bytes),
            MaxMessageSize=ua.UInt32(limits.message_bytes),
            MaxChunkCount=ua.UInt32(limits.message_chunks),
        )
        self._stage = Stage.GREETED
        self._write(uatcp_to_binary(kind, acknowledge))

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _fitting(self, body: bytes) -> bytes:
        """A response, or the fault that says that it is too large for the client."""
        if len(body) <= self._largest_bytes:
            return body
        _time, handle = _RESPONSE.unpack_from(body)
        fault = ua.ServiceFault()
        fault.ResponseHeader.RequestHandle = handle
        fault.ResponseHeader.Timestamp = ticks_to_datetime(self._house.clock.now())
        fault.ResponseHeader.ServiceResult = ua.StatusCode(ua.UInt32(ua.StatusCodes.BadResponseTooLarge))
        return struct_to_binary(fault)

    def _look_at_limits(self) -> None:
        """Work out which responses the client's Hello and session allow."""
        bounds = [most for most in (self._max_response_bytes, self._session_response_bytes) if most]
        if self._max_response_chunks:
            # One byte less, so that a part of a chunk counts as one.
            bounds.append(self._max_response_chunks * (self._send_bytes - _CHUNK_OVERHEAD_BYTES) - 1)
        self._largest_bytes = min(bounds, default=sys.maxsize)

    def _failed(self, _error: BaseException) -> None:
        """A bug met this client's message: it is in the log, and the others go on."""
        self.fail(ua.StatusCodes.BadInternalError, "a message could not be worked on")
