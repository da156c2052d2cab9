import io
import json
import logging
import re
from collections.abc import Iterator

import pytest

from node.logs import configure
from node.site import LogFormat, LoggingConfig
from tests.logging_state import restored_logging


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    with restored_logging():
        yield


def test_a_text_line_has_time_with_offset_level_part_and_message() -> None:
    stream = io.StringIO()
    configure(LoggingConfig(), stream)
    logging.getLogger("node.somewhere").warning("%d of %s", 3, "four")
    line = stream.getvalue()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d WARNING node\.somewhere: 3 of four\n", line
    ), line


def test_a_json_line_is_one_object_also_with_a_trace() -> None:
    stream = io.StringIO()
    configure(LoggingConfig(format=LogFormat.JSON), stream)
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("drivers.bus").exception("it broke: %s", "a\nb")
    (line,) = stream.getvalue().splitlines()
    entry = json.loads(line)
    assert (entry["level"], entry["part"], entry["message"]) == ("error", "drivers.bus", "it broke: a\nb")
    assert "ValueError: two\nlines" in entry["error"]


def test_a_name_from_outside_cannot_start_a_line_or_steer_a_terminal() -> None:
    stream = io.StringIO()
    configure(LoggingConfig(), stream)
    logging.getLogger("node.server").warning("refused %s", "x\n2026 INFO node: all is well\x1b[2J\x9b")
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()
    assert "\x9b" not in stream.getvalue()


def test_each_part_has_its_level() -> None:
    stream = io.StringIO()
    configure(LoggingConfig(level="WARNING", levels={"drivers.bus": "DEBUG", "asyncua": "ERROR"}), stream)
    logging.getLogger("drivers.bus").debug("one")
    logging.getLogger("elsewhere").info("two")
    logging.getLogger("asyncua.client").warning("three")
    logging.getLogger("asyncua.client").error("four")
    assert re.findall(r": (\w+)$", stream.getvalue(), re.MULTILINE) == ["one", "four"]


def test_libraries_are_quiet_below_warning_unless_the_site_wants_them() -> None:
    stream = io.StringIO()
    configure(LoggingConfig(level="DEBUG"), stream)
    logging.getLogger("pymodbus.logging").info("chatter")
    assert stream.getvalue() == ""
    configure(LoggingConfig(levels={"pymodbus": "DEBUG"}), stream)
    logging.getLogger("pymodbus.logging").debug("wanted")
    assert "wanted" in stream.getvalue()


def test_a_second_set_up_replaces_the_first() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure(LoggingConfig(), first)
    configure(LoggingConfig(), second)
    logging.getLogger("node").warning("once")
    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1
