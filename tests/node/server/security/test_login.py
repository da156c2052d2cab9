"""Logins: checked beside the event loop, and slow for whoever guesses."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from address_space.model import Status
from node.roles import Role
from node.server.security.login import FailureDelays, LoginBusy, LoginDelayed, LoginGuard
from node.server.security.users import UserStore
from tests.fake_clock import FakeClock

SECRET = "correct horse"
PEER = "192.0.2.10"
STRANGER = "198.51.100.66"


class GatedStore(UserStore):
    """A users file whose checks wait until the test opens the gate."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        self.gate = threading.Event()
        self.gate.set()

    def check(self, name: str, password: str) -> Role | None:
        assert self.gate.wait(30)
        return super().check(name, password)


@pytest.fixture
def store(tmp_path: Path) -> GatedStore:
    store = GatedStore(tmp_path / "users.json")
    store.add("anna", SECRET, Role.OPERATOR)
    return store


@pytest.fixture
async def guard(store: GatedStore, clock: FakeClock) -> AsyncIterator[LoginGuard]:
    guard = LoginGuard(store, clock)
    yield guard
    store.gate.set()
    await guard.close()


async def fail(guard: LoginGuard, times: int, name: str = "anna", peer: str | None = STRANGER) -> None:
    for _ in range(times):
        assert await guard.verify(name, "wrong one", peer) is None


async def test_right_password_gives_the_role(guard: LoginGuard) -> None:
    assert await guard.verify("anna", SECRET, PEER) is Role.OPERATOR
    assert await guard.verify("anna", SECRET) is Role.OPERATOR
    assert await guard.verify("anna", "wrong one", PEER) is None
    assert await guard.verify("nobody", SECRET, PEER) is None


async def test_third_failure_delays_without_looking_at_the_password(guard: LoginGuard, clock: FakeClock) -> None:
    await fail(guard, 3)
    with pytest.raises(LoginDelayed) as refused:
        await guard.verify("anna", SECRET, STRANGER)
    assert refused.value.wait_s == pytest.approx(1.0)
    assert refused.value.status is Status.BAD_TOO_MANY_OPERATIONS
    await clock.advance(1.0)
    assert await guard.verify("anna", SECRET, STRANGER) is Role.OPERATOR


async def test_success_forgets_the_failures(guard: LoginGuard, clock: FakeClock) -> None:
    await fail(guard, 3)
    await clock.advance(1.0)
    assert await guard.verify("anna", SECRET, STRANGER) is Role.OPERATOR
    await fail(guard, 2)
    assert await guard.verify("anna", SECRET, STRANGER) is Role.OPERATOR


async def test_delay_doubles_up_to_a_minute(guard: LoginGuard, clock: FakeClock) -> None:
    await fail(guard, 3)
    waits = []
    for _ in range(8):
        with pytest.raises(LoginDelayed) as refused:
            await guard.verify("anna", "wrong one", STRANGER)
        waits.append(refused.value.wait_s)
        await clock.advance(refused.value.wait_s)
        await fail(guard, 1)
    assert waits == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60])


async def test_peer_that_tries_many_names_is_delayed_for_all(guard: LoginGuard) -> None:
    for name in ("a", "b", "c"):
        await fail(guard, 1, name)
    with pytest.raises(LoginDelayed):
        await guard.verify("anna", SECRET, STRANGER)
    assert await guard.verify("anna", SECRET, PEER) is Role.OPERATOR


async def test_user_that_many_peers_try_is_delayed_for_new_peers(guard: LoginGuard) -> None:
    for last in (1, 2, 3):
        await fail(guard, 1, peer=f"198.51.100.{last}")
    with pytest.raises(LoginDelayed):
        await guard.verify("anna", SECRET, "198.51.100.4")


async def test_strangers_cannot_lock_out_a_user_at_its_usual_place(guard: LoginGuard) -> None:
    assert await guard.verify("anna", SECRET, PEER) is Role.OPERATOR
    await fail(guard, 3)
    assert await guard.verify("anna", SECRET, PEER) is Role.OPERATOR
    with pytest.raises(LoginDelayed):
        await guard.verify("anna", SECRET, "198.51.100.4")


async def test_unknown_names_are_delayed_as_known_ones(guard: LoginGuard) -> None:
    await fail(guard, 3, "nobody", peer=None)
    with pytest.raises(LoginDelayed):
        await guard.verify("nobody", SECRET)


async def test_ipv6_host_cannot_leave_its_delay_by_another_address(guard: LoginGuard) -> None:
    for last in (1, 2, 3):
        await fail(guard, 1, f"name{last}", f"2001:db8::{last}")
    with pytest.raises(LoginDelayed):
        await guard.verify("anna", SECRET, "2001:db8::4")
    assert await guard.verify("anna", SECRET, "2001:db8:0:1::4") is Role.OPERATOR


