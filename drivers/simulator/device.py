"""One simulated device: registers or a line, its links, its physics and its faults."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Mapping
from random import Random

from address_space.model import Clock, Value
from drivers.collector import Conversion, Quantity
from drivers.simulator import physics
from drivers.simulator.body import Physics
from drivers.simulator.faults import Faults, WriteBehaviour, WriteFault
from drivers.simulator.modbus_server import ExceptionCode, Refuse
from drivers.simulator.registers import Hole, RegisterImage, writable_points
from drivers.spec import BusUnit, LineSource, Link, Simulation, Table, WordOrder, Write

_NOTHING = Simulation(initial={})


class SimulatedDevice:
    """What every simulated device has: its points, its faults, its life in time."""

    def __init__(self, unit: BusUnit, clock: Clock, seed: int) -> None:
        self.id = unit.device_id
        self.unit = unit.unit
        self.profile = unit.profile
        self.faults = Faults()
        self._clock = clock
        self._lived = clock.monotonic()
        self._simulation = unit.profile.simulation or _NOTHING
        # A name of its own: one more device in the site file changes no other one's life.
        self._random = Random(f"{seed}:{unit.device_id}")  # noqa: S311  # noise, no secret
        self._physics: Physics | None = None

    def get(self, point: str) -> Value | None:
        """Present value of a point, None for "no value"; raises KeyError when the wire has no such point."""
        raise NotImplementedError

    def set(self, point: str, value: Value | None) -> None:
        """Give a point a value (None: the device's "no value"); a physics may change it again at its next step.

        Raises KeyError for an unknown point and ValueError for a value that the device cannot show.
        """
        raise NotImplementedError

    def put(self, point: str, value: float) -> None:
        """Body.put of a physics."""
        raise NotImplementedError

    def has(self, point: str) -> bool:
        """True when the point has a place on the wire."""
        return point in self.profile.sources

    def number(self, point: str, default: float = 0.0) -> float:
        """Value as a number; `default` for no value, text and unknown points."""
        if not self.has(point):
            return default
        value = self.get(point)
        return default if value is None or isinstance(value, str) else float(value)

    def written_since(self, _point: str) -> float:
        """Seconds since a master wrote the point."""
        return math.inf

    def step(self) -> None:
        """Live up to now; called ten times a second."""
        now = self._clock.monotonic()
        dt_s, self._lived = now - self._lived, now
        self.catch_up()
        if self._physics is not None and not self.faults.frozen:
            self._physics.step(self._clock.now(), dt_s)

    def catch_up(self) -> None:
        """Do what is due by now."""

    def _begin(self) -> None:
        """Take the first values and the first step of the physics; raises ValueError for a wrong simulate section."""
        for point, value in self._simulation.initial.items():
            try:
                self.set(point, value)
            except KeyError:
                raise ValueError(f"{self.id}: simulate.initial: there is no point {point!r} on the wire") from None
            except ValueError as error:
                raise ValueError(f"{self.id}: simulate.initial: {error}") from error
        options = self._simulation.physics_options
        self._physics = physics.make(self._simulation.physics, self, options, self._random)
        if self._physics is not None:
            self._physics.step(self._clock.now(), 0.0)


class ModbusDevice(SimulatedDevice):
    """A device with Modbus registers: answers reads, takes writes, lets its links act."""

    def __init__(self, unit: BusUnit, order: WordOrder | None, clock: Clock, seed: int) -> None:
        super().__init__(unit, clock, seed)
        self.image = RegisterImage(unit.profile, order)
        self._writable = writable_points(unit.profile)
        operating = unit.profile.commands.get("Operating")
        self._waking = {step.point for step in operating.steps if isinstance(step, Write)} if operating else set()
        self._limits = unit.profile.modbus
        self._written: dict[str, float] = {}
        self._order = itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._pending: dict[int, tuple[str, Value | None]] = {}
        self._begin()

    # --- points

    def get(self, point: str) -> Value | None:
        """Present value of a point."""
        self.catch_up()
        return self.image.get(point)

    def set(self, point: str, value: Value | None) -> None:
        """Change the words of a point; fires no link."""
        self.image.set(point, value)

    def put(self, point: str, value: float) -> None:
        """As `set`, limited to what the registers hold."""
        if point in self.image.sources:
            self.image.put(point, value)

    def written_since(self, point: str) -> float:
        """Seconds since a master wrote the point; infinite when none did."""
        return self._clock.monotonic() - self._written.get(point, -math.inf)

    def cut(self, table: Table, address: int, count: int = 1) -> None:
        """Make a hole in the map: requests that touch it are refused."""
        self.image.cut(table, address, count)

    # --- requests

    def read_words(self, table: Table, address: int, count: int) -> list[int]:
        """Words for a read request; raises Refuse."""
        self.catch_up()
        if count > self._limits.max_read:
            raise Refuse(ExceptionCode.ILLEGAL_VALUE)
        if address % self._limits.align:
            raise Refuse(ExceptionCode.ILLEGAL_ADDRESS)
        return self._read(table, address, count)

    def read_bits(self, table: Table, address: int, count: int) -> list[bool]:
        """Bits for a read request; raises Refuse."""
        self.catch_up()
        return [bool(bit) for bit in self._read(table, address, count)]

    def write_words(self, address: int, words: list[int], single: bool) -> None:
        """Take a write of holding registers; raises Refuse."""
        if single and not self._limits.write_single:
            raise Refuse(ExceptionCode.ILLEGAL_FUNCTION)
        if len(words) > self._limits.max_write:
            raise Refuse(ExceptionCode.ILLEGAL_VALUE)
        self._write(Table.HOLDING, address, words)

    def write_bits(self, address: int, bits: list[bool]) -> None:
        """Take a write of coils; raises Refuse."""
        self._write(Table.COIL, address, [int(bit) for bit in bits])

    def _read(self, table: Table, address: int, count: int) -> list[int]:
        try:
            return self.image.read(table, address, count)
        except Hole:
            raise Refuse(ExceptionCode.ILLEGAL_ADDRESS) from None

    def _write(self, table: Table, address: int, words: list[int]) -> None:
        self.catch_up()
        old = self._read(table, address, len(words))
        for at in range(address, address + len(words)):
            if not any(point in self._writable for point in self.image.owners(table, [at])):
                raise Refuse(ExceptionCode.ILLEGAL_ADDRESS)
        points = self.image.owners(table, range(address, address + len(words)))
        behaviour = next((self.faults.writes[point] for point in points if point in self.faults.writes), None)
        if behaviour is None:
            self._apply(table, address, words, points)
        else:
            self._misbehave(behaviour, table, address, words, old, points)

    def _misbehave(
        self, how: WriteBehaviour, table: Table, address: int, words: list[int], old: list[int], points: list[str]
    ) -> None:
        if how.fault is WriteFault.REJECT:
            raise Refuse(how.exception)
        if how.fault is WriteFault.LATE:
            self._later(how.after_s, lambda: self._apply(table, address, words, points))
        elif how.fault is WriteFault.REVERT:
            self._apply(table, address, words, points)
            self._later(how.after_s, lambda: self._apply(table, address, old, points))

    def _apply(self, table: Table, address: int, words: list[int], points: list[str]) -> None:
        """Change the words as a master's write does: note the time, let links act."""
        self.image.write(table, address, words)
        now = self._clock.monotonic()
        for point in points:
            self._written[point] = now
            self._fire(point, self.image.get(point))

    # --- links

    def _hears(self, point: str) -> bool:
        """Whether a write has an effect now beyond its own register."""
        return self._physics is None or not self._physics.is_deaf or point in self._waking

    def _fire(self, point: str, value: Value | None) -> None:
        if not self._hears(point):
            return
        for number, link in enumerate(self._simulation.links):
            if link.point != point:
                continue
            if link.equals is not None and link.equals != value:
                # The newest write of a point decides: what an older one started is off.
                self._pending.pop(number, None)
            elif self._pending.get(number) != (point, value):
                # A value written again does not start its delay anew, or a cyclic write would never act.
                self._pending[number] = (point, value)
                self._later(link.after_s, self._act(number, link, point, value))

    def _act(self, number: int, link: Link, point: str, value: Value | None) -> Callable[[], None]:
        def act() -> None:
            if self._pending.get(number) != (point, value):
                return
            del self._pending[number]
            if not self._hears(point):
                return
            for target, wanted in link.sets.items():
                self.image.set(target, value if wanted == "$value" else wanted)

        return act

    def _later(self, after_s: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._due, (self._clock.monotonic() + after_s, next(self._order), action))
        self.catch_up()

    def catch_up(self) -> None:
        """Do what is due by now."""
        now = self._clock.monotonic()
        while self._due and self._due[0][0] <= now:
            heapq.heappop(self._due)[2]()


class LineDevice(SimulatedDevice):
    """A serial collector: one raw number 0..1023, seen through the conversion of its profile."""

    def __init__(self, unit: BusUnit, clock: Clock, seed: int) -> None:
        super().__init__(unit, clock, seed)
        self.raw = 0.0
        self.conversion = Conversion.of(unit.profile)
        self._quantities: Mapping[str, Quantity] = {
            point: Quantity(source.quantity)
            for point, source in unit.profile.sources.items()
            if isinstance(source, LineSource)
        }
        self._begin()

    def get(self, point: str) -> Value | None:
        """Present value of a point."""
        return self.conversion.value(self._quantities[point], self.raw)

    def set(self, point: str, value: Value | None) -> None:
        """Give the sensor what makes this point show `value`; raises ValueError outside of what its ADC measures."""
        if value is None or isinstance(value, str):
            raise ValueError(f"{self.id}.{point}: a collector has a number, not {value!r}")
        raw = self.conversion.raw(self._quantities[point], float(value))
        if not 0.0 <= raw <= 1023.0:
            raise ValueError(f"{self.id}.{point}: {value} is raw {raw:.1f}, and the ADC gives 0 to 1023")
        self.raw = raw

    def put(self, point: str, value: float) -> None:
        """As `set`, limited to what the ADC measures; `current` also where the profile has no such point."""
        quantity = self._quantities.get(point)
        if quantity is None and point in Quantity.__members__.values():
            quantity = Quantity(point)
        if quantity is not None:
            self.raw = min(1023.0, max(0.0, self.conversion.raw(quantity, value)))

    def answer(self) -> bytes:
        """Line of one measurement: the mean of ten samples, as the firmware prints a float."""
        return f"{self.raw:.2f}\r\n".encode("ascii")
