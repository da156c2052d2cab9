# ruff: noqa: E501  # a table reads best with one case a line
"""Every rule of the linter: one change to a right profile, the line it is reported on, and what is said."""

import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from drivers.problems import ConfigError
from tests.drivers.profile_text import RIGHT, changed, load_text, problems_of

# (id, what stands there, what is put there, fragment of what is said); "!!" marks the line of the report and is removed.
CASES: list[tuple[str, str, str, str]] = [
    # --- registers
    ("partial overlap", "  lamp: {addr: 16", "  lamp: {addr: 13!!", "overlap only partly"),
    ("same address twice", "  lamp: {addr: 16", "  lamp: {addr: 15!!", "is ac_frequency already"),
    ("text over a number", "  serial: {addr: 20", "  serial: {addr: 13!!", "overlap only partly"),
    ("beyond the table", "addr: 12, type: i32", "addr: 65535, type: i32!!", "go beyond 65535"),
    ("address that is none", "addr: 12, type: i32", "addr: 70000, type: i32!!", "0 to 65535"),
    ("no address", "{addr: 12, type: i32}", "{type: i32}!!", "has no `addr`"),
    ("two addresses without names", "addr: 12, type: i32", "addr: [12, 50], type: i32!!", "need `index`"),
    ("names for other addresses", "{addr: 12, type: i32", "{addr: 12, index: [L1, L2], type: i32!!", "2 names for 1"),
    ("words of another width", "{addr: 12, type: i32", "{words: [50, 52, 54], type: i32!!", "has 2 words"),
    ("words beside addr", "{addr: 12, type: i32", "{addr: 12, words: [50, 52], type: i32!!", "one of them"),
    ("text without width", "registers: 4, ", "!!", "needs `registers`"),
    ("width of a number", "addr: 12, type: i32", "addr: 12, type: i32, registers: 2!!", "for type text only"),
    ("longer than a read", "registers: 4", "registers: 61!!", "max_read is 60"),
    ("barrier inside", "addr: 12, type: i32", "addr: 199, type: i32!!", "the barrier at 200"),
    ("coil that is no bool", "addr: 16, kind: flag", "addr: 16, table: coil, kind: flag!!", "bool is what coils"),
    ("bool in a register", "addr: 16, kind: flag", "addr: 16, type: bool!!", "bool is what coils"),
    ("written input register", "type: bits16, access: command", "type: bits16, table: input, access: command!!", "cannot be"),
    ("unknown type", "type: i32", "type: int32!!", "must be 'bool', 'u16'"),
    ("point of another protocol", "addr: 12, type: i32", "addr: 12, type: i32, quantity: raw!!", "serial_line only"),
    # --- values
    ("scale of 0", "addr: 15, scale: 0.01", "addr: 15, scale: 0!!", "must not be 0"),
    ("line without slope", "scale: 0.01}", "linear: [[0, 0], [0, 5]]}!!", "must differ"),
    ("line and scale", "scale: 0.01}", "scale: 0.01, linear: [[0, 0], [9, 5]]}!!", "stands beside"),
    ("byte swap of a number", "type: i32}", "type: i32, byte_swap: true}!!", "for type text only"),
    ("unknown unit", "unit: A, range: [0, $top], access", "unit: Amp, range: [0, $top], access!!", "'Amp' is not known"),
    ("analog without unit", "addr: 16, kind: flag", "addr: 16, kind: analog!!", "needs `unit`"),
    ("deadband of a flag", "addr: 16, kind: flag", "addr: 16, kind: flag, record: {deadband: 1}!!", "this is a flag"),
    ("deadband in percent of nothing", "addr: 12, type: i32", "addr: 12, type: i32, record: {deadband: 1%}!!", "this point has none"),
    ("deadband of nothing", "addr: 12, type: i32", "addr: 12, type: i32, record: {deadband: 0}!!", "above 0"),
    ("deadband of more than all", "addr: 12, type: i32", "addr: 12, type: i32, record: {deadband: 101%}!!", "a part of its range"),
    ("rule that records nothing", "addr: 12, type: i32", "addr: 12, type: i32, record: {on_change: false}!!", "needs `every`"),
    ("deadband without changes", "addr: 12, type: i32", "addr: 12, type: i32, record: {on_change: false, every: 1s, deadband: 1}!!", "records none"),
    ("rate without unit", "addr: 12, type: i32", "addr: 12, type: i32, record: {every: 10}!!", "no duration"),
    ("rate that is too fast", "addr: 12, type: i32", "addr: 12, type: i32, record: {every: 10ms}!!", "at least 100ms"),
    ("rule of what is not recorded", "addr: 12, type: i32", "addr: 12, type: i32, historize: false, record: {every: 1s}!!", "`historize` is false"),
    ("unknown key of a rule", "addr: 12, type: i32", "addr: 12, type: i32, record: {evry: 1s}!!", "not known"),
    ("range upside down", "range: [0, 300]", "range: [300, 0]!!", "must be less"),
    ("range of a state", "addr: 10, map:", "addr: 10, range: [0, 3], map:!!", "has no range"),
    ("enumeration on a float", "addr: 30, enum: Mode", "addr: 50, type: f32, enum: Mode!!", "cannot stand on a float"),
    ("scaled code", "addr: 30, enum: Mode", "addr: 30, scale: 2, enum: Mode!!", "a code is not scaled"),
    ("unknown enumeration", "addr: 30, enum: Mode", "addr: 30, enum: Modes!!", "no enumeration 'Modes'"),
    ("name for two codes", "{2: Standby, 3: Operating}", "{2: Operating, 3: Operating}!!", "stands for two codes"),
    ("code too large", "{1: Rest, 2: Work, 3: Trip}", "{1: Rest, 2: Work, 3: Trip, 70000: X}!!", "does not fit u16"),
    ("flag with three texts", "kind: flag", "kind: flag, enum: {0: A, 1: B, 2: C}!!", "two texts"),
    ("enumeration of a number", "addr: 16, kind: flag", "addr: 16, kind: data, enum: {0: A}!!", "of kind data"),
    ("map to a state that is not", "3: Fault}", "3: Broken}!!", "no state of state"),
    ("map without enumeration", "addr: 15, scale: 0.01", "addr: 15, map: {1: 1}!!", "needs an enumeration"),
    ("sentinel that does not fit", "addr: 15, scale: 0.01", "addr: 15, scale: 0.01, sentinels: [70000]!!", "no value of u16"),
    ("sentinel NaN of an integer", "addr: 15, scale: 0.01", "addr: 15, scale: 0.01, sentinels: [nan]!!", "no value of u16"),
    ("sentinel of a text", "registers: 4,", "registers: 4, sentinels: [0],!!", "a text has no value"),
    ("sentinel that is a state", "enum: {1: Rest,", "sentinels: [1], enum: {1: Rest,!!", "is a sentinel too"),
    ("limit that does not fit", "addr: 15, scale: 0.01", "addr: 15, scale: 0.01, above: 70000!!", "no value of u16"),
    ("limits that cross", "addr: 15, scale: 0.01", "addr: 15, scale: 0.01, below: 9, above: 3!!", "no raw value would be"),
    ("bit that is not there", "addr: 16, kind: flag", "addr: 16, bits: 16!!", "has bits 0 to 15"),
    ("bits of a text", "registers: 4,", "registers: 4, bits: 1,!!", "has no bits"),
    ("scale factor that is not there", "addr: 15, scale: 0.01", "addr: 15, scale_from: sf!!", "no point 'sf'"),
    ("scale factor that is scaled", "addr: 15, scale: 0.01", "addr: 15, scale_from: ac_voltage!!", "power of ten"),
    # --- names and class
    ("point id with a dot", "  lamp: {", "  la.mp: {!!", "must be a point id"),
    ("point id with capitals", "  lamp: {", "  Lamp: {!!", "must be a point id"),
    ("id of a system point", "  lamp: {", "  requests: {!!", "gridnode itself"),
    ("same BrowseName", "  lamp: {", "  lamp1: {addr: 60}\n  lamp_1: {!!", "same BrowseName Lamp1"),
    ("missing class point", "  ac_frequency: {addr: 15", "  my_frequency: {unit: Hz, addr: 15", "needs the point ac_frequency"),
    ("missing class command", "  Operating:\n    steps", "  Operate:\n    description: x\n    steps", "the command Operating"),
    ("class point in another unit", "addr: 12, type: i32", "addr: 12, type: i32, unit: kW!!", "is in W"),
    ("class point of another kind", "addr: 12, type: i32", "addr: 12, type: i32, kind: data!!", "of kind analog"),
    ("class state without map", "map: {1: Standby, 2: Inverting, 3: Fault}", "label: X!!", "needs `map`"),
    ("class state with its own table", "addr: 10, map:", "addr: 10, enum: Mode, map:!!", "enumeration of its class"),
    ("class number that is a text", "addr: 12, type: i32", "addr: 80, type: text, registers: 2!!", "is a number"),
    ("unknown class", "class: inverter", "class: invertor!!", "must be 'inverter'"),
    # --- groups
    ("unknown group", "once}", "never}!!", "no group 'never'"),
    ("period of 0", "slow: 60s", "slow: 0s!!", "longer than 0 s"),
    ("period without unit", "slow: 60s", "slow: 60!!", "write it with its unit"),
    ("no groups", "groups: {fast: $quick, slow: 60s, once: start}\n", "", "needs `groups`"),
    # --- provenance
    ("no source", "sources: [a paper]", "sources: []!!", "must have at least 1 entry"),
    ("unknown level", "level: documented", "level: proven!!", "must be 'guessed'"),
    # --- settings
    ("written number without range", "range: [0, $top], access", "access!!", "needs `range`"),
    ("setting without storage", "write: {storage: persistent}", "label: X!!", "whether writing it wears it out"),
    ("write of what is not written", "addr: 16, kind: flag", "addr: 16, kind: flag, write: {storage: volatile}!!", "not a setting"),
    ("range beyond the register", "range: [0, $top], access", "range: [-1, $top], access!!", "does not fit u16"),
    ("half a range", "write: {storage: volatile}, group", "write: {storage: volatile, min: 1}, group!!", "both `min` and `max`"),
    ("bits that are written", "addr: 40, enum: {1: Go}", "addr: 40, bits: 0!!", "cannot be written alone"),
    ("scale factor and write", "scale: 0.1, unit: A", "scale_from: word, unit: A!!", "cannot be written"),
    # --- commands
    ("command id with underscore", "  SetAmps:", "  Set_amps:!!", "must be a command id"),
    ("command id in small", "  SetAmps:", "  setAmps:!!", "must be a command id"),
    ("own command without description", "    description: Set the current.\n    inputs", "    inputs", "needs `description`"),
    ("command that does nothing", "    steps: [{set: mode, to: Operating}]\n", "", "does nothing"),
    ("write of an unknown point", "{set: mode, to: Operating}", "{set: mood, to: Operating}!!", "no point 'mood'"),
    ("write of a measured point", "{set: mode, to: Operating}", "{set: ac_power, to: 1}!!", "is not written"),
    ("write of a state that is not", "{set: mode, to: Operating}", "{set: mode, to: Sleeping}!!", "no state of mode"),
    ("write of an unknown input", "{set: amps, to: $amps}", "{set: amps, to: $volts}!!", "$volts is no parameter"),
    ("write out of range", "{set: amps, to: $amps}", "{set: amps, to: 51}, {set: amps, to: $amps}!!", "not within 0 to 50"),
    ("input beyond the setting", "A, range: [0, $top]}}", "A, range: [0, 60]}}\n    label: x", "takes 0 to 50"),
    ("input without range", "A, range: [0, $top]}}", "A}}!!", "a number needs `range`"),
    ("input with unknown unit", "{type: number, unit: A", "{type: number, unit: amp!!", "'amp' is not known"),
    ("input used nowhere", "unit: A, range: [0, $top]}}", "unit: A, range: [0, $top]}, b: {type: flag}}!!", "is used nowhere"),
    ("input that the class has not", "    steps: [{set: mode, to: Operating}]", "    inputs: {x: {type: flag}}!!\n    steps: [{set: mode, to: Operating}]", "has as inputs"),
    ("input of another kind", "{type: number, unit: A, range: [0, $top]}}", "{type: flag}}\n    label: x", "does not take"),
    ("step that is two", "{run: Operating, when: $extra}", "{run: Operating, set: mode}!!", "a step is"),
    ("unknown command to run", "{run: Operating, when: $extra}", "{run: Operatin}!!", "no command 'Operatin'"),
    ("command that runs itself", "{run: Operating, when: $extra}", "{run: SetAmps}!!", "would run itself"),
    ("command to run that stands", "{run: Operating, when: $extra}", "{run: Standby}!!", "can only be called by itself"),
    ("precondition that never holds", "requires: [{", "requires: [{point: raw_state, eq: Trip}, {!!", "can never hold"),
    ("precondition with a good code", "else: BadInvalidState", "else: Good!!", "no status code of a refusal"),
    # --- confirm
    ("write without confirm", "    confirm: {all: [{point: raw_state, eq: Work}], within: 10s}\n", "", "needs `confirm`"),
    ("confirm by an unknown point", "{point: raw_state, eq: Work}", "{point: nothing, eq: 1}!!", "no point 'nothing'"),
    ("confirm by what cannot be read", "{point: raw_state, eq: Work}", "{point: trigger, eq: Go}!!", "cannot be read"),
    ("confirm by a state that is not", "{point: raw_state, eq: Work}", "{point: raw_state, eq: Play}!!", "no state of raw_state"),
    ("confirm by two states at once", "{point: raw_state, eq: Work}", "{point: raw_state, eq: Work}, {point: raw_state, eq: Rest}!!", "can never be reached"),
    ("confirm that excludes all", "in: [Rest, Trip]}", "not_in: [Rest, Work, Trip]}!!", "can never be reached"),
    ("confirm out of range", "{point: raw_state, eq: Work}", "{point: ac_voltage, ge: 301}!!", "can never be reached"),
    ("confirm by crossing limits", "{point: raw_state, eq: Work}", "{point: ac_power, ge: 9}, {point: ac_power, le: 3}!!", "can never be reached"),
    ("confirm by two numbers", "{point: raw_state, eq: Work}", "{point: ac_power, eq: 9}, {point: ac_power, ne: 9}!!", "can never be reached"),
    ("confirm by the contrary of what is written", "    confirm: {all: [{point: raw_state, eq: Work}], within: 10s}", "    confirm: {all: [{point: mode, eq: Standby}], within: 10s}!!", "the command itself writes 3"),
    ("confirm by the contrary of what is rewritten", "in: [Rest, Trip]}", "in: [Rest, Trip]}, {point: word, ge: 2}!!", "the command itself writes 1"),
    ("confirm shorter than its pause", "within: 5s, every: 500ms", "within: 500ms, every: 500ms!!", "must be longer than `every`"),
    ("condition with two comparisons", "{point: raw_state, eq: Work}", "{point: raw_state, eq: Work, ne: Rest}!!", "exactly one of"),
    ("order of states", "{point: raw_state, eq: Work}", "{point: raw_state, ge: 1}!!", "has no order"),
    # --- keep_alive
    ("keep-alive without end", ", until: [{point: lamp, eq: true}]", "!!", "nothing ends it"),
    ("keep-alive of a persistent setting", "writes: [{set: word, to: 1}]", "writes: [{set: mode, to: Standby}]!!", "wears it out"),
    ("keep-alive ended by nobody", "until: [{point: lamp, eq: true}]", "ended_by: [Nobody]!!", "no command 'Nobody'"),
    ("keep-alive ended by itself", "until: [{point: lamp, eq: true}]", "ended_by: [Standby]!!", "does not end itself"),
    ("keep-alive until nobody sees it", "until: [{point: lamp, eq: true}]", "until: [{point: serial, eq: x}]!!", "is not polled"),
    # --- the rest
    ("identify by an unknown point", "identify: [{point: ac_frequency", "identify: [{point: frequency!!", "no point 'frequency'"),
    ("identify a state by a range", "[{point: ac_frequency, between: [40, 70]}]", "[{point: lamp, between: [0, 1]}]!!", "is no number"),
    ("presence that is not there", "identify:", "presence: here!!\nidentify:", "no point 'here'"),
    ("presence by a text", "identify:", "presence: serial!!\nidentify:", "is a text"),
    ("unknown physics", "physics: inverter", "physics: perpetuum!!", "'perpetuum' is not known"),
    ("unknown option of physics", "physics: inverter", "physics: inverter\n  options: {warp: 9}!!", "no option 'warp'"),
    ("first value of nothing", "initial: {raw_state: Work", "initial: {rawstate: Work!!", "no point 'rawstate'"),
    ("first value that does not fit", "initial: {raw_state: Work", "initial: {ac_voltage: 9000, raw_state: Work!!", "does not fit"),
    ("two first values for one register", "initial: {raw_state: Work", "initial: {state: Fault, raw_state: Work!!", "the same registers"),
    ("link to a point that is not written", "on_write: mode, eq: Standby", "on_write: lamp, eq: true!!", "is never written"),
    ("modbus in another protocol", "protocol: modbus", "protocol: serial_line", "computes with a parameter 'vpp'"),
    ("parameter that nobody declared", "range: [0, 300]", "range: [0, $most]!!", "$most is no parameter"),
    ("parameter out of its own range", "default: 50", "default: 500!!", "not within 1 to 100"),
    ("parameter of another type", "default: 50", "default: fifty!!", "must be a number"),
    ("parameter with an input's name", "  extra: {", "  amps: {type: flag, default: true, description: x}\n  extra: {", "name of a parameter too"),
    ("words apart that are written", "word: {addr: 32, type: bits16", "word: {words: [32, 50], type: bits32!!", "cannot be written at once"),
    ("scale factor of itself", "addr: 15, scale: 0.01", "addr: 15, scale_from: ac_frequency!!", "no scale factor itself"),
    ("scale factor of another table", "addr: 15, scale: 0.01", "addr: 15, table: input, scale_from: lamp!!", "in the same table"),
    ("scale factor far away", "addr: 15, scale: 0.01", "addr: 95, scale_from: word!!", "too far away"),
    ("scaled text", "registers: 4,", "registers: 4, scale: 2,!!", "a text is not scaled"),
    ("state without table", "addr: 16, kind: flag", "addr: 16, kind: state!!", "a state needs `enum`"),
    ("point of kind time", "addr: 16, kind: flag", "addr: 16, kind: time!!", "time is the node's own"),
    ("the same point twice", "  lamp: {", "  lamp_l: {addr: [60], index: [x]}\n  lamp_l_x: {addr: 61}!!\n  lamp: {", "a second time"),
    ("state that is no name", "enum: {1: Rest,", "enum: {1: {title: Rest},!!", "must be a name, or"),
    ("limits of a write upside down", "storage: volatile}, group", "storage: volatile, min: 9, max: 3}, group!!", "not less than"),
    ("line that is a number", "scale: 0.01}", "linear: 5}!!", "must be two points"),
    ("bits that are words", "addr: 16, kind: flag", "addr: 16, bits: all!!", "one bit number"),
    ("range that is a number", "range: [0, 300]", "range: 300!!", "two numbers"),
    ("number for a text", "identify:", "identify: [{point: serial, one_of: [5]}]!!\nx:", "is a text, not 5"),
    ("word for a number", "initial: {raw_state: Work", "initial: {ac_power: much, raw_state: Work!!", "is a number, not 'much'"),
    ("word for a flag", "[{point: lamp, eq: true}]", "[{point: lamp, eq: bright}]!!", "lamp is a flag"),
    ("list for a value", "{set: mode, to: Operating}", "{set: mode, to: [Operating]}!!", "must be a number, a word"),
    ("parameter called value", "  extra: {", "  value: {type: flag, default: true, description: x}!!\n  extra: {", "means in simulate"),
    ("parameter in an unknown unit", "range: [1, 100], unit: A", "range: [1, 100], unit: amp!!", "'amp' is not known"),
    ("text parameter with a number", "  extra: {", "  note: {type: text, default: 5, description: x}!!\n  extra: {", "must be a text"),
    ("input without type", "{type: number, unit: A", "{unit: A!!", "has no `type`"),
    ("write that means no value", "{set: mode, to: Operating}", "{set: serial2, to: aaaaaaaaaaa}!!", "no point 'serial2'"),
    ("confirm without pause", "within: 5s, every: 500ms", "within: 5s, every: 0s!!", "longer than 0 s"),
    ("keep-alive without pause", "keep_alive: {every: 1s", "keep_alive: {every: 0s!!", "longer than 0 s"),
    ("confirm by two texts", "{point: raw_state, eq: Work}", "{point: serial, eq: a}, {point: serial, eq: b}!!", "can never be reached"),
    ("unknown key", "addr: 12, type: i32", "addr: 12, type: i32, adr: 13!!", "is not known here"),
    ("missing key", "version: 1.2.3\n", "", "is missing"),
    ("dispatch without inputs", "    steps: [{set: mode, to: Operating}]\n    confirm: {all: [{point: raw_state, eq: Work}], within: 10s}", "    dispatch: {0: Standby}", "exactly one input"),
]  # fmt: skip


