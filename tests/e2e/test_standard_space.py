"""A client sees the same namespace 0 whether a start built it or took it from the file."""

import logging
import shutil
from pathlib import Path

import pytest
from asyncua import Client, ua

from node.site import Listen, ServerConfig
from tests.e2e.server_stage import Keys, serving

pytestmark = pytest.mark.e2e

# What a client shows of a node first; all others are compared where nodes come from.
SHOWN = (ua.AttributeIds.DisplayName, ua.AttributeIds.NodeClass, ua.AttributeIds.Value)
ROOT = ua.NodeId(ua.ObjectIds.RootFolder)
AT_ONCE = 100
LIVE = {
    ua.NodeId(identifier)
    for identifier in (
        ua.ObjectIds.Server_ServerStatus,
        ua.ObjectIds.Server_ServerStatus_StartTime,
        ua.ObjectIds.Server_ServerStatus_CurrentTime,
        ua.ObjectIds.Server_ServerDiagnostics_ServerDiagnosticsSummary,
        ua.ObjectIds.Server_ServerDiagnostics_SessionsDiagnosticsSummary_SessionDiagnosticsArray,
        ua.ObjectIds.Server_ServerDiagnostics_SessionsDiagnosticsSummary_SessionSecurityDiagnosticsArray,
    )
}
# Has an object for each session below it.
SESSIONS = ua.NodeId(ua.ObjectIds.Server_ServerDiagnostics_SessionsDiagnosticsSummary)
Seen = dict[ua.NodeId, tuple[list[ua.ReferenceDescription], list[ua.DataValue]]]


async def crawl(client: Client) -> Seen:
    """Everything in namespace 0 that forward and inverse references lead to, and what is shown of it."""
    seen: Seen = {}
    waiting, known = [ROOT], {ROOT}
    while waiting:
        now, waiting = waiting[:AT_ONCE], waiting[AT_ONCE:]
        for nodeid, references in zip(now, await browse(client, now), strict=True):
            seen[nodeid] = references, []
            targets = {each.NodeId for each in references if each.NodeId.NamespaceIndex == 0} - known
            waiting += sorted(targets)
            known |= targets
    for nodeid, (_, values) in seen.items():
        ids = [ua.ReadValueId(nodeid, attribute) for attribute in SHOWN]
        values.extend(await client.uaclient.read(ua.ReadParameters(0, ua.TimestampsToReturn.Source, ids)))
    return seen


async def browse(client: Client, nodes: list[ua.NodeId]) -> list[list[ua.ReferenceDescription]]:
    """All references of nodes in both directions."""
    everything = ua.BrowseResultMask.All
    questions = [
        ua.BrowseDescription(nodeid, ua.BrowseDirection.Both, ua.NodeId(), True, 0, everything) for nodeid in nodes
    ]
    results = await client.uaclient.browse(ua.BrowseParameters(NodesToBrowse=questions))
    found = [list(result.References) for result in results]
    for result, references in zip(results, found, strict=True):
        point = result.ContinuationPoint
        while point:
            (more,) = await client.uaclient.browse_next(ua.BrowseNextParameters(False, [point]))
            references.extend(more.References)
            point = more.ContinuationPoint
    return found


async def test_a_client_finds_the_same_in_a_space_out_of_the_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = Keys(tmp_path / "keys")
    config = ServerConfig(listen=Listen("127.0.0.1", 0))
    seen, built = [], []
    for name in ("builds", "reads"):
        if seen:
            shutil.copytree(tmp_path / "builds/state/cache", tmp_path / "reads/state/cache")
        caplog.clear()
        with caplog.at_level(logging.INFO, "node.server.standard.space_cache"):
            async with serving(tmp_path / name, keys, config) as stage, stage.client("eve") as client:
                built.append("address space is built" in caplog.text)
                seen.append(await crawl(client))
    assert built == [True, False]
    first, second = seen
    assert len(first) > 5000
    assert list(first) == list(second)
    assert {nodeid for nodeid in first if first[nodeid][0] != second[nodeid][0]} == {SESSIONS}
    differing = {nodeid for nodeid in first if said(first[nodeid][1]) != said(second[nodeid][1])}
    assert differing <= LIVE


def said(values: list[ua.DataValue]) -> list[tuple[ua.Variant | None, ua.StatusCode | None]]:
    """Values without their times."""
    return [(value.Value, value.StatusCode) for value in values]
