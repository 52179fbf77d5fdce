"""The whole application on the real database, with two channels: one in the scope of limited tokens, one foreign."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import bson
import pytest
from aiohttp import ClientResponse, ClientSession, web
from pydantic import SecretStr
from redis.asyncio import Redis

from base.clock import now
from base.secret_box import SecretBox
from base.settings import Settings
from campaigns.automation.bots.models import BotInput
from campaigns.automation.models import MacroInput, RuleInput
from campaigns.automation.replies.models import ChannelReplies
from campaigns.automation.rules import Maker
from campaigns.contents import TemplateInput
from campaigns.library.offers import OfferInput
from campaigns.library.snippets import SnippetInput
from campaigns.tasks import TaskInput
from channels.vocabulary import Address, MessageReceived, Person
from desk.app import build
from inbox.canned import CannedInput
from inbox.hours.models import HoursInput
from inbox.incoming import Arrival
from inbox.models import Actor, ReplyInput
from inbox.routing.models import TeamInput
from inbox.sla.models import PolicyInput
from inbox.view_filter import ViewFilter
from inbox.views import ViewInput
from orders.models import OrderInput
from profiles.blocking import BlockInput
from profiles.consent_groups import GroupInput
from profiles.custom_fields import FieldInput
from profiles.follow_up import FollowUpInput
from profiles.membership import SegmentInput
from profiles.notes import NoteInput
from profiles.store.tags import TagStore
from rapport.runtime import Runtime, open_runtime
from tests.databases import Shelf
from webhooks.outgoing.endpoints import EndpointInput

ROLES = ("admin", "marketer", "agent", "viewer")
#: Planted where secrets belong; must stand in no answer.
CANARY = "whsec_" + "Q0FOQVJZQ0FOQVJZQ0FOQVJZQ0FOQVJZ"
#: Bookkeeping of the API itself, not data that anybody wrote.
NOT_DATA = frozenset({"tokens", "idempotency", "sessions", "audit"})


@dataclass
class Side:
    """Everything that belongs to one channel."""

    channel: str
    profile: str
    identity: str
    conversation: str
    message: str
    send: str
    order: str
    task: str
    enrolment: str
    note: str
    file: str
    broadcast: str
    endpoint: str
    post: str
    #: Prefix → what belongs to no channel, and so to both sides.
    common: dict[str, str]

    @property
    def journey(self) -> str:
        return self.common["jrn"]

    @property
    def template(self) -> str:
        return self.common["tpl"]

    def known(self) -> dict[str, str]:
        """Prefix → the id of this side's thing of that kind."""
        return {
            "chn": self.channel, "prf": self.profile, "idn": self.identity, "cnv": self.conversation,
            "msg": self.message, "snd": self.send, "ord": self.order, "tsk": self.task, "enr": self.enrolment,
            "nte": self.note, "fil": self.file, "brd": self.broadcast, "whk": self.endpoint, "whd": self.post,
            **self.common,
        }  # fmt: skip

    def id_for(self, prefix: str) -> str:
        """The id of this side's thing of a kind."""
        return self.known()[prefix]


@dataclass
class World:
    """The running application and what is in it."""

    url: str
    runtime: Any
    application: web.Application
    ours: Side
    foreign: Side
    tokens: dict[str, str]
    #: Limited to the channel of `ours`.
    scoped: dict[str, str]

    def client(self, token: str | None = "admin", **more: Any) -> ClientSession:
        """A program with the token of a role (`admin`), of a limited one (`scoped:agent`), or none."""
        known = {**self.tokens, **{f"scoped:{role}": secret for role, secret in self.scoped.items()}}
        headers = {"Authorization": f"Bearer {known.get(token, token)}"} if token else {}
        return ClientSession(self.url, headers={**headers, **more.pop("headers", {})}, **more)

    async def digest(self) -> str:
        """A hash of everything that is stored, apart from the API's own bookkeeping."""
        database, summed = self.runtime.db.handle, hashlib.sha256()
        for name in sorted(await database.list_collection_names()):
            if name not in NOT_DATA:
                async for row in database[name].find({}).sort("_id", 1):
                    summed.update(name.encode() + bson.encode(row))
        return summed.hexdigest()