def test_the_profile_that_is_changed_here_is_right(tmp_path: Path) -> None:
    assert load_text(tmp_path, RIGHT).id == "test.inverter"


@pytest.mark.parametrize(("old", "new", "said"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_rule(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = changed(old, new)
    marked = [number for number, line in enumerate(text.splitlines(), 1) if "!!" in line]
    found = problems_of(tmp_path, text.replace("!!", ""))
    fitting = [problem for problem in found if said in problem.text]
    assert fitting, "\n".join(map(str, found))
    assert not marked or marked[0] in [problem.line for problem in fitting]
    assert all(problem.file.endswith("p.yaml") for problem in found)


def test_a_write_must_fit_one_request(tmp_path: Path) -> None:
    text = RIGHT.replace("max_read: 60", "max_read: 60, max_write: 1").replace("32, type: bits16", "33, type: bits32")
    (problem,) = problems_of(tmp_path, text)
    assert (problem.path, problem.text) == ("points.word", "takes a write of 2 registers; max_write is 1")


def test_mistakes_of_all_kinds_are_said_at_once(tmp_path: Path) -> None:
    text = changed("device: {class: inverter, manufacturer: Test, model: One}", "device: {clas: inverter, model: One}")
    for old, new in (
        ("  lamp: {addr: 16,", "  lamp: {addr: 16, colour: red,"),  # unknown key
        ("range: [0, $top], access", "access"),  # a number that can be written without range
        ("  serial: {addr: 20, type: text", "  serial: {addr: 14, type: text"),  # overlap with what is left
        ("    confirm: {all: [{point: amps, eq: $amps", "    confirm: {all: [{point: raw_state, eq: Play"),
        ("identify: [", "identify: []\nidentify: ["),  # a key twice
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    said = [f"{problem.path}: {problem.text}" for problem in problems_of(tmp_path, text)]
    for part in (
        "device.clas: is not known",
        "points.lamp.colour: is not known",
        "points.amps: a number that can be written",
        "commands.SetAmps.confirm.all[0].eq: ",
        "identify: stands twice",
    ):
        assert any(one.startswith(part) for one in said), (part, said)
    assert any("overlap only partly" in one for one in said), said


def test_a_point_with_one_mistake_is_checked_for_others(tmp_path: Path) -> None:
    text = changed("unit: A, range: [0, $top], access", "unit: Amp, access")
    said = [problem.text for problem in problems_of(tmp_path, text)]
    assert any("'Amp' is not known" in one for one in said)
    assert any("needs `range`" in one for one in said)


@pytest.mark.parametrize(
    ("what", "fits"),
    [
        ("{point: mode, eq: Operating}", True),
        ("{point: mode, ne: Operating}", False),
        ("{point: mode, in: [Standby]}", False),
    ],
)
def test_a_command_is_confirmed_by_what_it_writes_or_by_another_point(tmp_path: Path, what: str, fits: bool) -> None:
    text = changed("{point: raw_state, eq: Work}", what)
    if fits:
        assert load_text(tmp_path, text).commands["Operating"].confirm
    else:
        assert any("the command itself writes 3" in problem.text for problem in problems_of(tmp_path, text))


WORDS = [
    "0",
    "-1",
    "1e308",
    "nan",
    ".inf",
    "true",
    "null",
    "[]",
    "{}",
    "[1,2]",
    "x",
    '"$top"',
    "$top",
    "$value",
    "99999",
    "65535",
    "text",
    "f64",
    "u64",
    "bits64",
    "coil",
    "u16",
    "{a:",
    "1}",
    "state",
    "flag",
    "counter",
    "rw",
    "w",
    "command",
    "-5",
    "3.7",
    "''",
    "[[0,0],[1,1]]",
    "18446744073709551616",
    "1e-400",
    "start",
    "0s",
    "Standby",
    "lamp",
]


def damaged(rng: random.Random) -> str:
    text = RIGHT
    for _ in range(rng.randint(1, 3)):
        spans = [match.span() for match in re.finditer(r"[\w.$-]+", text)]
        start, end = rng.choice(spans)
        if rng.random() < 0.7:
            text = text[:start] + rng.choice(WORDS) + text[end:]
        else:
            lines = text.splitlines(keepends=True)
            line = lines.pop(rng.randrange(len(lines)))
            if rng.random() < 0.5:
                lines.insert(rng.randrange(len(lines)), line)
            text = "".join(lines)
    return text


def test_random_damage_gives_a_profile_or_problems_with_lines(
    tmp_path: Path, seed: int, scaled: Callable[[int], int]
) -> None:
    rng = random.Random(seed)
    outcomes: list[bool] = []
    for _ in range(scaled(3000)):
        text = damaged(rng)
        try:
            load_text(tmp_path, text)
            outcomes.append(True)
        except ConfigError as error:
            assert error.problems, text
            assert all(problem.line > 0 and problem.text for problem in error.problems), text
            outcomes.append(False)
    assert len(set(outcomes)) == 2


DISPATCH = """
  RunCommand:
    dispatch: {0: Standby, 1: Operating, 2: Standby, 3: Standby, 4: Standby, 5: Standby, 6: Standby}
identify:"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("0: Standby, ", "", "says nothing for 0 (Rest)"),
        ("6: Standby}", "6: Standby, 7: Standby}", "7 is not in the enumeration"),
        ("0: Standby", "0: Stand", "no command 'Stand'"),
        ("0: Standby", "0: SetAmps", "has inputs"),
        ("0: Standby", "0: RunCommand", "only picks another command"),
        ("6: Standby}", "6: Standby}\n    steps: [{run: Standby}]", "stands beside `dispatch`"),
    ],
)
def test_dispatch_names_a_command_for_every_number(tmp_path: Path, old: str, new: str, said: str) -> None:
    right = RIGHT.replace("\nidentify:", DISPATCH)
    assert load_text(tmp_path, right).commands["RunCommand"].dispatch[1] == "Operating"
    assert right.count(old) == 1
    assert any(said in problem.text for problem in problems_of(tmp_path, right.replace(old, new)))


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ("{amps: {range: [0, 50]}}", ""),
        ("{amps: {range: [0, 50], type: integer}}", "the class says double"),
        ("{amps: {range: [0, 50], unit: V}}", "the class says A"),
        ("{amps: {range: [0, 50], enum: Mode}}", "the class decides"),
        ("{amps: {range: [0, 50]}, volts: {type: flag}}", "has as inputs: enable or amps"),
        ("{}", "a number needs `range`"),
    ],
)
def test_a_command_of_the_class_has_the_inputs_of_the_class(tmp_path: Path, inputs: str, said: str) -> None:
    text = RIGHT.replace(
        "\nidentify:",
        f"""
  SetLoadShave:
    inputs: {inputs}
    steps: [{{set: amps, to: $amps}}, {{set: flag, to: $enable}}]
    confirm: {{all: [{{point: amps, eq: $amps}}], within: 5s}}
identify:""",
    ).replace("\ncommands:", "\n  flag: {addr: 61, kind: flag, access: command}\ncommands:")
    if said:
        assert any(said in problem.text for problem in problems_of(tmp_path, text))
    else:
        assert load_text(tmp_path, text).commands["SetLoadShave"].confirm


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("{0: A, 1: B}", ""),
        ("{0: A, 7: C}", "does not take"),
    ],
)
def test_an_input_that_is_a_state_goes_to_a_point_with_the_same_states(tmp_path: Path, table: str, said: str) -> None:
    text = RIGHT.replace(
        "\nidentify:",
        f"""
  SetGear:
    description: Set the gear.
    inputs: {{gear: {{enum: {table}}}}}
    steps: [{{set: gear, to: $gear}}]
    confirm: {{all: [{{point: gear, eq: $gear}}], within: 5s}}
identify:""",
    ).replace("\ncommands:", "\n  gear: {addr: 62, enum: {0: A, 1: B, 2: D}, access: command}\ncommands:")
    if said:
        assert any(said in problem.text for problem in problems_of(tmp_path, text))
    else:
        assert load_text(tmp_path, text).model.commands[-1].inputs[0].enumeration


@pytest.mark.parametrize(
    ("key", "said"),
    [("addr: 1", "for protocol modbus only"), ("access: command", "can only be read"), ("scale: 2", "")],
)
def test_a_serial_line_has_no_registers(tmp_path: Path, key: str, said: str) -> None:
    source = (Path(__file__).parents[2] / "drivers/profiles/generic.serial_current_sensor.yaml").read_text()
    text = source.replace("{quantity: current,", f"{{quantity: current, {key},")
    if said:
        assert any(said in problem.text for problem in problems_of(tmp_path, text))
    assert any("needs `quantity`" in p.text for p in problems_of(tmp_path, source.replace("quantity: raw, ", "")))
    assert any(
        "must be number" in p.text
        for p in problems_of(tmp_path, source.replace("sns: {type: number", "sns: {type: integer"))
    )
    assert any("for protocol modbus" in p.text for p in problems_of(tmp_path, source + "modbus: {align: 2}\n"))
    assert any("'sns'" in p.text for p in problems_of(tmp_path, source.replace("  sns:", "  sens:")))
