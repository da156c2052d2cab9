"""The direction of imports, and one home per library: docs/architecture.md as a test, on the AST."""

import ast
import functools
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("address_space", "drivers", "node")
PURE = ("address_space.model", "address_space.classes", "address_space.units")

# What a file of ours may import of ours; the first pattern that fits it counts. "x.*" is x and what is in it.
EDGES: list[tuple[str, tuple[str, ...]]] = [
    ("address_space/__init__.py", ()),
    ("address_space/model.py", ()),
    ("address_space/*", ("address_space.*",)),
    ("drivers/*", ("drivers.*", *PURE)),
    ("node/*", ("node.*", "drivers.*", "address_space.*")),
]
# Where a library may be imported; "!" takes files away again.
HOMES: dict[str, tuple[str, ...]] = {
    "asyncua": ("address_space/*", *(f"!{m.replace('.', '/')}.py" for m in (*PURE, "address_space.image")),
                "!address_space/__init__.py", "node/server/*", "node/client.py",
                "node/client_reading.py", "node/client_history.py"),
    "pymodbus": ("drivers/*",),
    "serial": ("drivers/*",),
    "serial_asyncio": ("drivers/*",),
    "aiosqlite": ("node/historian/*",),
    "influxdb_client": ("node/sinks/influx.py",),
    "aiohttp": ("node/sinks/influx*.py",),
    "pydantic": ("node/config_schema.py", "node/config_draft.py", "drivers/profile.py", "drivers/profile_schema.py"),
    "yaml": ("drivers/yaml_lines.py",),
    "typer": ("node/cli/*", "node/__main__.py"),
    "rich": ("node/cli/*", "node/__main__.py"),
    "pyarrow": ("node/cli/sample_file.py",),
    "argon2": ("node/*",),
    "cryptography": ("node/*",),
}  # fmt: skip
COMPAT = "node/server/compat.py"  # may import, read and override underscored names of asyncua
# May catch every Exception, once each: the supervisor of the parts, and what keeps a request's fault from all others.
BOUNDARIES = ("node/app.py", "node/server/transport/tasks.py")
PROCESSOR = "from asyncua.server.uaprocessor import UaProcessor\nclass A(UaProcessor):\n"  # for the examples below
CATCH_ALL = {"Exception", "BaseException"}


def imports(path: str, tree: ast.AST) -> Iterator[tuple[int, str, str]]:
    """(line, module, imported name or "") of every import, relative ones resolved, those for types included."""
    here = path.split("/")
    for item in ast.walk(tree):
        if isinstance(item, ast.Import):
            yield from ((item.lineno, alias.name, "") for alias in item.names)
        elif isinstance(item, ast.ImportFrom):
            parents = here[: len(here) - item.level] if item.level else []
            module = ".".join([*parents, *([item.module] if item.module else [])])
            yield from ((item.lineno, module, alias.name) for alias in item.names)


def allowed(name: str, patterns: tuple[str, ...]) -> bool:
    return any(name == p or (p.endswith(".*") and (name + ".").startswith(p[:-1])) for p in patterns)


def at_home(path: str, home: tuple[str, ...]) -> bool:
    refused = any(fnmatch(path, pattern[1:]) for pattern in home if pattern.startswith("!"))
    return not refused and any(fnmatch(path, pattern) for pattern in home)


def import_faults(path: str, tree: ast.AST) -> Iterator[str]:
    mine = next(targets for pattern, targets in EDGES if fnmatch(path, pattern))
    for line, module, name in imports(path, tree):
        top = module.partition(".")[0]
        if path == "address_space/__init__.py":
            yield f"{path}:{line}: imports nothing, so that one part of the package can be had without the others"
        elif top in PACKAGES and not (allowed(module, mine) or allowed(f"{module}.{name}", mine)):
            yield f"{path}:{line}: must not import {module}"
        if top in HOMES and not at_home(path, HOMES[top]):
            yield f"{path}:{line}: {top} is at home in {', '.join(HOMES[top])}"
        private = any(part.startswith("_") and not part.endswith("__") for part in f"{module}.{name}".split("."))
        if top == "asyncua" and private and path != COMPAT:
            yield f"{path}:{line}: only {COMPAT} may import {module}.{name}"


