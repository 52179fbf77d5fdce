"""The whole house without its doors, colleagues, and what reaches them outside: letters, pushes, posts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from base.clock import now
from base.http import HttpReply
from base.mongo import Document
from base.secret_box import SecretBox
from base.settings import Settings
from campaigns.telling.models import TellingChoice
from channels.vocabulary import Address, MessageReceived, Person
from desk.store import fingerprint, session_id
from desk.team.letters import Letter
from desk.web_push import encoded, public_bytes
from inbox.incoming import Arrival
from inbox.models import Actor
from rapport.runtime import Runtime, open_runtime
from tests.desk.test_web_push import AUTH, BROWSER, read

HOOK = "https://hooks.example.org/T1/B1"


@dataclass
class Outside:
    """Plays push services, addresses of colleagues and the mail server; keeps what came: (url, headers, body)."""

    posted: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    letters: list[tuple[Letter, str]] = field(default_factory=list)
    script: Callable[[str], Any] | None = None

    async def request(self, method: str, url: str, *, headers: Any, data: bytes, **more: Any) -> HttpReply:
        self.posted.append((url, dict(headers), data))
        answer = self.script(url) if self.script else None
        if isinstance(answer, BaseException):
            raise answer
        return answer or HttpReply(201, {}, b"")

    async def ways(self) -> list[tuple[str, str]]:
        return [("chn_2", "Second"), ("chn_1", "First")]

    async def send(self, letter: Letter, channel_id: str, *, key: str) -> str | None:
        assert channel_id == "chn_1"
        self.letters.append((letter, key))
        return self.script(letter.to) if self.script else None

    @property
    def pushed(self) -> list[Any]:
        """What browsers make of what they got."""
        return [orjson.loads(read(body)) for url, _, body in self.posted if "push" in url]

    @property
    def said(self) -> list[Any]:
        """What was posted to colleagues' own addresses."""
        return [orjson.loads(body) for url, _, body in self.posted if url == HOOK]


@dataclass
class House:
    """A runtime, its accounts, and everybody who works there."""

    runtime: Runtime
    channel: str
    other: str
    outside: Outside
    numbers: Any = field(default_factory=count)

    async def colleague(self, name: str, channels: list[str] | None = None, role: Any = "agent", **kinds: Any) -> Actor:
        """Somebody, told of these kinds alone; `every`: the ways of all kinds."""
        user, _ = await self.runtime.accounts.invite(f"{name.lower()}@example.org", name, role, channels)
        if "every" in kinds:
            every = kinds.pop("every")
            kinds = dict.fromkeys(("assigned", "mentioned", "message", "waiting", "sla_soon", "sla_breached", "task",
                                   "failed", "endpoint"), every) | kinds  # fmt: skip
        await self.choose(user.id, kinds=kinds)
        return Actor(user.id, name)

    async def choose(self, user_id: str, **fields: Any) -> None:
        """From now on they are told like this; they have an address of their own."""
        choice = TellingChoice.model_validate(fields)
        await self.runtime.telling_choices.choose(user_id, choice, hook_url=HOOK)
        self.fresh()

    async def browser(self, user_id: str, place: str = "one") -> str:
        """Somebody signs in and is pushed to; the secret of the session."""
        secret = f"secret-{place}-{user_id}"
        await self.runtime.users.open_session(secret, user_id, agent="Firefox/1 Linux", address="::1")
        given = {"endpoint": f"https://push.example.org/{place}", "p256dh": encoded(public_bytes(BROWSER)),
                 "auth": encoded(AUTH)}  # fmt: skip
        await self.runtime.browsers.keep(user_id, session_id(fingerprint(secret)), "Firefox/1 Linux", given)
        self.fresh()
        return secret

    def fresh(self) -> None:
        """Nobody lives on what was read a second ago."""
        self.runtime.noticing._until = self.runtime.teller._until = self.runtime.telling_choices._until = 0.0

    async def writes(self, name: str | None = "Anna Bos", who: str = "+31612345678", channel: str | None = None,
                     text: str = "Hello") -> Any:  # fmt: skip
        """Somebody writes; their conversation."""
        number = next(self.numbers)
        event = MessageReceived(
            event_id=f"e-{number}", message_id=f"m-{number}", occurred_at=now(), text=text,
            address=Address(channel_id=channel or self.channel, external_id=who, handle=who),
            person=Person(name=name),
        )  # fmt: skip
        arrival = Arrival(channel or self.channel, "generic", event, "dlv_x")
        (outcome,) = (await self.runtime.receiver.receive([arrival])).outcomes
        await self.react()
        return await self.runtime.conversations.get(str(outcome.conversation_id))

    async def react(self) -> None:
        while await self.runtime.reactor.react(500):
            pass

    async def tell(self) -> None:
        """Everything that is due now."""
        while await self.runtime.teller.drain(100):
            await self.runtime.teller.idle()

    async def later(self, **span: float) -> None:
        """Let so much time pass for what is to go out."""
        earlier = {"$dateSubtract": {"startDate": "$due_at", "unit": "millisecond",
                                     "amount": int(timedelta(**span).total_seconds() * 1000)}}  # fmt: skip
        due = {"due_at": {"$type": "date"}}
        await self.runtime.db.collection("tellings").update_many(due, [{"$set": {"due_at": earlier}}])
        turns = {"$dateSubtract": {**earlier["$dateSubtract"], "startDate": "$until"}}
        await self.runtime.db.collection("telling_turns").update_many({}, [{"$set": {"until": turns}}])
        await self.tell()

    async def told(self, who: Actor) -> list[str]:
        """Kinds of what somebody was told, in the order in which it was."""
        rows = await self.rows("notifications", user_id=who.id)
        return [row["kind"] for row in rows]

    async def rows(self, room: str, **wanted: Any) -> list[Document]:
        return list(await self.runtime.db.collection(room).find(wanted).sort("_id", 1).to_list(None))


@pytest.fixture
async def house(mongo_url: str, redis_url: str, redis_prefix: str, fresh_shaped_database: str) -> AsyncIterator[House]:
    settings = Settings(
        mongo_url=SecretStr(mongo_url), redis_url=SecretStr(redis_url), database=fresh_shaped_database,
        queue_prefix=redis_prefix.rstrip(":"), base_url="https://desk.example", business_name="Harbour Tea",
        secret_keys=(SecretStr(SecretBox.new_key()),), _env_file=None,
    )  # fmt: skip
    runtime = await open_runtime(settings)
    secret = {"secret": "whsec_" + "QUFB" * 8, "send_url": "https://receiver.example.org/in"}
    channel, other = [(await runtime.channels.add("generic", name, secret)).id for name in ("Shop", "Other")]
    outside, carriers = Outside(), runtime.teller._carriers
    carriers["push"]._http = carriers["hook"]._http = outside
    carriers["mail"]._letters = outside
    yield House(runtime, channel, other, outside)
    await runtime.close()
