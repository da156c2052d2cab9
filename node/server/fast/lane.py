"""The front of the fast path: is this request one that can be answered from its bytes, and whose is it?

Every check of the ordinary way is here too, on what is true now: session, user and connection are looked at with each
request and nothing about them is kept.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from asyncua import ua

from address_space.builder import BuiltSpace
from address_space.image import ProcessImage
from node.server.browsing import Browser
from node.server.fast.browsing import FastBrowse
from node.server.fast.layout import FOUR_BYTE, NOTHING, REQUEST, REQUEST_END, response
from node.server.fast.points import Points
from node.server.fast.reading import FastRead
from node.server.limits import Limits
from node.server.reading import AttributeReader
from node.server.request import Line
from node.server.sessions import TOKEN_ID_BYTES, Session, SessionTable

_TYPE: Final = struct.Struct("<HH")
_IDS: Final = ua.ObjectIds

# Gets the request, where its parameters begin, session and time; None when the ordinary way has to answer.
Handler = Callable[[bytes, int, Session, int], bytes | None]


@dataclass(frozen=True, slots=True)
class _Service:
    """One service: what answers it and how its response is called."""

    answer: Handler
    response: int


class Lane:
    """Answers requests from their bytes."""

    def __init__(self, sessions: SessionTable, reading: FastRead, browsing: FastBrowse, *, allow_none: bool) -> None:
        self._sessions = sessions
        self._allow_none = allow_none
        self._services: Mapping[int, _Service] = {
            _IDS.ReadRequest_Encoding_DefaultBinary: _Service(
                lambda data, at, session, now: reading.answer(data, at, session.caller.role, now),
                _IDS.ReadResponse_Encoding_DefaultBinary,
            ),
            _IDS.BrowseRequest_Encoding_DefaultBinary: _Service(
                lambda data, at, _session, _now: browsing.answer(data, at), _IDS.BrowseResponse_Encoding_DefaultBinary
            ),
        }

    def answer(self, line: Line, data: bytes, at: int, now: int) -> bytes | None:
        """The response to the request in `data` from `at` on; None when the ordinary way has to answer.

        Nothing has happened then. `now` is the wall time in ticks.
        """
        try:
            encoding, type_id = _TYPE.unpack_from(data, at)
            service = self._services.get(type_id)
            if encoding != FOUR_BYTE or service is None or not (self._allow_none or line.channel.is_secure):
                return None
            begin = at + _TYPE.size + TOKEN_ID_BYTES
            session = self._sessions.by_bytes(data[at + _TYPE.size : begin])
            if session is None or session.line is not line or not session.activated:
                return None
            _time, handle, _diagnostics, audit = REQUEST.unpack_from(data, begin)
            begin += REQUEST.size + max(audit, 0)
            _hint, more = REQUEST_END.unpack_from(data, begin)
            if more != NOTHING or audit < -1:
                return None
            body = service.answer(data, begin + REQUEST_END.size, session, now)
        except (struct.error, LookupError, ValueError, ua.UaError):
            # Bytes that are no request: what is wrong with them is for the ordinary way to say.
            return None
        if body is None:
            return None
        self._sessions.touch(session)
        return response(service.response, now, handle) + body


def make_lane(
    space: BuiltSpace,
    image: ProcessImage,
    reader: AttributeReader,
    browser: Browser,
    sessions: SessionTable,
    limits: Limits,
    *,
    allow_none: bool,
) -> Lane:
    """The fast path over the parts of the ordinary one."""
    reading = FastRead(Points(space, image, reader), limits)
    return Lane(sessions, reading, FastBrowse(space.nodes, browser, limits), allow_none=allow_none)
