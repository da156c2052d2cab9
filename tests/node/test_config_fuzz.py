# ruff: noqa: E501 - tables read better in long lines
"""Whatever stands in a site file: it is a site, or it has problems that are said. Nothing else ever comes out."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from drivers.problems import ConfigError
from node.config import check_site

DEMO = (Path(__file__).parents[2] / "examples" / "demo.yaml").read_text("utf-8")
WRONG: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 255, 300, 10**30, 1.5, float("nan"), float("inf"), "", " ", "x", "a.b", "xw1", "gw1", "node",
    "1s", "0s", "1", "xw1.ac_power", "\x00", "é", [], [1], ["x"], ["xw1.state"], [[]], {}, {"x": 1}, {1: 2}, {"total": ["xw1.ac_power"]},
    {"driver": "modbus"}, {"port": "x"}, "127.0.0.1:1", "[::1]:4840", "0.0.0.0:4840",
)  # fmt: skip
KEYS = (
    "site", "server", "listen", "names", "security", "none", "buses", "devices", "tcp", "serial", "driver", "unit", "bus", "profile",
    "computed", "points", "parameters", "range", "class", "total", "average", "simulate", "password", "state", "x", 7,
)  # fmt: skip


def outcome(path: Path) -> str:
    try:
        check_site(path)
    except ConfigError as error:
        assert error.problems
        assert all(problem.text and problem.file for problem in error.problems)
        return "problems"
    return "site"


def places(data: Any) -> list[tuple[Any, Any]]:
    """Every container with each of its keys."""
    found: list[tuple[Any, Any]] = []
    if isinstance(data, dict | list):
        for key, item in list(data.items() if isinstance(data, dict) else enumerate(data)):
            found.append((data, key))
            found += places(item)
    return found


def damage(data: Any, chance: random.Random) -> None:
    for _ in range(chance.randint(1, 4)):
        container, key = chance.choice(places(data))
        what = chance.randrange(4)
        if what == 0:
            container[key] = chance.choice(WRONG)
        elif what == 1 and isinstance(container, dict):
            container[chance.choice(KEYS)] = container.pop(key)
        elif what == 2:
            del container[key]
        elif isinstance(container, dict):
            container[chance.choice(KEYS)] = chance.choice(WRONG)


def test_damaged_data_gives_a_site_or_problems(tmp_path: Path, seed: int, scaled: Callable[[int], int]) -> None:
    chance = random.Random(seed)
    path = tmp_path / "site.yaml"
    seen: set[str] = set()
    for _ in range(scaled(2000)):
        data = yaml.safe_load(DEMO)
        damage(data, chance)
        path.write_text(yaml.safe_dump(data, allow_unicode=True, sort_keys=False), "utf-8")
        seen.add(outcome(path))
    assert "problems" in seen


def test_damaged_text_gives_a_site_or_problems(tmp_path: Path, seed: int, scaled: Callable[[int], int]) -> None:
    chance = random.Random(seed)
    path = tmp_path / "site.yaml"
    for _ in range(scaled(2000)):
        text = bytearray(DEMO.encode())
        for _ in range(chance.randint(1, 6)):
            at = chance.randrange(len(text))
            text[at : at + chance.randint(0, 3)] = bytes(
                chance.choices(b":{}[]-,'\"&*!|>%@#? \n\tx1\xff\x00", k=chance.randint(0, 3))
            )
        path.write_bytes(text)
        outcome(path)
