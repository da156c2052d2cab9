"""Compiles the C slave; knows the compiler and libmodbus, and nothing of Modbus."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from tests.tools import require_header, require_tool

SOURCES: Final = ("slave.c", "registers.c", "wire.c", "commands.c")
FLAGS: Final = ("-std=c11", "-O1", "-Wall", "-Wextra", "-Werror")
HERE: Final = Path(__file__).parent


def build(folder: Path) -> Path:
    """Compile into `folder` and return the program; skips (with CI=true: fails) where a tool is missing."""
    compiler = require_tool("cc", "gcc")
    require_header("modbus/modbus.h", "libmodbus-dev")
    program = folder / "slave"
    sources = [str(HERE / source) for source in SOURCES]
    subprocess.run([compiler, *FLAGS, "-o", str(program), *sources, "-lmodbus"], check=True)
    return program
