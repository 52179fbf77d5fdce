"""Open pages are told that work was done: not when nothing was, and not for every batch of a rush."""

from base.errors import RapportError
from worker.telling import told


class Feed:
    """Keeps the kinds it was told."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    async def append(self, notices) -> None:
        self.kinds += [notice.type for notice in notices]


async def test_work_is_told_once_a_second_and_idleness_never(monkeypatch):
    feed, results, now = Feed(), iter([0, 3, 2, 0, 5]), [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    async def drain(limit: int) -> int:
        return next(results)

    drained = told(drain, feed, "enrolment.updated")  # type: ignore[arg-type]
    assert [await drained(10) for _ in range(3)] == [0, 3, 2]
    assert feed.kinds == ["enrolment.updated"]
    now[0] += 1.5
    assert [await drained(10) for _ in range(2)] == [0, 5]
    assert feed.kinds == ["enrolment.updated"] * 2


async def test_what_goes_wrong_in_the_work_is_not_hidden():
    async def drain(limit: int) -> int:
        raise RapportError("no")

    feed = Feed()
    try:
        await told(drain, feed, "channel.updated")(10)  # type: ignore[arg-type]
    except RapportError:
        assert feed.kinds == []
    else:
        raise AssertionError("the error was swallowed")
