"""What several settings came to; texts of what was observed are made when somebody looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import repeat
from operator import is_

from address_space.model import CommandResult, Outcome, Status


class SettingResults(Mapping[str, CommandResult]):
    """A result for each setting, by point, in the order in which they were asked for."""

    def __init__(self, verdicts: Mapping[str, CommandResult], observe: Callable[[str], str] | None = None) -> None:
        """`observe` tells what was seen of a point; without it each verdict says so itself.

        One verdict may stand for many settings.
        """
        self._verdicts = verdicts
        self._observe = observe
        self._different = _different(verdicts)

    def settle(self, points: Sequence[str], verdicts: Mapping[str, CommandResult]) -> None:
        """Have these verdicts from now on, in the order of `points`."""
        self._different = _different(verdicts)
        one = len(self._different) == 1  # then their order is the one in which they were asked for
        self._verdicts = verdicts if one else {point: verdicts[point] for point in points}

    def statuses(self) -> list[Status]:
        """The status of each, in order."""
        if len(self._different) == 1:
            return [self._different[0].status] * len(self._verdicts)
        return [verdict.status for verdict in self._verdicts.values()]

    @property
    def unconfirmed(self) -> list[str]:
        """Points of those that were not confirmed, in order."""
        if all(verdict.outcome is Outcome.CONFIRMED for verdict in self._different):
            return []
        return [point for point, one in self._verdicts.items() if one.outcome is not Outcome.CONFIRMED]

    @property
    def longest_s(self) -> float:
        """How long the last of them took, in seconds."""
        return max(verdict.elapsed_s for verdict in self._different)

    def observed(self, points: Sequence[str]) -> list[str]:
        """What was seen of some of them, as texts."""
        if self._observe is None:
            return [self._verdicts[point].observed for point in points]
        return list(map(self._observe, points))

    def __getitem__(self, point: str) -> CommandResult:
        verdict = self._verdicts[point]
        if self._observe is None:
            return verdict
        observed = self._observe(point)
        return CommandResult(
            verdict.outcome, verdict.status, observed, verdict.elapsed_s, verdict.reason, verdict.input_results
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._verdicts)

    def __len__(self) -> int:
        return len(self._verdicts)


def _different(verdicts: Mapping[str, CommandResult]) -> list[CommandResult]:
    """The verdicts, each object once: a few, however many settings there are."""
    every = verdicts.values()
    first = next(iter(every), None)
    if first is not None and all(map(is_, every, repeat(first))):
        return [first]
    return list(dict(zip(map(id, every), every, strict=True)).values())
