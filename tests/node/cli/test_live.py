"""The table of `gridnode run`, drawn on terminals of several sizes."""

import asyncio
import io
import re
import sys

import pytest
from rich.console import Console

from address_space.image import ProcessImage
from address_space.model import Batch, Status
from node.app import site_devices
from node.cli.live import Overview, show_table
from node.config import load_site
from tests.fake_clock import START, FakeClock
from tests.node.cli.conftest import Gridnode

DEVICES = 30


class Screen(io.StringIO):
    """A terminal that remembers all."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def image(gridnode: Gridnode) -> ProcessImage:
    more = "".join(f"  d{n}: {{profile: schneider.xw, bus: gw1, unit: {n}}}\n" for n in range(11, 10 + DEVICES))
    gridnode.site.write_text(gridnode.site.read_text("utf-8") + more, "utf-8")
    return ProcessImage(site_devices(load_site(gridnode.site)), FakeClock())


def drawn(overview: Overview, width: int, height: int) -> list[str]:
    """Lines of the table on a terminal of a size."""
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False)
    console.print(overview.table(width, height))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (60, 12), (200, 24)])
def test_each_device_has_one_line_and_what_is_cut_is_counted(image: ProcessImage, width: int, height: int) -> None:
    lines = drawn(Overview(image), width, height)
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    row = re.compile(r"\W*(xw1|d\d\d) \W*(Unknown \(0\)|BadWaiting\w*…?) .* never\b")
    rows = sum(row.match(line) is not None for line in lines)
    assert rows == height - 6
    assert f"… {DEVICES - rows} more devices" in lines[-1]


def test_a_tall_terminal_shows_all_devices_without_a_note(image: ProcessImage) -> None:
    assert "more devices" not in "".join(drawn(Overview(image), 120, 60))


def test_a_device_that_was_never_reached_has_no_time(image: ProcessImage) -> None:
    overview = Overview(image)
    slots = image.slots("xw1")
    image.degrade(slots, Status.BAD_NO_COMMUNICATION, START + 10_000_000)
    assert any("xw1" in line and "never" in line for line in drawn(overview, 200, 24))


def test_the_time_of_the_last_answer_stays_when_a_device_falls_silent(image: ProcessImage) -> None:
    overview = Overview(image)
    slot = image.slot("xw1", "ac_power")
    image.publish(Batch([slot], [230.0], [int(Status.GOOD)], START))
    (before,) = [line for line in drawn(overview, 200, 24) if "xw1" in line]
    image.degrade(image.slots("xw1"), Status.BAD_COMMUNICATION_ERROR, START + 10_000_000_000)
    (after,) = [line for line in drawn(overview, 200, 24) if "xw1" in line]
    assert "2026-06-" in before
    assert before.split("│")[-2] == after.split("│")[-2]


async def test_a_log_line_above_the_table_is_not_cut(image: ProcessImage, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "80")
    line = "refused: to let it in: gridnode trust accept " + "A" * 40 + " --site /a/long/folder/site.yaml"
    shows = asyncio.create_task(show_table(image))
    await asyncio.sleep(0)
    sys.stderr.write(line + "\n")
    shows.cancel()
    with pytest.raises(asyncio.CancelledError):
        await shows
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert line in shown
    assert re.search(r"(?m)^xw1 +(Unknown \(0\)|BadWaiting\w*…?) .* never *\r?$", shown)
