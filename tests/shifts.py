"""How the tests are dealt out to workers: a folder that shares one world stays together, and what takes long begins."""

from __future__ import annotations

from typing import Any

from xdist.scheduler import LoadScopeScheduling

#: Folders whose tests share a world that takes long to start: one worker does them all.
TOGETHER = ("tests/browser/", "tests/journeys/", "tests/desk/api/")
#: What would leave the others idle if it came last, the longest first.
FIRST = (*TOGETHER, "tests/rapport/", "tests/inbox/", "tests/campaigns/", "tests/channels/test_contract.py",
         "tests/desk/", "tests/webhooks/", "tests/profiles/")  # fmt: skip


class Shifts(LoadScopeScheduling):
    """Deals out files, or folders of `TOGETHER`, in the order of the collection: see `turn_of`."""

    def __init__(self, config: Any, log: Any = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False  # it begins with the files of most tests, which are the quick ones

    def _split_scope(self, nodeid: str) -> str:
        return next((folder for folder in TOGETHER if nodeid.startswith(folder)), nodeid.partition("::")[0])


def turn_of(nodeid: str) -> int:
    """The place of a test in the order in which they are dealt out."""
    return next((turn for turn, begin in enumerate(FIRST) if nodeid.startswith(begin)), len(FIRST))
