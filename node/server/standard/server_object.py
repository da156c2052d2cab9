"""What the standard Server object says: status, build, health; the rest of it comes from its own modules."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from asyncua import ua

from address_space.model import Clock, ticks_to_datetime
from node.server.sessions.endpoints import PRODUCT_URI
from node.server.standard.service_level import MAINTENANCE
from node.server.standard.standard_values import StandardValues

_IDS: Final = ua.ObjectIds
_TYPES: Final = ua.VariantType
# DateTime 0: there is no such time (OPC 10000-6 section 5.2.2.5).
_NO_TIME: Final = datetime(1601, 1, 1, tzinfo=UTC)
_SUBSCRIBE_TO_EVENTS: Final = 1 << ua.EventNotifier.SubscribeToEvents


@cache
def software_version() -> str:
    """Version of this program; `0` where it runs without being installed."""
    try:
        return version("gridnode")
    except PackageNotFoundError:
        return "0"


@dataclass(slots=True)
class ServerObject:
    """Fills the Server object of an address space and answers for what changes."""

    values: StandardValues
    clock: Clock
    level: Callable[[], int]  # ServiceLevel while it runs
    started_ticks: int = 0
    state: ua.ServerState = ua.ServerState.Running
    reason: str = ""
    end_s: float | None = None

    @property
    def seconds_left(self) -> int:
        """Whole seconds until the server ends; 0 while nobody stops it."""
        return 0 if self.end_s is None else max(0, math.ceil(self.end_s - self.clock.monotonic()))

    def publish(self, application_uri: str, namespaces: Sequence[str]) -> None:
        """Set every value; from now on the status is alive."""
        self.started_ticks = self.clock.now()
        values = self.values
        values.set(_IDS.Server_ServerArray, [application_uri], _TYPES.String)
        values.set(_IDS.Server_NamespaceArray, list(namespaces), _TYPES.String)
        values.set(_IDS.Server_Auditing, True, _TYPES.Boolean)
        values.set(_IDS.Server_ServerRedundancy_RedundancySupport, ua.RedundancySupport.None_, _TYPES.Int32)
        values.set(_IDS.Server_EstimatedReturnTime, _NO_TIME, _TYPES.DateTime)
        # Its NodeIds are numbers; OPC 10000-5 section 6.3.13 wants the pattern all the same.
        values.set(_IDS.OPCUANamespaceMetadata_StaticStringNodeIdPattern, "", _TYPES.String)
        values.set_attribute(_IDS.Server, ua.AttributeIds.EventNotifier, _SUBSCRIBE_TO_EVENTS, _TYPES.Byte)
        values.live(_IDS.Server_ServiceLevel, self._service_level, _TYPES.Byte)
        values.live(_IDS.Server_LocalTime, lambda: _local_time(values.now()), _TYPES.ExtensionObject)
        self._publish_build()
        self._publish_status()

    def shut_down(self, reason: str, end_s: float) -> None:
        """Say that the server is about to end; `end_s` is when, on Clock.monotonic()."""
        self.state = ua.ServerState.Shutdown
        self.reason = reason
        self.end_s = end_s

    # --- parts

    def _publish_build(self) -> None:
        build = _build()
        self.values.set(_IDS.Server_ServerStatus_BuildInfo, build, _TYPES.ExtensionObject)
        for name in ("ProductUri", "ManufacturerName", "ProductName", "SoftwareVersion", "BuildNumber", "BuildDate"):
            kind = _TYPES.DateTime if name == "BuildDate" else _TYPES.String
            self.values.set(getattr(_IDS, f"Server_ServerStatus_BuildInfo_{name}"), getattr(build, name), kind)

    def _publish_status(self) -> None:
        values, prefix = self.values, "Server_ServerStatus"
        values.live(_IDS.Server_ServerStatus, self._status, _TYPES.ExtensionObject)
        for name, read, kind in (
            ("StartTime", lambda: ticks_to_datetime(self.started_ticks), _TYPES.DateTime),
            ("CurrentTime", values.now, _TYPES.DateTime),
            ("State", lambda: int(self.state), _TYPES.Int32),
            ("SecondsTillShutdown", lambda: self.seconds_left, _TYPES.UInt32),
            ("ShutdownReason", lambda: _localized(self.reason), _TYPES.LocalizedText),
        ):
            values.live(getattr(_IDS, f"{prefix}_{name}"), read, kind)

    def _status(self) -> ua.ServerStatusDataType:
        started: Any = ticks_to_datetime(self.started_ticks)
        return ua.ServerStatusDataType(
            StartTime=started,
            CurrentTime=self.values.now(),
            State=self.state,
            BuildInfo=_build(),
            SecondsTillShutdown=ua.UInt32(self.seconds_left),
            ShutdownReason=_localized(self.reason),
        )

    def _service_level(self) -> int:
        return self.level() if self.state is ua.ServerState.Running else MAINTENANCE


@cache
def _build() -> Any:
    # A package does not say when it was built; its files are as old as the build or the installation.
    built: Any = datetime.fromtimestamp(int(Path(__file__).stat().st_mtime), UTC)
    info: Any = ua.BuildInfo(BuildDate=built)
    info.ProductUri = PRODUCT_URI
    info.ManufacturerName = "gridnode"
    info.ProductName = "gridnode"
    info.SoftwareVersion = software_version()
    info.BuildNumber = software_version()
    return info


def _local_time(now: datetime) -> Any:
    """The time zone of this machine: minutes east of UTC now, and whether daylight saving is in them."""
    here = time.localtime(now.timestamp())
    zone: Any = ua.TimeZoneDataType()
    zone.Offset = here.tm_gmtoff // 60
    zone.DaylightSavingInOffset = here.tm_isdst > 0
    return zone


def _localized(text: str) -> ua.LocalizedText:
    wire_text: Any = text
    locale: Any = "en"
    return ua.LocalizedText(wire_text, locale)
