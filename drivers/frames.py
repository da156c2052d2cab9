"""Modbus frames: requests to bytes, and bytes to the one answer that fits. Pure: no I/O, no clock.

Requests, check sums and headers are pymodbus's. Its client is not used: an RTU client that takes whatever frame of
the right unit comes next hands a late answer to the wrong request, and says nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Protocol

from pymodbus.framer.rtu import FramerRTU
from pymodbus.framer.socket import FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU
from pymodbus.pdu.bit_message import (
    ReadCoilsRequest,
    ReadDiscreteInputsRequest,
    WriteMultipleCoilsRequest,
    WriteSingleCoilRequest,
)
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

from drivers.base import Malformed
from drivers.channel import Read, Request

_EXCEPTION: Final = 0x80
# Largest frame is 260 bytes (Modbus Messaging on TCP/IP V1.0b section 4.1); more than a few of them is noise.
_KEEP: Final = 1024
_READS: Final = {
    1: ReadCoilsRequest,
    2: ReadDiscreteInputsRequest,
    3: ReadHoldingRegistersRequest,
    4: ReadInputRegistersRequest,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request: its data (b"" for a write), or the code of an exception."""

    data: bytes
    exception: int = 0


@dataclass(frozen=True, slots=True)
class Unasked:
    """A whole frame that answers something else; `number` is that of its request, where frames have one."""

    unit: int
    function: int
    size: int
    number: int = 0


class Framing(Protocol):
    """One way to put requests on a wire and to find answers in what comes back."""

    numbered: bool

    def encode(self, request: Request, number: int) -> bytes:
        """Bytes of a request."""
        ...

    def find(self, buffer: bytearray, request: Request, number: int) -> Answer | None:
        """Take the answer, and noise before it, off `buffer`; raises Malformed when it does not fit its request."""
        ...

    def strays(self, buffer: bytearray, *, anywhere: bool) -> list[Unasked]:
        """Take whole frames off the front of `buffer`; with `anywhere` also those behind noise."""
        ...


def payload(request: Request) -> ModbusPDU:
    """The request as pymodbus has it; raises ValueError for what no request can hold."""
    if isinstance(request, Read):
        return _READS[request.function](address=request.address, count=request.count, dev_id=request.unit)
    words, function = list(request.words), request.function
    if function == 5:
        return WriteSingleCoilRequest(address=request.address, bits=[bool(words[0])], dev_id=request.unit)
    if function == 6:
        return WriteSingleRegisterRequest(address=request.address, registers=words, dev_id=request.unit)
    if function == 15:
        return WriteMultipleCoilsRequest(address=request.address, bits=[bool(w) for w in words], dev_id=request.unit)
    return WriteMultipleRegistersRequest(address=request.address, registers=words, dev_id=request.unit)


class _Encoded:
    """PDU bytes of the requests that come again and again."""

    _MOST: Final = 1000

    def __init__(self) -> None:
        self._known: OrderedDict[Request, bytes] = OrderedDict()

    def bytes(self, request: Request) -> bytes:
        known = self._known.get(request)
        if known is None:
            pdu = payload(request)
            known = bytes((pdu.function_code,)) + pdu.encode()
            self._known[request] = known
            if len(self._known) > self._MOST:
                self._known.popitem(last=False)
        return known


class RtuFraming:
    """Frames of unit, PDU and check sum. An answer does not name its request, so all that can fit must fit."""

    numbered = False

    def __init__(self) -> None:
        self._framer = FramerRTU(DecodePDU(False))
        self._encoded = _Encoded()

    def encode(self, request: Request, number: int) -> bytes:
        """Bytes of a request."""
        return self._framer.encode(self._encoded.bytes(request), request.unit, number)

    def find(self, buffer: bytearray, request: Request, number: int) -> Answer | None:
        """The frame of this unit, function and length (and, of a write, address and value), whatever is before it."""
        if isinstance(request, Read):
            header = bytes((request.unit, request.function, request.size))
            at = self._search(buffer, header, len(header) + request.size + 2)
            if at >= 0:
                return Answer(_take(buffer, at + 3, request.size, 2))
        else:
            at = self._search(buffer, self._echo(request), 8)
            if at >= 0:
                return Answer(_take(buffer, at, 0, 8))
        at = self._search(buffer, bytes((request.unit, request.function | _EXCEPTION)), 5)
        return Answer(b"", _take(buffer, at + 2, 1, 2)[0]) if at >= 0 else None

    def strays(self, buffer: bytearray, *, anywhere: bool) -> list[Unasked]:
        """Take whole frames off the buffer, by length and check sum."""
        found: list[Unasked] = []
        at = 0
        while at + 5 <= len(buffer):
            length = _rtu_length(buffer, at)
            if length and at + length <= len(buffer) and self._holds(buffer, at, length):
                found.append(Unasked(buffer[at], buffer[at + 1], length - 5 if buffer[at + 1] < 5 else length - 4))
                del buffer[: at + length]
                at = 0
            elif anywhere:
                at += 1
            else:
                break
        return found

    def _echo(self, request: Request) -> bytes:
        body = self._encoded.bytes(request)
        return bytes((request.unit,)) + body[:5]

    def _search(self, buffer: bytearray, header: bytes, length: int) -> int:
        at = buffer.find(header)
        while at >= 0:
            if at + length <= len(buffer) and self._holds(buffer, at, length):
                return at
            at = buffer.find(header, at + 1)
        return -1

    def _holds(self, buffer: bytearray, at: int, length: int) -> bool:
        end = at + length - 2
        return FramerRTU.check_CRC(bytes(buffer[at:end]), int.from_bytes(buffer[end : end + 2], "big"))


