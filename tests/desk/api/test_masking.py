"""Somebody with all masks asks for everything there is: no address, number, street or amount in any answer."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession

from base.ids import new_id
from campaigns.automation.models import RuleInput
from campaigns.automation.rules import Maker
from desk.accounts import new_secret
from desk.app import PAGES
from desk.team.masking import COVER, MASKS
from inbox.canned import CannedInput
from inbox.models import Actor, ReplyInput
from orders.models import OrderInput
from profiles.notes import NoteInput
from tests.desk.api.conftest import World, answer_of
from tests.desk.api.test_scope import ROUTED, path_of

MAIL, PHONE, STREET, AMOUNT = "canary.mask@example.org", "4915112345678", "Canary Street 7", 730_19
#: Name of a part of a page's path → prefix of the id that stands there.
PARTS = {"conversation_id": "cnv", "profile_id": "prf", "order_id": "ord", "channel_id": "chn", "segment_id": "seg",
         "broadcast_id": "brd", "journey_id": "jrn", "template_id": "tpl", "group_id": "cgr", "field_id": "fld",
         "run_id": "enr", "user_id": "usr"}  # fmt: skip


@pytest.fixture(scope="module")
async def canaries(own_world: World) -> World:
    """Each of them wherever it may stand."""
    ours, runtime = own_world.ours, own_world.runtime
    async with own_world.client() as admin:
        path = f"/api/v1/profiles/{ours.profile}"
        body: dict[str, Any] = {
            "address": {"street": STREET, "city": "Leiden", "country": "NL"},
            "attributes": {"second_phone": f"+{PHONE}"},
        }
        assert (await admin.patch(path, json=body)).status == 200
        identities = [f"{ours.channel}:ext-anna", f"email:{MAIL}", f"phone:+{PHONE}"]
        made = await answer_of(await admin.post("/api/v1/profiles", json={"identities": identities, "name": "Anna"}))
        assert made["id"] == ours.profile, made
    words = f"Reach me at {MAIL} or +{PHONE}"
    await runtime.notes.add(ours.profile, NoteInput(text=words), "usr_x")
    await runtime.outbox.reply(ours.conversation, Actor("usr_x", "Agent"), ReplyInput(text=words), new_id("msg"))
    total = {"amount_minor": AMOUNT, "currency": "EUR"}
    order = OrderInput(external_id="order-anna", identity=f"{ours.channel}:ext-anna", status="paid", total=total)
    await runtime.orders.record(order, "api")
    return own_world


@asynccontextmanager
async def signed_in(world: World, masks: tuple[str, ...]) -> AsyncIterator[ClientSession]:
    """An administrator by cookie, with these masks."""
    user = await world.runtime.users.add_user(f"{new_id('usr')}@house.example", "Mona Masked", "admin")
    await world.runtime.users.change_user(user.id, {"masks": masks})
    secret = new_secret()
    await world.runtime.users.open_session(secret, user.id, agent="t", address="::1")
    async with ClientSession(world.url, cookies={"rapport": secret}, headers={"Accept": "text/html"}) as client:
        yield client


def shown(text: str) -> list[str]:
    """Which canaries stand in an answer, however they are written."""
    plain = re.sub(r"[\s()\u00a0-]", "", text)
    found = [each for each in (MAIL, STREET, "730.19", "730,19") if each in text]
    return found + [each for each in (PHONE, "15112345678", "73019") if each in plain]


def pages(world: World) -> list[str]:
    """Every page that has an address with ids we know."""
    known, paths = world.ours.known(), []
    for page in PAGES:
        for route in page.routes:
            names = re.findall(r"\{(\w+)", route.path)
            if route.method == "GET" and all(name in PARTS and PARTS[name] in known for name in names):
                path = re.sub(r"\{(\w+)(?::(?:[^{}]|\{[^{}]*\})*)?\}", lambda found: known[PARTS[found[1]]], route.path)
                paths += [path, *(f"{path}?tab={tab}" for tab in TABS if route.path == "/profiles/{profile_id}")]
    return paths


TABS = ("conversations", "orders", "journeys", "consent", "identities", "notes", "files", "audit")


async def test_masked_fields_are_nowhere(canaries: World) -> None:
    leaks, seen = {}, 0
    async with signed_in(canaries, MASKS) as masked, signed_in(canaries, ()) as open_eyed:
        asked = [path_of(each, canaries.ours) for each in ROUTED if each.method == "GET"]
        for path in [*asked, *pages(canaries)]:
            async with masked.get(path) as answer:
                text = await answer.text(errors="replace")
                assert answer.status < 500, (path, text[:400])
            if shown(text):
                leaks[path] = shown(text)
            async with open_eyed.get(path) as answer:
                seen += bool(shown(await answer.text(errors="replace")))
    assert not leaks
    assert seen > 15, seen  # else this would prove nothing


async def test_a_masked_person_still_answers(canaries: World) -> None:
    async with signed_in(canaries, MASKS) as masked:
        async with masked.get(f"/inbox/{canaries.ours.conversation}") as answer:
            page = await answer.text()
        assert COVER in page
        headers = {"X-CSRF-Token": page.split('name="csrf" content="', 1)[1].split('"', 1)[0]}
        path = f"/api/v1/conversations/{canaries.ours.conversation}/messages"
        async with masked.post(path, json={"text": "Your parcel left."}, headers=headers) as answer:
            assert answer.status == 201
        async with masked.post(path, json={"text": f"Is it a{COVER}@{COVER}?"}, headers=headers) as answer:
            assert (answer.status, (await answer.json())["code"]) == (422, "masked")
        for refused in ("/profiles?q=canary.mask@example.org", "/api/v1/profiles?identity=phone:+" + PHONE,
                        "/profiles/exports"):  # fmt: skip
            async with masked.get(refused) as answer:
                assert answer.status == 403, refused
        looking = {"q": MAIL}
        for path, body in (("/views", {"name": "Who is it", "filter": looking}),
                           ("/conversations/bulk", {"filter": looking, "change": {"priority": "high"}})):  # fmt: skip
            async with masked.post(f"/api/v1{path}", json=body, headers=headers) as answer:
                assert (answer.status, (await answer.json())["code"]) == (403, "masked"), path
        chosen = {"csrf": headers["X-CSRF-Token"], "all": "1", "where": f"q=%2B{PHONE}", "priority": "high"}
        async with masked.post("/inbox/bulk", data=chosen) as answer:
            assert answer.status == 403


async def test_blanks_fill_in_nothing_that_is_covered(canaries: World) -> None:
    """Neither a canned reply nor a rule that is tried out says what something cost."""
    ours, runtime = canaries.ours, canaries.runtime
    words = "{{ order.total.amount_minor }} of {{ order.number }}, {{ profile.email }}, {{ profile.phone }}"
    canned = await runtime.canned.create(CannedInput(shortcut="cost", text=words), "usr_x")
    rule = {"name": "Dear", "on": {"type": "event", "event": "never.told"},
            "when": {"field": "order.total.amount_minor", "op": "gte", "value": 1},
            "actions": [{"type": "status", "status": "open"}]}  # fmt: skip
    made = await runtime.automation_rules.create(RuleInput.model_validate(rule), Maker("usr_x"))
    body, asked = {"conversation_id": ours.conversation}, {}
    for masks in (MASKS, ()):
        async with signed_in(canaries, masks) as client:
            async with client.get(f"/inbox/{ours.conversation}") as answer:
                page = await answer.text()
            headers = {"X-CSRF-Token": page.split('name="csrf" content="', 1)[1].split('"', 1)[0]}
            for path in (f"/canned-replies/{canned.id}/render", f"/automation-rules/{made.id}/try"):
                async with client.post(f"/api/v1{path}", json=body, headers=headers) as answer:
                    asked[path, bool(masks)] = await answer.text()
                    assert answer.status == 200, asked
            tried = f"/settings/automation/{made.id}/try?conversation={ours.conversation}"
            async with client.get(tried) as answer:
                asked[tried, bool(masks)] = await answer.text()
    assert {path: shown(text) for (path, masked), text in asked.items() if masked and shown(text)} == {}
    assert all("73019" in text for (_, masked), text in asked.items() if not masked)
