"""Reads YAML strictly and remembers on which line every key and list item stands.

Stricter than YAML 1.1 where that has hurt people: a key that stands twice is an error, `on`, `off`, `yes` and `no`
are words and not Booleans, 010 and 12:30 are no numbers, there are no time stamps, anchors, aliases or tags.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from yaml.events import AliasEvent

from drivers.problems import ConfigError, KeyPath, Problem, path_text

# A site of 1,000 devices is about 200 kB; more than this is no configuration.
MAX_BYTES: Final = 8_000_000
_MAX_DEPTH: Final = 40

_INT: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)|0x[0-9a-fA-F]+")
# 8E1 is how a serial line is framed; without a dot an exponent has a small e.
_FLOAT: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)?\.[0-9]+([eE][-+]?[0-9]+)?|[-+]?(0|[1-9][0-9]*)(\.)?(e[-+]?[0-9]+)?")
_WORDS: Final[Mapping[str, bool | float | None]] = {
    "": None,
    "~": None,
    "null": None,
    "true": True,
    "false": False,
    "nan": float("nan"),
    ".nan": float("nan"),
    ".inf": float("inf"),
    "-.inf": float("-inf"),
}


@dataclass(frozen=True, slots=True)
class Lines:
    """Line numbers (from 1) of the keys and items of one document."""

    file: str
    by_path: Mapping[KeyPath, int]

    def of(self, path: KeyPath) -> int:
        """Line of a key path, or of its nearest parent that stands in the document."""
        found: KeyPath = ()
        for key in path:
            # Keys of mappings are kept as text, positions in lists as numbers.
            step = next((s for s in ((*found, key), (*found, str(key))) if s in self.by_path), None)
            if step is None:
                break
            found = step
        return self.by_path.get(found, 1)

    def problem(self, path: KeyPath, text: str) -> Problem:
        """A problem at a key path."""
        return Problem(self.file, self.of(path), path_text(path), text)


@dataclass(frozen=True, slots=True)
class Document:
    """The plain data of a YAML file (dicts, lists, str, int, float, bool, None) and where it stands.

    One with `problems` must be refused in the end; its data is what could be made of it, so that the rest is checked.
    """

    data: Any
    lines: Lines
    problems: tuple[Problem, ...] = ()  # keys that stand twice (the first counts) or are none, and tags


def load(path: Path, name: str | None = None) -> Document:
    """Read a file; raises ConfigError for one that is absent, too large, not UTF-8, not YAML or nested too deeply.

    `name` is how errors name the file, by default as `path` is written.
    """
    name = name or str(path)
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ConfigError([Problem(name, 0, "", f"has {size} bytes; at most {MAX_BYTES} are read")])
        text = path.read_text("utf-8")
    except OSError as error:
        raise ConfigError([Problem(name, 0, "", f"cannot be read: {error.strerror or error}")]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([Problem(name, 0, "", f"is not UTF-8 (byte {error.start})")]) from error
    return load_text(text, name)


def load_text(text: str, name: str) -> Document:
    """Read YAML from a string; raises ConfigError as `load` does."""
    try:
        loader = _StrictLoader(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        said = f"the character #x{ord(text[error.position]):04x} is not used in YAML"
        raise ConfigError([Problem(name, line, "", said)]) from error
    try:
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ": ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError([Problem(name, 0 if mark is None else mark.line + 1, "", f"is not YAML: {said}")]) from error
    except yaml.YAMLError as error:
        raise ConfigError([Problem(name, 0, "", f"is not YAML: {error}")]) from error
    except RecursionError as error:
        raise ConfigError([Problem(name, 0, "", "is nested too deeply")]) from error
    finally:
        loader.dispose()
    builder = _Builder(name)
    data = None if node is None else builder.build(node, ())
    if builder.is_too_deep:
        raise ConfigError(builder.problems)
    return Document(data, Lines(name, builder.by_path), tuple(builder.problems))


class _StrictLoader(yaml.SafeLoader):
    """Composes nodes without aliases."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "anchors and aliases are not used here", event.start_mark)
        return super().compose_node(parent, index)


class _Builder:
    """Turns nodes into plain data and notes lines and problems on the way."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.by_path: dict[KeyPath, int] = {}
        self.problems: list[Problem] = []
        self.is_too_deep = False

    def build(self, node: yaml.Node, path: KeyPath) -> Any:
        self.by_path.setdefault(path, node.start_mark.line + 1)
        if len(path) > _MAX_DEPTH:
            self.is_too_deep = True
            self._problem(node, path, f"is nested deeper than {_MAX_DEPTH} levels")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        raise TypeError(f"a YAML document has no {type(node).__name__}")

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[Hashable, Any]:
        result: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            key = self._scalar(key_node, path) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str | int) or isinstance(key, bool):
                self._problem(key_node, path, "a key must be a word or a whole number")
                continue
            step = (*path, str(key))
            if key in result:
                first = self.by_path[step]
                self._problem(key_node, step, f"stands twice; the first is on line {first}")
                continue
            self.by_path[step] = key_node.start_mark.line + 1
            result[key] = self.build(value_node, step)
        return result

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> str | int | float | bool | None:
        text: str = node.value
        if node.style is not None:
            return text  # quoted or a block: always text
        if node.tag not in _PLAIN_TAGS:
            self._problem(node, path, f"the tag {node.tag} is not used here")
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INT.fullmatch(text):
            return int(text, 16) if text.startswith("0x") else int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
        return text

    def _problem(self, node: yaml.Node, path: KeyPath, text: str) -> None:
        self.problems.append(Problem(self.name, node.start_mark.line + 1, path_text(path), text))


# What the library resolves a plain scalar to by itself; anything else is a tag that somebody wrote.
_PLAIN_TAGS: Final = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp", "merge", "value")
)
