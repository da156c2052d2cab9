"""How to talk to the equipment: one module per protocol, one YAML profile per device model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from address_space.model import Clock, Publisher
from drivers.base import Port
from drivers.modbus import modbus_bus
from drivers.serial_line import SerialLineBus
from drivers.spec import BusConfig, BusUnit


class Driver(Port, Protocol):
    """One bus at work: `run` is its task until it is cancelled, `write` and `read` are the port for control."""

    async def run(self) -> None:
        """Poll, carry out what control asks for, and survive the loss of the channel and of units."""
        ...


# Builds the bus of a site's entry with the devices on it. Opens nothing yet.
Build = Callable[[BusConfig, Sequence[BusUnit], Publisher, Clock], Driver]

# `driver:` of a bus and `protocol:` of a profile -> the module that speaks it.
DRIVERS: Final[Mapping[str, Build]] = {
    "modbus": modbus_bus,
    "serial_line": SerialLineBus,
}
