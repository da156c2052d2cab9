"""deploy/grafana/gridnode.json: every query is answered by InfluxDB with what a whole node wrote."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from address_space.system import node_model, sink_model
from tests.e2e.influx.server import Influxd, influxql
from tests.e2e.running import free_port

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[3]
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "gridnode.json").read_text("utf-8"))
SITE = """
site: plant
server: {{listen: "127.0.0.1:{port}"}}
history: {{commit_interval: 100ms}}
simulate: {{enabled: true}}
buses:
  gw: {{driver: modbus, tcp: "127.0.0.1:{gateway}"}}
devices:
  xw1: {{profile: schneider.xw, bus: gw, unit: 10}}
sinks:
  central: {{type: influx, url: "{influx}", bucket: gridnode}}
"""
# Something is there for each panel: a measured value, one that is not Good, and what the sink and the node say.
THERE = (
    """SELECT count("v") FROM "h" WHERE "node" = 'xw1.ac_power'""",
    """SELECT count("st") FROM "h" WHERE "st" >= 1073741824""",
    """SELECT count("i") FROM "h" WHERE "node" = 'central.queue_samples'""",
    """SELECT count("i") FROM "h" WHERE "node" = 'node.journal_lost'""",
)
# What Grafana puts in: everything, or one site, device and point, whose dots it escapes.
EVERYTHING = {"site": ".*", "device": ".*", "node": ".*"}
TIME = {"timeFilter": "time > now() - 1h", "__interval": "10s"}


def queries() -> Iterator[tuple[str, str]]:
    """Title and text of each query of a panel."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            assert target["rawQuery"]
            yield panel["title"], target["query"]


def filled(query: str, values: dict[str, str]) -> str:
    text = re.sub(r"\$(\w+)", lambda name: (values | TIME)[name[1]], query)
    assert "$" not in re.sub(r"\$/", "", text), text
    return text


def test_the_points_that_it_names_are_recorded() -> None:
    text = " ".join(query for _, query in queries())
    named = set(re.findall(r"\\\.([a-z_]+)", text))
    assert named >= {"queue_samples", "quarantined", "lost", "journal_lost", "journal_damaged"}
    recorded = {
        point.id
        for model in (sink_model(), node_model(record_losses=True))
        for point in model.points
        if point.historize
    }
    assert named <= recorded


async def test_each_of_its_queries_has_an_answer_with_data(tmp_path: Path, influxd: Influxd) -> None:
    site = tmp_path / "site.yaml"
    site.write_text(SITE.format(port=free_port(), gateway=free_port(), influx=influxd.url))
    await run_until_forwarded(site, influxd)
    one = {"site": "plant", "device": "xw1"}
    for title, query in queries():
        for values in (EVERYTHING, EVERYTHING | one):
            series = await influxql(influxd.url, "gridnode", filled(query, values))
            rows = [row for each in series for row in each["values"] if row[1] is not None]  # type: ignore[attr-defined]
            assert rows, f"{title}: {filled(query, values)}"
    measured = next(query for title, query in queries() if title == "Measured values, Good only")
    (series,) = await influxql(influxd.url, "gridnode", filled(measured, one | {"node": r"xw1\.ac_power"}))
    assert series["tags"] == {"node": "xw1.ac_power"}
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            (found,) = await influxql(influxd.url, "gridnode", filled(variable["query"], EVERYTHING))
            values = {value for _key, value in found["values"]}  # type: ignore[attr-defined]
            assert (
                values
                >= {"site": {"plant"}, "device": {"xw1", "central", "node"}, "node": {"xw1.ac_power"}}[variable["name"]]
            )


async def run_until_forwarded(site: Path, influxd: Influxd) -> None:
    """Run the node until the database has something of all kinds."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GRIDNODE_")}
    node = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "node", "run", str(site), cwd=ROOT,
        env=environment | {"XDG_STATE_HOME": str(site.parent / "home")},
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(120):
            while not all([await influxql(influxd.url, "gridnode", query) for query in THERE]):
                assert node.returncode is None
                await asyncio.sleep(0.2)
        node.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            assert await node.wait() == 0
    finally:
        if node.returncode is None:
            node.kill()
            await node.wait()
