"""What a process uses, as the kernel counts it: CPU time and memory. Linux only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Seconds on a CPU of all threads that the process has now.

    From the scheduler's statistics (ns) where the kernel keeps them, else user + system time in steps of 10 ms.
    """
    threads = Path(f"/proc/{pid}/task")
    total_ns = sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads.iterdir())
    if total_ns:
        return total_ns / 1e9
    # Behind the command in parentheses, which may hold spaces: state is field 3, utime 14, stime 15 (proc(5)).
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def rss_bytes(pid: int) -> int:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(f"process {pid} has no resident memory any more")
