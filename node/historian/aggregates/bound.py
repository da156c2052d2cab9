"""Simple bounding values: the value at an edge from its direct neighbours (OPC 10000-13 section 3.1.9)."""

from __future__ import annotations

from typing import Final, NamedTuple

from address_space.model import Value
from node.historian.aggregates.configuration import Configuration
from node.historian.aggregates.page import BAD_QUALITY, GOOD_QUALITY, UNCERTAIN_QUALITY, Point
from node.historian.aggregates.result import (
    BAD_NO_DATA,
    GOOD,
    INTERPOLATED,
    UNCERTAIN_DATA_SUB_NORMAL,
    code,
    with_bits,
)


class Bound(NamedTuple):
    """The value at an edge.

    `status` carries information bits; `exact` says that a raw sample lies there. `holds` says that the stretch behind
    the edge has a value, which is more than a usable bound: an Uncertain bound may come from a Good sample before it.
    """

    value: Value | None
    status: int
    quality: int
    exact: bool
    holds: bool
    whole: bool = False  # the source is an integer, so a result of the source's type is rounded

    @property
    def source_value(self) -> Value | None:
        """The value in the type of the source."""
        return round(self.value) if self.whole and isinstance(self.value, float) else self.value


NO_BOUND: Final = Bound(None, BAD_NO_DATA, BAD_QUALITY, exact=False, holds=False)


def worst_usable(configuration: Configuration) -> int:
    """The worst quality that still counts as a value."""
    return GOOD_QUALITY if configuration.treat_uncertain_as_bad else UNCERTAIN_QUALITY


def is_sloped(before: Value | None, after: Value | None) -> bool:
    """Whether a line can be drawn between two values: not with text, and states do not pass through halves."""
    return type(before) in {int, float} and type(after) in {int, float}


def line(ticks: int, before: Point, after: Point) -> float:
    """Value at `ticks` of the line through two numeric samples."""
    low, high = before.value, after.value
    assert isinstance(low, int | float)  # noqa: S101 - is_sloped was asked
    assert isinstance(high, int | float)  # noqa: S101 - is_sloped was asked
    return low + (high - low) * ((ticks - before.ticks) / (after.ticks - before.ticks))


def is_whole(*points: Point) -> bool:
    """Whether all these samples hold integers."""
    return all(type(point.value) is int for point in points)


def simple_bound(ticks: int, before: Point | None, after: Point | None, configuration: Configuration) -> Bound:
    """The simple bound at `ticks` from the newest sample not after it and the oldest not before it.

    At the end of the data there is no bound: an `after` of None stands for it.
    """
    usable = worst_usable(configuration)
    for point in (before, after):
        if point is not None and point.ticks == ticks:
            return _exact(point, holds=point.quality <= usable)
    if before is None or after is None or before.quality == BAD_QUALITY:
        return NO_BOUND
    if configuration.stepped or not is_sloped(before.value, before.value):
        return _interpolated(before.value, before.quality, holds=before.quality <= usable)
    if before.quality > usable:
        return NO_BOUND
    if after.quality > usable or not is_sloped(before.value, after.value):
        return _interpolated(before.value, UNCERTAIN_QUALITY, holds=True)
    value = line(ticks, before, after)
    return _interpolated(value, max(before.quality, after.quality), holds=True, whole=is_whole(before, after))


def _exact(point: Point, *, holds: bool) -> Bound:
    if point.quality == BAD_QUALITY:
        status = point.status if code(point.status) >= 0x8000_0000 else BAD_NO_DATA
        return Bound(None, status, BAD_QUALITY, exact=True, holds=False)
    return Bound(point.value, point.status, point.quality, exact=True, holds=holds)


def _interpolated(value: Value | None, quality: int, *, holds: bool, whole: bool = False) -> Bound:
    status = GOOD if quality == GOOD_QUALITY else UNCERTAIN_DATA_SUB_NORMAL
    return Bound(value, with_bits(status, INTERPOLATED), quality, exact=False, holds=holds, whole=whole)
