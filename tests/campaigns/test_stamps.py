"""Answers stamped in whole seconds by somebody else's clock still count as answers."""

from datetime import UTC, datetime, timedelta

import pytest

from campaigns.conditions import Happened, subject_of
from campaigns.definition import must_read
from campaigns.engine import new_run, walk
from campaigns.interest import looks_back_to
from campaigns.run import Facts

#: The step began 0.4 s after the full second.
BEGAN = datetime(2026, 11, 23, 10, 0, 5, 400_000, tzinfo=UTC)
SECOND = timedelta(seconds=1)
JOURNEY = must_read(
    {
        "name": "J",
        "trigger": {"type": "message_received"},
        "steps": [
            {"id": "l", "type": "wait_event", "timeout": "P1D", "timeout_next": "late",
             "any": [{"event": "message.received", "next": "answered"}]},
            {"id": "answered", "type": "exit", "reason": "answered"},
            {"id": "late", "type": "exit", "reason": "late"},
        ],
    }
)  # fmt: skip


@pytest.mark.parametrize(
    ("occurred_at", "received_at", "counts"),
    [
        (BEGAN + SECOND, BEGAN + 2 * SECOND, True),
        (BEGAN.replace(microsecond=0), BEGAN + 0.3 * SECOND, True),  # written at 5.6, stamped 5
        (BEGAN - 1.4 * SECOND, BEGAN + 0.3 * SECOND, True),  # the provider's clock is a second behind
        (BEGAN.replace(microsecond=0), BEGAN - 0.1 * SECOND, False),  # we had it before the step began
        (BEGAN - 30 * SECOND, BEGAN + SECOND, False),  # an old message that was long under way
        (BEGAN.replace(microsecond=0), None, False),
    ],
)
def test_an_answer_counts_by_when_it_was_written_and_when_we_heard_of_it(
    occurred_at: datetime, received_at: datetime | None, counts: bool
) -> None:
    run = new_run(JOURNEY, id="enr_1", journey_id="jrn_1", profile_id="prf_1", since=BEGAN, now=BEGAN, data={})
    happened = (Happened("evt_1", "message.received", occurred_at, received_at),)
    subject = subject_of({}, (), BEGAN)
    known = Facts(loaded=frozenset({"profile", "happened"}), subject=subject, happened=happened)
    walked = walk(JOURNEY, run, known, BEGAN + 3 * SECOND)
    assert bool(walked.ended) is counts
    assert not counts or looks_back_to(JOURNEY, run) <= occurred_at
