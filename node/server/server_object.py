"""What the standard Server object says: status, build, capabilities and limits as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from asyncua import ua
from asyncua.server.address_space import AddressSpace

from address_space.model import Clock, ticks_to_datetime
from node.server.endpoints import PRODUCT_URI
from node.server.history_points import POINTS_PER_SESSION
from node.server.limits import Limits

_IDS: Final = ua.ObjectIds
_TYPES: Final = ua.VariantType


def software_version() -> str:
    """Version of this program; `0` where it runs without being installed."""
    try:
        return version("gridnode")
    except PackageNotFoundError:
        return "0"


@dataclass(slots=True)
class ServerObject:
    """Fills the Server object of an address space and answers for what changes."""

    space: AddressSpace
    clock: Clock
    limits: Limits
    name: str
    started_ticks: int = 0
    state: ua.ServerState = ua.ServerState.Running
    reason: str = ""
    seconds_left: int = 0

    def publish(self, application_uri: str, namespaces: Sequence[str]) -> None:
        """Set every value; from now on the status is alive."""
        self.started_ticks = self.clock.now()
        self._set(_IDS.Server_ServerArray, [application_uri], _TYPES.String)
        self._set(_IDS.Server_NamespaceArray, list(namespaces), _TYPES.String)
        self._set(_IDS.Server_ServiceLevel, 255, _TYPES.Byte)
        self._set(_IDS.Server_Auditing, False, _TYPES.Boolean)
        self._set(_IDS.Server_ServerDiagnostics_EnabledFlag, False, _TYPES.Boolean)
        self._set(_IDS.Server_ServerRedundancy_RedundancySupport, 0, _TYPES.Int32)
        self._publish_build()
        self._publish_capabilities()
        self._publish_operation_limits()
        self._live(_IDS.Server_ServerStatus, lambda: ua.Variant(self._status(), _TYPES.ExtensionObject))
        self._live(_IDS.Server_ServerStatus_CurrentTime, lambda: ua.Variant(self._now(), _TYPES.DateTime))
        self._live(_IDS.Server_ServerStatus_State, lambda: ua.Variant(int(self.state), _TYPES.Int32))
        self._live(_IDS.Server_ServerStatus_SecondsTillShutdown, lambda: ua.Variant(self.seconds_left, _TYPES.UInt32))
        self._live(
            _IDS.Server_ServerStatus_ShutdownReason,
            lambda: ua.Variant(_localized(self.reason), _TYPES.LocalizedText),
        )
        started = ticks_to_datetime(self.started_ticks)
        self._set(_IDS.Server_ServerStatus_StartTime, started, _TYPES.DateTime)

    # --- parts

    def _publish_build(self) -> None:
        build = self._build()
        self._set(_IDS.Server_ServerStatus_BuildInfo, build, _TYPES.ExtensionObject)
        for node, value in (
            (_IDS.Server_ServerStatus_BuildInfo_ProductUri, build.ProductUri),
            (_IDS.Server_ServerStatus_BuildInfo_ManufacturerName, build.ManufacturerName),
            (_IDS.Server_ServerStatus_BuildInfo_ProductName, build.ProductName),
            (_IDS.Server_ServerStatus_BuildInfo_SoftwareVersion, build.SoftwareVersion),
            (_IDS.Server_ServerStatus_BuildInfo_BuildNumber, build.BuildNumber),
        ):
            self._set(node, value, _TYPES.String)
        self._set(_IDS.Server_ServerStatus_BuildInfo_BuildDate, build.BuildDate, _TYPES.DateTime)

    def _publish_capabilities(self) -> None:
        limits = self.limits
        for node, value, kind in (
            (_IDS.Server_ServerCapabilities_ServerProfileArray, [], _TYPES.String),
            (_IDS.Server_ServerCapabilities_LocaleIdArray, ["en"], _TYPES.String),
            (_IDS.Server_ServerCapabilities_SoftwareCertificates, [], _TYPES.ExtensionObject),
            (_IDS.Server_ServerCapabilities_MinSupportedSampleRate, limits.publishing_min_ms, _TYPES.Double),
            (
                _IDS.Server_ServerCapabilities_MaxBrowseContinuationPoints,
                limits.continuation_points,
                _TYPES.UInt16,
            ),
            (_IDS.Server_ServerCapabilities_MaxQueryContinuationPoints, 0, _TYPES.UInt16),
            (_IDS.Server_ServerCapabilities_MaxHistoryContinuationPoints, POINTS_PER_SESSION, _TYPES.UInt16),
            (_IDS.Server_ServerCapabilities_MaxArrayLength, limits.message_bytes, _TYPES.UInt32),
            (_IDS.Server_ServerCapabilities_MaxStringLength, limits.message_bytes, _TYPES.UInt32),
            (_IDS.Server_ServerCapabilities_MaxByteStringLength, limits.message_bytes, _TYPES.UInt32),
            (_IDS.Server_ServerCapabilities_MaxSessions, limits.sessions, _TYPES.UInt32),
            (
                _IDS.Server_ServerCapabilities_MaxSubscriptionsPerSession,
                limits.subscriptions_per_session,
                _TYPES.UInt32,
            ),
            (
                _IDS.Server_ServerCapabilities_MaxMonitoredItemsPerSubscription,
                limits.items_per_subscription,
                _TYPES.UInt32,
            ),
            (_IDS.Server_ServerCapabilities_MaxMonitoredItemsQueueSize, limits.queue_size, _TYPES.UInt32),
        ):
            self._set(node, value, kind)

    def _publish_operation_limits(self) -> None:
        prefix = "Server_ServerCapabilities_OperationLimits_"
        limits = self.limits
        for name, value in (
            ("MaxNodesPerRead", limits.operations),
            ("MaxNodesPerHistoryReadData", limits.call_operations),
            ("MaxNodesPerHistoryReadEvents", limits.call_operations),
            ("MaxNodesPerWrite", limits.write_operations),
            ("MaxNodesPerHistoryUpdateData", 0),
            ("MaxNodesPerHistoryUpdateEvents", 0),
            ("MaxNodesPerMethodCall", limits.call_operations),
            ("MaxNodesPerBrowse", limits.browse_operations),
            ("MaxNodesPerRegisterNodes", limits.operations),
            ("MaxNodesPerTranslateBrowsePathsToNodeIds", limits.browse_operations),
            ("MaxNodesPerNodeManagement", 0),
            ("MaxMonitoredItemsPerCall", limits.operations),
        ):
            self._set(getattr(_IDS, prefix + name), value, _TYPES.UInt32)

    def _build(self) -> Any:
        built: Any = datetime(1970, 1, 1, tzinfo=UTC)
        info: Any = ua.BuildInfo(BuildDate=built)
        info.ProductUri = PRODUCT_URI
        info.ManufacturerName = "gridnode"
        info.ProductName = "gridnode"
        info.SoftwareVersion = software_version()
        info.BuildNumber = "0"
        return info

    def _status(self) -> ua.ServerStatusDataType:
        started: Any = ticks_to_datetime(self.started_ticks)
        return ua.ServerStatusDataType(
            StartTime=started,
            CurrentTime=self._now(),
            State=self.state,
            BuildInfo=self._build(),
            SecondsTillShutdown=ua.UInt32(self.seconds_left),
            ShutdownReason=_localized(self.reason),
        )

    def _now(self) -> Any:
        return ticks_to_datetime(self.clock.now())

    # --- values

    def _set(self, node: int, value: Any, kind: ua.VariantType) -> None:
        """A value that stays; the standard address space of the library has the node, or it is left out."""
        entry = self._entry(node)
        if entry is not None:
            stamp: Any = self._now()
            variant = ua.Variant(value, kind, is_array=isinstance(value, list))
            entry.value = ua.DataValue(variant, SourceTimestamp=stamp)

    def _live(self, node: int, read: Callable[[], ua.Variant]) -> None:
        """A value that is made when somebody looks."""
        entry = self._entry(node)
        if entry is not None:
            entry.value_callback = lambda _node, _attribute: ua.DataValue(read(), SourceTimestamp=self._now())

    def _entry(self, node: int) -> Any:
        found = self.space.get(ua.NodeId(ua.Int32(node)))
        return None if found is None else found.attributes.get(ua.AttributeIds.Value)


def _localized(text: str) -> ua.LocalizedText:
    wire_text: Any = text
    locale: Any = "en"
    return ua.LocalizedText(wire_text, locale)
