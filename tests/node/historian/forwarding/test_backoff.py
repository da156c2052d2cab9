from random import Random

from node.historian.forwarding.backoff import FIRST_S, LONGEST_S, Backoff


def test_pauses_double_to_a_minute_and_begin_anew_after_a_success() -> None:
    backoff = Backoff(Random(1))
    bound = FIRST_S
    for _ in range(12):
        assert bound / 2 <= backoff.pause_s() <= bound
        bound = min(bound * 2, LONGEST_S)
    backoff.reset()
    assert backoff.pause_s() <= FIRST_S


def test_what_the_other_side_asks_for_is_waited_for() -> None:
    backoff = Backoff(Random(2))
    assert 120 <= backoff.pause_s(120) <= 132
    for _ in range(10):
        backoff.pause_s()
    assert backoff.pause_s(0.1) >= LONGEST_S / 2


def test_many_nodes_do_not_come_back_together() -> None:
    assert len({Backoff(Random(seed)).pause_s() for seed in range(50)}) == 50
