"""A site file on its way into a Site: what could be read of it, and every problem and doubt found on the way.

One wrong key must not hide the errors behind it: what is wrong is noted and taken out, and the rest is checked on.
"""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from drivers.problems import KeyPath, Problem, one_of
from drivers.profile_schema import sentence
from drivers.yaml_lines import Document, Lines
from node.config_schema import ENVIRONMENT, NAME, SITE_ID, SiteFile

# Secrets come from the environment or from files of their own, never from a file that is copied around.
_SECRET_KEY: Final = re.compile(r"pass(word|wd|phrase)?|pwd|secret|token|api_?key|private_?key|credentials?", re.I)
_NO_SECRETS: Final = "a secret never stands in a site file: take it out, and change it where it was in use"
_SHOWN: Final = 25  # a longer list of allowed words is cut
# What stands in for a key that is missing, so that the rest can be checked.
_STAND_IN: Final[dict[str, Any]] = {"site": "unnamed", "devices": {"unnamed": {}}}
_PATTERNS: Final = {
    ENVIRONMENT: "must be the name of an environment variable: letters, digits and _",
    NAME: "must begin with a letter and have letters, digits and _ only",
    SITE_ID: "must have a-z, 0-9, _ and - only",
    r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$": "must be a point id: lower-case words joined by _",
    r"^[78][NEO][12]$": "must be data bits, parity and stop bits: 8N1, 8E1, 8N2, ...",
}


@dataclass(slots=True)
class Draft:
    """Everything about one site file while it is checked."""

    path: Path
    file: SiteFile
    lines: Lines
    broken: set[KeyPath]  # keys with problems, taken out of `file`
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """Where relative paths of the site file start."""
        return self.path.absolute().parent

    def add(self, path: KeyPath, text: str) -> None:
        """Note a problem at a key path."""
        self.problems.append(self.lines.problem(path, text))

    def warn(self, path: KeyPath, text: str) -> None:
        """Note a doubt at a key path; the site can run."""
        self.warnings.append(self.lines.problem(path, text))

    def is_broken(self, *path: str) -> bool:
        """True when this key, or an entry that it is in, has problems already."""
        return any(path[: len(known)] == known for known in self.broken)


def draft(path: Path, document: Document) -> Draft:
    """Read the data of a site file as far as it can be read."""
    data = document.data if isinstance(document.data, dict) else {}
    lines = document.lines
    problems: set[Problem] = set(document.problems)
    if not isinstance(document.data, dict):
        problems.add(lines.problem((), f"must be a mapping with the keys {one_of(SiteFile.model_fields)}"))
        data = copy.deepcopy(_STAND_IN)
    broken: set[KeyPath] = {()} if not isinstance(document.data, dict) else set()
    data = copy.deepcopy(data)
    for secret in tuple(_secrets(data, ())):
        problems.add(lines.problem(secret, _NO_SECRETS))
        broken.add(_take_out(data, secret, missing=False))
    while True:
        found: set[KeyPath] = set()
        try:
            file = SiteFile.model_validate(data)
            break
        except ValidationError as error:
            for details in error.errors(include_url=False, include_context=True):
                loc = tuple(step for step in details["loc"] if step != "[key]")
                if not _follows(loc, broken):
                    problems.add(lines.problem(loc, _text(details, loc)))
                found.add(_take_out(data, loc, missing=details["type"] == "missing"))
            broken |= found
    return Draft(path, file, lines, broken, sorted(problems, key=lambda p: p.line))


def unknown(word: str, allowed: Iterable[str], what: str) -> str:
    """A sentence about a word that is not one of the allowed: the likely one first, then all."""
    words = list(allowed)
    near = difflib.get_close_matches(word, words, 1, 0.6)
    guess = f"; did you mean {near[0]}?" if near else ""
    shown = ", ".join(words[:_SHOWN]) + (f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else "")
    return f"{what}{guess} (allowed: {shown or 'none'})"


def _follows(loc: KeyPath, broken: set[KeyPath]) -> bool:
    """True for an error that only comes from what was taken out before."""
    return any(loc[: len(known)] == known or known[: len(loc)] == loc for known in broken)


def _text(error: ErrorDetails, loc: KeyPath) -> str:
    kind, context, given = error["type"], error.get("ctx", {}), error["input"]
    if kind == "extra_forbidden":
        model = _model_at(loc[:-1])
        names = [info.alias or name for name, info in model.model_fields.items()] if model is not None else []
        return unknown(str(loc[-1]), names, "unknown key")
    if kind == "string_pattern_mismatch":
        return f"{_PATTERNS.get(str(context.get('pattern')), 'is not written right')}; it is {given!r}"
    if kind in ("literal_error", "enum"):
        return f"must be {str(context.get('expected', '')).replace(chr(39), '')}; it is {given!r}"
    if kind in ("too_short", "missing") and loc == ("devices",):
        return "a site needs at least one device"
    return sentence(kind, error["msg"], given)


def _model_at(loc: KeyPath) -> type[BaseModel] | None:
    """The model that holds the keys at a path."""
    current: Any = SiteFile
    for step in loc:
        if _is_model(current):
            fields = {info.alias or name: info.annotation for name, info in current.model_fields.items()}
            current = fields.get(str(step))
            if not _is_model(current) and get_origin(current) is not dict:
                current = next((part for part in get_args(current) if _is_model(part)), None)
        else:
            current = get_args(current)[1] if get_origin(current) is dict else None
    return current if _is_model(current) else None


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _take_out(data: dict[Any, Any], loc: KeyPath, *, missing: bool) -> KeyPath:
    """Remove what is wrong from the data; returns the path that is broken by it."""
    if missing:  # an entry without a key that it must have is no entry
        if len(loc) == 1:
            data[loc[0]] = copy.deepcopy(_STAND_IN[str(loc[0])])
            return loc
        loc = loc[:-1]
    node: Any = data
    for depth, step in enumerate(loc):
        inner = _child(node, step)
        last = depth == len(loc) - 1
        if last or not isinstance(inner, dict | list) or _child(inner, loc[depth + 1]) is None:
            key = next((key for key in node if str(key) == str(step)), step) if isinstance(node, dict) else step
            if len(loc[: depth + 1]) == 1 and str(step) in _STAND_IN:
                node[key] = copy.deepcopy(_STAND_IN[str(step)])
            elif isinstance(node, list):
                node.clear()
            else:
                node.pop(key, None)
            return tuple(loc[: depth + 1])
        node = inner
    return loc


def _child(node: Any, step: str | int) -> Any:
    if isinstance(node, dict):
        return next((value if value is not None else "" for key, value in node.items() if str(key) == str(step)), None)
    if isinstance(node, list) and isinstance(step, int) and step < len(node):
        return node[step] if node[step] is not None else ""
    return None


def _secrets(data: Any, path: KeyPath) -> Iterable[KeyPath]:
    """Keys that hold a secret in clear."""
    if isinstance(data, list):
        for index, item in enumerate(data):
            yield from _secrets(item, (*path, index))
    elif isinstance(data, dict):
        for key, item in data.items():
            here = (*path, str(key))
            if _SECRET_KEY.fullmatch(str(key)) and not isinstance(item, dict | list):
                yield here
            else:
                yield from _secrets(item, here)
