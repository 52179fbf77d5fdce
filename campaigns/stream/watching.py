"""Keeps who is hot and who was not in touch for long, beside the profiles: an onlooker of the appraisal, which sees
everybody about whom something changes, and a listener to contacts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from base.clock import Clock
from base.mongo import Document
from campaigns.stream.ladders import StreamRules, comes_at, ladder_of
from campaigns.stream.store import PersonStore, StreamRuleStore
from inbox.store import ConversationStore
from profiles.events import Event
from profiles.store import ProfileStore
from profiles.store.appraisals import BATCH

#: From which score on somebody is hot.
Threshold = Callable[[], Awaitable[int]]
#: Somebody of ours was in touch with the person. Of messages only answers: what goes out by itself is no contact.
CONTACTS = frozenset({"message.sent", "call.logged", "meeting.logged", "visit.logged", "follow_up.done"})


class Watching:
    """Writes `stream_people`."""

    def __init__(
        self, store: PersonStore, rules: StreamRuleStore, profiles: ProfileStore, conversations: ConversationStore,
        threshold: Threshold, clock: Clock,
    ) -> None:  # fmt: skip
        self._store = store
        self._rules = rules
        self._profiles = profiles
        self._conversations = conversations
        self._threshold = threshold
        self._clock = clock

    async def rules(self) -> StreamRules:
        """What the house wants to see."""
        return rules_of(await self._rules.chosen())

    async def choose(self, rules: StreamRules, by: str) -> None:
        """From now on so; everybody is looked at again in the background."""
        await self._rules.choose(rules.model_dump(mode="json"), by)

    async def seen(self, people: Sequence[Mapping[str, Any]]) -> None:
        """See `profiles.appraisal.Onlooker`. Only what differs is written."""
        rules, hot, now = await self.rules(), await self._threshold(), self._clock()
        known = await self._store.many(str(each["_id"]) for each in people)
        wanted = [each for each in people if _is_watched(each, hot)]
        fresh = [str(each["_id"]) for each in wanted if each["_id"] not in known]
        answered = await self._conversations.last_answered(fresh) if fresh else {}
        changes = []
        for person in wanted:
            key = str(person["_id"])
            row = known.get(key) or {"contact_at": answered.get(key) or person["created_at"]}
            fields, gone = kept(person, row, rules, hot, now)
            if key not in known or fields or gone:
                changes.append((key, {**fields, "contact_at": row["contact_at"]} if key not in known else fields, gone))
        await self._store.keep(changes)
        await self._store.drop(known.keys() - {str(each["_id"]) for each in wanted})
        if fresh:  # who was answered between our reading and our writing
            await self._store.touched(await self._conversations.last_answered(fresh), _first(rules))

    async def hear(self, events: Sequence[Event]) -> None:
        """Note contacts. For the drain of events; may be told twice."""
        contacts = [each for each in events if each.profile_id and _is_contact(each)]
        if not contacts:
            return
        today = await self._profiles.current({str(each.profile_id) for each in contacts})
        latest: dict[str, datetime] = {}
        for event in contacts:
            key = today[str(event.profile_id)]
            latest[key] = max(event.occurred_at, latest.get(key, event.occurred_at))
        await self._store.touched(latest, _first(await self.rules()))

    async def look_back(self) -> int:
        """Look at everybody again, part by part, since the rules changed or since there is a stream; how many looks
        were taken (0 or 1). For the clockwork; several may do it at once."""
        edition, past = (await self._rules.chosen()).get("edition", 0), await self._rules.past()
        same = past["edition"] == edition
        if same and past["after"] is None:
            return 0
        after = past["after"] if same else ""
        await self._rules.looked(await self._profiles.appraisals.due_where({}, after, limit=BATCH), edition)
        return 1


def rules_of(row: Document) -> StreamRules:
    """Rules as they are stored."""
    return StreamRules.model_validate({name: row[name] for name in StreamRules.model_fields if name in row})


def kept(
    person: Mapping[str, Any], row: Document, rules: StreamRules, hot: int, now: datetime
) -> tuple[Document, list[str]]:
    """What of a row is to be set, and what taken away. Pure."""
    ladder = ladder_of(person.get("tier"), person.get("owner_id"), planned=person.get("next_follow_up") is not None)
    rungs = rules.idle.get(ladder or "", ())
    wanted: Document = {
        "owner_id": person.get("owner_id"), "score": person.get("score", 0), "ladder": ladder,
        "idle_at": comes_at(rungs, row["contact_at"], row.get("rung_done", 0)),
    }  # fmt: skip
    if not _is_hot(person, hot):
        wanted |= {"hot_since": None, "hot": None}
    elif row.get("hot_since") is None:
        wanted |= {"hot_since": now, "hot": True}
    fields = {
        name: value for name, value in wanted.items()
        if row.get(name, ...) != value and (value is not None or name == "owner_id")
    }  # fmt: skip
    return fields, [name for name, value in wanted.items() if value is None and name != "owner_id" and name in row]


def _is_watched(person: Mapping[str, Any], hot: int) -> bool:
    """Whether something is to be known of somebody: they stand on a ladder (now or again later), or are hot."""
    if person.get("merged_into") or person.get("shut_out"):
        return False
    return _is_hot(person, hot) or ladder_of(person.get("tier"), person.get("owner_id"), planned=False) is not None


def _is_hot(person: Mapping[str, Any], hot: int) -> bool:
    return not person.get("profiling_off") and person.get("score", 0) >= hot


def _is_contact(event: Event) -> bool:
    if event.name == "message.sent":
        return event.properties.get("source") == "reply"
    return event.name in CONTACTS


def _first(rules: StreamRules) -> dict[str, int]:
    return {key: rungs[0] for key, rungs in rules.idle.items()}
