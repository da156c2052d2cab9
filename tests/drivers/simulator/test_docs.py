"""docs/simulator.md lists every physics with its options and their defaults."""

import re
from pathlib import Path

import pytest

from drivers.simulator.physics import DEFAULTS

TEXT = (Path(__file__).parents[3] / "docs" / "simulator.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_options_and_defaults_are_those_of_the_code(name: str) -> None:
    row = next(line for line in TEXT.splitlines() if line.startswith(f"| `{name}` |"))
    told = {option: float(value) for option, value in re.findall(r"`(\w+)` ([\d.]+)", row.partition("| `")[2])}
    if ", day" in row:
        told |= {"day_s": 86_400.0, "day_shift": 0.0}
    assert told == dict(DEFAULTS[name])
