"""A profile file on its way into a Profile: what is known so far, and every problem found on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from address_space.classes import CLASSES, ClassSpec
from address_space.model import Argument, Enumeration, EnumMember, Point, PointKind, Value
from drivers.problems import KeyPath, Problem, one_of
from drivers.profile_schema import MemberEntry, PointEntry, ProfileFile
from drivers.spec import CommandSpec, SettingSpec, Source
from drivers.yaml_lines import Lines


@dataclass(slots=True)
class DraftPoint:
    """One point of the file after `index` was spread out: its entry, and what was built from it."""

    id: str
    entry: PointEntry
    address: int | None
    path: KeyPath
    suffix: str = ""  # the index, for example L1
    point: Point | None = None  # None = it cannot be said what it is
    source: Source | None = None  # None = where it comes from has problems of its own


@dataclass(slots=True)
class Draft:
    """Everything about one profile while it is checked."""

    file: ProfileFile
    lines: Lines
    broken: frozenset[KeyPath]  # entries that were dropped because they have problems already
    problems: list[Problem] = field(default_factory=list)
    enumerations: dict[str, Enumeration] = field(default_factory=dict)
    points: dict[str, DraftPoint] = field(default_factory=dict)
    commands: dict[str, CommandSpec] = field(default_factory=dict)
    inputs: dict[str, tuple[Argument, ...]] = field(default_factory=dict)  # of the commands
    settings: dict[str, SettingSpec] = field(default_factory=dict)

    @property
    def device_class(self) -> ClassSpec:
        """The class that the profile names."""
        return CLASSES[self.file.device.as_class]

    def add(self, path: KeyPath, text: str) -> None:
        """Note a problem at a key path."""
        self.problems.append(self.lines.problem(path, text))

    def is_broken(self, *path: str) -> bool:
        """True when this entry had problems already, so that nothing more should be said about it."""
        return path in self.broken or path[:1] in self.broken

    def find(self, point_id: str, path: KeyPath) -> DraftPoint | None:
        """A point by id; None, with a problem unless it is known to be broken, when there is none."""
        found = self.points.get(point_id)
        if found is not None:
            return found if found.point is not None else None
        if not self.is_broken("points", point_id) and not any(
            point_id.startswith(f"{key[1]}_") for key in self.broken if len(key) > 1 and key[0] == "points"
        ):
            self.add(path, f"there is no point {point_id!r}")
        return None

    def table(self, given: Any, name: str, path: KeyPath) -> Enumeration | None:
        """The enumeration that `enum` names or holds; None with a problem when it is neither."""
        if isinstance(given, str):
            table = self.enumerations.get(given)
            if table is None and not self.is_broken("enumerations", given):
                known = one_of(self.enumerations) if self.enumerations else "none"
                self.add(path, f"there is no enumeration {given!r}; the profile has {known}")
            return table
        members: dict[int, MemberEntry] = {}
        for code, member in given.items():
            entry = {"name": member} if isinstance(member, str) else member
            ok = isinstance(entry, dict) and entry.keys() <= {"name", "description"}
            if not ok or not all(isinstance(text, str) and text for text in entry.values()) or "name" not in entry:
                self.add((*path, code), "must be a name, or {name, description}")
            elif not isinstance(code, int):
                self.add((*path, code), "a code must be a whole number")
            else:
                members[code] = MemberEntry(**entry)
        return self.enumeration(name, members, path) if members else None

    def enumeration(self, name: str, members: dict[int, MemberEntry], path: KeyPath) -> Enumeration:
        """Build a table in the order of its codes; says which names stand twice."""
        table = Enumeration(
            name, tuple(EnumMember(code, members[code].name, members[code].description) for code in sorted(members))
        )
        names = [member.name for member in table.members]
        for twice in sorted({one for one in names if names.count(one) > 1}):
            self.add(path, f"the name {twice!r} stands for two codes")
        return table

    def value(self, point: Point, given: Any, path: KeyPath) -> Value | None:
        """A value as it is written in the file, in the type of its point; None with a problem when it cannot be."""
        table = point.enumeration
        if point.kind is PointKind.FLAG:
            code = table.code(given) if isinstance(given, str) and table is not None else given
            if code in (0, 1):  # false and true too
                return bool(code)
            texts = [member.name for member in table.members] if table is not None else []
            self.add(path, f"{point.id} is a flag: {one_of(['true', 'false', *texts])}, not {given!r}")
            return None
        if table is not None:
            code = table.code(given) if isinstance(given, str) else given
            if isinstance(code, int) and not isinstance(code, bool) and table.text(code) is not None:
                return code
            self.add(path, f"{given!r} is no state of {point.id}: {one_of(member.name for member in table.members)}")
            return None
        is_text = point.data_type.name == "STRING"
        if isinstance(given, bool) or isinstance(given, str) is not is_text:
            self.add(path, f"{point.id} is {'a text' if is_text else 'a number'}, not {given!r}")
            return None
        return given if isinstance(given, int | float | str) else None
