"""One request of a client on its way through the server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from asyncua import ua

from node.server.transport.channel import Channel


class ServiceRefused(Exception):
    """The whole request is answered with a ServiceFault of this status; the text is for the log.

    `reported` when the log has it already.
    """

    def __init__(self, status: int, text: str = "", *, reported: bool = False) -> None:
        super().__init__(text or ua.StatusCode(ua.UInt32(status)).name)
        self.status = status
        self.reported = reported


class Line(Protocol):
    """The connection that a request came on, as services see it."""

    @property
    def channel(self) -> Channel:
        """Its secure channel."""
        ...

    @property
    def peer(self) -> str:
        """Address of the client, without its port."""
        ...

    @property
    def hello_url(self) -> str:
        """EndpointUrl of the client's Hello."""
        ...

    @property
    def room(self) -> int:
        """Bytes that an answer of several parts should not exceed."""
        ...

    def limit_responses(self, most_bytes: int) -> None:
        """Bytes of the largest response that the client's session takes; 0 is no limit of its own."""
        ...

    def send(self, response: Any, request_id: int) -> None:
        """Send a response; does nothing when the connection is gone."""
        ...

    def send_packed(self, body: bytes, request_id: int) -> None:
        """Send a response whose bytes are made already; does nothing when the connection is gone."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """Header of a request and where its answer goes."""

    line: Line
    id: int  # of the channel's messages
    header: ua.RequestHeader
    received_s: float  # Clock.monotonic()

    @property
    def deadline_s(self) -> float | None:
        """When the client gives up, on Clock.monotonic(); None when it waits for ever."""
        hint_ms = self.header.TimeoutHint
        return self.received_s + hint_ms / 1000 if hint_ms else None

    def answer(self, response: Any) -> None:
        """Send the response; does nothing when the connection is gone."""
        response.ResponseHeader.RequestHandle = self.header.RequestHandle
        self.line.send(response, self.id)

    def answer_packed(self, body: bytes) -> None:
        """Send a response whose bytes are made already; does nothing when the connection is gone."""
        self.line.send_packed(body, self.id)

    def refuse(self, status: int) -> None:
        """Send a ServiceFault."""
        fault = ua.ServiceFault()
        fault.ResponseHeader.ServiceResult = ua.StatusCode(ua.UInt32(status))
        self.answer(fault)
