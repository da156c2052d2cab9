"""Serves data-change callbacks of computed nodes: who watches a slot is told after it was published.

Publishing only marks; the callbacks run in `ChangePump.run`, in slices, so that neither a driver nor another client
waits for them.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from asyncua import ua

from address_space.image import ProcessImage, Watch
from address_space.nodes import Callbacks, Node

_LOG: Final = logging.getLogger(__name__)
# Slots served before other tasks get a turn: about 2 to 5 ms of work.
_SLICE: Final = 100
# What a callback of a foreign library may raise over one value, for example arithmetic on a text.
_CALLBACK_FAULTS: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, ua.UaError)


class ChangePump:
    """Calls `callback(handle, data_value)` for every slot that was published, with its newest sample.

    Several publishes of one slot before a turn come as one. `run` is a task of the server.
    """

    def __init__(self, image: ProcessImage) -> None:
        self._image = image
        self._wake = asyncio.Event()
        self._watch = Watch(self._wake.set)
        self._served: dict[int, list[tuple[Node, Callbacks]]] = {}
        self._failed: set[int] = set()  # handles whose failure was told

    @property
    def watched(self) -> int:
        """How many slots have callbacks."""
        return len(self._served)

    def attach(self, slot: int, node: Node, callbacks: Callbacks) -> None:
        """Call `callbacks` with the Value of `node` whenever `slot` was published, from now on."""
        self._served.setdefault(slot, []).append((node, callbacks))
        self._image.watch(slot, self._watch)

    def detach(self, slot: int, callbacks: Callbacks) -> None:
        """Undo `attach`."""
        rest = [entry for entry in self._served.get(slot, ()) if entry[1] is not callbacks]
        if rest:
            self._served[slot] = rest
        else:
            self._served.pop(slot, None)
            self._image.unwatch(slot, self._watch)
        if not self._served:
            self._failed.clear()

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            await self._wake.wait()
            await self.drain()

    async def drain(self) -> None:
        """Serve what is marked now."""
        self._wake.clear()
        for number, slot in enumerate(self._watch.take(), 1):
            for node, callbacks in tuple(self._served.get(slot, ())):
                await self._serve(node, callbacks)
            if number % _SLICE == 0:
                await asyncio.sleep(0)

    async def _serve(self, node: Node, callbacks: Callbacks) -> None:
        value = node.read(ua.AttributeIds.Value)
        for handle, callback in tuple(callbacks.items()):
            if handle not in callbacks:  # taken away by the one before
                continue
            try:
                await callback(handle, value)
            except _CALLBACK_FAULTS:
                level = logging.DEBUG if handle in self._failed else logging.WARNING
                self._failed.add(handle)
                _LOG.log(level, "%s: a subscriber could not take its value", node.nodeid.Identifier, exc_info=True)
