"""The site that is measured is a right one, and its bus in memory does what a bus does."""

from pathlib import Path

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary

from address_space.image import ProcessImage
from benchmarks import pattern, work
from benchmarks.node_under_test import BenchBus
from benchmarks.site import write_site
from drivers.base import Priority, Setting
from node.config import check_site, load_site
from node.site import site_buses
from tests.fake_clock import FakeClock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_site(tmp_path, 4840, points=50, per_device=20, extra=1)


def test_written_site_has_nothing_doubtful(path: Path) -> None:
    assert check_site(path).warnings == ()


def test_site_has_the_points_that_the_load_client_asks_for(path: Path) -> None:
    site = load_site(path)
    image = ProcessImage(site.devices, FakeClock())
    for name in pattern.node_ids(50, 20):
        device, _, point = name.partition(".")
        assert image.slot(device, point) >= 0
    models = {device.id: device.model for device in site.devices}
    assert [command.id for command in models[pattern.adder_id(0)].commands] == [pattern.METHOD]
    settings = [point for point in models[pattern.settings_id(0)].points if point.writable]
    assert len(settings) == pattern.SETTINGS


async def test_written_settings_are_read_back_and_published(path: Path) -> None:
    site = load_site(path)
    clock = FakeClock()
    image = ProcessImage(site.devices, clock)
    config, units = next(entry for entry in site_buses(site) if entry[0].id == "memory")
    bus = BenchBus(config, units, image, clock)
    device = pattern.settings_id(0)
    await bus.write(device, [Setting("p007", 12.5)], Priority.COMMAND, 1.0)
    found = await bus.read(device, ["p007", "p008"], Priority.COMMAND, 1.0)
    assert [found[point].value for point in ("p007", "p008")] == [12.5, 0.0]
    assert image.sample(image.slot(device, "p007")).value == 12.5


@pytest.mark.parametrize("job", [work.reads(2, 200, 100), work.writes(2), work.calls(2), work.browses(2, 200, 100)])
def test_requests_are_cut_behind_their_header(job: work.Job) -> None:
    request = job.requests[-1]
    type_id, parameters = work.split_request(request)
    header = ua.RequestHeader(TimeoutHint=60_000)
    message = b"\x01\0" + type_id.to_bytes(2, "little") + struct_to_binary(header) + parameters
    again = struct_from_binary(type(request), Buffer(message))
    assert struct_to_binary(again.Parameters) == struct_to_binary(request.Parameters)
