import json
from pathlib import Path

import pytest

from address_space.classes import SYSTEM_POINTS
from address_space.model import DataType, FunctionalGroup, Point, PointKind, Range, Status
from drivers.problems import ConfigError
from drivers.profile import PointOverride, load_profile, profile_schema, shipped_profiles
from drivers.spec import (
    BitField,
    Comparison,
    Condition,
    Operand,
    Profile,
    RawType,
    RegisterSource,
    Run,
    Table,
    WordOrder,
    Write,
)
from tests.drivers.profile_text import RIGHT, changed, load_text, problems_of


def point(profile: Profile, point_id: str) -> Point:
    return profile.model.points[profile.model.index[point_id]]


def with_points(*lines: str) -> str:
    return RIGHT.replace("\ncommands:", "\n" + "\n".join(f"  {line}" for line in lines) + "\ncommands:")


# --- what comes out -------------------------------------------------------------------------------------------


def test_a_profile_as_data(tmp_path: Path) -> None:
    profile = load_text(tmp_path, RIGHT)
    assert (profile.id, profile.version, profile.protocol, profile.provenance) == (
        "test.inverter", "1.2.3", "modbus", "documented",
    )  # fmt: skip
    assert profile.documents == ("a paper",)
    assert profile.models == ("One",)
    assert profile.modbus.max_read == 60
    assert profile.sources["ac_voltage"] == RegisterSource(Table.HOLDING, 14, RawType.U16, 1, scale=0.1)
    assert profile.commands["Operating"].steps == (Write("mode", Operand(3)),)
    assert profile.commands["SetAmps"].steps == (Write("amps", Operand(argument="amps")),)
    assert profile.commands["SetAmps"].requires == (
        Condition("raw_state", Comparison.NE, Operand(3), 0.0, Status.BAD_INVALID_STATE),
    )
    assert profile.commands["Standby"].emergency
    assert profile.simulation is not None
    assert profile.simulation.initial == {"raw_state": 2, "mode": 3}
    assert profile.simulation.links[0].sets == {"raw_state": 1}


def test_points_of_the_class_come_first_and_those_of_gridnode_last(tmp_path: Path) -> None:
    points = load_text(tmp_path, RIGHT).model.points
    assert [one.id for one in points[:5]] == ["state", "ac_power", "ac_voltage", "ac_frequency", "raw_state"]
    assert points[-len(SYSTEM_POINTS) :] == SYSTEM_POINTS


def test_a_class_point_is_the_same_for_every_brand(tmp_path: Path) -> None:
    state = point(load_text(tmp_path, RIGHT), "state")
    assert (state.kind, state.data_type, state.from_class) == (PointKind.STATE, DataType.INT32, True)
    assert state.enumeration is not None
    assert state.enumeration.name == "InverterState"
    assert load_text(tmp_path, RIGHT).sources["state"] == RegisterSource(
        Table.HOLDING, 10, RawType.U16, 1, map={1: 1, 2: 3, 3: 10}
    )


@pytest.mark.parametrize(
    ("entry", "kind", "data_type"),
    [
        ("{addr: 50}", PointKind.DATA, DataType.UINT16),
        ("{addr: 50, type: i32}", PointKind.DATA, DataType.INT32),
        ("{addr: 50, type: bits64}", PointKind.DATA, DataType.UINT64),
        ("{addr: 50, scale: 0.1}", PointKind.DATA, DataType.DOUBLE),
        ("{addr: 50, unit: V}", PointKind.ANALOG, DataType.DOUBLE),
        ("{addr: 50, type: f32, unit: V}", PointKind.ANALOG, DataType.FLOAT),
        ("{addr: 50, type: f32, unit: V, scale: 0.1}", PointKind.ANALOG, DataType.DOUBLE),
        ("{addr: 50, type: u64, unit: kWh, kind: counter}", PointKind.COUNTER, DataType.DOUBLE),
        ("{addr: 50, bits: 3}", PointKind.FLAG, DataType.BOOLEAN),
        ("{addr: 50, bits: [0, 7]}", PointKind.DATA, DataType.UINT16),
        ("{addr: 50, bits: [8, 15], enum: {0: A, 1: B}}", PointKind.STATE, DataType.UINT16),
        ("{addr: 50, type: u32, enum: {0: A, 1: B}}", PointKind.STATE, DataType.UINT32),
        ("{addr: 50, enum: {0: A, 1: B}, map: {7: A, 9: 1}}", PointKind.STATE, DataType.INT32),
        ("{addr: 50, table: coil, type: bool}", PointKind.FLAG, DataType.BOOLEAN),
        ("{addr: 50, type: text, registers: 2}", PointKind.DATA, DataType.STRING),
    ],
)
def test_kind_and_type_of_an_own_point_follow_from_its_source(
    tmp_path: Path, entry: str, kind: PointKind, data_type: DataType
) -> None:
    one = point(load_text(tmp_path, with_points(f"own_point: {entry}")), "own_point")
    assert (one.kind, one.data_type, one.label, one.from_class) == (kind, data_type, "Own point", False)


