"""The command line against a running node, each as a program of its own, as people use them."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.running import free_port

pytestmark = pytest.mark.e2e

SITE = """
site: test
server:
  listen: 127.0.0.1:{port}
  security: {{none: true, anonymous: true}}
history: {{commit_interval: 100ms}}
simulate: {{enabled: true}}
buses:
  gw: {{driver: modbus, tcp: "127.0.0.1:{gateway}"}}
devices:
  xw1: {{profile: schneider.xw, bus: gw, unit: 10, control: true}}
  xw2: {{profile: schneider.xw, bus: gw, unit: 11}}
sinks:
  central: {{type: influx, url: "http://127.0.0.1:{nobody}", bucket: gridnode}}
"""
PASSWORD = "correct horse battery"
LIMIT_S = 60  # a program of this size starts in a second, on a busy machine in ten


@dataclass(frozen=True)
class Prompt:
    """Somebody who has run a site and now types other commands."""

    folder: Path
    port: int

    @property
    def site(self) -> Path:
        return self.folder / "site.yaml"

    @property
    def environment(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("GRIDNODE_")}
        return clean | {"XDG_STATE_HOME": str(self.folder / "home"), "PYTHONUNBUFFERED": "1"}

    def start(self, *words: str, stderr: int = subprocess.STDOUT) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "node", *words],
            env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, text=True,
        )  # fmt: skip

    def __call__(self, *words: str, code: int = 0, **env: str) -> str:
        """Output of a command, which has to end with an exit code."""
        done = subprocess.run(
            [sys.executable, "-m", "node", *words],
            env=self.environment | env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=LIMIT_S, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr


def prompt(folder: Path) -> Prompt:
    made = Prompt(folder, free_port())
    made.site.write_text(SITE.format(port=made.port, gateway=free_port(), nobody=free_port()))
    return made


def read_until(process: subprocess.Popen[str], pattern: str) -> str:
    """Output up to the first line that fits."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if re.search(pattern, line):
            return "".join(lines)
    pytest.fail(f"it ended with {process.wait()} before {pattern!r}:\n{''.join(lines)}")


def end(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> int:
    process.send_signal(number)
    process.communicate(timeout=LIMIT_S)
    return process.returncode


@pytest.fixture(scope="module")
def at_plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prompt]:
    """A prompt on the machine of a running node, with an Operator."""
    here = prompt(tmp_path_factory.mktemp("plant"))
    node = here.start("run", str(here.site))
    try:
        banner = read_until(node, "first log in as user")
        assert f"opc.tcp://127.0.0.1:{here.port}" in banner
        here("user", "add", "olga", "--role", "Operator", GRIDNODE_PASSWORD=PASSWORD)
        yield here
    finally:
        assert end(node) == 0


def test_watch_prints_changes_with_unit_status_and_local_time(at_plant: Prompt) -> None:
    watching = at_plant.start("watch", "xw1.ac_power", "*.ac_voltage")
    try:
        line = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d  %s  -?[\d.]+ %s  Good$"
        read_until(watching, line % (r"xw1\.ac_power", "W"))
        read_until(watching, line % (r"xw2\.ac_voltage", "V"))
    finally:
        assert end(watching, signal.SIGINT) == 130


def test_watch_shows_sinks_too(at_plant: Prompt) -> None:
    watching = at_plant.start("watch", "central")
    try:
        read_until(watching, r"  central\.sink_state  Retrying \(3\)  Good$")
    finally:
        watching.kill()
        watching.communicate()


def test_watch_shows_buses_and_the_node_too(at_plant: Prompt) -> None:
    watching = at_plant.start("watch", "gw.utilisation", "node")
    try:
        shown = read_until(watching, r"  node\.journal_samples  \d+  Good$")
        shown += "" if "gw.utilisation" in shown else read_until(watching, r"  gw\.utilisation  [\d.]+ %  Good$")
        assert "node.certificate_days_left" in shown + read_until(watching, "node|gw")
    finally:
        watching.kill()
        watching.communicate()
    assert "no point fits 'gw.nothing'" in at_plant("watch", "gw.nothing", code=1)


