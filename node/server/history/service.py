"""All services of history together, as the server asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from asyncua import ua

from address_space.image import ProcessImage
from address_space.model import Clock
from node.historian.to_now import ToNow
from node.roles import Caller
from node.server.events.events import Events
from node.server.history.archive import Archive
from node.server.history.nodes import HistoryNodes
from node.server.history.reader import HistoryReader
from node.server.history.update_audit import Auditor, UpdateAudit
from node.server.history.updater import HistoryUpdater
from node.server.history.work import Holder
from node.server.request import ServiceRefused


class HistoryService:
    """HistoryRead and HistoryUpdate over an archive, with the rights of whoever asks."""

    def __init__(
        self,
        archive: Archive,
        nodes: Mapping[ua.NodeId, Any],
        image: ProcessImage,
        clock: Clock,
        *,
        events: Events | None = None,
        auditor: Auditor | None = None,
    ) -> None:
        """`events` knows the types and ways of events; without it there is no history of them."""
        found = HistoryNodes(nodes, image, archive.rule)
        archive = replace(archive, to_now=ToNow(archive.history, image, clock))
        self._reader = HistoryReader(archive, found, clock, events)
        self._updater = HistoryUpdater(archive.editor, found, clock, UpdateAudit(archive.history, auditor))

    async def read(
        self,
        parameters: ua.HistoryReadParameters,
        session: Holder,
        caller: Caller,
        *,
        handle: int = 0,
        hint_s: float | None = None,
    ) -> list[ua.HistoryReadResult]:
        """As HistoryReader.read."""
        return await self._reader.read(parameters, session, caller, handle=handle, hint_s=hint_s)

    async def update(
        self, parameters: ua.HistoryUpdateParameters, session: Holder, caller: Caller
    ) -> list[ua.HistoryUpdateResult]:
        """One result per entry, in order. Raises ServiceRefused when the session ends; the rest is not done then."""
        results: list[ua.HistoryUpdateResult] = []
        for details in parameters.HistoryUpdateDetails:
            if session.closed:
                raise ServiceRefused(ua.StatusCodes.BadSessionClosed)
            results.append(await self._updater.update(details, caller))
        return results

    def cancel(self, session: Holder, handle: int) -> int:
        """As HistoryReader.cancel."""
        return self._reader.cancel(session, handle)
