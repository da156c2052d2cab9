import pytest

from drivers.channel import Read, Stray
from drivers.health import BackOff, ConnectionState, Health
from drivers.quiet import Lateness
from drivers.spec import BusConfig, Table

UNKNOWN, ONLINE, SUSPECT, OFFLINE, OUT = ConnectionState
BUS = BusConfig("b", "modbus", None, timeout_s=0.5, quiet_max_s=2.0)


def health(state: ConnectionState = UNKNOWN, failures: int = 0) -> Health:
    one = Health(BackOff(1.0, 60.0, "seed"), recheck_s=60.0)
    one.state, one.failures = state, failures
    return one


@pytest.mark.parametrize(
    ("state", "failures", "event", "expected"),
    [
        (UNKNOWN, 0, "answered", ONLINE),
        (UNKNOWN, 0, "failed", SUSPECT),
        (ONLINE, 0, "failed", SUSPECT),
        (SUSPECT, 1, "failed", SUSPECT),
        (SUSPECT, 2, "failed", OFFLINE),
        (SUSPECT, 2, "answered", ONLINE),
        (ONLINE, 0, "fatal", OFFLINE),
        (OFFLINE, 3, "failed", OFFLINE),
        (OFFLINE, 9, "answered", ONLINE),
        (ONLINE, 0, "mismatched", OUT),
        (OUT, 0, "answered", OUT),
        (OUT, 2, "failed", OUT),
        (OUT, 0, "fatal", OUT),
        (OUT, 0, "channel_lost", OUT),
        (OUT, 0, "matched", ONLINE),
        (ONLINE, 0, "channel_lost", OFFLINE),
    ],
)
def test_transitions(state: ConnectionState, failures: int, event: str, expected: ConnectionState) -> None:
    one = health(state, failures)
    changed = {
        "answered": one.answered,
        "failed": lambda: one.failed(5.0),
        "fatal": lambda: one.failed(5.0, fatal=True),
        "mismatched": lambda: one.mismatched(5.0),
        "matched": one.matched,
        "channel_lost": one.channel_lost,
    }[event]()
    assert one.state is expected
    assert changed is (state is not expected)


def test_pauses_double_up_to_the_longest_with_a_jitter_that_the_seed_decides() -> None:
    pauses = [BackOff(1.0, 60.0, "seed").pause_s() for _ in range(2)]
    assert pauses[0] == pauses[1] != BackOff(1.0, 60.0, "other").pause_s()
    one = BackOff(1.0, 60.0, "seed")
    for wanted in (1, 2, 4, 8, 16, 32, 60, 60):
        assert 0.8 * wanted <= one.pause_s() <= min(60.0, 1.2 * wanted)
    one.reset()
    assert one.pause_s() <= 1.2


def test_a_unit_may_be_asked_at_once_when_its_channel_is_back() -> None:
    one = health()
    for _ in range(5):
        one.failed(100.0)
    assert one.retry_at > 100.0
    one.channel_back(101.0)
    assert (one.retry_at, one.urgent) == (101.0, True)


# --- what a unit still owes


def read(count: int) -> Read:
    return Read(1, Table.HOLDING, 0, count)


def test_the_size_of_a_lost_answer_is_avoided_until_it_can_no_longer_come() -> None:
    late = Lateness(BUS)
    late.lost(read(2), 10.0)
    late.lost(read(5), 11.0)
    assert late.avoid(3, 11.0) == {4, 10}
    assert late.avoid(4, 11.0) == frozenset()
    assert late.avoid(3, 15.5) == {10}
    assert late.settled_at() == 16.0
    assert late.avoid(3, 16.5) == frozenset()


def test_a_late_answer_sets_the_length_of_the_silence_and_stays_avoided() -> None:
    late = Lateness(BUS)
    assert late.window_s() == pytest.approx(0.1)
    late.lost(read(2), 10.0)
    assert not late.came(Stray(1, 3, 6, 10.2))
    assert late.owes(10.2)
    assert late.came(Stray(1, 3, 4, 10.3))
    assert not late.owes(10.3)
    assert late.window_s() == pytest.approx(0.6)
    assert late.avoid(3, 10.4) == {4}  # a copy of it may come too


def test_a_late_exception_belongs_to_any_lost_request_of_its_function() -> None:
    late = Lateness(BUS)
    late.lost(read(2), 10.0)
    assert not late.came(Stray(1, 0x84, 1, 10.1))
    assert late.came(Stray(1, 0x83, 1, 10.25))
    assert late.longest_s == pytest.approx(0.25)
