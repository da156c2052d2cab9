"""What `record:` makes of a point, in profiles and in site files, and whether the point can have it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from address_space.model import DataType, Point, PointKind
from drivers.profile_schema import RecordEntry


def records(point: Point, entry: RecordEntry | None, historize: bool | None) -> Point:
    """The point with its rule and whether it is historized, as they are written; None = not said there.

    Who says how a point is recorded wants it recorded.
    """
    is_recorded = (point.historize or entry is not None) if historize is None else historize
    return replace(point, historize=is_recorded, record=point.record if entry is None else entry.rule)


def misfits(point: Point) -> Iterator[tuple[str, str]]:
    """(key below `record`, what is wrong) for a point whose rule it cannot have."""
    rule = point.record
    if rule is None:
        return
    if not point.historize:
        yield "", "says how a point is recorded that is not: `historize` is false"
    if not rule.deadband:
        return
    if not has_deadband(point):
        what = "text" if point.data_type is DataType.STRING else point.kind.value
        yield "deadband", f"only a number has a deadband; this is a {what}"
    elif rule.percent and point.range is None:
        yield "deadband", "is a part of the range, and this point has none: give it `range`, or write a plain number"


def has_deadband(point: Point) -> bool:
    """True for a point whose values are measured or counted numbers."""
    is_number = point.data_type not in (DataType.STRING, DataType.BOOLEAN)
    return is_number and point.enumeration is None and point.kind is not PointKind.TIME
