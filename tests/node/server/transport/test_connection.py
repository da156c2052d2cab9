"""Turns of a connection on a clock that only the test moves: answers at once, and rests after long ones."""

import asyncio
from typing import Any

from node.server.limits import Limits
from node.server.transport.channel import Incoming
from node.server.transport.connection import Connection, House, Stage
from node.server.transport.faults import FaultLog
from node.server.transport.tasks import TaskSet
from tests.fake_clock import FakeClock


class Channel:
    """Takes every chunk as a message."""

    def receive_next(self, chunk: bytes) -> Incoming:
        return Incoming(1, chunk)

    def pack(self, body: bytes, _request_id: int) -> bytes:
        return body

    def close(self) -> None:
        """Nothing to close."""


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def close(self) -> None:
        """Nothing to close."""

    def resume_reading(self) -> None:
        """It never pauses."""


async def test_a_quick_answer_that_held_all_others_up_is_followed_by_as_long_a_rest(clock: FakeClock) -> None:
    work_s = [0.05, 0.0, 0.0]

    def quick(_connection: Connection, _incoming: Incoming, _now: int) -> bytes:
        clock._elapsed_ns += round(work_s.pop(0) * 1e9)  # time goes by while it works
        return b"answer"

    async def handle(_connection: Connection, _incoming: Incoming) -> None:
        raise AssertionError("everything is answered at once")

    tasks, channel, transport = TaskSet(), Channel(), Transport()
    made: Any = channel
    house = House(clock, Limits(), tasks, FaultLog(), lambda: made, handle, lambda _: True, lambda _: None, quick)
    connection = Connection(house)
    connection.connection_made(transport)
    connection._stage = Stage.OPEN
    message = b"MSGF\x0c\0\0\0\0\0\0\0"
    connection.data_received(message)
    assert len(transport.written) == 1
    connection.data_received(message * 2)
    await clock.settle()
    assert len(transport.written) == 1
    await clock.advance(0.03)
    assert len(transport.written) == 1
    await clock.advance(0.03)
    assert transport.written[1:] == [b"answeranswer"]
    connection.close()
    await tasks.close()