def catch_all_faults(path: str, tree: ast.AST) -> Iterator[str]:
    left = int(path in BOUNDARIES)
    for item in ast.walk(tree):
        if isinstance(item, ast.ExceptHandler):
            if isinstance(item.body[-1], ast.Raise) and item.body[-1].exc is None:
                continue  # it tidies up and lets the error go on
            caught = {leaf.id for leaf in ast.walk(item.type) if isinstance(leaf, ast.Name)} if item.type else CATCH_ALL
        elif isinstance(item, ast.Call) and ast.unparse(item.func).endswith("suppress"):
            caught = {leaf.id for arg in item.args for leaf in ast.walk(arg) if isinstance(leaf, ast.Name)}
        else:
            continue
        if not caught & CATCH_ALL:
            continue
        left -= 1
        if left < 0:
            places = " and ".join(BOUNDARIES)
            yield f"{path}:{item.lineno}: catches everything; name the errors (only {places} may, once each)"


Classes = dict[str, tuple[set[str], set[str]]]  # class: names of its bases, underscored names that it defines or sets


def classes_in(tree: ast.AST) -> Classes:
    found: Classes = {}
    for cls in (item for item in ast.walk(tree) if isinstance(item, ast.ClassDef)):
        names = {item.name for item in ast.walk(cls) if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)}
        names |= {i.attr for i in ast.walk(cls) if isinstance(i, ast.Attribute) and isinstance(i.ctx, ast.Store)}
        bases = {getattr(base, "attr", getattr(base, "id", "")) for base in cls.bases}
        known_bases, known_names = found.get(cls.name, (set(), set()))
        found[cls.name] = (bases | known_bases, {n for n in names if re.match(r"_[^_]", n)} | known_names)
    return found


@functools.cache
def classes_of_asyncua() -> Classes:
    """Every class of the installed asyncua and of compat.py, by name."""
    spec = find_spec("asyncua")
    assert spec is not None
    assert spec.origin is not None
    files = [f for f in Path(spec.origin).parent.rglob("*.py") if "standard_address_space" not in f.name]
    found: Classes = {}
    for file in files:
        found |= classes_in(ast.parse(file.read_text(encoding="utf-8")))
    compat = ROOT / COMPAT
    ours = classes_in(ast.parse(compat.read_text(encoding="utf-8"))) if compat.exists() else {}
    return found | {name: (bases, set()) for name, (bases, _) in ours.items()}


def private_names(cls: str, seen: frozenset[str] = frozenset()) -> set[str]:
    """The underscored names that a class inherits from asyncua under this name of a base."""
    if cls in seen:
        return set()
    bases, names = classes_of_asyncua().get(cls, (set(), set()))
    return names.union(*(private_names(base, seen | {cls}) for base in bases))


def private_faults(path: str, tree: ast.AST) -> Iterator[str]:
    """Underscored names of asyncua, defined or used in a class that inherits from it, directly or through compat.py."""
    foreign = {
        name: module for _, module, name in imports(path, tree) if re.match(r"asyncua|node\.server\.compat", module)
    }
    for cls in (item for item in ast.walk(tree) if isinstance(item, ast.ClassDef)):
        bases = [base.attr if isinstance(base, ast.Attribute) else ast.unparse(base) for base in cls.bases]
        if path == COMPAT or not foreign:
            continue
        theirs = set[str]().union(*(private_names(base) for base in bases))
        for item in ast.walk(cls):
            name = getattr(item, "attr", None) or getattr(item, "name", None)
            if isinstance(item, ast.Attribute | ast.FunctionDef | ast.AsyncFunctionDef) and name in theirs:
                yield f"{path}:{item.lineno}: {name} is asyncua's own; only {COMPAT} may touch it"


