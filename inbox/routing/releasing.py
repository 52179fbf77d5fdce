"""When a conversation leaves somebody who is not there. Pure."""

from __future__ import annotations

from datetime import datetime

from base.mongo import Document
from inbox.acts import Act
from inbox.routing.standing import LONG_AGO, Standing


def goes_back(row: Document, stands: Standing, now: datetime) -> bool:
    """Whether it goes to others.

    At once what came back while its assignee was away and has had no answer since; after the time of their state
    whatever somebody waits in. What was given to them while they were away counts from then.
    """
    if stands.here:
        return False
    given_at: datetime = row.get("assigned_at") or LONG_AGO
    reopened_at: datetime | None = row.get("reopened_at")
    if reopened_at is not None and reopened_at > max(stands.since, given_at):
        answered_at: datetime | None = row.get("last_reply_at")
        return answered_at is None or answered_at <= reopened_at
    since = max(stands.since, given_at)
    return row.get("waiting_since") is not None and stands.gives_on(now, since)


def release_act(row: Document, name: str | None, team_id: str | None) -> Act:
    """It leaves its assignee, who is remembered. `team_id`: the team of its channel, for what has none yet."""
    user_id = row["assignee_id"]
    params = {"from": user_id, "from_name": name, "to": None, "to_name": None, "by": None, "by_name": None}
    gone = tuple(each for each in ("fallen_from", "assigned_at") if each in row)
    team = {} if row.get("team_id") else {"team_id": team_id}
    return Act(
        {"assignee_id": None, "released_from": user_id, **team}, gone, "released", params, "conversation.assigned"
    )  # fmt: skip