def test_watch_leaves_out_what_can_only_be_written_unless_it_is_named(at_plant: Prompt) -> None:
    watching = at_plant.start("watch", "xw1.*", "gw.utilisation", "node")
    try:
        shown = read_until(watching, r"  node\.journal_samples  \d+  Good$")
        assert "xw1.ac_power" in shown
        assert "force_charger_state" not in shown
    finally:
        watching.kill()
        watching.communicate()
    assert "xw1.force_charger_state is write-only" in at_plant("watch", "xw1.force_charger_state", code=1)
    assert "what fits '*.force_charger_state' is write-only" in at_plant("watch", "*.force_charger_state", code=1)


def test_watch_ends_quietly_when_its_reader_has_enough(at_plant: Prompt) -> None:
    with at_plant.start("watch", "xw1.device_name", stderr=subprocess.PIPE) as watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        assert "xw1.device_name" in watching.stdout.readline()
        watching.stdout.close()
        assert watching.stderr.read() == ""
        assert watching.wait(LIMIT_S) == 0


def test_a_command_is_confirmed_and_seen(at_plant: Prompt) -> None:
    said = at_plant("call", "xw1", "StartSell", "--user", "olga", GRIDNODE_PASSWORD=PASSWORD)
    assert said.startswith("xw1.StartSell: CONFIRMED (Good)\n")
    assert "sell_enabled=On" in said
    assert re.search(r"elapsed: +\d+\.\d{3} s", said)


def test_a_code_may_be_given_by_its_name(at_plant: Prompt) -> None:
    word = {"GRIDNODE_PASSWORD": PASSWORD, "GRIDNODE_USER": "olga"}
    assert "sell_enabled=On" in at_plant("call", "xw1", "RunCommand", "StartSell", **word)
    assert "sell_enabled=Off" in at_plant("call", "xw1", "RunCommand", "6", **word)
    assert "'Explode' is no Int32; it is: " in at_plant("call", "xw1", "RunCommand", "Explode", code=1, **word)


def test_each_other_outcome_has_its_own_exit_code(at_plant: Prompt) -> None:
    word = {"GRIDNODE_PASSWORD": PASSWORD, "GRIDNODE_USER": "olga"}
    refused = at_plant("call", "xw2", "StartSell", code=12, **word)
    assert refused.startswith("xw2.StartSell: REFUSED (Bad")
    assert "amps" in at_plant("call", "xw1", "SetLoadShave", "on", "2000", code=12, **word)


def test_a_command_that_cannot_be_asked_for_says_why(at_plant: Prompt) -> None:
    word = {"GRIDNODE_PASSWORD": PASSWORD, "GRIDNODE_USER": "olga"}
    assert "there is no device 'xw9'; there is xw1, xw2" in at_plant("call", "xw9", "Standby", code=1, **word)
    assert "it has Operating, Standby" in at_plant("call", "xw1", "Explode", code=1, **word)
    assert "needs 2 inputs (enable, amps); 1 were given" in at_plant(
        "call", "xw1", "SetLoadShave", "on", code=1, **word
    )
    assert "'many' is no Double" in at_plant("call", "xw1", "SetLoadShave", "on", "many", code=1, **word)
    nobody = at_plant("call", "xw1", "Standby", code=1)
    assert "you need a user here" in nobody
    assert "it knows olga (Operator), admin (Admin)" in nobody
    wrong = at_plant("call", "xw1", "Standby", "--user", "olga", code=1, GRIDNODE_PASSWORD="wrong one")
    assert "wrong user or password" in wrong
    assert "wrong one" not in wrong


def test_history_is_in_time_order_and_local_time(at_plant: Prompt) -> None:
    lines = at_plant("history", "xw1.ac_power", "--last", "5m").splitlines()
    times = [line[:29] for line in lines]
    assert times == sorted(times)
    assert re.fullmatch(r"[-:. \d]+[+-]\d\d:\d\d +-?[\d.]+ W  Good", lines[-1]), lines[-1]
    assert "nothing was recorded" in at_plant("history", "xw1.ac_power", "--from", "2001-01-01", "--to", "2001-01-02")
    assert "there is no point 'xw1.nothing'" in at_plant("history", "xw1.nothing", code=1)
    assert at_plant("history", "xw1.requests", code=1).endswith("xw1.requests is not recorded\n")
    assert at_plant("history", "node.journal_state", code=1).endswith("node.journal_state is not recorded\n")
    assert at_plant("history", "xw1.force_charger_state", code=1).endswith("force_charger_state is not recorded\n")
    assert "not recorded; `historize: true`" in at_plant("history", "xw1.charge_mode", code=1)
    assert re.search(r" %  Good$", at_plant("history", "gw.utilisation"))