def faults(path: str, source: str) -> list[str]:
    """Everything in one file that breaks a rule, as `path:line: what`."""
    tree = ast.parse(source, path)
    return [*import_faults(path, tree), *catch_all_faults(path, tree), *private_faults(path, tree)]


def our_files() -> list[str]:
    return sorted(f.relative_to(ROOT).as_posix() for package in PACKAGES for f in (ROOT / package).rglob("*.py"))


def test_every_file_keeps_to_the_architecture() -> None:
    files = our_files()
    assert len(files) >= len(PACKAGES)
    found = [fault for path in files for fault in faults(path, (ROOT / path).read_text(encoding="utf-8"))]
    assert not found, "\n".join(found)


def test_the_asynchronous_serial_library_has_one_adapter_module() -> None:
    users = [
        path for path in our_files()
        if any(m.startswith("serial_asyncio") for _, m, _ in imports(path, ast.parse((ROOT / path).read_text("utf-8"))))
    ]  # fmt: skip
    assert len(users) <= 1, users


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("drivers/bus.py", "import node.app"),
        ("drivers/bus.py", "from address_space.image import Image"),
        ("drivers/bus.py", "from address_space import image"),
        ("drivers/bus.py", "import address_space"),
        ("drivers/simulator/server.py", "from ...node import app"),
        ("drivers/bus.py", "if TYPE_CHECKING:\n    from node.site import Site"),
        ("address_space/builder.py", "def f():\n    from drivers import base"),
        ("address_space/model.py", "from address_space.units import UNITS"),
        ("address_space/__init__.py", "import math"),
        ("address_space/image.py", "from asyncua import ua"),
        ("address_space/units.py", "import asyncua.ua"),
        ("drivers/modbus.py", "from asyncua import ua"),
        ("node/app.py", "import asyncua"),
        ("node/app.py", "import pymodbus.client"),
        ("node/server/history/reader.py", "import aiosqlite"),
        ("node/sinks/mqtt.py", "from influxdb_client import Point"),
        ("node/sinks/mqtt.py", "import aiohttp"),
        ("node/site.py", "import pydantic"),
        ("drivers/codec.py", "import yaml"),
        ("node/server/session.py", "from asyncua.server import _private"),
        ("node/server/session.py", PROCESSOR + "    async def _process_message(self): ..."),
        ("node/server/session.py", PROCESSOR + "    def f(self): self._process_message()"),
        ("drivers/bus.py", "try: ...\nexcept: ..."),
        ("drivers/bus.py", "try: ...\nexcept Exception: ..."),
        ("node/app.py", "try: ...\nexcept Exception: ...\ntry: ...\nexcept Exception: ..."),
        ("node/server/transport/tasks.py", "try: ...\nexcept BaseException: ...\ntry: ...\nexcept Exception: ..."),
        ("node/server/read.py", "try: ...\nexcept (ValueError, BaseException) as error: ..."),
        ("node/server/read.py", "with contextlib.suppress(Exception): ..."),
    ],
)  # fmt: skip
def test_a_broken_rule_is_found(path: str, source: str) -> None:
    assert len(faults(path, source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("drivers/bus.py", "from address_space.model import Point\nfrom address_space import units\nfrom . import x"),
        ("drivers/serial_line.py", "import serial_asyncio"),
        ("address_space/builder.py", "from asyncua import ua\nfrom address_space import image"),
        ("node/app.py", "from drivers.bus import Bus\ntry: ...\nexcept Exception: ..."),
        ("node/server/transport/tasks.py", "try: ...\nexcept Exception: ..."),
        ("node/server/compat.py", "from asyncua import _z\n" + PROCESSOR + "    def _process_message(self): ..."),
        ("node/server/session.py", PROCESSOR + "    def f(self): self._only_ours = 1"),
        ("node/sinks/csv.py", "try: ...\nexcept BaseException:\n    tidy()\n    raise"),
        ("node/sinks/influx.py", "from influxdb_client import Point\ntry: ...\nexcept (OSError, ValueError): ..."),
    ],
)  # fmt: skip
def test_what_the_rules_allow_passes(path: str, source: str) -> None:
    assert faults(path, source) == []
