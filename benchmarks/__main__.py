"""`python -m benchmarks [opcua] ...`: what is measured, each part by its name."""

from __future__ import annotations

import sys

from benchmarks import opcua


def main() -> int:
    """Run a part; without a name all of them."""
    words = sys.argv[1:]
    if words and words[0] == "opcua":
        words = words[1:]
    return opcua.main(words)


if __name__ == "__main__":
    sys.exit(main())
