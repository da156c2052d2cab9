"""What `gridnode run` shows while it runs: a line per device, out of the process image; a table on a terminal."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from address_space.classes import CLASSES
from address_space.image import ProcessImage
from address_space.model import OWN_CLASSES, Device, PointKind, Status, is_bad
from address_space.system import SYSTEM_POINTS
from address_space.units import UNITS
from node.cli.times import shown, shown_short
from node.cli.values import status_name, style, texts_of, value_text

log = logging.getLogger("node.live")

_FRAME_S: Final = 0.5
_LOG_EVERY_S: Final = 30.0
_POINTS: Final = 4  # of each device
_NARROW: Final = 100  # columns below which the table leaves out its frame and the long form of a time
# Frame, head and rule; the note on what does not fit; the line of the cursor.
_OTHER_LINES: Final = 4 + 1 + 1
# Statuses that the node gives for want of an answer: their time is not the device's.
_UNANSWERED: Final = frozenset(
    {
        Status.BAD_WAITING_FOR_INITIAL_DATA,
        Status.BAD_NO_COMMUNICATION,
        Status.BAD_COMMUNICATION_ERROR,
        Status.BAD_OUT_OF_SERVICE,
    }
)


class Overview:
    """The points that say how each device does, and their samples."""

    def __init__(self, image: ProcessImage) -> None:
        self._image = image
        self._rows = [
            (device, [image.slot(device.id, point) for point in _key_points(device)])
            for device in image.devices.values()
            if device.model.device_class not in OWN_CLASSES
        ]
        self._answered: dict[str, int] = {}  # newest source time by device, kept while nothing answers

    def table(self, width: int, height: int) -> Table:
        """The newest samples of as many devices as fit on a terminal of so many columns and lines, each on one line."""
        rows, narrow = max(1, height - _OTHER_LINES), width < _NARROW
        table = Table(box=box.SIMPLE_HEAD if narrow else box.HEAVY_HEAD, show_edge=not narrow, pad_edge=not narrow)
        for name in ("Device", "Connection", "Now", "Newest" if narrow else "Newest source time"):
            # Where there is too little room, the column that may be wrapped gives way; its texts themselves are not.
            table.add_column(name, no_wrap=name != "Now")
        for device, slots in self._rows[:rows]:
            now = Text(", ", no_wrap=True, overflow="ellipsis").join(self._text(slot, named=True) for slot in slots)
            link = Text("computed") if device.bus is None else self._text(self._image.slot(device.id, "connection"))
            table.add_row(device.id, link, now, self._newest(device, slots, short=narrow))
        if len(self._rows) > rows:
            table.caption = f"… {len(self._rows) - rows} more devices"
        return table

    def _newest(self, device: Device, slots: list[int], *, short: bool) -> str:
        samples = [self._image.sample(slot) for slot in slots]
        times = [sample.ticks for sample in samples if sample.status not in _UNANSWERED]
        if times:
            self._answered[device.id] = max(times)
        ticks = self._answered.get(device.id)
        return "never" if ticks is None else shown_short(ticks) if short else shown(ticks)

    def lines(self) -> list[str]:
        """The same as text, one line a device."""
        return [
            f"{device.id}: {', '.join(self._text(slot, named=True).plain for slot in slots)}"
            for device, slots in self._rows
        ]

    def _text(self, slot: int, *, named: bool = False) -> Text:
        _, point = self._image.owner(slot)
        sample = self._image.sample(slot)
        known = UNITS.get(point.unit or "")
        unit = known.display_name if known is not None else ""
        text = status_name(sample.status) if is_bad(sample.status) else ""
        if not text:
            text = value_text(sample.value, unit, texts_of(point.enumeration), digits=5)
        return Text(f"{point.label} {text}" if named else text, style(sample.status))


async def show_table(image: ProcessImage) -> None:
    """Keep a table on the terminal until cancelled; what is printed meanwhile goes above it."""
    overview = Overview(image)
    # Soft: a log line is not cut into lines of the window, so that a command in it can be copied.
    console = Console(soft_wrap=True)
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            live.update(overview.table(console.size.width, console.size.height), refresh=True)
            await asyncio.sleep(_FRAME_S)


async def log_lines(image: ProcessImage) -> None:
    """Log the overview now and then until cancelled."""
    overview = Overview(image)
    while True:
        await asyncio.sleep(_LOG_EVERY_S)
        for line in overview.lines():
            log.info("%s", line)


def _key_points(device: Device) -> list[str]:
    """What the class is about: its mandatory points, then measured ones, as many as are shown."""
    spec = CLASSES.get(device.model.device_class)
    mandatory = [entry.point.id for entry in spec.points if entry.mandatory] if spec is not None else []
    others = [
        point.id
        for point in device.model.points
        if point.kind in (PointKind.ANALOG, PointKind.STATE)
        and point not in SYSTEM_POINTS
        and point.id not in mandatory
    ]
    return [point for point in (*mandatory, *others) if point in device.model.index][:_POINTS]