def test_history_takes_patterns_for_what_is_recorded(at_plant: Prompt) -> None:
    said = at_plant("history", "xw?.connection", "xw1.ac_power", "--last", "1s")
    assert {line.split()[0] for line in said.splitlines()} == {"xw1.connection", "xw2.connection", "xw1.ac_power"}
    assert "nothing that fits '*.requests' is recorded" in at_plant("history", "*.requests", code=1)
    assert "no point fits 'xw9.*'" in at_plant("history", "xw9.*", code=1)


def test_history_of_a_point_that_did_not_change_shows_what_held(at_plant: Prompt) -> None:
    at_plant("history", "xw1.connection")  # a program takes longer than the 100 ms of the next one
    (line,) = at_plant("history", "xw1.connection", "--last", "100ms").splitlines()
    assert line.endswith("Online (1)  Good  (older; it held at the start)")


def test_history_gives_aggregates_values_at_times_and_files(at_plant: Prompt, tmp_path: Path) -> None:
    words = ("history", "xw1.ac_power", "--last", "60s", "--aggregate", "timeaverage2")
    (average,) = at_plant(*words).splitlines()
    assert re.search(r" -?[\d.]+ W  \w+, calculated", average), average
    # From a whole interval on, up to now: one of them is cut by the end.
    assert len(at_plant(*words, "--interval", "10s").splitlines()) in (6, 7)
    newest = at_plant("history", "xw1.ac_power").splitlines()[-1]
    (same,) = at_plant("history", "xw1.ac_power", "--at", newest[:29]).splitlines()
    assert same == newest
    file = tmp_path / "out.csv"
    assert "out.csv: " in at_plant("history", "xw1.ac_power", "xw2.ac_power", "--output", str(file))
    head, *rows = file.read_text().splitlines()
    assert head == "point,time,value,status,code"
    assert {row.partition(",")[0] for row in rows} == {"xw1.ac_power", "xw2.ac_power"}
    times = [row.split(",")[1] for row in rows if row.startswith("xw1")]
    assert times == sorted(times)
    assert all(re.fullmatch(r"xw\d\.ac_power,[-\dT:.]+Z,-?[\d.]+,Good,0x00000000", row) for row in rows), rows
    wrong = at_plant("history", "xw1.device_state", "--aggregate", "Average", code=0)
    assert "calculated" in wrong
    assert "xw1.requests is not recorded" in at_plant("history", "xw1.requests", "-o", str(tmp_path / "x.csv"), code=1)
    assert [each.name for each in tmp_path.iterdir()] == ["out.csv"]


def test_the_journal_is_read_and_checked_beside_the_node(at_plant: Prompt) -> None:
    at_plant("history", "xw1.ac_power")
    from_node = at_plant("history", "xw1.connection", "--last", "10m")
    from_file = at_plant("history", "xw1.connection", "--last", "10m", "--journal")
    assert from_file == from_node
    assert from_file.count("Online (1)  Good") == 1
    assert "all of it is whole" in at_plant("journal", "check")
    found = json.loads(at_plant("journal", "stats", "--json"))
    assert found["samples"] > 100
    (sink,) = found["sinks"]
    assert (sink["id"], sink["quarantined"]) == ("central", 0)
    assert sink["waiting"] > 100  # nobody listens there
    assert "0 in quarantine" in at_plant("journal", "quarantine", "list")
    assert "it comes anyway" in at_plant("journal", "replay", "central", "--last", "1h")
    assert "there is central" in at_plant("journal", "replay", "other", "--last", "1h", code=1)


