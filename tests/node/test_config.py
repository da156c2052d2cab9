# ruff: noqa: E501 - a table of cases reads better in long lines
"""The site file: what is refused, with which line and words, and what comes out of a right one."""

from dataclasses import replace
from pathlib import Path

import pytest

from address_space.model import DeviceClass, PointKind, Range, RecordingRule
from drivers.problems import ConfigError
from drivers.spec import Function, SerialLine, TcpPeer, WordOrder
from node.config import check_site, load_site
from node.historian.store.retention_rule import RetentionRule, WhenFull
from node.server.limits import Limits
from node.server.security.revocation import RevocationRule
from node.site import LogFormat, site_buses, site_units

RIGHT = """\
site: demo
server:
  listen: 127.0.0.1:4840
buses:
  gw1:
    driver: modbus
    tcp: 127.0.0.1:15020
devices:
  xw1: {profile: schneider.xw, bus: gw1, unit: 10}
"""
PROFILE = """\
schema: gridnode/profile@1
id: own.meter
version: 1.0.0
device: {class: generic, model: Own}
provenance: {level: guessed, sources: [a test]}
protocol: modbus
parameters:
  period: {type: duration, default: 1s, range: [0.1, 60], description: Between two reads.}
groups: {normal: $period, once: start}
points:
  level: {addr: 0, type: u16, group: normal, unit: "%", range: [0, 100], label: Level, description: How full.}
  name: {addr: 10, type: text, registers: 4, group: once, label: Name, description: Its name.}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "site.yaml"
    path.write_text(text, "utf-8")
    return path


def problems(folder: Path, text: str) -> list[str]:
    path = write(folder, text)
    with pytest.raises(ConfigError) as caught:
        check_site(path)
    return [str(problem).removeprefix(f"{folder}/") for problem in caught.value.problems]


def changed(old: str, new: str) -> str:
    assert RIGHT.count(old) == 1, old
    return RIGHT.replace(old, new)


def with_bus(text: str) -> str:
    return changed("    tcp: 127.0.0.1:15020\n", text)


def with_device(text: str) -> str:
    return RIGHT + text


CASES = {
    "unknown key at the top": (changed("site: demo", "site: demo\nsimulat: {}"), "2: simulat: unknown key; did you mean simulate?"),
    "unknown key in a bus": (with_bus("    tcp: 127.0.0.1:15020\n    word_ordr: big\n"), "8: buses.gw1.word_ordr: unknown key; did you mean word_order? (allowed: driver"),
    "unknown key in a device": (with_device("  xw2: {profile: schneider.xw, bus: gw1, unit: 11, contrl: true}\n"), "10: devices.xw2.contrl: unknown key; did you mean control?"),
    "unknown key in security": (changed("  listen: 127.0.0.1:4840", "  security: {open: true}"), "3: server.security.open: unknown key (allowed: none, anonymous, allow_insecure, revocation)"),
    "unknown limit": (changed("  listen: 127.0.0.1:4840", "  limits: {session: 5}"), "3: server.limits.session: unknown key; did you mean sessions?"),
    "limit below its bound": (changed("  listen: 127.0.0.1:4840", "  limits: {message_size: 1000}"), "3: server.limits.message_size: must be greater than or equal to 65535; it is 1000"),
    "limits the wrong way round": (changed("  listen: 127.0.0.1:4840", "  limits: {channel_lifetime_min: 1h, channel_lifetime_max: 1m}"), "3: server.limits.channel_lifetime_max: must not be less than channel_lifetime_min, 3600s; it is 60s"),
    "unknown rule of revocation": (changed("  listen: 127.0.0.1:4840", "  security: {revocation: sometimes}"), "3: server.security.revocation: "),
    "site id with capitals": (changed("site: demo", "site: Demo"), "1: site: must have a-z, 0-9, _ and - only; it is 'Demo'"),
    "no site id": (changed("site: demo\n", ""), "1: site: is missing"),
    "no devices": (RIGHT[: RIGHT.index("devices:")], "1: devices: a site needs at least one device"),
    "empty devices": (RIGHT[: RIGHT.index("  xw1")], "8: devices: must be a mapping"),
    "not a mapping": ("- a\n- b\n", "1: must be a mapping with the keys site, label"),
    "key twice": (changed("site: demo", "site: demo\nsite: again"), "2: site: stands twice; the first is on line 1"),
    "device twice": (with_device("  xw1: {profile: schneider.xw, bus: gw1, unit: 11}\n"), "10: devices.xw1: stands twice; the first is on line 9"),
    "not YAML": ("site: [demo\n", "is not YAML"),
    "duration without unit": (with_bus("    tcp: 127.0.0.1:15020\n    timeout: 1\n"), "8: buses.gw1.timeout: 1 is no duration; write it with its unit: 100ms, 1s, 5m (or 5min), 2h, 1d"),
    "duration of nothing": (with_bus("    tcp: 127.0.0.1:15020\n    timeout: 0s\n"), "8: buses.gw1.timeout: must be longer than 0 s"),
    "timeout too long": (with_bus("    tcp: 127.0.0.1:15020\n    timeout: 5m\n"), "8: buses.gw1.timeout: must be at most 60s; it is 300s"),
    "pauses the wrong way round": (with_bus("    tcp: 127.0.0.1:15020\n    retry_max: 100ms\n"), "8: buses.gw1.retry_max: must be at least retry_min (1s); it is 0.1s"),
    "listen without port": (changed("127.0.0.1:4840", "127.0.0.1"), "3: server.listen: '127.0.0.1' has no port from 1 to 65535; write address:port"),
    "listen port too high": (changed("127.0.0.1:4840", "127.0.0.1:65536"), "3: server.listen: '127.0.0.1:65536' has no port from 1 to 65535"),
    "listen port 0": (changed("127.0.0.1:4840", "127.0.0.1:0"), "3: server.listen: '127.0.0.1:0' has no port from 1 to 65535"),
    "listen on IPv6 without brackets": (changed("127.0.0.1:4840", "'::1:4840'"), "3: server.listen: '::1:4840' is no address"),
    "listen on a name that may be any address": (changed("127.0.0.1:4840", "127.example.org:4840"), "3: server.listen: '127.example.org' must be an address of this machine"),
    "none towards the network": (changed("  listen: 127.0.0.1:4840", "  security: {none: true}"), "3: server.security.none: other machines reach 0.0.0.0"),
    "anonymous towards the network": (changed("  listen: 127.0.0.1:4840", "  listen: '[::]:4840'\n  security: {anonymous: true}"), "4: server.security.anonymous: other machines reach ::"),
    "a name that is none": (changed("  listen: 127.0.0.1:4840", "  names: [plant.example, 'no name']"), "3: server.names[1]: 'no name' is neither a host name nor an IP address"),
    "log level": (changed("site: demo", "site: demo\nlogging: {level: loud}"), "2: logging.level: must be debug, info, warning, error or critical; it is 'loud'"),
    "log level of a part": (changed("site: demo", "site: demo\nlogging: {levels: {drivers.bus: 3}}"), "2: logging.levels.drivers.bus: must be debug"),
    "log part that is none": (changed("site: demo", "site: demo\nlogging: {levels: {nope.nope: info}}"), "2: logging.levels.nope.nope: nothing logs under this name or below it (allowed: address_space, drivers, node, asyncua"),
    "log format": (changed("site: demo", "site: demo\nlogging: {format: xml}"), "2: logging.format: must be text or json; it is 'xml'"),
    "commits too rare": (changed("site: demo", "site: demo\nhistory: {commit_interval: 5m}"), "2: history.commit_interval: must be at most 60s; it is 300s"),
    "absolute deadband for all": (changed("site: demo", "site: demo\nhistory: {record: {deadband: 2}}"), "2: history.record.deadband: must be a percentage here"),
    "rule for all that records nothing": (changed("site: demo", "site: demo\nhistory: {record: {on_change: false}}"), "2: history.record: records nothing"),
    "size without unit": (changed("site: demo", "site: demo\nhistory: {max_size: 4}"), "2: history.max_size: 4 is no size; write it with its unit: 500MB, 4GB"),
    "size that is too small": (changed("site: demo", "site: demo\nhistory: {max_size: 1MB}"), "2: history.max_size: must be at least 32MB"),
    "policy that is none": (changed("site: demo", "site: demo\nhistory: {when_full: stop}"), "2: history.when_full: must be keep_new or keep_old"),
    "deadband of a state": (with_device("  b:\n    profile: schneider.xw\n    bus: gw1\n    unit: 3\n    points:\n      state: {record: {deadband: 2}}\n"), "15: devices.b.points.state.record.deadband: only a number has a deadband; this is a state"),
    "unknown key of a rule": (with_device("  b: {profile: schneider.xw, bus: gw1, unit: 3, points: {ac_power: {record: {evry: 1s}}}}\n"), "10: devices.b.points.ac_power.record.evry: unknown key; did you mean every? (allowed: on_change, deadband"),
    "a word for a flag": (changed("site: demo", "site: demo\nhistory: {enabled: yes}"), "2: history.enabled: must be true or false"),
    "secret at the top": (changed("site: demo", "site: demo\npassword: abc"), "2: password: a secret never stands in a site file"),
    "secret among parameters": (with_device("  b: {profile: schneider.xw, bus: gw1, unit: 3, parameters: {api_key: abc}}\n"), "10: devices.b.parameters.api_key: a secret never stands in a site file"),
    "unknown driver": (changed("driver: modbus", "driver: modbuss"), "6: buses.gw1.driver: must be modbus or serial_line; it is 'modbuss'"),
    "no link": (with_bus(""), "5: buses.gw1: needs exactly one of tcp, serial, rtu_over_tcp; it has none"),
    "two links": (with_bus("    tcp: 127.0.0.1:15020\n    rtu_over_tcp: 127.0.0.1:15021\n"), "5: buses.gw1: needs exactly one of tcp, serial, rtu_over_tcp; it has tcp and rtu_over_tcp"),
    "serial line over TCP": (changed("driver: modbus", "driver: serial_line"), "5: buses.gw1: the driver serial_line needs `serial`"),
    "word order of a serial line": (RIGHT.replace("devices:", "  c: {driver: serial_line, serial: {port: x}, word_order: big}\ndevices:"), "8: buses.c.word_order: has no meaning for the driver serial_line"),
    "framing": (with_bus("    serial: {port: tty, framing: 9N1}\n"), "7: buses.gw1.serial.framing: must be data bits, parity and stop bits"),
    "baud": (with_bus("    serial: {port: tty, baud: 0}\n"), "7: buses.gw1.serial.baud: must be greater than or equal to 300"),
    "serial without port": (with_bus("    serial: {baud: 9600}\n"), "7: buses.gw1.serial.port: is missing"),
    "one port, two framings": (RIGHT.replace("devices:", "  a: {driver: modbus, serial: {port: tty}}\n  b: {driver: modbus, serial: {port: ./tty, framing: 8E1}}\ndevices:"), "9: buses.b.serial.port: bus a has this port already; a port is one bus, with one speed and one framing"),
    "host that is none": (with_bus("    tcp: 'a b:502'\n"), "7: buses.gw1.tcp: 'a b' is neither a host name nor an IP address"),
    "bus called node": (RIGHT.replace("devices:", "  node: {driver: modbus, tcp: 127.0.0.1}\ndevices:"), "8: buses.node: the id `node` is the node's own"),
    "bus id with a dot": (RIGHT.replace("devices:", "  a.b: {driver: modbus, tcp: 127.0.0.1}\ndevices:"), "8: buses.a.b: must begin with a letter"),
    "device id with a dot": (with_device("  a.b: {profile: schneider.xw, bus: gw1, unit: 3}\n"), "10: devices.a.b: must begin with a letter and have letters, digits and _ only; it is 'a.b'"),
    "device called node": (with_device("  node: {profile: schneider.xw, bus: gw1, unit: 3}\n"), "10: devices.node: the id `node` is the node's own"),
    "device called like a bus": (with_device("  gw1: {profile: schneider.xw, bus: gw1, unit: 3}\n"), "10: devices.gw1: a bus has this id already"),
    "unknown bus": (changed("bus: gw1", "bus: gw2"), "9: devices.xw1.bus: there is no bus 'gw2'; did you mean gw1? (allowed: gw1)"),
    "unknown profile": (changed("schneider.xw", "schneider.wx"), "9: devices.xw1.profile: there is no profile 'schneider.wx'"),
    "profile file that is not there": (changed("schneider.xw", "./own.yaml"), "9: devices.xw1.profile: "),
    "no profile": (changed("profile: schneider.xw, ", ""), "9: devices.xw1: needs a profile: "),
    "neither profile nor computed": (with_device("  b: {label: empty}\n"), "10: devices.b: needs `profile` and `bus`, or points under `computed`"),
    "unit over range": (changed("unit: 10", "unit: 248"), "9: devices.xw1.unit: must be 1 to 247, or 0 or 255 for the TCP device itself; it is 248"),
    "unit 0 on a serial bus": (with_bus("    serial: {port: tty}\n").replace("unit: 10", "unit: 0"), "9: devices.xw1.unit: must be 1 to 247; it is 0"),
    "unit as text": (changed("unit: 10", "unit: '10'"), "9: devices.xw1.unit: must be a whole number"),
    "two devices on one unit": (with_device("  xw2: {profile: schneider.xw, bus: gw1, unit: 10}\n"), "10: devices.xw2.unit: xw1 is on bus gw1 already; two devices cannot answer as unit 10"),
    "wrong protocol": (RIGHT.replace("devices:", "  c: {driver: serial_line, serial: {port: x}}\ndevices:").replace("bus: gw1, unit: 10", "bus: c"), "10: devices.xw1.bus: bus c speaks serial_line, the profile schneider.xw modbus"),
    "two collectors on one port": (RIGHT.replace("devices:", "  c: {driver: serial_line, serial: {port: x}}\ndevices:") + "  a: {profile: generic.serial_current_sensor, bus: c}\n  b: {profile: generic.serial_current_sensor, bus: c}\n", "12: devices.b.bus: a is on bus c already; a serial collector is alone on its port"),
    "unit of a collector": (RIGHT.replace("devices:", "  c: {driver: serial_line, serial: {port: x}}\ndevices:") + "  a: {profile: generic.serial_current_sensor, bus: c, unit: 1}\n", "11: devices.a.unit: a serial collector has no unit"),
    "unknown parameter": (with_device("  b: {profile: eastron.sdm630, bus: gw1, unit: 3, parameters: {fast: 1s}}\n"), "10: devices.b.parameters.fast: "),
    "parameter out of range": (with_device("  b:\n    profile: eastron.sdm630\n    bus: gw1\n    parameters:\n      fast_period: 2h\n"), "14: devices.b.parameters.fast_period: "),
    "override of no point": (with_device("  b: {profile: eastron.sdm630, bus: gw1, unit: 3, points: {wattage: {historize: true}}}\n"), "10: devices.b.points.wattage: eastron.sdm630 has no such point"),
    "override of a point nearly right": (with_device("  b: {profile: schneider.xw, bus: gw1, unit: 3, points: {ac_powr: {historize: true}}}\n"), "10: devices.b.points.ac_powr: schneider.xw has no such point; did you mean ac_power?"),
    "range of a state": (with_device("  b: {profile: schneider.xw, bus: gw1, unit: 3, points: {state: {range: [0, 1]}}}\n"), "10: devices.b.points.state.range: a state has no range"),
    "range upside down": (with_device("  b: {profile: eastron.sdm630, bus: gw1, points: {power: {range: [5, 1]}}}\n"), "10: devices.b.points.power.range: the first number must be less than the second"),
    "ages the wrong way round": (with_device("  b: {profile: eastron.sdm630, bus: gw1, points: {power: {stale_after: 5m}}}\n"), "10: devices.b.points.power: stale_after (300s) must not be longer than bad_after (30s)"),
    "class of a device with a profile": (with_device("  b: {profile: eastron.sdm630, bus: gw1, class: meter}\n"), "10: devices.b.class: only a device with `computed` points has a class of its own"),
    "bus of a computed device": (with_device("  b: {bus: gw1, computed: {p: {total: [xw1.ac_power]}}}\n"), "10: devices.b.bus: has no meaning for a device with computed points"),
    "no function": (with_device("  b: {computed: {p: {label: x}}}\n"), "10: devices.b.computed.p: needs exactly one of average, total, minimum, maximum; it has none"),
    "two functions": (with_device("  b: {computed: {p: {total: [xw1.ac_power], average: [xw1.ac_power]}}}\n"), "10: devices.b.computed.p: needs exactly one of average, total, minimum, maximum; it has average and total"),
    "no inputs": (with_device("  b: {computed: {p: {total: []}}}\n"), "10: devices.b.computed.p.total: needs at least one point"),
    "input without a point": (with_device("  b: {computed: {p: {total: [xw1]}}}\n"), "10: devices.b.computed.p.total[0]: 'xw1' must be device.point"),
    "input of no device": (with_device("  b: {computed: {p: {total: [xw2.ac_power]}}}\n"), "10: devices.b.computed.p.total[0]: there is no device 'xw2'; did you mean xw1?"),
    "input of no point": (with_device("  b: {computed: {p: {total: [xw1.acpower]}}}\n"), "10: devices.b.computed.p.total[0]: xw1 has no point 'acpower'; did you mean ac_power?"),
    "input that is a state": (with_device("  b: {computed: {p: {total: [xw1.state]}}}\n"), "10: devices.b.computed.p.total[0]: xw1.state is a state; only measured numbers"),
    "input twice": (with_device("  b: {computed: {p: {total: [xw1.ac_power, xw1.ac_power]}}}\n"), "10: devices.b.computed.p.total: a point stands twice"),
    "inputs of two units": (with_device("  b: {computed: {p: {total: [xw1.ac_power, xw1.ac_voltage]}}}\n"), "10: devices.b.computed.p.total: all points must have the same unit; they have V and W"),
    "computed of computed": (with_device("  b: {computed: {p: {total: [xw1.ac_power]}}}\n  c: {computed: {p: {total: [b.p]}}}\n"), "11: devices.c.computed.p.total[0]: b is computed itself"),
    "computed point id of the system": (with_device("  b: {computed: {connection: {total: [xw1.ac_power]}}}\n"), "10: devices.b.computed.connection: every device has a point of this id already"),
    "class that needs more": (with_device("  b: {class: meter, computed: {voltage: {average: [xw1.ac_voltage]}}}\n"), "10: devices.b.class: a device of the class meter has "),
    "unit that is not the class's": (with_device("  b: {class: sensor, computed: {current: {total: [xw1.ac_voltage]}}}\n"), "10: devices.b.computed.current.total: current of the class sensor is in A; these points are in V"),
    "simulated bus elsewhere": (changed("site: demo", "site: demo\nsimulate: {enabled: true}").replace("127.0.0.1:15020", "192.0.2.1:502"), "8: buses.gw1.tcp: simulate is on, so the address must be of this machine alone"),
    "simulated hardware": (changed("site: demo", "site: demo\nsimulate: {enabled: true}").replace("    tcp: 127.0.0.1:15020", "    serial: {port: /dev/null}"), "8: buses.gw1.serial.port: simulate is on, but /dev/null is a serial port of this machine"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES.keys())
def test_a_wrong_site_file_says_where_and_what_is_allowed(tmp_path: Path, text: str, expected: str) -> None:
    found = problems(tmp_path, text)
    assert len(found) == 1, found
    assert found[0].startswith(f"site.yaml:{expected}") or found[0].partition(": ")[2].startswith(expected), found


def test_all_problems_are_said_at_once_in_the_order_of_their_lines(tmp_path: Path) -> None:
    text = (
        RIGHT.replace("site: demo", "site: Demo")
        .replace("127.0.0.1:15020", "127.0.0.1:0")
        .replace("unit: 10", "unt: 10")
        + "  xw2: {profile: schneider.xv, bus: gw9, unit: 300, label: 5}\n"
        + "  sum: {computed: {p: {total: [xw1.nope]}}}\n"
    )
    found = problems(tmp_path, text)
    places = [line.split(": ")[0].split(":")[1] + " " + line.split(": ")[1] for line in found]
    assert places == [
        "1 site",
        "7 buses.gw1.tcp",
        "9 devices.xw1.unt",
        "10 devices.xw2.bus",
        "10 devices.xw2.label",
        "10 devices.xw2.profile",
    ]


def test_a_key_that_stands_twice_hides_nothing(tmp_path: Path) -> None:
    text = RIGHT.replace("site: demo", "site: demo\nsite: again").replace("unit: 10", "unit: 999")
    assert [line.split(": ")[1] for line in problems(tmp_path, text)] == ["site", "devices.xw1.unit"]


def test_a_problem_is_not_followed_by_others_that_only_come_from_it(tmp_path: Path) -> None:
    found = problems(tmp_path, changed("    driver: modbus\n", "    driver: 7\n"))
    assert len(found) == 1, found


def test_the_secret_itself_is_not_repeated(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, changed("site: demo", "site: demo\npassword: hunter2-hunter2"))
    assert "hunter2" not in found


def test_a_site_with_problems_changes_nothing(tmp_path: Path) -> None:
    problems(tmp_path, changed("unit: 10", "unit: 999"))
    assert [path.name for path in tmp_path.iterdir()] == ["site.yaml"]


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read: No such file"):
        check_site(tmp_path / "nowhere.yaml")


def test_a_smallest_site_has_closed_defaults(tmp_path: Path) -> None:
    site = load_site(write(tmp_path, RIGHT.replace("server:\n  listen: 127.0.0.1:4840\n", "")))
    assert (site.server.listen.host, site.server.listen.port) == ("0.0.0.0", 4840)
    assert not (site.server.allow_none or site.server.allow_anonymous or site.server.allow_insecure)
    assert site.server.answer_within_s == 3.0
    assert (site.state, site.pki, site.users_file) == (
        tmp_path / "state",
        tmp_path / "state" / "pki",
        tmp_path / "state" / "users.json",
    )
    assert site.history.enabled
    assert not site.simulate.enabled
    assert not site.devices[0].control
    assert site.label == "demo"


def test_limits_of_the_file_are_the_servers(tmp_path: Path) -> None:
    text = RIGHT.replace(
        "  listen: 127.0.0.1:4840\n",
        "  listen: 127.0.0.1:4840\n  security: {revocation: required}\n"
        "  limits: {sessions: 7, connections_per_client: 3, publishing_interval_min: 250ms, session_timeout_max: 2m}\n",
    )
    server = load_site(write(tmp_path, text)).server
    changes = {"sessions": 7, "connections_per_peer": 3, "publishing_min_ms": 250.0, "session_max_s": 120.0}
    assert server.limits == replace(Limits(), **changes)
    assert server.revocation is RevocationRule.REQUIRED


def test_limits_are_by_default_those_of_the_server(tmp_path: Path) -> None:
    assert load_site(write(tmp_path, RIGHT)).server.limits == Limits()


def test_every_key_arrives(tmp_path: Path) -> None:
    text = """\