async def test_mapped_ipv4_address_is_the_same_peer(guard: LoginGuard) -> None:
    await fail(guard, 3, "nobody", f"::ffff:{STRANGER}")
    with pytest.raises(LoginDelayed):
        await guard.verify("anna", SECRET, STRANGER)


async def test_more_than_sixteen_waiting_logins_are_refused(guard: LoginGuard, store: GatedStore) -> None:
    store.gate.clear()
    attempts = [asyncio.create_task(guard.verify("anna", SECRET, f"192.0.2.{n}")) for n in range(18)]
    await asyncio.sleep(0)
    with pytest.raises(LoginBusy) as refused:
        await guard.verify("anna", SECRET, PEER)
    assert refused.value.status is Status.BAD_TOO_MANY_OPERATIONS
    store.gate.set()
    assert set(await asyncio.gather(*attempts)) == {Role.OPERATOR}
    assert await guard.verify("anna", SECRET, PEER) is Role.OPERATOR


async def test_event_loop_runs_while_a_password_is_checked(guard: LoginGuard, store: GatedStore) -> None:
    store.gate.clear()
    attempt = asyncio.create_task(guard.verify("anna", SECRET, PEER))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not attempt.done()
    store.gate.set()
    assert await attempt is Role.OPERATOR


async def test_guesser_cannot_use_the_end_of_a_delay_for_a_burst(
    guard: LoginGuard, store: GatedStore, clock: FakeClock
) -> None:
    await fail(guard, 3)
    await clock.advance(1.0)
    store.gate.clear()
    first = asyncio.create_task(guard.verify("anna", "wrong one", STRANGER))
    await asyncio.sleep(0)
    with pytest.raises(LoginDelayed):
        await guard.verify("anna", SECRET, STRANGER)
    store.gate.set()
    assert await first is None


async def test_closed_connection_does_not_undo_a_failure(store: GatedStore, clock: FakeClock) -> None:
    guard = LoginGuard(store, clock, workers=1)
    for _ in range(3):
        store.gate.clear()
        attempt = asyncio.create_task(guard.verify("anna", "wrong one", STRANGER))
        await asyncio.sleep(0)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        store.gate.set()
        # The only worker takes this one after the abandoned check.
        assert await guard.verify("anna", SECRET, PEER) is Role.OPERATOR
    with pytest.raises(LoginDelayed):
        await guard.verify("anna", SECRET, STRANGER)
    await guard.close()


async def test_end_of_the_node_does_not_wait_for_logins_in_the_queue(store: GatedStore, clock: FakeClock) -> None:
    guard = LoginGuard(store, clock, workers=1)
    store.gate.clear()
    attempts = [asyncio.create_task(guard.verify("anna", SECRET, f"192.0.2.{n}")) for n in range(3)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(guard.close())
    await asyncio.wait(attempts[1:])
    assert all(attempt.cancelled() for attempt in attempts[1:])
    store.gate.set()
    await closing
    assert await attempts[0] is Role.OPERATOR


async def test_log_shows_neither_password_nor_name(guard: LoginGuard, caplog: pytest.LogCaptureFixture) -> None:
    await fail(guard, 3, "my-secret-typed-as-name")
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 2  # the first failure, and the one from which on there is a delay
    assert STRANGER in warnings[0]
    assert "wrong one" not in caplog.text
    assert "my-secret" not in caplog.text


def test_failures_are_forgotten_after_a_quarter_of_an_hour() -> None:
    delays, key = FailureDelays(), ("peer", PEER)
    assert [delays.fail(key, 0.0) for _ in range(5)] == [1, 2, 3, 4, 5]
    assert delays.suspect(key, 899.0)
    assert not delays.suspect(key, 900.0)
    assert delays.fail(key, 900.0) == 1


def test_memory_of_failures_is_bounded() -> None:
    delays = FailureDelays()
    for number in range(5000):
        for _ in range(3):
            delays.fail(("user", str(number)), 0.0)
    assert delays.wait_s(("user", "0"), 0.0) == 0.0
    assert delays.wait_s(("user", "4999"), 0.0) == 1.0
    assert len(delays._failures) == 4096


def test_thousands_of_failures_do_not_overflow_the_delay() -> None:
    delays = FailureDelays()
    for _ in range(3000):
        delays.fail(("user", "anna"), 0.0)
    assert delays.wait_s(("user", "anna"), 10.0) == pytest.approx(50.0)
