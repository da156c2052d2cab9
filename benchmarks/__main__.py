"""`python -m benchmarks [opcua|historian] ...`: what is measured, each part by its name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from benchmarks import historian, opcua

PARTS: Final[Mapping[str, Callable[[Sequence[str]], int]]] = {"opcua": opcua.main, "historian": historian.main}
# What every part understands alike; rows and files are those of one part.
_SHARED: Final = {"--quick", "--check"}


def main(words: Sequence[str]) -> int:
    """Run a part; without a name all of them. The worst of their exit codes."""
    if words and words[0] in PARTS:
        return PARTS[words[0]](words[1:])
    if unknown := [word for word in words if word not in _SHARED]:
        print(f"{' '.join(unknown)}: name the part first: {' or '.join(PARTS)} (with --help for more)", file=sys.stderr)
        return 2
    return max([part(words) for part in PARTS.values()])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
