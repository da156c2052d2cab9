"""What the raw number of a serial collector means: voltage at its ADC, current through its sensor, power.

V = raw x VPP - OFFSET, A = V / SNS, W = A x VCC; the four and the limit of the sensor are parameters of the site
(a board with a 10-bit ADC and an ACS712 current sensor). Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from address_space.model import Status, Value
from drivers.spec import Profile

ADC_MAX: Final = 1023.0  # 10 bits


class Quantity(StrEnum):
    """What a point of a collector shows."""

    RAW = "raw"  # mean of the ADC's samples, 0 to 1023
    VOLTAGE = "voltage"  # V at the ADC against the sensor's zero
    CURRENT = "current"  # A
    POWER = "power"  # W


# A 5 V board with a 10-bit ADC and an ACS712-30A: 5 V / 1024, zero at 2.5 V, 66 mV/A.
_DEFAULTS: Final[Mapping[str, float]] = {"vpp": 5 / 1024, "offset": 2.5, "sns": 0.066, "vcc": 5.0, "limit": 30.0}


@dataclass(frozen=True, slots=True)
class Conversion:
    """Parameters of one collector."""

    vpp: float  # V per step of the ADC
    offset: float  # V at the ADC without current
    sns: float  # V per A
    vcc: float  # V of the circuit, for the power
    limit: float  # A beyond which, in both directions, the sensor tells nothing

    @classmethod
    def of(cls, profile: Profile) -> Conversion:
        """Parameters of a profile; raises ValueError for one that is no number or cannot be divided by."""
        numbers = {name: _number(profile, name, default) for name, default in _DEFAULTS.items()}
        for name in ("vpp", "sns", "vcc", "limit"):
            if numbers[name] == 0:
                raise ValueError(f"{profile.id}: parameter {name} must not be 0")
        return cls(**numbers)

    def value(self, quantity: Quantity, raw: float) -> float:
        """A quantity out of the raw number."""
        if quantity is Quantity.RAW:
            return raw
        voltage = raw * self.vpp - self.offset
        if quantity is Quantity.VOLTAGE:
            return voltage
        current = voltage / self.sns
        return current if quantity is Quantity.CURRENT else current * self.vcc

    def raw(self, quantity: Quantity, value: float) -> float:
        """The raw number that shows as `value`, inside the ADC's range or not."""
        if quantity is Quantity.RAW:
            return value
        current = value / self.vcc if quantity is Quantity.POWER else value
        voltage = value if quantity is Quantity.VOLTAGE else current * self.sns
        return (voltage + self.offset) / self.vpp

    def sample(self, quantity: Quantity, raw: float) -> tuple[Value | None, int]:
        """Value and status of a quantity; current and power beyond the limit have no value, never a constant."""
        measures = quantity in (Quantity.CURRENT, Quantity.POWER)
        if measures and abs(self.value(Quantity.CURRENT, raw)) > abs(self.limit):
            return None, Status.BAD_OUT_OF_RANGE
        return self.value(quantity, raw), Status.GOOD


def _number(profile: Profile, name: str, default: float) -> float:
    value = profile.parameters.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{profile.id}: parameter {name} is {value!r}, and must be a number")
    return float(value)
