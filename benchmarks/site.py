"""A site of many equal devices, written as the files that a site has: its YAML and the profile of the devices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks import pattern

SITE_ID: Final = "benchmark"
NAMESPACE: Final = f"urn:gridnode:site:{SITE_ID}"
_UNITS: Final = 200  # devices of a bus; a Modbus bus has at most 247


def write_site(folder: Path, port: int, points: int, per_device: int) -> Path:
    """Write site file and profile into `folder`; returns the site file. Keys and users there are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.yaml").write_text("\n".join(_profile(per_device)) + "\n")
    path = folder / "site.yaml"
    path.write_text("\n".join(_site(port, -(-points // per_device))) + "\n")
    return path


def _profile(per_device: int) -> Iterator[str]:
    yield "schema: gridnode/profile@1"
    yield "id: bench.analog"
    yield "version: 1.0.0"
    yield "device: {class: generic, model: Bench device, description: A device of analog points.}"
    yield "provenance: {level: simulated, sources: [made up for benchmarks]}"
    yield "protocol: modbus"
    yield "groups: {normal: 1s}"
    yield "defaults: {type: f64, group: normal}"
    yield "points:"
    for number in range(per_device):
        name = pattern.point_id(number)
        yield f"  {name}: {{addr: {4 * number}, unit: W, range: [0, 1000000], description: Power of feeder {number}.}}"


def _site(port: int, devices: int) -> Iterator[str]:
    yield f"site: {SITE_ID}"
    yield "state: ./state"
    yield f"server: {{listen: '127.0.0.1:{port}', security: {{none: true, anonymous: true}}}}"
    yield "logging: {level: warning}"
    yield "history: {enabled: false}"
    yield "buses:"
    for bus in range(-(-devices // _UNITS)):
        # Nothing is sent there: the program under test has a driver of its own in place of Modbus.
        yield f"  bus{bus}: {{driver: modbus, tcp: '127.0.0.1:1'}}"
    yield "devices:"
    for device in range(devices):
        bus, unit = divmod(device, _UNITS)
        yield f"  {pattern.device_id(device)}: {{profile: ./bench.yaml, bus: bus{bus}, unit: {unit + 1}}}"