def _take(buffer: bytearray, at: int, length: int, behind: int) -> bytes:
    """Take `length` bytes from `at`, and drop what is before them and `behind` more bytes."""
    data = bytes(buffer[at : at + length])
    del buffer[: at + length + behind]
    return data


def _rtu_length(buffer: bytearray, at: int) -> int:
    """Length of an answer by its header; 0 when no answer begins so."""
    function = buffer[at + 1]
    if function in (1, 2, 3, 4):
        return 5 + buffer[at + 2]
    if function in (5, 6, 15, 16):
        return 8
    return 5 if function & _EXCEPTION and function & ~_EXCEPTION in (1, 2, 3, 4, 5, 6, 15, 16) else 0


class TcpFraming:
    """Frames with the header of Modbus TCP: transaction number, protocol 0, length, unit."""

    numbered = True

    def __init__(self) -> None:
        self._framer = FramerSocket(DecodePDU(False))
        self._encoded = _Encoded()

    def encode(self, request: Request, number: int) -> bytes:
        """Bytes of a request."""
        return self._framer.encode(self._encoded.bytes(request), request.unit, number)

    def find(self, buffer: bytearray, request: Request, number: int) -> Answer | None:
        """The frame with this transaction number; one that does not fit the request otherwise is Malformed."""
        body = self._encoded.bytes(request)
        if isinstance(request, Read):
            start = bytes((request.function, request.size))
            length = 2 + request.size
        else:
            start, length = body[:5], 5
        header = self._framer.encode(bytes(length), request.unit, number)[:7]
        at = buffer.find(header + start)
        if at >= 0 and at + 7 + length <= len(buffer):
            if not _is_start(buffer[at + 7 + length :]):
                # Half an answer with another frame behind it looks whole by its header alone.
                raise Malformed(f"what follows the answer to a {request} is no frame")
            return Answer(
                _take(buffer, at + 9, length - 2, 0) if isinstance(request, Read) else _take(buffer, at, 0, 12)
            )
        refusal = self._framer.encode(bytes(2), request.unit, number)[:7] + bytes((request.function | _EXCEPTION,))
        at = buffer.find(refusal)
        if at >= 0 and at + 9 <= len(buffer):
            return Answer(b"", _take(buffer, at + 8, 1, 0)[0])
        self._judge(buffer, request, number)
        return None

    def strays(self, buffer: bytearray, *, anywhere: bool) -> list[Unasked]:
        """Take whole frames off the front of the buffer; noise cannot be told from a frame without its number."""
        found: list[Unasked] = []
        while (length := _tcp_length(buffer)) and len(buffer) >= length:
            number = int.from_bytes(buffer[:2], "big")
            found.append(Unasked(buffer[6], buffer[7], max(0, length - 9), number))
            del buffer[:length]
        return found

    def _judge(self, buffer: bytearray, request: Request, number: int) -> None:
        """Raise Malformed when a whole frame with our number says something else."""
        length = _tcp_length(buffer)
        if not length or len(buffer) < length or int.from_bytes(buffer[:2], "big") != number:
            return
        unit, function, said = buffer[6], buffer[7], bytes(buffer[8:length])
        del buffer[:length]
        if unit != request.unit:
            raise Malformed(f"unit {unit} answered a {request} of unit {request.unit}")
        if function & ~_EXCEPTION != request.function:
            raise Malformed(f"function {function} answered a {request} (function {request.function})")
        raise Malformed(f"{len(said)} bytes that do not fit answered a {request}")


def _tcp_length(buffer: bytearray) -> int:
    """Length of the frame at the front of a buffer by its header; 0 when there is none."""
    if len(buffer) < 8 or buffer[2] or buffer[3]:
        return 0
    length = int.from_bytes(buffer[4:6], "big")
    return 6 + length if 3 <= length <= 254 else 0


def _is_start(rest: bytearray) -> bool:
    """True for nothing, and for what may be the begin of a frame."""
    if len(rest) < 6:
        return not any(rest[2:4])
    return not any(rest[2:4]) and 3 <= int.from_bytes(rest[4:6], "big") <= 254


def trim(buffer: bytearray) -> None:
    """Forget the oldest of what can be nothing but noise."""
    if len(buffer) > _KEEP:
        del buffer[: len(buffer) - _KEEP]
