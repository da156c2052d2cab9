"""`python -m benchmarks [opcua|historian] ...`: what is measured, each part by its name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from benchmarks import historian, opcua

PARTS: Final[Mapping[str, Callable[[Sequence[str]], int]]] = {"opcua": opcua.main, "historian": historian.main}


def main() -> int:
    """Run a part; without a name all of them, which then share the options. The worst of their exit codes."""
    words = sys.argv[1:]
    if words and words[0] in PARTS:
        return PARTS[words[0]](words[1:])
    return max(part(words) for part in PARTS.values())


if __name__ == "__main__":
    sys.exit(main())
