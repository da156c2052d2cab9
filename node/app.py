"""The node: builds everything from a site, owns the one task group, orders start and stop.

Start: image, simulators, journal, server, buses. Stop the other way round: first nobody can command any more, then
standing commands let go over buses that still run, then the buses end, and the journal commits last.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, Final, TextIO

from address_space.image import ProcessImage
from address_space.model import Batch, Clock, Device, Status, Value
from address_space.system import bus_model, node_model, sink_model
from drivers import DRIVERS
from drivers.base import Port
from drivers.computed import Computed
from drivers.spec import BusConfig, BusUnit
from node.control.desk import ControlDesk
from node.historian.forwarding.feed_reader import FeedReader
from node.historian.forwarding.forward import Forwarder
from node.historian.history import History
from node.historian.journal import Journal
from node.historian.report import JournalState
from node.identity import site_pki
from node.server.security.certificate import CertificateError
from node.server.security.login import LoginGuard
from node.server.security.users import UserStore
from node.server.server import OpcUaServer
from node.sinks import SINKS, deep_history
from node.sinks.base import SinkConfig
from node.site import Site, site_buses
from node.state import holding

_LOG = logging.getLogger(__name__)

NODE: Final = "node"  # id of the device that is the node itself
_AGE_S: Final = 0.05  # half of the image's grain: a point is degraded just before its limit, never after it
_CERTIFICATE_S: Final = 3600.0  # how often the days that the certificate has left are counted
# A part that ended by a fault of ours comes back after this; the fault is in the log with its trace.
_RESTART_S: Final = 5.0


class App:
    """One running node. `run` starts it, waits for the stop and ends it in good order."""

    def __init__(self, site: Site, clock: Clock) -> None:
        """Lay out everything in memory; opens no file, port or socket yet."""
        self.site = site
        self._clock = clock
        self.image = ProcessImage(site_devices(site), clock)
        self.pki = site_pki(site, clock)
        self.users = UserStore(site.state / "users.json")
        self._login = LoginGuard(self.users, clock)
        self.journal: Journal | None = None
        if site.history.enabled:
            self.journal = Journal(
                site.state / "history.db",
                self.image,
                clock,
                commit_interval_s=site.history.commit_interval_s,
                default_rule=site.history.record,
                retention=site.history.retention,
                sinks=[sink.id for sink in site.sinks],
                sd_card=site.history.sd_card,
            )
        # Renewed when a bus is built anew after a fault, so that control follows.
        self._ports: dict[str, Port] = {}
        # Building the address space holds the loop for most of a second, which buses would take for silence.
        self._serving = asyncio.Event()

    async def run(
        self, stop: asyncio.Event, started: Callable[[], None] | None = None, terminal: TextIO | None = None
    ) -> None:
        """Serve until `stop` is set. `started` is called when clients can connect.

        The password of the first admin goes to `terminal`, or to a file if there is none. Raises OSError, StateInUse,
        DriverError, ServerError, CertificateError or UsersFileError when something that the node needs cannot be
        had; nothing stays open then.
        """
        try:
            async with asyncio.TaskGroup() as tasks, AsyncExitStack() as ending:
                await self._start(tasks, ending, terminal)
                if started is not None:
                    started()
                await stop.wait()
                _LOG.info("stopping")
        except BaseExceptionGroup as group:
            # The one error of a start is for people; a group of one would hide it.
            if len(group.exceptions) == 1:
                raise group.exceptions[0] from None
            raise

    async def _start(self, tasks: asyncio.TaskGroup, ending: AsyncExitStack, terminal: TextIO | None) -> None:
        site, clock = self.site, self._clock
        ending.enter_context(holding(site.state, site.id))
        await asyncio.to_thread(self.users.ensure_admin, terminal)
        ending.push_async_callback(self._login.close)
        if site.simulate.enabled:
            # Most nodes have equipment and need none of its modules.
            from drivers.simulator import Simulator  # noqa: PLC0415

            simulator = Simulator(site_buses(site), clock, site.simulate.seed)
            await simulator.start()
            ending.push_async_callback(simulator.stop)
        if self.journal is None:
            self._show("journal_state", int(JournalState.OFF))
        else:
            self.image.tap(self.journal.offer)
            ending.push_async_callback(_end, [tasks.create_task(self._supervise("journal", self.journal.run))])
            forwarders = [
                tasks.create_task(self._supervise(f"sink {sink.id}", self._forwarder(self.journal, sink).run))
                for sink in site.sinks
            ]
            ending.push_async_callback(_end, forwarders)
        background = [tasks.create_task(self._bus(bus, units)) for bus, units in site_buses(site)]
        computed = Computed(site.computed, self.image, clock)
        background.append(tasks.create_task(self._supervise("computed points", computed.run)))
        background.append(tasks.create_task(self._age()))
        ending.push_async_callback(_end, background)
        devices = {device.id: device for device in site.devices}
        desk = ControlDesk(self.image, devices, site.profiles, self._ports, clock, tasks.create_task)
        ending.push_async_callback(desk.stop)
        history, journal = self._history(ending), self.journal
        server = OpcUaServer(
            site, self.image, desk, history, self.pki, self._login, clock, editor=journal, event_log=journal
        )
        await server.start()
        ending.push_async_callback(server.stop)
        self._serving.set()
        # The server made its certificate if there was none.
        ending.push_async_callback(_end, [tasks.create_task(self._show_certificate())])

    def _history(self, ending: AsyncExitStack) -> History | None:
        """History as clients read it: the journal's, before which a sink may stand in."""
        for sink in self.site.sinks:
            if self.journal is not None and sink.read_back:
                deep = deep_history(self.journal, sink, self.site.id)
                ending.push_async_callback(deep.close)
                return deep
        return self.journal

    # --- background

    def _forwarder(self, journal: Journal, config: SinkConfig) -> Forwarder:
        feed = FeedReader(journal, self._clock, journal.damage)
        sink = SINKS[config.type](config, self.site.id)
        forwarder = Forwarder(feed, sink, config, self.image, self._clock)
        journal.committed.append(forwarder.wake)
        return forwarder

    async def _bus(self, config: BusConfig, units: tuple[BusUnit, ...]) -> None:
        """One bus for as long as the node lives; it is built anew should it ever end by a fault."""

        async def run() -> None:
            await self._serving.wait()
            bus = DRIVERS[config.driver](config, units, self.image, self._clock)
            self._ports.update({unit.device_id: bus for unit in units})
            await bus.run()

        await self._supervise(f"bus {config.id}", run)

    async def _supervise(self, name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a part again after a fault of ours, so that it costs only itself."""
        while True:
            try:
                await run()
            except Exception:  # the one place: a fault in one part must not stop the plant
                _LOG.exception("%s failed; it starts again in %g s", name, _RESTART_S)
                await self._clock.sleep(_RESTART_S)
            else:
                return

    async def _age(self) -> None:
        while True:
            self.image.age()
            await self._clock.sleep(_AGE_S)

    async def _show_certificate(self) -> None:
        """Keep the days that the server's certificate has left visible, so that nobody is surprised."""
        while True:
            try:
                own = await asyncio.to_thread(self.pki.show)
            except (CertificateError, OSError) as error:
                _LOG.warning("the certificate of this node cannot be read: %s", error)
                slot = self.image.slot(NODE, "certificate_days_left")
                self.image.degrade([slot], Status.BAD_CONFIGURATION_ERROR, self._clock.now())
            else:
                self._show("certificate_days_left", float(own.days_left))
            await self._clock.sleep(_CERTIFICATE_S)

    def _show(self, point: str, value: Value) -> None:
        slot = self.image.slot(NODE, point)
        self.image.publish(Batch([slot], [value], [int(Status.GOOD)], self._clock.now()))


def site_devices(site: Site) -> list[Device]:
    """All devices of the image: those of the site file, its buses and sinks, and the node itself."""
    buses = [Device(bus.id, bus_model(), label=bus.label) for bus in site.buses]
    sinks = [Device(sink.id, sink_model(), label=sink.label) for sink in site.sinks]
    return [*site.devices, *buses, *sinks, Device(NODE, node_model(record_losses=True), label="gridnode")]


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait until they have tidied up."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
