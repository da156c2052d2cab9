"""The OPC UA server of a site: builds its parts, listens, and ends in good order."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections import Counter
from functools import partial

from asyncua import ua
from asyncua.server.internal_server import InternalServer

from address_space.builder import BuiltSpace, build
from address_space.history_configuration import HistoryOffer
from address_space.image import ProcessImage
from address_space.model import Batch, Clock, CommandResult, Status
from address_space.nodes import NodeMap
from address_space.shape import NS_SITE, namespace_uris, node_id
from node.historian.editing import Editor
from node.historian.event_log import EventLog
from node.historian.history import History
from node.historian.recording import rule_of
from node.identity import site_identity
from node.server.audited_desk import AuditedDesk
from node.server.browsing import Browser
from node.server.calls import MethodCaller, ToldDesk
from node.server.compat import ChannelIds, StandardServer, harden_decoder, install_nodes
from node.server.dispatcher import Dispatcher
from node.server.events.audit import Audit
from node.server.events.events import Events
from node.server.events.system_events import SystemEvents
from node.server.events.witness import Witness
from node.server.fast.lane import Lane, make_lane
from node.server.history import Archive, ArchiveStart, HistoryService, record_of
from node.server.limits import Limits
from node.server.reading import AttributeReader
from node.server.security.host_names import address_of, server_names
from node.server.security.identity import Identifier
from node.server.security.keys import load_keys
from node.server.security.login import LoginGuard
from node.server.security.pki import OwnCertificate, Pki
from node.server.security.policies import ChannelRefused, ServerKeys
from node.server.security.reload import Reload
from node.server.services import Services
from node.server.sessions.endpoints import Endpoints
from node.server.sessions.session_nodes import SessionNodes
from node.server.sessions.session_service import SessionService
from node.server.sessions.sessions import SessionTable
from node.server.standard.aggregate_functions import publish_aggregates
from node.server.standard.capabilities import publish_capabilities
from node.server.standard.collector import IdleCollector, paused, release, settle
from node.server.standard.diagnostics import Diagnostics
from node.server.standard.server_object import ServerObject
from node.server.standard.service_level import service_level
from node.server.standard.space_cache import SpaceCache
from node.server.standard.standard_values import StandardValues
from node.server.standard.withdrawal import withdraw_what_is_not_offered
from node.server.subscriptions.subscription_service import SubscriptionService
from node.server.transport.channel import Channel, Incoming
from node.server.transport.connection import Connection, House
from node.server.transport.doorway import Doorway
from node.server.transport.faults import FaultLog
from node.server.transport.tasks import TaskSet
from node.server.writing import SettingWriter
from node.site import Site

_LOG = logging.getLogger(__name__)

_REAP_S = 1.0  # how often timeouts are looked at
# Clients have this long to take their last answers when the server stops.
_GOODBYE_S = 1.0
_GOODBYE_ROUNDS = 50
# How long clients get to hear that the server ends: one publishing cycle of each, and time for what is in it.
_FAREWELL_S = 2.0
_CYCLE_S = 0.2
NODE_DEVICE = "node"  # the device of the process image that stands for this node


class ServerError(Exception):
    """The server cannot start; the text says why and what to do."""


class PortTaken(ServerError):
    """Another program listens where the server should."""


class OpcUaServer:
    """Serves a site: `start` returns when clients can connect, `stop` when nothing of it is left.

    Raises ServerError when it cannot start; CertificateError and OSError from the files of `pki`.
    """

    def __init__(
        self,
        site: Site,
        image: ProcessImage,
        desk: ToldDesk,
        history: History | None,
        pki: Pki,
        users: LoginGuard,
        clock: Clock,
        *,
        limits: Limits | None = None,
        editor: Editor | None = None,
        event_log: EventLog | None = None,
    ) -> None:
        """`editor` lets engineers change history, `event_log` keeps every event; both are the historian's."""
        self._site = site
        self._image = image
        self._desk = desk
        desk.listen(self.command_ended)
        self._archive = (
            None
            if history is None
            else Archive(history, editor, event_log, rule=partial(rule_of, default=site.history.record))
        )
        self._archive_start = None if history is None else ArchiveStart(history, clock)
        self._pki = pki
        self._users = users
        self._clock = clock
        self._limits = limits or site.server.limits
        pki.trust.rule = pki.user_trust.rule = site.server.revocation
        self._tasks = TaskSet()
        self._faults = FaultLog()
        self._sessions = SessionTable(clock, self._limits, self._show_sessions)
        self._diagnostics = Diagnostics(self._sessions, clock)
        self._ids = ChannelIds(0)
        self._connections: set[Connection] = set()
        self._internal: InternalServer | None = None
        self._object: ServerObject | None = None
        self._listener: asyncio.Server | None = None
        self._own: OwnCertificate | None = None
        self._keys: ServerKeys | None = None
        self._dispatcher: Dispatcher | None = None
        self._doorway = Doorway(clock)
        self._lane: Lane | None = None
        self._audit: Audit | None = None
        self._reload: Reload | None = None
        self.collector = IdleCollector(clock)
        self.endpoints: Endpoints | None = None

    # --- life

    async def start(self) -> None:
        """Build the address space and listen. Raises ServerError, CertificateError, OSError; nothing is left then."""
        self._check_security()
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        harden_decoder()
        with paused():
            nodes = NodeMap()
            self._internal = internal = StandardServer(SpaceCache(self._site.state / "cache").fill)
            install_nodes(internal, nodes)
            # The resolver may take seconds, in which the standard address space is made.
            names, _ = await asyncio.gather(asyncio.to_thread(server_names, self._site.server.names), internal.init())
            self._pki.user_trust.prepare()
            self._own = await asyncio.to_thread(self._pki.ensure_own, site_identity(self._site, names))
            self._keys = load_keys(self._own)
            space = self._build_space(internal, nodes, self._own.application_uri)
        self._listener = listener = await self._listen()
        self._serve(space, names)
        settle()
        self._tasks.start(self._reap(), "server timeouts")
        self._tasks.start(self.collector.run(), "idle collector")
        self._show_sessions(0)
        await listener.start_serving()
        _LOG.info("OPC UA server listens on %s", self.url)

    async def stop(self) -> None:
        """Say goodbye to clients and end; does nothing when it was not started."""
        if self._listener is not None:
            self._listener.close()
        await self._announce_end()
        for session in self._sessions.all():
            self._sessions.close(session)
        for connection in list(self._connections):
            connection.close()
        await self._tasks.close()
        await self._until_disconnected()
        if self._listener is not None:
            await self._listener.wait_closed()
            self._listener = None
        if self._internal is not None:
            await self._internal.stop()
            self._internal = None
        release()

    @property
    def port(self) -> int:
        """The port that it listens on, also when the site file leaves the choice to the system."""
        if self._listener is None or not self._listener.sockets:
            return self._site.server.listen.port
        return int(self._listener.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """URL by which a client on another machine reaches it."""
        return self.endpoints.url(None) if self.endpoints is not None else ""

    @property
    def sessions(self) -> int:
        """How many clients are logged in."""
        return self._sessions.activated

    def command_ended(self, device_id: str, name: str, user: str, result: CommandResult) -> None:
        """A command, or a write of a setting, has ended on a device: tell those who watch for events."""
        if self._audit is not None and self._audit.heard:
            device = self._image.devices[device_id]
            self._audit.command_ended(node_id(device_id, NS_SITE), device.label or device_id, name, result, user)

    # --- building

    def _check_security(self) -> None:
        server = self._site.server
        open_doors = [
            name for name, is_open in (("none", server.allow_none), ("anonymous", server.allow_anonymous)) if is_open
        ]
        if open_doors and not server.listen.is_loopback and not server.allow_insecure:
            raise ServerError(
                f"server.security allows {' and '.join(open_doors)} while server.listen is {server.listen.host}, which "
                "other machines reach: listen on 127.0.0.1, or take them out, or say `allow_insecure: true`"
            )

    def _build_space(self, internal: InternalServer, nodes: NodeMap, application_uri: str) -> BuiltSpace:
        site = self._site
        offer = self._offer()
        built = build(nodes, self._image, self._clock, site.id, site.label, history=offer)
        withdraw_what_is_not_offered(nodes, history=offer is not None)
        if offer is not None:
            publish_aggregates(nodes)
        values = StandardValues(internal.aspace, self._clock)
        self._object = ServerObject(values, self._clock, lambda: service_level(self._image))
        self._object.publish(application_uri, namespace_uris(application_uri, site.id))
        publish_capabilities(values, self._limits, offer)
        self._diagnostics.publish(values)
        SessionNodes(nodes, self._sessions, self._diagnostics).install()
        return built

    def _offer(self) -> HistoryOffer | None:
        archive = self._archive
        if archive is None or self._archive_start is None:
            return None
        return HistoryOffer(
            archive.editor is not None, archive.events is not None, archive.rule, self._archive_start.known
        )

    async def _listen(self) -> asyncio.Server:
        where = self._site.server.listen
        shown = f"[{where.host}]:{where.port}" if ":" in where.host else f"{where.host}:{where.port}"
        loop = asyncio.get_running_loop()
        try:
            return await loop.create_server(self._connection, where.host, where.port, start_serving=False)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortTaken(
                    f"{shown} is taken by another program: end it (`ss -ltnp` shows which), or give this node another "
                    "port in server.listen"
                ) from error
            reason = error.strerror or str(error)
            raise ServerError(f"cannot listen on {shown}: {reason}; see server.listen in the site file") from error

    def _serve(self, space: BuiltSpace, names: tuple[str, ...]) -> None:
        assert self._own is not None  # noqa: S101 - `start` has set them
        assert self._keys is not None  # noqa: S101
        server, limits, clock = self._site.server, self._limits, self._clock
        keys = self._keys
        self.endpoints = Endpoints(
            self._own.application_uri,
            self._site.label or self._site.id,
            keys.chain_der,
            _preferred(names, server.names, server.listen.host),
            self.port,
            server.allow_none,
            server.allow_anonymous,
        )
        identifier = Identifier(self._users, self._pki.user_trust, allow_anonymous=server.allow_anonymous)
        reader = AttributeReader(space.nodes, clock, None if self._archive_start is None else self._archive_start.look)
        browser = Browser(space.nodes, limits)
        events = Events(space.nodes, clock)
        self._audit = audit = Audit(events, self._own.application_uri)
        archive = self._archive
        if archive is not None and archive.events is not None:
            log = archive.events
            events.recorder = lambda event: log.offer_event(record_of(event))
        self._tasks.start(SystemEvents(self._image, events, clock).run(), "system events")
        self._pki.trust.refused = self._pki.user_trust.refused = audit.certificate_refused
        self._reload = Reload(
            self._pki,
            self._users,
            self._sessions,
            lambda: tuple(self._connections),
            self._own,
            self._renewed,
            audit.session_terminated,
        )
        desk = AuditedDesk(self._desk, space, self._image, audit)
        writer = SettingWriter(space, self._image, desk)
        caller = MethodCaller(space, desk, server.answer_within_s)
        services = Services(
            self.endpoints,
            SessionService(self._sessions, self.endpoints, identifier, self._pki.trust, limits),
            reader,
            browser,
            writer,
            caller,
            SubscriptionService(reader, self._image, clock, limits, self._tasks, events),
            None
            if archive is None
            else HistoryService(archive, space.nodes, self._image, clock, events=events, auditor=audit),
            limits,
        )
        self._lane = make_lane(
            space,
            self._image,
            reader,
            browser,
            writer,
            caller,
            self._sessions,
            clock,
            limits,
            self._tasks,
            allow_none=server.allow_none,
            served=self._diagnostics.served,
        )
        self._dispatcher = Dispatcher(
            Witness(self._sessions, self._diagnostics, audit, self.endpoints.is_ours).over(services.table()),
            self._sessions,
            clock,
            limits,
            self._tasks,
            self._faults,
            allow_none=server.allow_none,
            served=self._diagnostics.served,
        )

    # --- end

    async def _announce_end(self) -> None:
        """Say that the server ends, and wait until those who watch its state have been told, 2 s at most."""
        if self._object is None or self._object.state is ua.ServerState.Shutdown:
            return
        cycles = [
            subscription.rhythm.interval_ms / 1000
            for session in self._sessions.all()
            if session.line is not None and session.publisher is not None
            for subscription in session.publisher.subscriptions.values()
        ]
        wait_s = min(max(cycles) + _CYCLE_S, _FAREWELL_S) if cycles else 0.0
        self._object.shut_down("The node stops.", self._clock.monotonic() + wait_s)
        if wait_s:
            await self._clock.sleep(wait_s)

    def _renewed(self, own: OwnCertificate, keys: ServerKeys) -> None:
        self._own, self._keys = own, keys
        if self.endpoints is not None:
            self.endpoints.certificate = keys.chain_der

    # --- connections

    def _connection(self) -> Connection:
        assert self._dispatcher is not None  # noqa: S101 - nobody connects before `start` is done
        house = House(
            self._clock,
            self._limits,
            self._tasks,
            self._faults,
            self._new_channel,
            self._dispatcher.handle,
            self._admit,
            self._lost,
            self._quick,
            self._opened,
            self._doorway,
        )
        return Connection(house)

    def _opened(self, connection: Connection, refused: ChannelRefused | None) -> None:
        if self._audit is not None:
            self._audit.channel_opened(connection, refused)

    def _quick(self, connection: Connection, incoming: Incoming, now: int) -> bytes | None:
        return None if self._lane is None else self._lane.answer(connection, incoming, now)

    def _new_channel(self) -> Channel:
        assert self._keys is not None  # noqa: S101 - as above
        return Channel(self._keys, self._pki.trust, self._ids, self._clock, self._limits)

    def _admit(self, connection: Connection) -> bool:
        """Take a connection; when all places are taken, the one that is idle longest makes room."""
        peers = Counter(each.peer for each in self._connections)
        if peers[connection.peer] >= self._limits.connections_per_peer:
            return False
        if len(self._connections) >= self._limits.connections:
            strangers = self._strangers()
            if not strangers:
                return False
            min(strangers, key=lambda each: each.touched_s).fail(
                ua.StatusCodes.BadTcpNotEnoughResources, "idle while others wait"
            )
        self._connections.add(connection)
        return True

    def _lost(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._sessions.connection_lost(connection)

    def _strangers(self) -> list[Connection]:
        known = {session.line for session in self._sessions.all() if session.activated}
        return [each for each in self._connections if each not in known and not each.is_closed]

    async def _reap(self) -> None:
        while True:
            await self._clock.sleep(_REAP_S)
            if self._reload is not None:
                await self._reload.look()
            now = self._clock.monotonic()
            for session in self._sessions.expire():
                _LOG.info("session %r of %s has timed out", session.name, session.caller.user or "nobody")
                if self._audit is not None:
                    self._audit.session_timed_out(session)
            for connection in self._strangers():
                if now - connection.touched_s > self._limits.unactivated_s:
                    connection.fail(ua.StatusCodes.BadTimeout, "nobody logged in")
            for connection in list(self._connections):
                if connection.closed_s is not None and now - connection.closed_s > self._limits.stalled_s:
                    connection.abort()

    async def _until_disconnected(self) -> None:
        for _ in range(_GOODBYE_ROUNDS):
            if not self._connections:
                return
            await asyncio.sleep(_GOODBYE_S / _GOODBYE_ROUNDS)
        for connection in list(self._connections):
            connection.abort()
        await asyncio.sleep(0)

    # --- the node's own point

    def _show_sessions(self, count: int) -> None:
        device = self._image.devices.get(NODE_DEVICE)
        if device is None or "sessions" not in device.model.index:
            return
        slot = self._image.slot(NODE_DEVICE, "sessions")
        self._image.publish(Batch((slot,), (count,), (Status.GOOD,), self._clock.now()))


def _preferred(names: tuple[str, ...], own: tuple[str, ...], listen: str) -> tuple[str, ...]:
    """Our names; the first is shown to who used none of them: the site file's, else the one address that it binds."""
    bound = address_of(listen)
    if own or bound is None or str(bound) not in names:
        return names
    return tuple(sorted(names, key=lambda name: name != str(bound)))
