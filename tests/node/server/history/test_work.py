import asyncio
from typing import Any

import pytest
from asyncua import ua

from address_space.model import Clock
from node.historian.history import Page, Position
from node.server.history import Archive, HistoryService
from node.server.history.work import LONGEST_S, SHARE_S, TookTooLong, Work
from node.server.request import ServiceRefused
from tests.fake_clock import FakeClock
from tests.node.server.history.house import FIVE, MINUTE, House, Session, item, moment, status, values


class Slow:
    """A history every page of which takes some seconds, or never comes."""

    def __init__(self, house: House, seconds: float | None) -> None:
        self._house = house
        self._seconds = seconds
        self.asked = asyncio.Event()
        self.ended = False

    async def raw(self, *given: Any, after: Position | None = None, **how: Any) -> Page:
        self.asked.set()
        try:
            if self._seconds is None:
                await asyncio.get_running_loop().create_future()
            else:
                await self._house.clock.advance(self._seconds)
        finally:
            self.ended = True
        return await self._house.journal.raw(*given, after=after, **how)


def slow(house: House, seconds: float | None) -> Slow:
    history: Any = Slow(house, seconds)
    house.reader = HistoryService(Archive(history), house.nodes, house.image, house.clock)
    found: Slow = history
    return found


def details() -> ua.ReadRawModifiedDetails:
    return ua.ReadRawModifiedDetails(False, moment(FIVE), moment(FIVE + 60 * MINUTE), 0, False)


async def test_all_nodes_share_one_time_and_the_rest_goes_on_by_continuation_point(house: House) -> None:
    house.record(FIVE + minute * MINUTE for minute in range(5))
    slow(house, SHARE_S / 2)
    results = await house.ask(details(), [item() for _ in range(4)])
    assert [len(values(each)) for each in results] == [5, 5, 0, 0]
    tokens = [each.ContinuationPoint for each in results]
    assert [bool(token) for token in tokens] == [False, False, True, True]
    rest = await house.ask(details(), [item(token=token) for token in tokens[2:]])
    assert [len(values(each)) for each in rest] == [5, 5]


async def test_a_request_of_an_impatient_client_is_cut_to_half_of_its_patience(house: House) -> None:
    house.record([FIVE])
    slow(house, 0.5)
    results = await house.ask(details(), [item() for _ in range(3)], hint_s=1.0)
    assert [len(values(each)) for each in results] == [1, 0, 0]


async def test_a_closed_session_ends_its_work(house: House) -> None:
    history = slow(house, None)
    reading = asyncio.ensure_future(house.ask(details(), [item()]))
    await history.asked.wait()
    house.session.closed = True
    with pytest.raises(ServiceRefused) as refused:
        await reading
    assert refused.value.status == ua.StatusCodes.BadSessionClosed
    assert history.ended


async def test_a_cancelled_read_ends_and_others_go_on(house: House) -> None:
    history = slow(house, None)
    reading = asyncio.ensure_future(house.ask(details(), [item()], handle=7))
    await history.asked.wait()
    assert house.reader.cancel(house.session, 8) == 0
    assert house.reader.cancel(Session(), 7) == 0
    assert house.reader.cancel(house.session, 7) == 1
    with pytest.raises(ServiceRefused) as refused:
        await reading
    assert refused.value.status == ua.StatusCodes.BadRequestCancelledByClient
    assert history.ended
    assert house.reader.cancel(house.session, 7) == 0


async def test_a_single_answer_that_takes_too_long_is_given_up(house: House) -> None:
    history = slow(house, None)
    reading = asyncio.ensure_future(house.ask(details(), [item()]))
    await history.asked.wait()
    await house.clock.advance(LONGEST_S)
    (result,) = await reading
    assert status(result) == "BadTimeout"
    assert history.ended


async def test_the_time_of_a_work_is_bounded_by_what_the_client_waits() -> None:
    clock = FakeClock()
    given: Clock = clock
    work = Work(Session(), 0, given, hint_s=10.0)
    assert (work.spent, work.over) == (False, False)
    await clock.advance(SHARE_S)
    assert (work.spent, work.over) == (True, False)
    await clock.advance(8)
    assert work.over
    with pytest.raises(TookTooLong):
        await work.wait(asyncio.Event().wait())