site: plant_1
label: The plant
state: data
pki: keys
server:
  listen: "[::1]:4841"
  names: [Plant.Example., "2001:DB8::0001"]
  security: {none: true, anonymous: true}
  answer_within: 1500ms
logging: {format: json, level: Debug, levels: {asyncua: error}}
history: {enabled: false, commit_interval: 2s}
simulate: {enabled: false, seed: 7}
buses:
  line:
    driver: modbus
    label: The line
    serial: {port: tty0, baud: 19200, framing: 8E1}
    word_order: little
    timeout: 200ms
    quiet_max: 3s
    gap: 10ms
    max_gap: 4
    retry_min: 2s
    retry_max: 1m
  gate: {driver: modbus, tcp: gate.example}
  tunnel: {driver: modbus, rtu_over_tcp: "[2001:db8::1]:4001"}
devices:
  m:
    profile: eastron.sdm630
    bus: line
    unit: 7
    control: true
    label: Meter
    description: In the hall.
    serial_number: A1
    hardware_revision: "2"
    software_revision: "3"
    parameters: {fast_period: 200ms}
    points:
      power: {label: P, description: Power., historize: false, range: [-1, 1], stale_after: 3s, bad_after: 4s}
  n: {profile: eastron.sdm630, bus: gate, unit: 255}
