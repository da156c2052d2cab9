"""The values that both servers publish and the load client checks: each tells its point and its pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

# Powers of two, so that pass + index / SPREAD is exact in a Double.
SPREAD: Final = 1 << 20
_SAMPLED: Final = 64
SETTINGS: Final = 100  # writable values of an object that Write is measured on
EXTRA: Final = 8  # objects with settings, and objects with a method
METHOD: Final = "Add"  # two Doubles in


def value(index: int, number: int) -> float:
    """Value of point `index` (below SPREAD) in pass `number`."""
    return number + index / SPREAD


def pass_of(index: int, got: float) -> int | None:
    """Pass that a value of point `index` belongs to; None when it is no value of that point."""
    number = got - index / SPREAD
    return int(number) if number >= 0 and number.is_integer() else None


def device_id(number: int) -> str:
    """Name of an object or device."""
    return f"d{number:05d}"


def settings_id(number: int) -> str:
    """Name of an object whose values can be written."""
    return f"w{number:05d}"


def adder_id(number: int) -> str:
    """Name of an object that has the method."""
    return f"a{number:05d}"


def point_id(number: int) -> str:
    """Name of a point in its device."""
    return f"p{number:03d}"


def node_ids(points: int, per_device: int) -> Iterator[str]:
    """String NodeIds in the order of their index: `d00000.p000` and so on."""
    for index in range(points):
        device, number = divmod(index, per_device)
        yield f"{device_id(device)}.{point_id(number)}"


def sampled(items: int) -> range:
    """Indices of the items whose values are all looked at."""
    return range(0, items, max(items // _SAMPLED, 1))
