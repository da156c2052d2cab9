"""What every test has: a seed, a scale, and a guard on log messages."""

import logging
import os
import random
from collections.abc import Callable, Iterator

import hypothesis
import pytest

from tests.fake_clock import FakeClock

SOAK = os.environ.get("GRIDNODE_SOAK", "") not in ("", "0")
SEED = int(os.environ.get("GRIDNODE_SEED") or random.SystemRandom().randrange(2**32))
OUR_LOGGERS = ("node", "address_space", "drivers")

# Wall time per example says nothing on a shared machine; the blob lets a failure be replayed.
hypothesis.settings.register_profile(
    "gridnode", deadline=None, print_blob=True, max_examples=1000 if SOAK else 100, database=None
)
hypothesis.settings.load_profile("gridnode")


def pytest_report_header() -> str:
    return f"GRIDNODE_SEED={SEED} GRIDNODE_SOAK={int(SOAK)}"


@pytest.fixture
def seed() -> int:
    """Seed of this run, in the report of a test that fails; GRIDNODE_SEED sets it."""
    print(f"GRIDNODE_SEED={SEED}")
    return SEED


@pytest.fixture
def scaled() -> Callable[[int], int]:
    """`scaled(n)` is n under GRIDNODE_SOAK=1, else a tenth of it (at least 1)."""
    return lambda n: n if SOAK else max(1, n // 10)


@pytest.fixture
def clock() -> FakeClock:
    """A clock that only the test moves."""
    return FakeClock()


class FormattingGuard(logging.Handler):
    """Formats every record, as a real handler would, and keeps what went wrong."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.failures: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.format(record)
        except Exception as error:  # noqa: BLE001 - the __str__ of any argument may raise anything
            place = f"{record.pathname}:{record.lineno}"
            self.failures.append(f"{place}: {record.msg!r} % {record.args!r}: {error!r}")


@pytest.fixture(autouse=True)
def log_formatting_guard() -> Iterator[FormattingGuard]:
    """Fail a test in which a log message cannot be formatted, at every level of our own loggers."""
    guard = FormattingGuard()
    root = logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in OUR_LOGGERS}
    root.addHandler(guard)
    for name in OUR_LOGGERS:
        logging.getLogger(name).setLevel(logging.DEBUG)
    try:
        yield guard
    finally:
        root.removeHandler(guard)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
    assert not guard.failures, "log messages that cannot be formatted:\n" + "\n".join(guard.failures)
