"""The Like operator of event filters: `%`, `_`, `[abc]`, `[^a-z]`, and `\\` before what stands for itself.

OPC 10000-4 section 7.7.3, table of wildcards. Linear in text times pattern: a client cannot make it slow.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

# One character, or None for any number of them.
_Token = Callable[[str], bool] | None
_ANY: Final[_Token] = None


def like(text: str, pattern: str) -> bool:
    """Whether a text fits a pattern as a whole; case counts."""
    tokens = _tokens(pattern)
    at = position = 0
    star, resume = -1, 0
    while at < len(text):
        token = tokens[position] if position < len(tokens) else _never
        if token is None:
            star, resume = position, at
            position += 1
        elif token(text[at]):
            at += 1
            position += 1
        elif star >= 0:
            # Only the last `%` has to be tried longer: the ones before it are content with the least.
            resume += 1
            at, position = resume, star + 1
        else:
            return False
    return all(token is _ANY for token in tokens[position:])


def _never(_character: str) -> bool:
    return False


@lru_cache(maxsize=64)
def _tokens(pattern: str) -> tuple[_Token, ...]:
    tokens: list[_Token] = []
    at = 0
    while at < len(pattern):
        character = pattern[at]
        end = pattern.find("]", at + 1) if character == "[" else -1
        if character == "%":
            tokens.append(_ANY)
        elif character == "_":
            tokens.append(lambda _character: True)
        elif character == "\\" and at + 1 < len(pattern):
            at += 1
            tokens.append(pattern[at].__eq__)
        elif end > 0:
            tokens.append(_one_of(pattern[at + 1 : end]))
            at = end
        else:
            tokens.append(character.__eq__)
        at += 1
    return tuple(tokens)


def _one_of(members: str) -> Callable[[str], bool]:
    """A list of characters and ranges, or with `^` what is not in it."""
    negated = members.startswith("^")
    rest = members[1:] if negated else members
    single: set[str] = set()
    ranges: list[tuple[str, str]] = []
    at = 0
    while at < len(rest):
        if rest[at + 1 : at + 2] == "-" and at + 2 < len(rest):
            ranges.append((rest[at], rest[at + 2]))
            at += 3
        else:
            single.add(rest[at])
            at += 1

    def fits(character: str) -> bool:
        found = character in single or any(low <= character <= high for low, high in ranges)
        return found != negated

    return fits
