"""ServiceLevel from the states of connections."""

import pytest

from node.server.standard.service_level import level_of

UNKNOWN, ONLINE, SUSPECT, OFFLINE, OUT_OF_SERVICE = range(5)


@pytest.mark.parametrize(
    ("states", "level"),
    [
        ([], 255),
        ([ONLINE, SUSPECT], 255),
        ([ONLINE, OUT_OF_SERVICE], 255),  # nobody misses what was taken out of service
        ([OUT_OF_SERVICE], 255),
        ([ONLINE, OFFLINE], 100),
        ([ONLINE] * 999 + [OFFLINE], 198),  # one that is missing is never healthy
        ([ONLINE] + [OFFLINE] * 999, 2),  # one that answers is never no data
        ([OFFLINE, UNKNOWN, None], 1),
    ],
)
def test_level_is_in_the_range_of_what_it_means(states: list[int | None], level: int) -> None:
    assert level_of(states) == level
