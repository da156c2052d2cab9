import json
import re
from pathlib import Path

from drivers.profile import shipped_profiles
from tests.node.cli.conftest import Gridnode


def test_a_right_site_is_told_with_its_size(gridnode: Gridnode) -> None:
    result = gridnode("check", str(gridnode.site))
    assert "site.yaml: ok: 1 device on 1 bus, " in result.stdout
    assert "control: xw1" in result.stdout


def test_a_wrong_site_gives_all_problems_and_exit_code_1(gridnode: Gridnode) -> None:
    gridnode.site.write_text(gridnode.site.read_text().replace("unit: 10", "unit: 999").replace("demo", "Demo"))
    lines = gridnode("check", str(gridnode.site), code=1).stdout.splitlines()
    assert [line.removeprefix(str(gridnode.site)).split(": ")[:2] for line in lines[:2]] == [
        [":1", "site"],
        [":6", "devices.xw1.unit"],
    ]
    assert lines[2:] == ["2 problems"]


def test_a_doubt_is_a_warning_and_no_problem(gridnode: Gridnode) -> None:
    gridnode.site.write_text(gridnode.site.read_text().replace("devices:", "  gw2: {driver: modbus, tcp: a}\ndevices:"))
    assert "buses.gw2: has no device and is not opened (warning)" in gridnode("check", str(gridnode.site)).stdout


def test_checking_changes_nothing(gridnode: Gridnode, tmp_path: Path) -> None:
    gridnode("check", str(gridnode.site))
    assert [path.name for path in tmp_path.iterdir()] == ["site.yaml"]


def test_profiles_are_checked_by_themselves(gridnode: Gridnode, tmp_path: Path) -> None:
    shipped = shipped_profiles()["eastron.sdm630"]
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(shipped.read_text("utf-8").replace("protocol: modbus", "protocol: modbos"), "utf-8")
    result = gridnode("check", "--profile", str(shipped), "--profile", str(wrong), code=1)
    assert "ok: eastron.sdm630 " in result.stdout
    assert re.search(r" \d+ points of the profile and \d+ of the node's own, 0 commands", result.stdout)
    assert "wrong.yaml:" in result.stdout
    assert "protocol: " in result.stdout


def test_without_a_file_it_is_a_wrong_command(gridnode: Gridnode) -> None:
    assert "name a site file" in gridnode("check", code=2).stderr


def test_the_schemas_are_json_schemas(gridnode: Gridnode) -> None:
    site = json.loads(gridnode("schema").stdout)
    assert site["title"] == "gridnode site"
    assert set(site["required"]) == {"site", "devices"}
    assert site["additionalProperties"] is False
    assert site["$defs"]["BusEntry"]["properties"]["timeout"]["pattern"].startswith("^")
    profile = json.loads(gridnode("schema", "profile").stdout)
    assert profile["title"] == "gridnode profile"
    gridnode("schema", "other", code=2)
