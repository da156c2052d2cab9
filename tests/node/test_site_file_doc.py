"""docs/site-file.md tells every key of the site file, and no other."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from node import config_schema as schema

DOC = Path(__file__).parents[2] / "docs" / "site-file.md"
SECTIONS: dict[str, type[BaseModel]] = {
    "Top level": schema.SiteFile,
    "server": schema.ServerEntry,
    "server.security": schema.SecurityEntry,
    "server.limits": schema.LimitsEntry,
    "logging": schema.LoggingEntry,
    "history": schema.HistoryEntry,
    "simulate": schema.SimulateEntry,
    "sinks": schema.SinkEntry,
    "buses": schema.BusEntry,
    "buses.serial": schema.SerialEntry,
    "devices": schema.DeviceEntry,
    "devices.points": schema.PointOverride,
    "devices.computed": schema.ComputedEntry,
}


def documented() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for section in DOC.read_text("utf-8").split("\n## ")[1:]:
        title, _, text = section.partition("\n")
        found[title] = dict(re.findall(r"^\| `(\w+)` \| [^|]* \| (.*) \|$", text, re.MULTILINE))
    return found


def test_every_part_of_the_schema_has_a_section() -> None:
    models = {model for model in vars(schema).values() if isinstance(model, type) and issubclass(model, BaseModel)}
    ours = {model for model in models if model.__module__ == schema.__name__ and not model.__name__.startswith("_")}
    assert ours == set(SECTIONS.values())
    assert set(documented()) == set(SECTIONS)


@pytest.mark.parametrize("title", SECTIONS)
def test_a_section_has_the_keys_of_the_schema_with_their_meaning(title: str) -> None:
    fields = SECTIONS[title].model_fields
    assert documented()[title] == {info.alias or name: info.description for name, info in fields.items()}
