"""A small town for the tests of merges: the whole house without its doors, and people who write, buy and refuse."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from uuid import uuid4

from pydantic import SecretStr

from base.clock import Clock, now
from base.secret_box import SecretBox
from base.settings import Settings
from channels.vocabulary import Address, MessageReceived, Person
from inbox.incoming import Arrival
from orders.models import OrderInput
from profiles.consent import ConsentAct
from profiles.models import IdentityRef
from profiles.resolve import Reference
from rapport.runtime import Runtime, open_runtime

#: Collections in which a person stands.
ROOMS = ("identities", "conversations", "messages", "sends", "orders", "enrolments", "planned_entries",
         "tasks", "consents", "events", "stage_log", "relations", "notes", "files", "webhook_calls",
         "webhook_posts", "coupon_codes", "tracked_links", "credits", "late_reminders", "drafts",
         "message_words", "ratings", "rule_runs", "notifications", "inbox_facts", "automatic_replies",
         "stream_marks", "bot_posts")  # fmt: skip
#: What a merge may leave behind although it was undone: that something was written.
_MARKS = frozenset({"rev", "updated_at", "lease", "fence", "attempts", "due_at", "appraise_at", "appraise_by"})


@dataclass
class Town:
    """The house and its people, each known by what they are called on the one channel."""

    runtime: Runtime
    channels: list[str]
    waiting: str
    numbers: Any = field(default_factory=count)
    homes: dict[str, str] = field(default_factory=dict)

    def channel(self, name: str) -> str:
        """Where they write: nobody may have more than two identities on one channel."""
        return self.homes.setdefault(name, self.channels[len(self.homes) % len(self.channels)])

    async def says(self, name: str, text: str = "Hello", email: str | None = None) -> str:
        """Somebody writes; the id of their profile."""
        number = next(self.numbers)
        person = Person(name=name.capitalize(), email=email, verified=email is not None)
        event = MessageReceived(
            event_id=f"e-{number}", message_id=f"m-{number}", occurred_at=now(), text=text,
            address=Address(channel_id=self.channel(name), external_id=name), person=person,
        )  # fmt: skip
        arrival = Arrival(self.channel(name), "generic", event, f"dlv_{uuid4().hex[:26]}")
        (outcome,) = (await self.runtime.receiver.receive([arrival])).outcomes
        talk = await self.runtime.conversations.get(str(outcome.conversation_id))
        assert talk is not None
        return talk.profile_id

    async def buys(self, name: str, minor: int = 1000) -> None:
        money = {"amount_minor": minor, "currency": "EUR"}
        number = f"order-{next(self.numbers)}"
        told = {"external_id": number, "identity": f"{self.channel(name)}:{name}", "status": "paid", "total": money}
        order, _ = await self.runtime.orders.record(OrderInput.model_validate(told), "api")
        await self.runtime.crediting.credit_people([order.profile_id])

    async def identifies(self, name: str) -> str:
        """A shop says who this is: a customer number and a proved mail address beside the id on the channel."""
        refs = [
            IdentityRef(kind="channel", value=name, channel_id=self.channel(name)),
            IdentityRef(kind="customer_id", value=f"C-{name}"),
            IdentityRef(kind="email", value=f"{name}@example.org", verified=True),
        ]
        (known,) = await self.runtime.resolver.identify([Reference(refs)])
        assert known is not None
        return known.profile_id

    async def answers(self, name: str, granted: bool, purpose: str = "marketing", at: datetime | None = None) -> None:
        identity = await self.identity(name)
        await self.runtime.consent.act(ConsentAct(identity, purpose, granted, "form", at))

    async def identity(self, name: str) -> str:
        rows = await self.runtime.profiles.identity_rows.rows_by_key([f"{self.channel(name)}:{name}"])
        return str(rows[f"{self.channel(name)}:{name}"]["_id"])

    async def enters(self, profile_id: str, key: str = "first") -> str:
        row = (await self.runtime.journeys.enrol(self.waiting, profile_id, key=key)).run
        assert row is not None
        return str(row["_id"])

    async def rows(self, room: str, **wanted: Any) -> list[dict[str, Any]]:
        found = self.runtime.db.collection(room).find(wanted).sort("_id", 1)
        return list(await found.to_list(None))

    async def everything(self, *profile_ids: str) -> dict[str, Any]:
        """All that is kept of these people, without the marks of having been written."""
        kept: dict[str, Any] = {}
        for room in ROOMS:
            rows = await self.rows(room, profile_id={"$in": list(profile_ids)})
            kept[room] = [
                _bare(row) for row in rows if not str(row.get("name")).startswith(("profile.merged", "profile.unm"))
            ]
        for each in profile_ids:
            kept[each] = _bare((await self.rows("profiles", _id=each))[0])
        return kept

    async def later(self) -> None:
        """Whoever died is forgotten, and every merge is due."""
        past = now() - timedelta(seconds=1)
        due = {"due_at": {"$exists": True}}
        await self.runtime.db.collection("merges").update_many(due, {"$set": {"due_at": past}})

    async def done(self) -> None:
        """Merges are carried on to their last look."""
        for _ in range(8):
            await self.later()
            if not await self.runtime.merger.drain():
                return
        raise AssertionError("merges do not come to an end")

    async def empty(self) -> None:
        for room in (*ROOMS, "profiles", "merges", "suggestions", "enrolment_log", "feed", "erasures"):
            await self.runtime.db.collection(room).delete_many({})


def _bare(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in _MARKS}


@asynccontextmanager
async def opened(mongo_url: str, redis_url: str, name: str, clock: Clock = now) -> AsyncIterator[Town]:
    """A town on a database in shape."""
    prefix = f"test_town_{uuid4().hex[:12]}"
    settings = Settings(
        mongo_url=SecretStr(mongo_url), redis_url=SecretStr(redis_url), database=name, queue_prefix=prefix,
        base_url="http://rapport.test", secret_keys=(SecretStr(SecretBox.new_key()),), _env_file=None,
    )  # fmt: skip
    runtime = await open_runtime(settings, clock)
    secret = {"secret": "whsec_" + "QUFB" * 8, "send_url": "https://receiver.example.org/in"}
    channels = [(await runtime.channels.add("generic", f"Shop {n}", secret)).id for n in range(3)]
    steps = [
        {"id": "soon", "type": "wait", "for": "PT0S", "next": "w"},
        {"id": "w", "type": "wait", "for": "P30D", "next": "bye"},
        {"id": "bye", "type": "update", "score": 1, "next": None},
    ]
    draft = {"name": "Patience", "trigger": {"type": "api"}, "steps": steps, "reentry": {"mode": "after_exit"}}
    journey = await runtime.journeys.create(draft)
    await runtime.journeys.publish(journey["_id"])
    try:
        yield Town(runtime, channels, journey["_id"])
    finally:
        await runtime.close()
