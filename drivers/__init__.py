"""How to talk to the equipment: one module per protocol, one YAML profile per device model.

A protocol is `drivers/x.py` and one line in `DRIVERS`. It fills `channel.Channel` and hands it to `bus.Bus`, or, when
it has nothing like registers, is a `Driver` of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from drivers.base import DriverFactory
from drivers.modbus import modbus_bus
from drivers.serial_line import SerialLineBus

# By the word that a bus in the site file gives as its `driver`. (`computed` has no channel: drivers/computed.py.)
DRIVERS: Final[Mapping[str, DriverFactory]] = MappingProxyType(
    {
        "modbus": modbus_bus,
        "serial_line": SerialLineBus,
    }
)