async def answer_of(response: ClientResponse) -> Any:
    """The JSON of an answer; a server's fault fails the test with its text."""
    assert response.status < 500, (response.url, await response.text())
    return await response.json() if response.content_length else None


@pytest.fixture(scope="session")
async def world(mongo_url: str, redis_url: str, shelf: Shelf) -> AsyncIterator[World]:
    """One application for all tests that take nothing away."""
    async with opened(mongo_url, redis_url, await shelf.take()) as shared:
        yield shared


@pytest.fixture(scope="module")
async def own_world(mongo_url: str, redis_url: str, shaped_database: str) -> AsyncIterator[World]:
    """One for the tests of this module alone."""
    async with opened(mongo_url, redis_url, shaped_database) as own:
        yield own


@asynccontextmanager
async def opened(mongo_url: str, redis_url: str, name: str) -> AsyncIterator[World]:
    """The whole application on a database in shape."""
    prefix = f"test_api_{uuid4().hex[:12]}"
    settings = Settings(
        mongo_url=SecretStr(mongo_url), redis_url=SecretStr(redis_url), database=name, queue_prefix=prefix,
        base_url="http://rapport.test", secret_keys=(SecretStr(SecretBox.new_key()),), default_region="DE",
        _env_file=None,
    )  # fmt: skip
    runtime = await open_runtime(settings)
    app = build(runtime)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    yield await _furnished(f"http://{host}:{port}", app, runtime)
    await runner.cleanup()
    await runtime.close()
    async with Redis.from_url(redis_url) as redis:
        async for key in redis.scan_iter(match=f"{prefix}*", count=1000):
            await redis.delete(key)


async def _furnished(url: str, app: web.Application, runtime: Runtime) -> World:
    journey, template = await _campaign(runtime)
    group = (await runtime.consent.groups.create(GroupInput(key="offers", name="Offers", default="opt_out"))).id
    await runtime.blocking.add(BlockInput(kind="email", value="till@shop.example.org"), None)
    everybody = SegmentInput(name="Everybody", rule={"all": []})
    segment = (await runtime.segments.create(everybody))["_id"]
    field = (await runtime.fields.create(FieldInput(key="shoe_size", labels={"en": "Shoe size"}, type="number"))).id
    hours = (await runtime.business_hours.create(HoursInput(name="Shop", zone="Europe/Amsterdam"))).id
    kept = PolicyInput.model_validate({"name": "Shop", "lengths": {"resolution_min": 600}})
    policy = (await runtime.sla_policies.create(kept)).id
    await runtime.users.add_user("cleo@example.org", "Cleo", "agent")
    team = (await runtime.teams.create(TeamInput(name="Everybody"))).id
    common = {"slp": policy, "jrn": journey, "tpl": template, "cgr": group, "seg": segment, "fld": field, "hrs": hours,
              "tea": team}  # fmt: skip
    shared = ViewInput(name="Urgent", filter=ViewFilter(priority=("urgent",)), shared=True)
    common["cnr"] = (await runtime.canned.create(CannedInput(shortcut="hi", text="Hi"), "usr_x")).id
    macro = MacroInput.model_validate({"name": "Spam", "actions": [{"type": "status", "status": "spam"}]})
    common["mac"] = (await runtime.macros.create(macro, "usr_x")).id
    rule = {"name": "Never", "on": {"type": "event", "event": "never.told"}, "actions": macro.actions}
    common["arl"] = (await runtime.automation_rules.create(RuleInput.model_validate(rule), Maker("usr_x"))).id
    bot = BotInput(name="Tilly", url="https://bot.example.org/in")
    common["bot"] = (await runtime.bots.create(bot, "usr_x")).row["_id"]
    common["viw"] = (await runtime.views.create(shared, "usr_x")).id
    common |= await _library(runtime)
    ours, foreign = await _side(runtime, "anna", common), await _side(runtime, "boris", common)
    await runtime.segment_builder.drain()
    await TagStore(runtime.db).note(["guest"], now())
    tokens, scoped = {}, {}
    for role in ROLES:
        tokens[role], _ = await runtime.accounts.new_token(f"All of {role}", role)
        scoped[role], _ = await runtime.accounts.new_token(f"Part of {role}", role, channels=[ours.channel])
    return World(url, runtime, app, ours, foreign, tokens, scoped)


