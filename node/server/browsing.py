"""Browse, BrowseNext and TranslateBrowsePathsToNodeIds (OPC 10000-4 section 5.8)."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from asyncua import ua

from node.server.limits import Limits
from node.server.request import ServiceRefused
from node.server.sessions.sessions import Session
from node.server.transport.tasks import in_slices

_HAS_SUBTYPE: Final = ua.NodeId(ua.Int32(ua.ObjectIds.HasSubtype))
_EVERY_FIELD: Final = 0x3F
_POINT_BYTES: Final = 16
_NO_INDEX: Final = 0xFFFF_FFFF  # RemainingPathIndex of a complete path
# No node is as far from another; a path that goes up and down for ever would be followed for long.
_MOST_STEPS: Final = 100


@dataclass(slots=True)
class _Rest:
    """References of one Browse that did not fit into its answer."""

    references: list[ua.ReferenceDescription]
    per_answer: int
    mask: int


class Browser:
    """Follows references."""

    def __init__(self, nodes: Mapping[ua.NodeId, Any], limits: Limits) -> None:
        self._nodes = nodes
        self._limits = limits
        # Types do not change while the server runs.
        self._subtypes: dict[ua.NodeId, frozenset[ua.NodeId]] = {}

    async def browse(self, parameters: ua.BrowseParameters, session: Session) -> ua.BrowseResponse:
        """Answer a Browse. Raises ServiceRefused for what concerns the whole request."""
        if not parameters.View.ViewId.is_null():
            raise ServiceRefused(ua.StatusCodes.BadViewIdUnknown)
        asked = parameters.RequestedMaxReferencesPerNode
        most = self._limits.references_per_node
        per_answer = min(asked, most) if asked else most
        response: Any = ua.BrowseResponse()
        response.Results = await in_slices(parameters.NodesToBrowse, lambda item: self._one(item, per_answer, session))
        return response  # type: ignore[no-any-return]

    def browse_next(self, parameters: ua.BrowseNextParameters, session: Session) -> ua.BrowseNextResponse:
        """Answer a BrowseNext: the next references, or with the release flag none."""
        results: list[ua.BrowseResult] = []
        for point in parameters.ContinuationPoints:
            rest = session.browse_points.pop(point or b"", None)
            if not isinstance(rest, _Rest):
                results.append(_failed(ua.StatusCodes.BadContinuationPointInvalid))
            elif parameters.ReleaseContinuationPoints:
                results.append(ua.BrowseResult())
            else:
                results.append(self._page(rest, session))
        response: Any = ua.BrowseNextResponse()
        response.Parameters.Results = results
        return response  # type: ignore[no-any-return]

    async def translate(self, parameters: ua.TranslateBrowsePathsToNodeIdsParameters) -> Any:
        """Answer a TranslateBrowsePathsToNodeIds."""
        response: Any = ua.TranslateBrowsePathsToNodeIdsResponse()
        response.Results = await in_slices(parameters.BrowsePaths, self._follow)
        return response

    # --- one node

    def _one(self, item: ua.BrowseDescription, per_answer: int, session: Session) -> ua.BrowseResult:
        node = self._nodes.get(item.NodeId)
        if node is None:
            return _failed(ua.StatusCodes.BadNodeIdUnknown)
        if item.BrowseDirection == ua.BrowseDirection.Invalid:
            return _failed(ua.StatusCodes.BadBrowseDirectionInvalid)
        if not item.ReferenceTypeId.is_null() and not self.is_reference_type(item.ReferenceTypeId):
            return _failed(ua.StatusCodes.BadReferenceTypeIdInvalid)
        forward = item.BrowseDirection != ua.BrowseDirection.Inverse
        inverse = item.BrowseDirection != ua.BrowseDirection.Forward
        types = self.reference_types(item.ReferenceTypeId, with_subtypes=bool(item.IncludeSubtypes))
        found = [
            reference
            for reference in node.references
            if (forward if reference.IsForward else inverse)
            and (types is None or reference.ReferenceTypeId in types)
            and (not item.NodeClassMask or item.NodeClassMask & reference.NodeClass)
        ]
        return self._page(_Rest(found, per_answer, item.ResultMask), session)

    def _page(self, rest: _Rest, session: Session) -> ua.BrowseResult:
        page, rest.references = rest.references[: rest.per_answer], rest.references[rest.per_answer :]
        result: Any = ua.BrowseResult()
        if rest.references:
            if len(session.browse_points) >= self._limits.continuation_points:
                return _failed(ua.StatusCodes.BadNoContinuationPoints)
            point = secrets.token_bytes(_POINT_BYTES)
            session.browse_points[point] = rest
            result.ContinuationPoint = point
        result.References = page if rest.mask & _EVERY_FIELD == _EVERY_FIELD else [_masked(r, rest.mask) for r in page]
        return result  # type: ignore[no-any-return]

    # --- types

    def is_reference_type(self, node_id: ua.NodeId) -> bool:
        """Whether there is a reference type of this NodeId."""
        node = self._nodes.get(node_id)
        if node is None:
            return False
        entry = node.attributes.get(ua.AttributeIds.NodeClass)
        return entry is not None and entry.value.Value.Value == ua.NodeClass.ReferenceType

    def reference_types(self, node_id: ua.NodeId, *, with_subtypes: bool) -> frozenset[ua.NodeId] | None:
        """Reference types that fit; None when all do."""
        if node_id.is_null():
            return None
        if not with_subtypes:
            return frozenset((node_id,))
        known = self._subtypes.get(node_id)
        if known is None:
            known = self._subtypes[node_id] = frozenset(self._below(node_id))
        return known

    def _below(self, node_id: ua.NodeId) -> Iterator[ua.NodeId]:
        waiting, seen = [node_id], {node_id}
        while waiting:
            current = waiting.pop()
            yield current
            node = self._nodes.get(current)
            for reference in node.references if node is not None else ():
                target = reference.NodeId
                if reference.IsForward and reference.ReferenceTypeId == _HAS_SUBTYPE and target not in seen:
                    seen.add(target)
                    waiting.append(target)

    # --- paths

    def _follow(self, path: ua.BrowsePath) -> ua.BrowsePathResult:
        result: Any = ua.BrowsePathResult()
        status = self._path_fault(path)
        targets: list[ua.NodeId] = []
        if status is None:
            targets = [path.StartingNode]
            for element in path.RelativePath.Elements:
                targets = list(dict.fromkeys(target for start in targets for target in self._step(start, element)))
            if not targets:
                status = ua.StatusCodes.BadNoMatch
        result.StatusCode = ua.StatusCode(ua.UInt32(status or 0))
        result.Targets = [
            ua.BrowsePathTarget(
                TargetId=ua.ExpandedNodeId(each.Identifier, each.NamespaceIndex, each.NodeIdType),
                RemainingPathIndex=ua.UInt32(_NO_INDEX),
            )
            for each in targets
        ]
        return result  # type: ignore[no-any-return]

    def _path_fault(self, path: ua.BrowsePath) -> int | None:
        elements = path.RelativePath.Elements
        if self._nodes.get(path.StartingNode) is None:
            return ua.StatusCodes.BadNodeIdUnknown
        if not elements:
            return ua.StatusCodes.BadNothingToDo
        if len(elements) > _MOST_STEPS:
            return ua.StatusCodes.BadQueryTooComplex
        if elements[-1].TargetName is None or not elements[-1].TargetName.Name:
            return ua.StatusCodes.BadBrowseNameInvalid
        return None

    def _step(self, start: ua.NodeId, element: ua.RelativePathElement) -> Iterator[ua.NodeId]:
        node = self._nodes.get(start)
        if node is None:
            return
        types = self.reference_types(element.ReferenceTypeId, with_subtypes=bool(element.IncludeSubtypes))
        for reference in node.references:
            if (
                reference.IsForward != element.IsInverse
                and reference.BrowseName == element.TargetName
                and (types is None or reference.ReferenceTypeId in types)
            ):
                yield reference.NodeId


def _failed(status: int) -> ua.BrowseResult:
    return ua.BrowseResult(StatusCode=ua.StatusCode(ua.UInt32(status)))


def _masked(reference: ua.ReferenceDescription, mask: int) -> ua.ReferenceDescription:
    """A copy with the fields of a BrowseResultMask (OPC 10000-4 section 7.6)."""
    empty = ua.ReferenceDescription()
    return replace(
        reference,
        ReferenceTypeId=reference.ReferenceTypeId if mask & 0x01 else empty.ReferenceTypeId,
        IsForward=reference.IsForward if mask & 0x02 else False,
        NodeClass=reference.NodeClass if mask & 0x04 else empty.NodeClass,
        BrowseName=reference.BrowseName if mask & 0x08 else empty.BrowseName,
        DisplayName=reference.DisplayName if mask & 0x10 else empty.DisplayName,
        TypeDefinition=reference.TypeDefinition if mask & 0x20 else empty.TypeDefinition,
    )