def test_a_client_elsewhere_knows_the_node_and_is_known_before_a_password_is_sent(
    at_plant: Prompt, tmp_path: Path
) -> None:
    elsewhere = Prompt(tmp_path, at_plant.port)
    words = ("call", "xw1", "Operating", "--url", f"opc.tcp://127.0.0.1:{at_plant.port}", "--user", "olga")
    said = elsewhere(*words, code=1, GRIDNODE_PASSWORD=PASSWORD)
    found = re.search(r"Its thumbprint is ([0-9A-F]{40})", said)
    assert found is not None, said
    assert found[1] in at_plant("cert", "show")
    known = {"GRIDNODE_PASSWORD": PASSWORD, "GRIDNODE_SERVER_THUMBPRINT": found[1]}
    accept = re.search(r"gridnode (trust accept [0-9A-F]{40})", elsewhere(*words, code=1, **known))
    assert accept is not None
    at_plant(*accept[1].split())
    assert "CONFIRMED" in elsewhere(*words, GRIDNODE_PASSWORD=PASSWORD)


def test_what_is_no_node_is_said(tmp_path: Path) -> None:
    nobody = Prompt(tmp_path, free_port())
    assert "nobody listens" in nobody("watch", "--url", f"opc.tcp://127.0.0.1:{nobody.port}", code=1)
    assert "is no URL of a node" in nobody("watch", "--url", "http://127.0.0.1", code=1)
    here = prompt(tmp_path)
    last = tmp_path / "home" / "gridnode" / "site"
    last.parent.mkdir(parents=True)
    last.write_text(f"{here.site}\n")
    why = f"this node is that of {here.site}, which you ran last; name another one by --site FILE"
    assert why in here("watch", code=1)
    assert "ran last" not in here("watch", "--site", str(here.site), code=1)


def test_simulators_run_alone_and_end_at_sigterm(tmp_path: Path) -> None:
    here = prompt(tmp_path)
    simulators = here.start("simulate", str(here.site))
    assert read_until(simulators, r"^gw: 127\.0\.0\.1:\d+: xw1 \(unit 10\), xw2 \(unit 11\)$")
    assert end(simulators) == 0


def test_node_and_simulators_may_be_two_processes_and_watch_waits_for_a_node_that_restarts(tmp_path: Path) -> None:
    here = prompt(tmp_path)
    simulators = here.start("simulate", str(here.site))
    processes = [simulators]
    try:
        read_until(simulators, "^gw: ")
        processes.append(node := here.start("run", "--no-simulate", str(here.site)))
        banner = read_until(node, "first log in as user")
        assert f"gridnode user add operator --role Operator --site {here.site}\n" in banner
        assert f"gridnode call xw1 StartSell --user operator --site {here.site}\n" in banner
        processes.append(watching := here.start("watch", "xw1.device_name"))
        read_until(watching, "xw1.device_name .* Good$")
        assert end(node) == 0
        read_until(watching, "broke; waiting until the node is back$")
        processes.append(here.start("run", "--no-simulate", str(here.site)))
        read_until(watching, "xw1.device_name .* Good$")
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_a_real_plant_is_never_simulated(tmp_path: Path) -> None:
    here = prompt(tmp_path)
    here.site.write_text(here.site.read_text().replace("simulate: {enabled: true}", ""))
    assert "this site is not simulated" in here("simulate", str(here.site), code=1)


def test_a_wrong_site_starts_nothing_and_changes_nothing(tmp_path: Path) -> None:
    here = prompt(tmp_path)
    here.site.write_text(here.site.read_text().replace("unit: 11", "unit: 10"))
    assert "devices.xw2.unit: xw1 is on bus gw already" in here("run", str(here.site), code=1)
    assert [path.name for path in tmp_path.iterdir()] == ["site.yaml"]


def test_who_tries_too_often_is_told_to_wait(tmp_path: Path) -> None:
    here = prompt(tmp_path)  # a node of its own: others on this machine have to wait, too
    node = here.start("run", str(here.site))
    try:
        read_until(node, "first log in as user")
        said = ""
        for _ in range(12):  # each wrong one doubles the wait, until it is longer than a program takes to start
            said = here("history", "xw1.ac_power", "--user", "admin", code=1, GRIDNODE_PASSWORD="wrong one")
            if "wrong user or password" not in said:
                break
        assert "too many tries; wait a few seconds" in said
    finally:
        assert end(node) == 0
