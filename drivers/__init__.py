"""How to talk to the equipment: one module per protocol, one YAML profile per device model.

A protocol is `drivers/x.py` and one line in `DRIVERS`. It fills `channel.Channel` and hands it to `bus.Bus`, or, when
it has nothing like registers, is a `Driver` of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import Final

from address_space.model import Clock, Publisher
from drivers.base import Driver, DriverFactory
from drivers.spec import BusConfig, BusUnit


def _on_use(module: str, factory: str) -> DriverFactory:
    """A factory whose module, and the library behind it, is imported with the first bus of its kind."""

    def build(config: BusConfig, units: Sequence[BusUnit], publisher: Publisher, clock: Clock) -> Driver:
        found: DriverFactory = getattr(import_module(module), factory)
        return found(config, units, publisher, clock)

    return build


# By the word that a bus in the site file gives as its `driver`. (`computed` has no channel: drivers/computed.py.)
DRIVERS: Final[Mapping[str, DriverFactory]] = MappingProxyType(
    {
        "modbus": _on_use("drivers.modbus", "modbus_bus"),
        "serial_line": _on_use("drivers.serial_line", "SerialLineBus"),
    }
)
