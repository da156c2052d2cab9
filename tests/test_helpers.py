"""The tests' own helpers keep their promises."""

import logging
from collections.abc import Callable

import pytest

from tests import conftest, tools


def test_a_missing_tool_skips_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="Debian package nothing-here"):
        tools.require_tool("no-such-program", "nothing-here")


def test_a_missing_tool_fails_where_ci_promises_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no-such-program is missing"):
        tools.require_tool("no-such-program")
    with pytest.raises(pytest.fail.Exception, match=r"no/such\.h"):
        tools.require_header("no/such.h", "libno-dev")


def test_a_tool_that_is_here_is_found() -> None:
    assert tools.require_tool("sh").endswith("/sh")


def test_long_tests_are_a_tenth_unless_soaked(monkeypatch: pytest.MonkeyPatch, scaled: Callable[[int], int]) -> None:
    monkeypatch.setattr(conftest, "SOAK", False)
    assert (scaled(10_000), scaled(3)) == (1_000, 1)
    monkeypatch.setattr(conftest, "SOAK", True)
    assert (scaled(10_000), scaled(3)) == (10_000, 3)


def test_a_log_message_that_cannot_be_formatted_is_caught() -> None:
    guard = conftest.FormattingGuard()
    logger = logging.Logger("apart")  # noqa: LOG001 - in the tree of loggers pytest would raise first
    logger.addHandler(guard)
    logger.debug("%d volts on %s", 230, "L1")
    assert guard.failures == []
    logger.debug("%d volts", "many")
    assert len(guard.failures) == 1
    assert "%d volts" in guard.failures[0]


def test_every_test_has_the_guard(log_formatting_guard: conftest.FormattingGuard) -> None:
    assert log_formatting_guard in logging.getLogger().handlers
    assert logging.getLogger("node.anything").isEnabledFor(logging.DEBUG)