def test_words_that_are_apart_and_bits(tmp_path: Path) -> None:
    sources = load_text(
        tmp_path, with_points("far: {words: [60, 55], type: u32}", "part: {addr: 70, bits: [4, 7]}")
    ).sources
    far, part = sources["far"], sources["part"]
    assert isinstance(far, RegisterSource)
    assert isinstance(part, RegisterSource)
    assert (far.address, far.registers, far.words) == (55, 2, (60, 55))
    assert part.bits == BitField(4, 7)


def test_an_index_makes_several_points(tmp_path: Path) -> None:
    line = "string_voltage: {addr: [60, 61], index: [A, B], unit: V, label: String voltage, description: Of string}"
    profile = load_text(tmp_path, with_points(line))
    one = point(profile, "string_voltage_b")
    assert (one.label, one.description) == ("String voltage B", "Of string (B)")
    assert [getattr(profile.sources[f"string_voltage_{name}"], "address", None) for name in "ab"] == [60, 61]


def test_defaults_give_way_to_what_a_point_says(tmp_path: Path) -> None:
    text = changed(
        "defaults: {type: u16, group: fast}",
        "defaults: {type: u16, group: fast, sentinels: [65535], word_order: little, historize: true}",
    ).replace("ac_frequency: {addr: 15,", "ac_frequency: {addr: 15, sentinels: [0], historize: false,")
    profile = load_text(tmp_path, text)
    sources = {name: profile.sources[name] for name in ("ac_voltage", "ac_frequency", "ac_power")}
    assert [getattr(source, "sentinels", None) for source in sources.values()] == [(65535,), (0,), ()]
    assert getattr(sources["ac_power"], "word_order", None) is WordOrder.LITTLE
    assert [point(profile, name).historize for name in ("lamp", "ac_frequency")] == [True, False]


@pytest.mark.parametrize(
    ("period", "stale_s", "bad_s"),
    [("100ms", 2.0, 30.0), ("1s", 3.0, 30.0), ("5s", 15.0, 50.0), ("1m", 180.0, 600.0), ("start", None, None)],
)
def test_ages_follow_the_poll_period(tmp_path: Path, period: str, stale_s: float | None, bad_s: float | None) -> None:
    profile = load_text(tmp_path, RIGHT.replace("slow: 60s", f"slow: {period}"))
    amps = point(profile, "amps")
    assert (amps.stale_after_s, amps.bad_after_s) == (stale_s, bad_s)
    assert [(group.name, group.points) for group in profile.groups if "amps" in group.points] == [("slow", ("amps",))]


def test_settings(tmp_path: Path) -> None:
    profile = load_text(tmp_path, RIGHT)
    assert set(profile.settings) == {"mode", "amps", "trigger"}
    mode, amps = profile.settings["mode"], profile.settings["amps"]
    assert (mode.range, mode.tolerance, mode.persistent) == (None, 0.0, True)
    assert (amps.range, amps.tolerance, amps.within_s, amps.persistent) == (Range(0, 50), 0.05, 5.0, False)
    assert point(profile, "amps").group is FunctionalGroup.CONFIGURATION
    assert [point(profile, one).writable for one in ("amps", "word", "lamp")] == [True, False, False]


def test_what_is_only_written_is_in_no_poll_group(tmp_path: Path) -> None:
    profile = load_text(tmp_path, RIGHT)
    assert all("trigger" not in group.points for group in profile.groups)
    assert "trigger" in profile.sources
    assert point(profile, "trigger").stale_after_s is None


# --- parameters -----------------------------------------------------------------------------------------------


