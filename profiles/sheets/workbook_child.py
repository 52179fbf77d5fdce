"""The child process that unpacks a workbook: it limits its own memory and time, writes each row as a line of JSON, and
may be killed any time. Started by `profiles.sheets.workbook` with an empty environment.

A packed file of two megabytes can hold a sheet of hundreds, or one row of a million cells; the library holds a row as
a whole, and a little of all rows before it.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import orjson

from profiles.sheets.table import Unreadable
from profiles.sheets.workbook import TOO_LARGE, rows_of

#: Memory on top of what the idle child needs; processor time for all of it.
MEMORY_BYTES = 640 * 1024 * 1024
CPU_S = 900


def limit() -> None:
    """No more memory than that, no core dumps, no files written. Where /proc is missing, memory is not limited."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    try:
        with open("/proc/self/statm") as statm:
            pages = int(statm.read().split()[0])
    except OSError:
        return
    most = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def main(path: Path) -> None:
    """Rows `[number, cells]`, then `{}`, or `{"error": …}` where it cannot go on."""
    limit()
    out = sys.stdout.buffer
    try:
        for row in rows_of(path):
            out.write(orjson.dumps(row) + b"\n")
        end: dict[str, str] = {}
    except Unreadable as error:
        end = {"error": str(error)}
    except MemoryError:
        end = {"error": TOO_LARGE}
    out.write(orjson.dumps(end) + b"\n")
    out.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
