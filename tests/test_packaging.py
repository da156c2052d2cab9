"""What a fresh clone installs is pinned, and comes from wherever the machine's own registries are."""

import json
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parent.parent
NODE_CLIENT = ROOT / "tests" / "e2e" / "node_client"


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    assert [line for line in wanted if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line)] == []
    return {normal(name): version for name, version in (line.split("==") for line in wanted)}


def test_every_dependency_is_pinned_by_name_and_version_only() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {normal(re.split(r"[\[=<>~! ;]", entry)[0]) for entry in asked}
    assert names - pins().keys() == set()


def test_what_is_installed_is_what_is_pinned() -> None:
    installed = {normal(found.metadata["Name"]): found.version for found in metadata.distributions()}
    wrong = {name: (installed[name], pin) for name, pin in pins().items() if installed.get(name, pin) != pin}
    assert wrong == {}


def test_asyncua_is_pinned_in_the_project_itself() -> None:
    assert "asyncua==2.1.0" in (metadata.requires("gridnode") or [])


def test_the_npm_lock_file_names_no_registry() -> None:
    lock = json.loads((NODE_CLIENT / "package-lock.json").read_text(encoding="utf-8"))
    assert [name for name, entry in lock["packages"].items() if "resolved" in entry] == []
    assert "omit-lockfile-registry-resolved=true" in (NODE_CLIENT / ".npmrc").read_text(encoding="utf-8").splitlines()


def test_the_packages_carry_their_types() -> None:
    assert [p for p in ("node", "address_space", "drivers") if not (ROOT / p / "py.typed").is_file()] == []


def test_importing_the_plant_model_brings_no_library() -> None:
    heavy = (
        "import sys, address_space.model; print([m for m in ('asyncua', 'pymodbus', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", heavy], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
