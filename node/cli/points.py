"""Points by the words of a command line: `xw1.ac_power`, or the patterns `'xw1.*'`, `'*.ac_power'` and `xw1`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from node.client import NodeClient
from node.client_reading import ClientError


def is_pattern(word: str) -> bool:
    """True for a word that may stand for several points: one with a wildcard, or one that names what has points."""
    return "." not in word or any(sign in word for sign in "*?[")


def fits(path: str, pattern: str) -> bool:
    """Whether a point, or the device, bus or sink that it is of, is what the pattern says."""
    return fnmatchcase(path, pattern) or fnmatchcase(path.partition(".")[0], pattern)


async def fitting(client: NodeClient, patterns: Sequence[str]) -> list[tuple[str, str]]:
    """Path and label of each point of a node that a pattern fits. Raises ClientError for a pattern that fits none."""
    found: list[tuple[str, str]] = []
    for owner in (*await client.devices(), *await client.others()):
        if any(fnmatchcase(owner, pattern.partition(".")[0]) for pattern in patterns):
            points = await client.points(owner)
            found += [entry for entry in points if any(fits(entry[0], pattern) for pattern in patterns)]
    each_fits(patterns, [path for path, _ in found])
    return found


def each_fits(patterns: Iterable[str], paths: Sequence[str]) -> None:
    """Raises ClientError for a pattern that fits none of the paths."""
    for pattern in patterns:
        if not any(fits(path, pattern) for path in paths):
            raise ClientError(f"no point fits {pattern!r}; `gridnode watch` without words shows some of each device")
