"""The services of history over the historian: HistoryRead and HistoryUpdate (OPC 10000-11)."""

from node.server.history.archive import Archive
from node.server.history.archive_start import ArchiveStart
from node.server.history.event_record import record_of
from node.server.history.events import PAGE_EVENTS
from node.server.history.points import POINTS_PER_SESSION
from node.server.history.processed import AGGREGATES
from node.server.history.reader import PAGE_VALUES
from node.server.history.service import HistoryService

__all__ = [
    "AGGREGATES",
    "PAGE_EVENTS",
    "PAGE_VALUES",
    "POINTS_PER_SESSION",
    "Archive",
    "ArchiveStart",
    "HistoryService",
    "record_of",
]