def test_parameters_stand_wherever_a_number_a_flag_or_a_duration_may(tmp_path: Path) -> None:
    profile = load_text(tmp_path, RIGHT, top=20, quick="250ms", extra=True)
    assert profile.parameters == {"top": 20, "quick": 0.25, "extra": True}
    assert profile.settings["amps"].range == Range(0, 20)
    assert profile.groups[0].period_s == 0.25
    assert profile.commands["SetAmps"].steps[-1] == Run("Operating")
    command = next(one for one in profile.model.commands if one.id == "SetAmps")
    assert command.inputs[0].range == Range(0, 20)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("tip", 3, "no such parameter; it has top, quick or extra"),
        ("top", 101, "not within 1 to 100 A"),
        ("top", True, "must be a number"),
        ("top", "20", "must be a number"),
        ("extra", 1, "must be true or false"),
        ("quick", 5, "write it with its unit"),
        ("quick", "20s", "not within 0.1 to 10 s"),
    ],
)
def test_a_wrong_parameter_is_the_sites_problem(tmp_path: Path, name: str, value: bool | int | str, said: str) -> None:
    (problem,) = problems_of(tmp_path, RIGHT, **{name: value})
    assert (problem.file, problem.path) == ("", f"parameters.{name}")
    assert said in problem.text


def test_a_parameter_that_breaks_a_rule_is_said_at_the_line_where_it_is_used(tmp_path: Path) -> None:
    text = changed("range: [1, 100], unit: A,", "unit: A,")
    (problem, *_) = problems_of(tmp_path, text, top=-5)
    assert problem.path in ("points.amps.range", "commands.SetAmps.inputs.amps.range")
    assert "less than the second" in problem.text


# --- sharing --------------------------------------------------------------------------------------------------


def test_equal_parameters_share_one_profile_and_one_model(tmp_path: Path) -> None:
    one, same = load_text(tmp_path, RIGHT, top=20), load_profile(tmp_path / "p.yaml", {"top": 20})
    assert one is same
    assert load_profile(tmp_path / "p.yaml", {"top": 21}) is not one


def test_true_is_not_taken_for_the_cached_1(tmp_path: Path) -> None:
    load_text(tmp_path, RIGHT, top=1)
    assert problems_of(tmp_path, RIGHT, top=True)


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(RIGHT)
    before = load_profile(path)
    path.write_text(RIGHT.replace("1.2.3", "1.2.4"))
    assert (before.version, load_profile(path).version) == ("1.2.3", "1.2.4")


# --- overrides ------------------------------------------------------------------------------------------------


