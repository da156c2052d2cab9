"""What is wrong in a file that a person wrote: where, and what is allowed. Site files and profiles both answer so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

KeyPath = tuple[str | int, ...]


def path_text(path: KeyPath) -> str:
    """A key path as people write it: `points.ac_power.range[1]`; empty for the whole document."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


@dataclass(frozen=True, slots=True)
class Problem:
    """One error: `file` as it was named by the caller, `line` from 1 (0 = the file as a whole), `path` of keys."""

    file: str
    line: int
    path: str
    text: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (where, self.path, self.text) if part)


class ConfigError(Exception):
    """A file that cannot be used, with all its problems in the order of their lines; nothing was started."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(
            sorted(set(problems), key=lambda p: (p.file, p.line, p.path, p.text))
        )
        super().__init__("\n".join(str(problem) for problem in self.problems))


def one_of(allowed: Iterable[object]) -> str:
    """`a, b or c`, for saying what is allowed."""
    words = [str(word) for word in allowed]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}" if words else "nothing"