"""
    checked = check_site(write(tmp_path, text))
    site = checked.site
    assert (site.id, site.label, site.state, site.pki) == ("plant_1", "The plant", tmp_path / "data", tmp_path / "keys")
    server = site.server
    assert (server.listen.host, server.listen.port, server.listen.is_loopback) == ("::1", 4841, True)
    assert server.names == ("plant.example", "2001:db8::1")
    assert (server.allow_none, server.allow_anonymous, server.answer_within_s) == (True, True, 1.5)
    assert (site.logging.format, site.logging.level, site.logging.levels) == (
        LogFormat.JSON,
        "DEBUG",
        {"asyncua": "ERROR"},
    )
    assert (site.history.enabled, site.history.commit_interval_s, site.simulate.seed) == (False, 2.0, 7)
    line, gate, tunnel = site.buses
    assert line.link == SerialLine(str(tmp_path / "tty0"), 19200, 8, "E", 1)
    assert (line.framing, line.word_order, line.label) == ("rtu", WordOrder.LITTLE, "The line")
    assert (line.timeout_s, line.quiet_max_s, line.gap_s, line.max_gap) == (0.2, 3.0, 0.01, 4)
    assert (line.retry_min_s, line.retry_max_s) == (2.0, 60.0)
    assert (gate.link, gate.framing) == (TcpPeer("gate.example", 502), "tcp")
    assert (tunnel.link, tunnel.framing) == (TcpPeer("2001:db8::1", 4001), "rtu_over_tcp")
    meter = site.devices[0]
    assert (meter.bus, meter.unit, meter.control, meter.label, meter.description) == (
        "line",
        7,
        True,
        "Meter",
        "In the hall.",
    )
    assert (meter.serial_number, meter.hardware_revision, meter.software_revision) == ("A1", "2", "3")
    assert site.profiles["m"].parameters["fast_period"] == 0.2
    power = meter.model.points[meter.model.index["power"]]
    assert (power.label, power.description, power.historize, power.range) == ("P", "Power.", False, Range(-1, 1))
    assert (power.stale_after_s, power.bad_after_s) == (3.0, 4.0)
    assert site.devices[1].unit == 255
    assert [str(warning).removeprefix(f"{tmp_path}/") for warning in checked.warnings] == [
        "site.yaml:26: buses.tunnel: has no device and is not opened"
    ]
    assert [unit.device_id for unit in site_units(site, "line")] == ["m"]
    assert site_units(site, "line")[0].control
    assert [bus.id for bus, _ in site_buses(site)] == ["line", "gate"]


def test_a_profile_of_ones_own_is_named_by_its_path_from_the_site_file(tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "own.yaml").write_text(PROFILE, "utf-8")
    site = load_site(write(tmp_path, changed("schneider.xw", "profiles/own.yaml")))
    assert site.profiles["xw1"].id == "own.meter"


def test_problems_of_an_own_profile_have_its_own_lines(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(PROFILE.replace("registers: 4, ", ""), "utf-8")
    found = problems(tmp_path, changed("schneider.xw", "./own.yaml"))
    assert len(found) == 1
    assert "own.yaml:12: points.name" in found[0]


def test_a_point_that_is_read_once_gets_no_age(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(PROFILE, "utf-8")
    text = changed("{profile: schneider.xw, ", "{points: {name: {stale_after: 5s}}, profile: ./own.yaml, ")
    assert problems(tmp_path, text) == ["site.yaml:9: devices.xw1.points.name: is read once and never ages"]


def test_equal_devices_share_one_model(tmp_path: Path) -> None:
    more = "".join(f"  d{unit}: {{profile: schneider.xw, bus: gw1, unit: {unit}}}\n" for unit in range(11, 60))
    other = "  e: {profile: schneider.xw, bus: gw1, unit: 60, points: {ac_power: {stale_after: 9s}}}\n"
    twin = other.replace("  e:", "  f:").replace("60", "61")
    site = load_site(write(tmp_path, RIGHT + more + other + twin))
    models = {id(device.model) for device in site.devices}
    assert len(models) == 2


def test_devices_that_only_differ_in_conversion_share_one_model(tmp_path: Path) -> None:
    buses = "".join(f"  c{n}: {{driver: serial_line, serial: {{port: tty{n}}}}}\n" for n in range(3))
    profile = "profile: generic.serial_current_sensor"
    own = "".join(f"  d{n}: {{{profile}, bus: c{n}, parameters: {{offset: 2.{n}}}}}\n" for n in range(3))
    site = load_site(write(tmp_path, RIGHT.replace("devices:", buses + "devices:") + own))
    assert len({id(device.model) for device in site.devices[1:]}) == 1
    assert [site.profiles[f"d{n}"].parameters["offset"] for n in range(3)] == [2.0, 2.1, 2.2]


def test_computed_points_take_the_unit_and_range_of_their_inputs(tmp_path: Path) -> None:
    text = with_device(
        "  xw2: {profile: schneider.xw, bus: gw1, unit: 11}\n"
        "  plant:\n"
        "    computed:\n"
        "      voltage_sum: {total: [xw1.ac_voltage, xw2.ac_voltage]}\n"
        "      voltage_mean: {average: [xw1.ac_voltage, xw2.ac_voltage], label: Mean, range: [200, 260], historize: false}\n"
        "      energy: {total: [xw1.energy_exported, xw2.energy_exported]}\n"
    )
    site = load_site(write(tmp_path, text))
    plant = site.devices[-1]
    total, mean, energy = plant.model.points[:3]
    single = site.devices[0].model.points[site.devices[0].model.index["ac_voltage"]].range
    assert single is not None
    assert total.range == Range(2 * single.low, 2 * single.high)
    assert (total.unit, total.kind, total.label, total.historize) == ("V", PointKind.ANALOG, "Voltage sum", True)
    assert total.description == "Total of xw1.ac_voltage and xw2.ac_voltage."
    assert (mean.label, mean.range, mean.historize) == ("Mean", Range(200, 260), False)
    assert (energy.kind, energy.unit) == (PointKind.COUNTER, "kWh")
    assert plant.model.device_class is DeviceClass.GENERIC
    assert "connection" in plant.model.index
    rule = site.computed["plant"][0]
    assert (rule.function, rule.inputs) == (Function.TOTAL, (("xw1", "ac_voltage"), ("xw2", "ac_voltage")))
    assert "plant" not in site.profiles


def test_a_computed_point_of_a_class_is_the_class_s(tmp_path: Path) -> None:
    text = with_device(
        "  sun: {class: pv, computed: {power: {total: [xw1.ac_power]}, state: {total: [xw1.ac_power]}}}\n"
    )
    found = problems(tmp_path, text)
    assert any("devices.sun.computed.state.total: state of the class pv is a state" in line for line in found), found


@pytest.mark.parametrize(
    "example", sorted((Path(__file__).parents[2] / "examples").glob("*.yaml")), ids=lambda p: p.name
)
def test_the_examples_are_right(example: Path) -> None:
    assert check_site(example).warnings == ()


@pytest.mark.parametrize(
    ("said", "rule"), [("", RecordingRule(heartbeat_s=600.0)), ("\nhistory: {record: {}}", RecordingRule())]
)
def test_what_does_not_change_is_recorded_every_ten_minutes_unless_the_site_says_otherwise(
    tmp_path: Path, said: str, rule: RecordingRule
) -> None:
    assert load_site(write(tmp_path, changed("site: demo", f"site: demo{said}"))).history.record == rule


def test_recording_and_retention(tmp_path: Path) -> None:
    text = (
        changed(
            "site: demo",
            "site: demo\nhistory:\n  sd_card: true\n  record: {deadband: 0.5%, heartbeat: 10m}\n"
            "  max_age: 30d\n  max_size: 2GB\n  min_free: 100MB\n  when_full: keep_old",
        )
        + "    points:\n      ac_power: {record: {every: 10s, deadband: 5}}\n      ac_voltage: {record: {every: 1m}}\n"
        + "  sum: {computed: {p: {total: [xw1.ac_power], range: [0, 9], record: {deadband: 1%}}}}\n"
    ).replace("{profile: schneider.xw, bus: gw1, unit: 10}\n", "\n    profile: schneider.xw\n    bus: gw1\n")
    site = load_site(write(tmp_path, text))
    assert site.history.commit_interval_s == 5.0
    assert site.history.record == RecordingRule(deadband=0.5, percent=True, heartbeat_s=600)
    assert site.history.retention == RetentionRule(30 * 86_400, 2_000_000_000, 100_000_000, WhenFull.KEEP_OLD)
    device, computed = site.devices
    points = {point.id: point for point in device.model.points}
    assert points["ac_power"].record == RecordingRule(deadband=5, every_s=10)
    assert points["ac_voltage"].record == RecordingRule(on_change=False, every_s=60)
    assert points["ac_frequency"].record is None
    assert computed.model.points[0].record == RecordingRule(deadband=1, percent=True)