def test_a_site_may_name_points_otherwise_and_narrow_settings(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(RIGHT)
    overrides = {
        "amps": PointOverride(label="Amperes", range=Range(5, 10), historize=True),
        "ac_power": PointOverride(range=Range(-1, 1), description="Tiny"),
    }
    profile = load_profile(path, overrides=overrides)
    amps = point(profile, "amps")
    assert (amps.label, amps.range, amps.historize) == ("Amperes", Range(5, 10), True)
    assert profile.settings["amps"].range == Range(5, 10)
    assert point(profile, "ac_power").description == "Tiny"
    assert point(load_profile(path), "amps").label == "Amps"


@pytest.mark.parametrize(
    ("point_id", "limits", "said"),
    [
        ("nothing", Range(0, 1), "no such point"),
        ("mode", Range(0, 1), "has no range"),
        ("amps", Range(0, 51), "only be narrowed"),
    ],
)
def test_a_wrong_override_is_the_sites_problem(tmp_path: Path, point_id: str, limits: Range, said: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(RIGHT)
    with pytest.raises(ConfigError) as caught:
        load_profile(path, overrides={point_id: PointOverride(range=limits)})
    (problem,) = caught.value.problems
    assert problem.file == ""
    assert problem.path.startswith(f"points.{point_id}")
    assert said in problem.text


# --- errors ---------------------------------------------------------------------------------------------------


def test_all_errors_come_at_once_each_with_file_line_path_and_what_is_allowed(tmp_path: Path) -> None:
    text = (
        RIGHT.replace("version: 1.2.3", "version: one")
        .replace("lamp: {addr: 16, kind: flag}", "lamp: {addr: 16, kind: lamp, colour: red}")
        .replace("ac_voltage: {addr: 14, scale: 0.1", "ac_voltage: {addr: 14, scale: 0")
        .replace("unit: A, range: [0, $top], access", "unit: Amp, range: [0, $top], access")
        .replace("{set: mode, to: Operating}", "{set: mode, to: Sleeping}")
        .replace("initial: {raw_state: Work", "initial: {row_state: Work")
    )
    found = [(one.line, one.path, one.text) for one in problems_of(tmp_path, text)]
    lines = text.splitlines()
    for line, path, said in found:
        assert path.split(".")[-1].split("[")[0] in lines[line - 1], (line, path, said)
    assert [path for _, path, _ in found] == [
        "version", "points.ac_voltage.scale", "points.lamp.colour", "points.lamp.kind", "points.amps.unit",
        "commands.Operating.steps[0].to", "simulate.initial.row_state",
    ]  # fmt: skip
    texts = [said for _, _, said in found]
    assert texts[3] == "must be 'analog', 'counter', 'state', 'flag', 'data' or 'time'; it is 'lamp'"
    assert texts[5] == "'Sleeping' is no state of mode: Standby or Operating"


def test_a_broken_entry_is_not_reported_again_by_those_who_refer_to_it(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, changed("mode: {addr: 30", "mode: {adr: 30, addr: 30"))
    assert problem.path == "points.mode.adr"


def test_a_broken_parameter_is_reported_once(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, changed("top: {type: number", "top: {type: numbr"))
    assert problem.path == "parameters.top.type"


@pytest.mark.parametrize("text", ["", "# nothing\n", "[1, 2]", "words"])
def test_what_is_no_profile_at_all(tmp_path: Path, text: str) -> None:
    (problem,) = problems_of(tmp_path, text)
    assert "is no profile" in problem.text


@pytest.mark.parametrize("key", [line.split(":")[0] for line in RIGHT.splitlines() if line[0].isalpha()])
@pytest.mark.parametrize("value", ["7", "[1]", "word", "{a: {b: 1}}", "null", "[{set: 1}]", "{1: [x, {y: 2}]}"])
def test_nonsense_in_any_section_is_a_problem_and_not_a_crash(tmp_path: Path, key: str, value: str) -> None:
    kept: list[str] = []
    skipping = False
    for line in RIGHT.splitlines():
        if line[0].isalpha():
            skipping = line.startswith(f"{key}:")
        if not skipping:
            kept.append(line)
    if (key, value) == ("simulate", "null"):
        return  # as if it were not there
    found = problems_of(tmp_path, "\n".join([*kept, f"{key}: {value}", ""]))
    assert found
    assert all(problem.line > 0 for problem in found)


def test_a_profile_that_is_not_there(tmp_path: Path) -> None:
    for reference, said in (("no.such", "shipped are"), (tmp_path / "none.yaml", "No such file")):
        with pytest.raises(ConfigError, match=said) as caught:
            load_profile(reference)
        assert (caught.value.problems[0].file, caught.value.problems[0].path) == ("", "profile")


def test_a_file_is_named_relative_to_the_site(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/p.yaml").write_text(RIGHT)
    assert load_profile("own/p.yaml", base=tmp_path).id == "test.inverter"


# --- schema for editors ---------------------------------------------------------------------------------------


def test_the_json_schema_is_json_and_allows_parameters() -> None:
    schema = json.loads(json.dumps(profile_schema()))
    assert set(schema["properties"]) >= {"schema", "id", "points", "commands", "parameters", "simulate"}
    scale = schema["$defs"]["PointEntry"]["properties"]["scale"]
    assert {option["type"] for option in scale["anyOf"]} == {"number", "string"}
    assert schema["additionalProperties"] is False
    assert shipped_profiles()


@pytest.mark.parametrize("document", ["docs/profiles.md", "README.md"])
def test_the_example_of_the_documents_is_a_profile(tmp_path: Path, document: str) -> None:
    text = (Path(__file__).parents[2] / document).read_text("utf-8")
    examples = [part.partition("```")[0] for part in text.split("```yaml\n")[1:]]
    (example,) = (one for one in examples if one.startswith("schema: gridnode/profile@1"))
    assert len(example.splitlines()) <= 11
    assert load_text(tmp_path, example).sources


def test_the_document_names_every_key() -> None:
    text = (Path(__file__).parents[2] / "docs/profiles.md").read_text("utf-8")
    schema = profile_schema()
    entries = [schema, *(schema["$defs"][name] for name in ("PointEntry", "CommandEntry", "ModbusEntry", "WriteEntry"))]
    for key in (key for entry in entries for key in entry["properties"]):
        assert f"`{key}`" in text or f"{key}:" in text, key
