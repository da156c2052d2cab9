"""A site of many equal devices, written as the files that a site has: its YAML and the profiles of the devices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks import pattern

SITE_ID: Final = "benchmark"
NAMESPACE: Final = f"urn:gridnode:site:{SITE_ID}"
_UNITS: Final = 200  # devices of a bus; a Modbus bus has at most 247
_LIMITS: Final = "range: [0, 1000000]"


def write_site(folder: Path, port: int, points: int, per_device: int, extra: int = 0, *, history: bool = False) -> Path:
    """Write site file and profiles into `folder`; returns the site file. Keys and users there are kept.

    `extra` is the number of devices with settings, and of devices with a command; `history` says whether the node
    records.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "analog.yaml").write_text("\n".join(_analog(per_device, history)) + "\n")
    (folder / "settings.yaml").write_text("\n".join(_settings()) + "\n")
    (folder / "adder.yaml").write_text("\n".join(_adder()) + "\n")
    path = folder / "site.yaml"
    path.write_text("\n".join(_site(port, -(-points // per_device), extra, history)) + "\n")
    return path


def _head(name: str, defaults: str = "") -> Iterator[str]:
    yield "schema: gridnode/profile@1"
    yield f"id: bench.{name}"
    yield "version: 1.0.0"
    yield f"device: {{class: generic, model: Bench {name}, description: A device of the benchmarks.}}"
    yield "provenance: {level: simulated, sources: [made up for benchmarks]}"
    yield "protocol: modbus"
    yield "groups: {normal: 1s}"
    yield f"defaults: {{type: f64, group: normal, write: {{storage: volatile, within: 5s}}{defaults}}}"
    yield "points:"


def _analog(count: int, history: bool) -> Iterator[str]:
    yield from _head("analog", ", historize: true" if history else "")
    for number in range(count):
        name = pattern.point_id(number)
        yield f"  {name}: {{addr: {4 * number}, unit: W, {_LIMITS}, description: Power of feeder {number}.}}"


def _settings() -> Iterator[str]:
    yield from _head("settings")
    for number in range(pattern.SETTINGS):
        name = pattern.point_id(number)
        yield f"  {name}: {{addr: {4 * number}, unit: W, {_LIMITS}, access: rw, description: Limit {number}.}}"


def _adder() -> Iterator[str]:
    yield from _head("adder")
    for number, name in enumerate(("first", "second")):
        yield f"  {name}: {{addr: {4 * number}, unit: W, {_LIMITS}, access: rw, description: The {name} summand.}}"
    yield f"  sum: {{addr: 8, unit: W, {_LIMITS}, description: The sum of both.}}"
    yield "commands:"
    yield "  Add:"
    yield "    description: Adds two numbers."
    yield "    inputs:"
    for name in ("augend", "addend"):
        yield f"      {name}: {{type: number, unit: W, {_LIMITS}, description: A summand.}}"
    yield "    steps: [{set: first, to: $augend}, {set: second, to: $addend}]"
    yield "    confirm: {all: [{point: second, eq: $addend}], within: 5s}"


def _site(port: int, devices: int, extra: int, history: bool) -> Iterator[str]:
    yield f"site: {SITE_ID}"
    yield "state: ./state"
    yield f"server: {{listen: '127.0.0.1:{port}', security: {{none: true, anonymous: true}}}}"
    yield "logging: {level: warning}"
    yield f"history: {{enabled: {str(history).lower()}}}"
    # Nothing is sent there: the program under test has a driver of its own in place of Modbus.
    yield "buses:"
    for bus in range(-(-devices // _UNITS)):
        yield f"  bus{bus}: {{driver: modbus, tcp: '127.0.0.1:{bus + 2}'}}"
    if extra:
        yield "  memory: {driver: modbus, tcp: '127.0.0.1:1'}"
    yield "devices:"
    for device in range(devices):
        bus, unit = divmod(device, _UNITS)
        yield f"  {pattern.device_id(device)}: {{profile: ./analog.yaml, bus: bus{bus}, unit: {unit + 1}}}"
    for number in range(extra):
        unit = 2 * number + 1
        yield (
            f"  {pattern.settings_id(number)}: {{profile: ./settings.yaml, bus: memory, unit: {unit}, control: true}}"
        )
        yield f"  {pattern.adder_id(number)}: {{profile: ./adder.yaml, bus: memory, unit: {unit + 1}, control: true}}"
