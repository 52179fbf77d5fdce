"""The child process that renders: reads batches from its input, answers one line per item, and may be killed any time.

It is started by `campaigns.render` with an empty environment, and limits its own memory and time.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from types import FrameType
from typing import Any

import orjson

from campaigns.sandbox import Language, Setting, fault

#: Memory on top of what the idle child needs; processor time for one item.
MEMORY_BYTES = 64 * 1024 * 1024
ITEM_CPU_S = 1.0


class TooSlow(Exception):
    """One item used up its processor time."""


def _out_of_time(signum: int, frame: FrameType | None) -> None:
    raise TooSlow


def limit_memory() -> None:
    """Cap the address space at what it is now and a little more. Where /proc is missing, only the time is limited."""
    try:
        with open("/proc/self/statm") as statm:
            pages = int(statm.read().split()[0])
    except OSError:
        return
    limit = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def limit_the_rest() -> None:
    """No core dumps, no files written, no children."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def answer(language: Language, parts: dict[str, Any], item: dict[str, Any], strict: bool) -> dict[str, Any]:
    """Render every part of one item."""
    setting = Setting(item.get("locale"), item.get("zone"), item.get("project_zone") or "UTC", strict=strict)
    rendered: dict[str, str] = {}
    name = ""
    try:
        signal.setitimer(signal.ITIMER_PROF, ITEM_CPU_S)
        try:
            for name, part in parts.items():
                rendered[name] = language.render(
                    part["source"], item["context"], setting, markup=part["markup"], snippets=part.get("snippets")
                )
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    except TooSlow:
        return {"error": {"code": "too_slow", "message": "The template takes too long.", "line": None, "part": name}}
    except Exception as error:  # whatever an author wrote must end as a sentence for them
        return {"error": {**fault(error), "part": name}}
    return {"parts": rendered, "missing": setting.missing}


def main() -> None:
    """Answer batches until the input ends. After a memory error nothing is trusted any more: the parent starts anew."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    sys.stdout = sys.stderr
    signal.signal(signal.SIGPROF, _out_of_time)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    language = Language()
    warm = Setting("en", None, "UTC", strict=False)
    for sample in ("{{ '2026-01-31' | date }} {{ 1 | number }} {{ 100 | money('EUR') }}", "{{ a }} ~ {{ b.c }}"):
        language.render(sample, {}, warm, markup=True)
    limit_the_rest()
    limit_memory()
    for line in sys.stdin.buffer:
        batch = orjson.loads(line)
        for item in batch["items"]:
            given = answer(language, batch["templates"][item["template"]], item, batch["strict"])
            answers.write(orjson.dumps(given) + b"\n")
            answers.flush()
            if given.get("error", {}).get("code") == "too_large":
                return


if __name__ == "__main__":
    main()
