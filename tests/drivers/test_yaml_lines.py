import math
from pathlib import Path

import pytest

from drivers.problems import ConfigError, Problem, one_of, path_text
from drivers.yaml_lines import MAX_BYTES, load, load_text


def refused(text: str) -> list[str]:
    try:
        found = ConfigError(load_text(text, "f.yaml").problems)
    except ConfigError as error:
        found = error
    return [str(problem) for problem in found.problems]


def test_words_that_yaml_1_1_takes_for_something_else_stay_words() -> None:
    data = load_text("[on, off, yes, no, Off, 010, 12:30, 2026-11-21, 1_000]", "f").data
    assert data == ["on", "off", "yes", "no", "Off", "010", "12:30", "2026-11-21", "1_000"]


def test_numbers_flags_and_nothing() -> None:
    data = load_text("[0x40, -3, +7, 1.5, -0.25, 1e3, .5, true, false, null, ~, '7', nan]", "f").data
    assert data[:12] == [64, -3, 7, 1.5, -0.25, 1000.0, 0.5, True, False, None, None, "7"]
    assert math.isnan(data[12])
    assert [type(one) for one in data[:3]] == [int, int, int]


def test_every_key_and_item_has_its_line() -> None:
    lines = load_text("a: 1\nb:\n  - x\n  - y: 2\n    z: 3\n5: {6: 7}\n", "f").lines
    assert [lines.of(path) for path in [("a",), ("b", 0), ("b", 1, "z"), (5,), (5, 6)]] == [1, 3, 5, 6, 6]


def test_what_is_not_there_has_the_line_of_its_nearest_parent() -> None:
    lines = load_text("a:\n  b: 1\n", "f").lines
    assert lines.of(("a", "b", "c", 0)) == 2
    assert lines.of(("a", "x")) == 1
    assert str(lines.problem(("a", "x", 0), "is odd")) == "f:1: a.x[0]: is odd"


def test_all_keys_that_stand_twice_are_said_at_once() -> None:
    assert refused("a: 1\nb: {c: 1,\n c: 2}\na: 2\n") == [
        "f.yaml:3: b.c: stands twice; the first is on line 2",
        "f.yaml:4: a: stands twice; the first is on line 1",
    ]


def test_what_is_wrong_in_places_leaves_the_rest_to_be_checked() -> None:
    document = load_text("a: 1\na: 2\ntrue: 3\nb: !mine x\n", "f")
    assert document.data == {"a": 1, "b": "x"}
    assert [problem.line for problem in document.problems] == [2, 3, 4]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: [1,\nb: 2", 2, "is not YAML"),
        ("a: &x 1\nb: *x", 2, "anchors and aliases"),
        ("a: !!python/object:os.system x", 1, "the tag"),
        ("a: !mine x", 1, "the tag"),
        ("? [1, 2]\n: 3", 1, "a key must be"),
        ("true: 1", 1, "a key must be"),
        (".inf: 1", 1, "a key must be"),
        ("1.0: 1", 1, "a key must be"),
        ("a: 1\n---\nb: 2", 2, "is not YAML"),
        ("\tx: 1", 1, "is not YAML"),
    ],
)
def test_what_is_refused(text: str, line: int, said: str) -> None:
    (problem,) = refused(text)
    assert problem.startswith(f"f.yaml:{line}: ")
    assert said in problem


@pytest.mark.parametrize("text", ["[" * 5000, "{a: " * 60 + "1" + "}" * 60])
def test_deep_nesting_is_refused_and_does_no_harm(text: str) -> None:
    assert any("nested" in problem for problem in refused(text))


def test_a_file_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    binary, huge = tmp_path / "binary.yaml", tmp_path / "huge.yaml"
    binary.write_bytes(b"a: \xff\n")
    huge.write_bytes(b"#" * (MAX_BYTES + 1))
    for path, said in (
        (binary, "UTF-8"),
        (huge, "at most"),
        (tmp_path / "none.yaml", "cannot be read"),
        (tmp_path, "read"),
    ):
        with pytest.raises(ConfigError, match=said) as caught:
            load(path)
        assert caught.value.problems[0].file == str(path)


def test_an_empty_file_has_no_data() -> None:
    assert load_text("# nothing\n", "f").data is None


def test_problems_come_in_the_order_of_their_lines_and_each_once() -> None:
    late, early = Problem("f", 9, "a", "x"), Problem("f", 2, "b", "y")
    assert ConfigError([late, early, late]).problems == (early, late)
    assert str(ConfigError([late, early])) == "f:2: b: y\nf:9: a: x"


def test_words_of_problems() -> None:
    assert path_text(("points", "x", "range", 1)) == "points.x.range[1]"
    assert one_of(["a", "b", "c"]) == "a, b or c"
    assert one_of(["a"]) == "a"
