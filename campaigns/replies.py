"""What somebody wrote, as an answer to something a journey or broadcast sent them.

No provider tells of it. What came in is the answer to the send it quotes, else to the last one that went to the person
on that channel; when a colleague wrote since, it is an answer to them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from base.mongo import Document
from campaigns.conditions import Happened
from campaigns.matching import REPLIED
from campaigns.waiting import STAMP
from inbox.store import SendStore

#: What is written later than this answers nothing.
ANSWER_MAX = timedelta(days=14)
#: Sources of sends that have a journey or a broadcast behind them.
CAMPAIGNS = frozenset({"journey", "broadcast"})


class Replies:
    """Looks sends up in bulk."""

    def __init__(self, sends: SendStore) -> None:
        self._sends = sends

    async def among(self, received: Sequence[tuple[str, Happened]]) -> dict[str, Happened]:
        """Of (profile of today, `message.received`) those that answer a campaign: event id → the event as a reply, with
        the send's properties. Kept under the id of what came in."""
        if not received:
            return {}
        since = min(event.occurred_at for _, event in received) - ANSWER_MAX
        sends: dict[str, list[Document]] = {}
        for row in await self._sends.handed_to({profile_id for profile_id, _ in received}, since):
            sends.setdefault(row["profile_id"], []).append(row)
        answered = ((event, answered_by(event, sends.get(profile_id, ()))) for profile_id, event in received)
        return {event.id: as_reply(event, send) for event, send in answered if send is not None}


def answered_by(event: Happened, sends: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Of what went to the person, what this answers; None when it is nothing of a campaign's. Pure."""
    if event.properties.get("automatic") or event.properties.get("group_id"):
        return None
    until = event.occurred_at + STAMP
    own = [
        each for each in sends
        if each["channel_id"] == event.channel_id and until - ANSWER_MAX <= each["handed_at"] <= until
    ]  # fmt: skip
    quoted = event.properties.get("reply_to")
    named = [each for each in own if quoted and quoted in each.get("provider_message_ids", ())]
    last = max(named or own, key=lambda each: each["handed_at"], default=None)
    return last if last is not None and last["source"]["kind"] in CAMPAIGNS else None


def as_reply(event: Happened, send: Mapping[str, Any]) -> Happened:
    """The event under its other name."""
    source = send["source"]
    about = {
        "send_id": send["_id"], "send_key": send["send_key"], "source": source["kind"], "source_id": source.get("id"),
        "enrolment_id": source.get("enrolment_id"), "node_id": source.get("node_id"),
    }  # fmt: skip
    known = {name: value for name, value in about.items() if value is not None}
    return Happened(
        id=event.id, name=REPLIED, occurred_at=event.occurred_at, received_at=event.received_at,
        properties={**event.properties, **known}, channel_id=event.channel_id, conversation_id=event.conversation_id,
    )  # fmt: skip
