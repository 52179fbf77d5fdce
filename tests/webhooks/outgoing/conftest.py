"""The whole house without its doors, and addresses outside that answer as the test says."""

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
from channels.vocabulary import Address, MessageReceived, Person
from inbox.incoming import Arrival
from profiles.events import NewEvent
from rapport.runtime import Runtime, open_runtime
from webhooks.outgoing.endpoints import EndpointInput

URL = "https://shop.example/hooks"
#: What moves when time passes.
MOMENTS = {
    "webhook_endpoints": ("failing_since", "last_failed_at", "exchanged_at", "disabled_at"),
    "webhook_posts": ("due_at", "created_at"),
}


@dataclass
class Phone:
    """Plays the addresses that are told, and keeps what was posted: (url, headers, body)."""

    posted: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    script: Callable[[str, bytes], Any] | None = None

    async def request(self, method: str, url: str, *, headers: Any, data: bytes, **more: Any) -> HttpReply:
        self.posted.append((url, dict(headers), data))
        answer = self.script(url, data) if self.script else None
        answer = await answer if hasattr(answer, "__await__") else answer
        if isinstance(answer, BaseException):
            raise answer
        return answer or HttpReply(204, {}, b"")

    @property
    def ids(self) -> list[str]:
        """`webhook-id` of each post."""
        return [headers["webhook-id"] for _, headers, _ in self.posted]

    @property
    def said(self) -> list[Any]:
        """What each post says."""
        return [orjson.loads(body) for _, _, body in self.posted]


@dataclass
class House:
    """A runtime, an account, and who is told."""

    runtime: Runtime
    channel: str
    phone: Phone
    numbers: Any = field(default_factory=count)

    async def endpoint(self, *events: str, url: str = URL, channels: list[str] | None = None) -> tuple[str, str]:
        """One that is told of these, and its secret."""
        wanted = EndpointInput(url=url, events=list(events or ("*",)), channels=channels)
        row, secret = await self.runtime.endpoints.create(wanted, "usr_x")
        return row["_id"], secret

    async def happens(self, name: str, times: int = 1, **more: Any) -> None:
        """Something happened, and is acted upon."""
        about = [NewEvent(name, f"{name}:{next(self.numbers)}", now(), **more) for _ in range(times)]
        await self.runtime.events.record(about)
        await self.react()

    async def writes(self, text: str = "Hello", channel: str | None = None) -> Any:
        """Somebody writes; their conversation."""
        number = next(self.numbers)
        event = MessageReceived(
            event_id=f"e-{number}", message_id=f"m-{number}", occurred_at=now(), text=text,
            address=Address(channel_id=channel or self.channel, external_id=f"x-{number}"), person=Person(name="Anna"),
        )  # fmt: skip
        arrival = Arrival(channel or self.channel, "generic", event, "dlv_x")
        (outcome,) = (await self.runtime.receiver.receive([arrival])).outcomes
        await self.react()
        return await self.runtime.conversations.get(str(outcome.conversation_id))

    async def react(self) -> None:
        while await self.runtime.reactor.react(500):
            pass

    async def post(self) -> None:
        """Everything that is due now."""
        poster = self.runtime.poster
        while await poster.drain(100):
            await poster.idle()

    async def travel(self, **span: float) -> None:
        """Let so much time pass: what is stored moves into the past."""
        ms = int(timedelta(**span).total_seconds() * 1000)
        for room, names in MOMENTS.items():
            for name in names:
                earlier = {"$dateSubtract": {"startDate": f"${name}", "unit": "millisecond", "amount": ms}}
                dated = {name: {"$type": "date"}}
                await self.runtime.db.collection(room).update_many(dated, [{"$set": {name: earlier}}])

    async def rows(self, **wanted: Any) -> list[Document]:
        """Posts in the order in which they were planned."""
        return list(await self.runtime.db.collection("webhook_posts").find(wanted).sort("_id", 1).to_list(None))

    async def row(self, **wanted: Any) -> Document:
        """The only one."""
        (found,) = await self.rows(**wanted)
        return found


@pytest.fixture
async def house(mongo_url: str, redis_url: str, redis_prefix: str, fresh_shaped_database: str) -> AsyncIterator[House]:
    settings = Settings(
        mongo_url=SecretStr(mongo_url), redis_url=SecretStr(redis_url), database=fresh_shaped_database,
        queue_prefix=redis_prefix.rstrip(":"), base_url="http://rapport.test",
        secret_keys=(SecretStr(SecretBox.new_key()),), _env_file=None,
    )  # fmt: skip
    runtime = await open_runtime(settings)
    secret = {"secret": "whsec_" + "QUFB" * 8, "send_url": "https://receiver.example.org/in"}
    channel = await runtime.channels.add("generic", "Shop", secret)
    phone = Phone()
    runtime.poster._http = phone
    yield House(runtime, channel.id, phone)
    await runtime.close()