async def _library(runtime: Runtime) -> dict[str, str]:
    """A snippet and an offer."""
    snippet = await runtime.snippets.create(SnippetInput(key="hello", name="Hello", text="Hello"), None)
    offer = await runtime.offers.create(OfferInput(key="spring", name="Spring", source="list"), None)
    return {"snp": snippet["_id"], "ofr": offer["_id"]}


async def _campaign(runtime: Runtime) -> tuple[str, str]:
    """A published journey in which everybody waits, and a template. They belong to no channel."""
    template = await runtime.templates.create(TemplateInput(name="Hello", body="Hello {{ profile.name }}"), None)
    steps = [
        {"id": "w", "type": "wait", "for": "P30D", "next": "s"},
        {"id": "s", "type": "send", "template_id": template["_id"], "next": None},
    ]
    draft = {"name": "Patience", "trigger": {"type": "api"}, "steps": steps, "reentry": {"mode": "per_key"}}
    journey = await runtime.journeys.create(draft)
    await runtime.journeys.publish(journey["_id"])
    return journey["_id"], template["_id"]


async def _side(runtime: Runtime, name: str, common: dict[str, str]) -> Side:
    settings = {"secret": CANARY, "send_url": "https://receiver.example.org/in"}
    channel = await runtime.channels.add("generic", f"Channel of {name}", settings)
    person = Person(name=name.capitalize(), email=f"{name}@example.org", verified=True)
    event = MessageReceived(
        event_id=f"e-{name}", message_id=f"m-{name}", occurred_at=now(), text=f"Hello from {name}",
        address=Address(channel_id=channel.id, external_id=f"ext-{name}"), person=person,
    )  # fmt: skip
    (outcome,) = (
        await runtime.receiver.receive([Arrival(channel.id, "generic", event, f"dlv_{uuid4().hex[:26]}")])
    ).outcomes
    talk = await runtime.conversations.get(outcome.conversation_id)
    reply = await runtime.outbox.reply(talk.id, Actor("usr_x", "Agent"), ReplyInput(text="Good day"), f"key-{name}")
    order, _ = await runtime.orders.record(
        OrderInput(external_id=f"order-{name}", identity=f"{channel.id}:ext-{name}", status="pending",
                   total={"amount_minor": 1999, "currency": "EUR"}), "api",
    )  # fmt: skip
    task = await runtime.tasks.create(TaskInput(text="Call back", profile_id=talk.profile_id), None)
    run = (await runtime.journeys.enrol(common["jrn"], talk.profile_id, key="first")).run
    note = await runtime.notes.add(talk.profile_id, NoteInput(text=f"About {name}"), "usr_x")
    file = await runtime.profile_files.attach(talk.profile_id, name.encode(), f"{name}.txt", None, "usr_x")
    await runtime.follow_ups.set(
        talk.profile_id, FollowUpInput(at=now() + timedelta(days=90), text=f"Call {name}"), "usr_x"
    )
    broadcast = await runtime.broadcasts.create(
        {"name": f"News of {name}", "channel_ids": [channel.id], "content": {"text": "News"},
         "audience": {"rule": {"all": []}}}
    )  # fmt: skip
    hook = EndpointInput(url="https://hooks.example.org/in", events=["*"], channels=[channel.id])
    endpoint, _ = await runtime.endpoints.create(hook, "usr_x")
    post = await runtime.endpoints.test(endpoint["_id"])
    rating = {
        "_id": "rat_" + talk.id.removeprefix("cnv_"), "key": name, "state": "answered", "score": 2,
        "comment": f"Slow, {name}", "asked_at": now(), "answered_at": now(), "conversation_id": talk.id,
        "profile_id": talk.profile_id, "identity_id": talk.identity_id, "channel_id": channel.id,
    }  # fmt: skip
    await runtime.rating_rows.plan([rating])
    greeting = {"greeting": {"texts": {"en": f"Welcome to {channel.id}"}}}
    await runtime.channel_replies.choose(channel.id, ChannelReplies.model_validate(greeting), "usr_x")
    return Side(
        channel.id, talk.profile_id, talk.identity_id, talk.id, outcome.message_id, reply.send_id, order.id,
        task["_id"], run["_id"], note["_id"], file.id, broadcast["_id"], endpoint["_id"],
        post["_id"], common,
    )  # fmt: skip
