"""Every page in both languages and at both widths: no complaint, no overflow, readable for everybody (axe)."""

import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from base.clock import now
from base.ids import new_id
from campaigns.policies.store import StopStore
from campaigns.telling.models import KINDS, Notification
from campaigns.telling.store import NotificationStore
from channels.vocabulary import Address, MailParts, MessageReceived
from channels.vocabulary import Person as Sender
from inbox.figures.cells import changes_of
from inbox.forwarding import ForwardInput
from inbox.incoming import Arrival
from inbox.models import Actor, Send, Source
from inbox.store import FigureStore
from profiles.consent_links import PATHS, ConsentLink
from profiles.imports.mapping import ImportMapping
from profiles.models import Dispute, IdentityRef
from profiles.resolve import Reference
from tests.browser.conftest import Colleagues
from tests.browser.windows import NARROW, WIDE, Windows
from tests.journeys.outside import eventually
from tests.journeys.talks import Person
from tests.journeys.world import World

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

LIST = (
    '姓名,手机,邮箱,标签,城市,E-Mail 2\n梅坦,13800138001,mei.list@example.com,"茶, 老客",上海,\n'
    "Quentin Moreau,+33612345678,quentin@example.fr,vip,Lyon,q.moreau@example.fr\n李雷,4.91701E+11,,,北京,\n"
    "Ada,,no address,,,\n梅坦,13800138001,,再来,,\n"
)
SHOTS = os.environ.get("RAPPORT_TEST_SHOTS", "")
#: What axe calls serious or critical stands between somebody and their work.
GRAVE = ("serious", "critical")
#: The letter of a template stands in a frame that nothing may reach into.
AXE_OPTIONS = {"iframes": False, "resultTypes": ["violations"]}
AXE_RUNS: tuple[tuple[Any, dict[str, Any]], ...] = (
    ("light", {}), ("dark", {"runOnly": ["color-contrast", "link-in-text-block"]}),
)  # fmt: skip
#: Only what is grave leaves the browser: of every page, axe tells a quarter of a megabyte.
AXE = """async ([options, grave]) => (await axe.run(document, options)).violations
  .filter(each => grave.includes(each.impact))
  .flatMap(each => each.nodes.slice(0, 3).map(({ html, failureSummary }) =>
    `${each.id} (${each.impact}): ${html.slice(0, 160)} – ${failureSummary.replaceAll("\\n", " ").slice(0, 300)}`
  ))"""
#: By how much something stands beyond the edge of the content.
CUT_OFF = "(at => at ? at.scrollWidth - at.clientWidth : 0)(document.querySelector('.content'))"
#: Words of two elements that stand side by side without anything between them, such as "Level2".
STUCK = """() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  let last = null;
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (!node.data.trim() || !node.parentElement.checkVisibility({ visibilityProperty: true })) continue;
    if (node.parentElement.closest("script, style, option, [aria-hidden=true], .mark, .avatar, code, pre")) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const box = range.getClientRects()[0];
    if (!box || box.width < 2) continue;
    const words = /^[\\p{L}\\p{N}]/u.test(node.data) && last && /[\\p{L}\\p{N}]$/u.test(last.node.data);
    const inOneText = [node, last?.node].some(each => each?.parentElement.closest("mark.hit-word"));
    if (words && !inOneText && Math.abs(box.left - last.box.right) < 1 && Math.abs(box.top - last.box.top) < 6) {
      found.push(`${last.node.data.slice(-20)}|${node.data.slice(0, 20)}`);
    }
    range.selectNodeContents(node);
    last = { node, box: [...range.getClientRects()].pop() };
  }
  return found;
}"""
#: With RAPPORT_TEST_SHOTS a whole tour is made: both themes at both widths in both languages.
THEMES = ("light", "dark")
LOCALES = ("en-GB", "zh-CN")

LETTER = {
    "name": "Spring teas", "kind": "email", "subject": "The spring teas are here!!", "tags": ["promo"],
    "blocks": [
        {"type": "header", "title": "Spring, {{ profile.first_name | default('friend') }}"},
        {"type": "text", "text": "**Fresh** from the hills, see [all of them](http://shop.example/teas)."},
        {"type": "button", "label": "Look", "url": "https://shop.example/"}, {"type": "products"}, {"type": "summary"},
        {"type": "divider"}, {"type": "columns", "left": "Left", "right": "Right"}, {"type": "footer", "text": "Bye"},
    ],
    "locales": {"zh_CN": {"subject": "春茶上市"}},
}  # fmt: skip
SEGMENT = {
    "all": [
        {"field": "locale", "op": "starts_with", "value": "zh"},
        {"any": [
            {"event": "order.paid", "count": {"gte": 2}, "within": "P90D",
             "where": [{"field": "properties.total", "op": "gte", "value": 50}]},
            {"field": "orders.revenue.EUR", "op": "between", "value": [5000, 20000]},
            {"any": [{"all": [{"reachable": "line"}, {"field": "score", "op": "gte", "value": 3}]}]},
        ]},
        {"field": "stage", "op": "in", "value": ["customer", "repeat"]}, {"not": {"reachable": "email"}},
        {"consent": "marketing", "is": "granted"}, {"near": {"lat": 52.1, "lon": 4.5, "km": 25}},
        {"last_event": "order.paid", "op": "older_than", "value": "P30D"},
    ]
}  # fmt: skip


@pytest.fixture(scope="module")
async def places(world: World, whatsapp: Any) -> AsyncIterator[dict[str, str]]:
    yield await furnished(world, whatsapp)
    await world.end_journeys()


async def furnished(world: World, whatsapp: Any) -> dict[str, str]:
    """Name → path of every page, with something to see on each."""
    journey = await world.recipe("thank_you_review", wait="P3D", channels=["whatsapp"])
    await world.recipe("welcome", wait="P1D", channels=["telegram"])
    await world.journeys_known()
    one, other = Person.number(world.number(), "Mei Tan"), Person.number(world.number(), "Quentin Moreau")
    await whatsapp.says(one, "你好，玻璃茶壶可以放洗碗机吗？")
    await whatsapp.says(other, "Do you ship to Norway?")
    talk = await world.conversation(whatsapp.id, one)
    await world.conversation(whatsapp.id, other)
    order = await world.api.post(
        "/orders",
        {"external_id": f"HT-{world.number()}", "identity": f"phone:+{one.phone}", "status": "delivered",
         "total": {"amount_minor": 6980, "currency": "EUR"}, "tracking": {"number": "3SHT1", "company": "PostNL"},
         "lines": [{"name": "Glass teapot, 0.6 l", "quantity": 2, "sku": "POT-001",
                    "unit_price": {"amount_minor": 3490, "currency": "EUR"}}]},
    )  # fmt: skip
    path = f"/conversations/{talk['id']}/messages"
    await world.api.post(path, {"text": "可以的，壶盖建议手洗。"})
    await world.api.post(path, {"text": "A regular customer", "note": True})

    async def waits() -> list[dict[str, Any]]:
        rows = await world.api.rows(f"/journeys/{journey}/enrolments?state=waiting")
        return [row for row in rows if row["node"] == "wait"]

    run = (await eventually(waits, "a run that waits"))[0]
    person = talk["profile_id"]
    other = (await world.conversation(whatsapp.id, other))["profile_id"]
    pair = Dispute(person, other, "email", "email:mei.tan@example.org", "unverified")
    await world.runtime.profiles.suggestions.note([pair], now())
    await lifecycle(world, person, other)
    await remembered(world, person)
    public = {**await consents(world, person, talk["identity_id"]), **await lists(world)}
    tea = await world.api.post("/segments", {"name": "Tea letter readers", "rule": SEGMENT})
    letter = await world.api.post("/templates", LETTER)
    mail = await world.channel("email", "Harbour Tea letters", {"from_address": "letters@harbour-tea.invalid"})
    await StopStore(world.runtime.db).stop(journey, "ask", 24, 60, now())
    await figures(world, "journey", journey, ("thanks", "review"))
    return {
        "deliverability": f"/settings/channels/{mail['id']}/deliverability",
        "segments": "/segments", "segment": f"/segments/{tea['id']}", "new-segment": "/segments/new",
        "segment-example": "/segments/new?example=vip", "segment-members": f"/segments/{tea['id']}/members",
        **await duties(world, person), "inbox": "/inbox?view=all",
        "search": "/search", "search-found": "/search?q=茶壶", "inbox-mentions": "/inbox?view=mentions",
        "inbox-narrowed": f"/inbox?{await narrowed(world, talk['id'])}",
        "conversation": f"/inbox/{talk['id']}?view=all", "inbox-choosing": "/inbox?view=all&select=1",
        "conversation-merge": f"/inbox/{talk['id']}/merge",
        "profiles": "/profiles", "profile": f"/profiles/{person}",
        "profile-conversations": f"/profiles/{person}?tab=conversations",
        "profile-notes": f"/profiles/{person}?tab=notes", "profile-files": f"/profiles/{person}?tab=files",
        "profile-audit": f"/profiles/{person}?tab=audit", "profile-calls": f"/profiles/{person}?kind=call,note",
        "profile-orders": f"/profiles/{person}?tab=orders", "profile-journeys": f"/profiles/{person}?tab=journeys",
        "profile-identities": f"/profiles/{person}?tab=identities", "duplicates": "/profiles/duplicates",
        "merge": f"/profiles/{person}/merge?other={other}", "merge-search": f"/profiles/{person}/merge?q=que",
        **await broadcasts(world, whatsapp.id), "journeys": "/journeys",
        "recipes": "/journeys/recipes", "journey": f"/journeys/{journey}", "people": f"/journeys/{journey}/people",
        "intakes": f"/journeys/{journey}/intakes",
        **builder(f"/journeys/{journey}"),
        **await reported(world, talk),
        "run": f"/journeys/runs/{run['id']}", "orders": "/orders", "order": f"/orders/{order['id']}",
        "templates": "/templates", "template": f"/templates/{letter['id']}", "new-template": "/templates/new",
        **await content(world, letter["id"], person),
        "brand": "/settings/brand", "new-chat-text": "/templates/new?kind=chat",
        "new-whatsapp": "/templates/new?kind=whatsapp",
        "channels": "/settings/channels", "channel": f"/settings/channels/{whatsapp.id}",
        "deliveries": f"/settings/channels/{whatsapp.id}/deliveries",
        "profile-consent": f"/profiles/{person}?tab=consent", "consent-groups": "/settings/consent", **public,
        "sending": "/settings/sending", "score": "/settings/score", "tiers": "/settings/tiers",
        "who-is-who": "/settings/who-is-who",
        "board": "/profiles/board", "tags": "/profiles/tags", "stages": "/settings/stages", "roles": "/settings/roles",
        "fields": "/settings/fields", "new-field": "/settings/fields/new",
        "stage": f"/profiles/{person}/stage?to=lost", "relate": f"/profiles/{person}?relate=que",
        "person-privacy": f"/profiles/{person}/privacy", "privacy": "/settings/privacy",
        **await privacy(world, whatsapp), **await webhooks(world),
        **await hours(world), **await promises(world), **await teams(world),
        **await canned(world, talk["id"]), **await macros(world), **await beginnings(world, person, talk["id"]),
        **await rules(world, talk["id"]), **await replies(world, mail["id"]),
        "retention": "/settings/retention", "tracking": "/settings/tracking", "links": "/settings/links",
        "answering": "/settings/answering",
        "new-site": "/settings/tracking/new", "board-lost": "/profiles/board?open=lost",
        "people-of-the-house": "/settings/people", "colleague": f"/settings/people/{await colleague(world)}",
        "notifications": await told(world, talk["id"]), "notifications-unread": "/notifications?unread=1",
        "account": "/account", "audit": "/settings/audit",
        "new-channel": "/settings/channels/new/email", "api-docs": "/api/docs",
    }  # fmt: skip


async def told(world: World, talk_id: str) -> str:
    """Ada is told of a conversation, a message, a promise and a task."""
    runtime = world.runtime
    ada = (await world.api.get("/users"))["data"][0]["id"]
    talk = await runtime.conversations.row(talk_id)
    task = await world.api.post("/tasks", {"text": "Call about the teapot 壶", "assignee_id": ada})
    rows = NotificationStore(runtime.db, now)
    for n, kind in enumerate(KINDS):
        about = task["id"] if kind == "task" else talk_id if n < 4 else f"cnv_{n}"
        each = Notification(ada, kind, f"tour:{kind}", about, now() - timedelta(hours=n), talk_id, talk["profile_id"],
                            talk["channel_id"])  # fmt: skip
        await rows.add([(each, ("app",))])
    return "/notifications"


async def duties(world: World, person: str) -> dict[str, str]:
    """Something of most kinds on the list of today, and the pages around it."""
    for hours, text in ((-3, "Call the printer about the labels"), (5, "Prepare the tasting"), (50, "Order boxes")):
        due = (now() + timedelta(hours=hours)).isoformat()
        await world.api.post("/tasks", {"text": text, "due_at": due, "profile_id": person if hours < 0 else None})
    await world.api.post("/tasks", {"text": "Tidy up the canned replies"})
    late = {"external_id": f"HT-{world.number()}", "identity": "email:lena@harbour-tea.example",
            "customer_name": "Lena Late", "status": "pending", "placed_at": (now() - timedelta(days=4)).isoformat(),
            "total": {"amount_minor": 2450, "currency": "EUR"}}  # fmt: skip
    await world.api.post("/orders", late)
    hot = await world.api.post("/profiles", {"identities": ["email:hugo@harbour-tea.example"], "name": "Hugo Hot"})
    await world.runtime.profiles.write(hot["id"], {"manual_points": 90})
    idle = await world.api.post("/profiles", {"identities": ["email:ines@harbour-tea.example"], "name": "Ines Idle"})
    ada = next(each for each in await world.runtime.users.users() if each.role == "admin")
    await world.runtime.profiles.write(
        idle["id"], {"owner_id": ada.id, "created_at": now() - timedelta(days=64)}
    )  # fmt: skip
    return {
        "today": "/today", "today-people": "/today?show=people", "tasks": "/tasks?whose=nobody",
        "today-settings": "/settings/today", "calendar": "/account/calendar",
    }  # fmt: skip


async def colleague(world: World) -> str:
    """Somebody who was invited and sees one channel."""
    channels = [each.id for each in await world.runtime.channels.list()][:1]
    user, _ = await world.runtime.accounts.invite("ines@harbour-tea.example", "Inès Invited", "agent", channels)
    return user.id


async def content(world: World, letter: str, person: str) -> dict[str, str]:
    """A snippet and a template with revisions, an offer with a list that runs low and one by pattern."""
    hours = {"key": "hours", "name": "Opening hours", "text": "Open every day from 9 to 17.",
             "locales": {"zh_CN": {"text": "每天九点到十七点营业。"}}}  # fmt: skip
    snippet = await world.api.post("/snippets", hours)
    await world.api.call("PATCH", f"/snippets/{snippet['id']}", {"text": "Open on weekdays from 10 to 17."})
    await world.api.post("/templates", {"name": "With hours", "kind": "chat", "body": "{% include 'hours' %}"})
    await world.api.call("PATCH", f"/templates/{letter}", {"subject": "The spring teas have come"})
    fields = {"key": "spring", "name": "Spring teas", "source": "list", "warn_below": 5}
    offer = await world.api.post("/offers", fields)
    await world.api.post("/offers", {"key": "autumn", "name": "Autumn teas", "pattern": "TEA-########"})
    await world.api.post(f"/offers/{offer['id']}/codes", {"codes": [f"SPRING-{n:04}" for n in range(4)]})
    send = Send(
        id=new_id("snd"), send_key=new_id("evt"), send_class="marketing", source=Source("broadcast"),
        profile_id=person, identity_id="idn", channel_id="chn", content={}, state="planned", planned_at=now(),
    )  # fmt: skip
    await world.runtime.offers.for_sends({send.id: (send, {"spring"})}, now())
    tests = await world.api.get("/broadcasts/test-list")
    await world.api.call("PUT", "/broadcasts/test-list", {"addresses": [*tests["addresses"], "try@elsewhere.example"]})
    return {
        "snippets": "/snippets", "snippet": f"/snippets/{snippet['id']}", "new-snippet": "/snippets/new",
        "snippet-revision": f"/snippets/{snippet['id']}/revisions/1", "offers": "/offers",
        "offer": f"/offers/{offer['id']}", "new-offer": "/offers/new", "revisions": f"/templates/{letter}/revisions",
        "revision": f"/templates/{letter}/revisions/1", "tests": "/settings/tests", "calls": "/settings/calls",
    }  # fmt: skip


def builder(path: str) -> dict[str, str]:
    """What stands beside the flow of a journey."""
    panels = ("trigger", "settings", "versions", "publish", "results", "migrate")
    beside = {"step": "step=talking", "send": "step=thanks", "add": "add=wait:next",
              **{name: f"panel={name}" for name in panels}}  # fmt: skip
    return {
        **{f"journey-{name}": f"{path}?{query}" for name, query in beside.items()},
        "journey-left": f"{path}/people?node=thanks&left=passed",
        "journey-version": f"{path}?version=1&step=wait",
    }


async def figures(world: World, kind: str, source_id: str, nodes: Sequence[str | None]) -> None:
    """What three weeks would have come to, kept as if it had taken long to count."""
    day, rows = now() - timedelta(days=21), world.runtime.db
    days = [
        {"day": (day + timedelta(days=n)).date().isoformat(), "sent": 400 * n % 170, "opened": 60 * n % 90,
         "clicked": 13 * n % 30} for n in range(21)
    ]  # fmt: skip
    counts = {"accepted": 1640, "delivered": 1611, "opened": 702, "clicked": 261, "unsubscribed": 9, "complained": 1,
              "machine_opened": 88}  # fmt: skip
    groups = {"treated": {"people": 1640, "buyers": 148, "mean": 412.5},
              "held_out": {"people": 190, "buyers": 8, "mean": 201.0}}  # fmt: skip
    lift = {**groups, "rate": {"value": 0.048, "low": 0.007, "high": 0.079, "verdict": "more"},
            "mean": {"value": 211.5, "low": -12.0, "high": 435.0, "verdict": "cannot_tell"}, "currency": "EUR",
            "days": 5, "cut": False}  # fmt: skip
    kept = {"at": now(), "took_ms": 600_000, "lift_at": now(), "lift_took_ms": 600_000, "days": days, "lift": lift,
            "parts": [{"node": node, "counts": counts} for node in nodes]}  # fmt: skip
    await rows.collection("campaign_figures").replace_one({"_id": source_id}, kept, upsert=True)
    for n, (node, currency) in enumerate((node, each) for node in nodes for each in ("EUR", "CNY")):
        taking = {"source_kind": kind, "source_id": source_id, "node_id": node, "currency": currency, "orders": 74 - n,
                  "minor": 338_250 - n, "rev": 0}  # fmt: skip
        await rows.collection("takings").insert_one({"_id": f"{source_id}:{node}:{currency}", **taking})
    for n in range(21):
        touch = {"source_kind": kind, "source_id": source_id, "node_id": nodes[0]}
        paid = {"touch": touch, "counts": True, "currency": "EUR", "minor": 5_000 * n % 31_000 + 900, "profile_id": "-",
                "ordered_at": day + timedelta(days=n), "rev": 0}  # fmt: skip
        await rows.collection("credits").insert_one({"_id": new_id("ord"), **paid})


async def narrowed(world: World, talk_id: str) -> str:
    """A conversation with labels and a priority, views, and what leads to it."""
    change = {"labels": ["refund", "三包", "a rather long label", "more"], "priority": "urgent"}
    await world.api.call("PATCH", f"/conversations/{talk_id}", change)
    for name in ("Urgent", "退款待处理"):
        await world.api.post("/views", {"name": name, "shared": True, "filter": {"priority": ["urgent"]}})
    return "view=all&whole=1&priority=urgent&no_label=spam"


async def rated(world: World, identity_id: str) -> dict[str, str]:
    """A question that is open, and two that were answered, with and without words."""
    store, found = world.runtime.rating_rows, {}
    talk = await world.runtime.db.collection("conversations").find_one({"identity_id": identity_id})
    assert talk is not None
    for name, more in (
        ("rate", {"state": "asked"}), ("rated", {"state": "answered", "score": 5, "answered_at": now()}),
        ("rated-why", {"state": "answered", "score": 2, "comment": "壶盖不能放洗碗机。", "answered_at": now()}),
    ):  # fmt: skip
        row = {"_id": new_id("rat"), "key": name, "asked_at": now(), "conversation_id": talk["_id"], **more,
               "profile_id": talk["profile_id"], "identity_id": identity_id,
               "channel_id": talk["channel_id"]}  # fmt: skip
        await store.plan([row])
        found[name] = row["_id"]
    return found


async def promises(world: World) -> dict[str, str]:
    """A promise with other times for what is urgent, by business hours, and clocks that run."""
    kept = {"name": "Office", "zone": "Asia/Shanghai", "week": {day: [["09:00", "18:00"]] for day in ("mon", "fri")}}
    hours_id = (await world.api.post("/business-hours", kept))["id"]
    made = await world.api.post("/sla-policies", {
        "name": "Answers of the shop", "lengths": {"first_response_min": 60, "next_response_min": 240},
        "by_priority": {"urgent": {"first_response_min": 15, "resolution_min": 2880}},
    })  # fmt: skip
    await world.api.post("/sla-policies", {
        "name": "Complaints", "reach": {"labels": ["complaint"]}, "lengths": {"resolution_min": 5760},
        "hours_id": hours_id, "pauses": ["pending", "snoozed"], "active": False,
    })  # fmt: skip
    here = "/settings/sla"
    return {"sla": here, "some-sla": f"{here}/{made['id']}", "new-sla": f"{here}/new", "ratings": "/settings/ratings",
            "nps": "/settings/ratings?kind=nps"}


async def reported(world: World, talk: dict[str, Any]) -> dict[str, str]:
    """What four weeks would have come to, kept as if it had happened."""
    rows, day = {}, now().replace(hour=9, minute=0) - timedelta(days=27)
    person = (await world.api.get("/users"))["data"][0]["id"]
    common = {"conversation_id": new_id("cnv"), "profile_id": talk["profile_id"], "channel_id": talk["channel_id"],
              "team_id": None, "labels": ["refund"], "key": ""}  # fmt: skip
    for n in range(27 * 8):
        at = day + timedelta(days=n // 8, minutes=77 * (n % 8))
        ms = 60_000 * (3 + n * 7 % 90)
        for kind, more in (
            ("created", {"until": at + timedelta(hours=4 + n % 50)}), ("received", {"n": 1 + n % 4}),
            ("closed", {"at": at + timedelta(hours=4 + n % 50)}),
            ("first_response", {"ms": ms, "business_ms": ms // 2}),
            ("nps", {"score": n * 7 % 11}), ("kept" if n % 5 else "missed", {}),
        ):  # fmt: skip
            by = {"agent_id": person if n % 3 else None}
            rows[f"{kind}{n}"] = {"kind": kind, "at": at, "n": 1, **by, **common, **more}
    store = FigureStore(world.runtime.db)
    await world.runtime.db.in_transaction(lambda session: store.replace([], rows, session))
    await world.runtime.db.in_transaction(lambda session: store.add(changes_of([], rows.values()), session))
    here = "/reports"
    return {
        "reports": here, "reports-times": f"{here}/first-response?business=1", "reports-who": f"{here}/agent-load",
        "reports-backlog": f"{here}/backlog", "reports-week": f"{here}/busiest-hours", "reports-nps": f"{here}/nps",
        "reports-rows": f"{here}/first-response/rows?column=count", "reports-labels": f"{here}/nps?zone=UTC&by=label",
        "reports-none": f"{here}/volume?from=2001-01-01&to=2001-01-05",
    }  # fmt: skip


async def replies(world: World, channel_id: str) -> dict[str, str]:
    """A channel that says much by itself, with a message that is tried."""
    office = {"name": "Letters", "zone": "Asia/Shanghai", "week": {"mon": [["09:00", "18:00"]]}}
    hours_id = (await world.api.post("/business-hours", office))["id"]
    await world.api.call("PUT", f"/channels/{channel_id}/replies", {
        "greeting": {"texts": {"en": "Hello {{ profile.first_name }}!", "zh": "您好！", "de": "Guten Tag!"}},
        "out_of_office": {"hours_id": hours_id, "texts": {"en": "Back {{ hours.opens }}.", "zh": "稍后。"}},
        "keywords": [
            {"words": ["opening hours", "营业时间"], "texts": {"en": "Nine to six.", "zh": "九点到六点。"}},
            {"words": ["refund", "退款"], "labels": ["refund"], "match": "whole", "active": False},
        ],
    })  # fmt: skip
    here, bots = f"/settings/replies/{channel_id}", "/settings/bots"
    settings = {"send_url": "https://chat.example.com/in", "secret": "whsec_" + "QUJD" * 11}
    own = await world.channel("generic", "Shop chat", settings)
    bot = await world.api.post(
        "/bots", {"name": "Tilly", "url": "https://bot.example.com/in", "channel_ids": [own["id"]]}
    )  # fmt: skip
    arrival = Arrival(own["id"], "generic", MessageReceived(
        event_id="bot1", message_id="bot1", occurred_at=now(), text="What are your opening hours? 几点开门？",
        address=Address(channel_id=own["id"], external_id="bess"), person=Sender(name="Bess Bot"),
    ), "dlv_bot")
    talk_id = (await world.runtime.receiver.receive([arrival])).outcomes[0].conversation_id
    await world.api.post(f"/conversations/{talk_id}/hand-over", {"to": "agents"})
    await world.api.post(f"/conversations/{talk_id}/hand-over", {"to": "bot"})
    return {"bots": bots, "bot": f"{bots}/{bot['id']}", "new-bot": f"{bots}/new",
            "bots-conversation": f"/inbox/{talk_id}?view=all&status=pending",
            "all-replies": "/settings/replies", "replies": here, "replies-tried": f"{here}?try=营业时间&language=zh"}


async def teams(world: World) -> dict[str, str]:
    """A team that gives out in turn, and who is here."""
    person = (await world.api.get("/users"))["data"][0]["id"]
    made = await world.api.post("/teams", {
        "name": "Support in Leiden", "members": [{"user_id": person}], "routing": {"mode": "round_robin"},
    })  # fmt: skip
    here = "/settings/teams"
    return {
        "teams": here, "team": f"{here}/{made['id']}", "new-team": f"{here}/new", "states": "/settings/presence",
        "presence": "/presence", "ability": f"/presence/{person}",
    }  # fmt: skip


async def canned(world: World, talk_id: str) -> dict[str, str]:
    """Canned replies of several lengths, one that can be filled in and one that cannot."""
    made = await world.api.post("/canned-replies", {
        "shortcut": "tour-thanks", "title": "Thanks for the order",
        "text": "Hi {{ profile.first_name | default('there') }},\n\nthank you for your order!\n{{ agent.first_name }}",
    })  # fmt: skip
    await world.api.post("/canned-replies", {
        "shortcut": "退货地址", "title": "退货地址",
        "text": "您好，请把订单 {{ order.number }} 寄到莱顿运河街 12 号。" * 9,
    })  # fmt: skip
    here = "/settings/canned"
    return {"canned": here, "some-canned": f"{here}/{made['id']}", "new-canned": f"{here}/new",
            "choose-canned": f"/inbox/{talk_id}/canned"}  # fmt: skip


async def macros(world: World) -> dict[str, str]:
    """A macro with an action of several kinds."""
    made = await world.api.post("/macros", {
        "name": "Refund under way 退款处理中",
        "actions": [
            {"type": "reply", "text": "Hi {{ profile.first_name }}, your refund is on its way. " * 3},
            {"type": "labels", "add": ["refund", "退款"]}, {"type": "task", "text": "Has it arrived?", "due": "P3D"},
            {"type": "snooze", "span": "P3D"},
            {"type": "webhook", "url": "https://warehouse.example/hooks/refunds/with/a/long/path"},
        ],
    })  # fmt: skip
    here = "/settings/macros"
    return {"macros": here, "macro": f"{here}/{made['id']}", "new-macro": f"{here}/new"}


async def beginnings(world: World, person: str, talk_id: str) -> dict[str, str]:
    """A person with several ways, a mail that was forwarded, a reaction."""
    post = await world.channel("email", "Harbour Tea post", {"from_address": "post@harbour-tea.invalid"})
    mail = MailParts(message_id="<tour@x>", subject="Where is my teapot?", to=("post@harbour-tea.invalid",))
    again = MailParts(
        message_id="<tour2@x>", subject="Re: Where is my teapot?", to=("post@harbour-tea.invalid",),
        cc=("lena.lawyer@law.example.org",), in_reply_to=("<tour@x>",),
    )  # fmt: skip
    arrivals = [
        Arrival(post["id"], "email", MessageReceived(
            event_id=f"tour{n}", message_id=f"tour{n}", occurred_at=now() - timedelta(minutes=9 - n), mail=each,
            address=Address(channel_id=post["id"], external_id="fred@tea.example.org"),
            person=Sender(name="Fred Forward"), text="It has not come yet. Could you look into it?",
        ), "dlv_tour")
        for n, each in enumerate((mail, again))
    ]  # fmt: skip
    outcome = (await world.runtime.receiver.receive(arrivals)).outcomes[0]
    agent = Actor("usr_x", "Ada Agent")
    wanted = ForwardInput(to="pots@supplier.example.org", text="Is it on its way? 在路上了吗？")
    line = await world.runtime.forwarding.forward(outcome.message_id or "", wanted, agent, "tour")
    said = [each for each in (await world.runtime.messages.page(talk_id)).data if each.direction == "in"]
    await world.runtime.reactions.react(said[0].id, "🙏", agent)
    here = f"/inbox/{outcome.conversation_id}"
    return {
        "whom": "/inbox/new", "whom-found": "/inbox/new?q=que", "write": f"/profiles/{person}/write",
        "mail-thread": f"{here}?view=all", "forward": f"{here}/messages/{outcome.message_id}/forward",
        "forwarded": f"/inbox/{line.conversation_id}?view=all",
    }  # fmt: skip


async def rules(world: World, talk_id: str) -> dict[str, str]:
    """A rule of an event and one of time, neither of which is set off here; one was tried."""
    person = {"field": "tags", "op": "any_of", "value": ["vip", "wholesale"]}
    unpaid = {"field": "order.awaits_payment", "op": "eq", "value": True}
    actions = [
        {"type": "reply", "text": "Dear {{ profile.first_name }}, can we help you with your order? " * 2},
        {"type": "labels", "add": ["chased", "催款"]}, {"type": "notify", "to": "role:admin", "text": "Please call"},
    ]  # fmt: skip
    made = await world.api.post("/automation-rules", {
        "name": "Chase unpaid orders of our best customers 催促未付款订单", "actions": actions, "stop": True,
        "on": {"type": "event", "event": "tour.told"}, "when": {"all": [unpaid, {"any": [person, {"not": person}]}]},
    })  # fmt: skip
    waits = {"type": "timed", "what": "untouched", "after": "P30D"}
    await world.api.post("/automation-rules", {
        "name": "Nobody touched it", "on": waits, "actions": [{"type": "priority", "priority": "urgent"}],
        "active": False,
    })  # fmt: skip
    here = "/settings/automation"
    return {"rules": here, "rule": f"{here}/{made['id']}", "new-rule": f"{here}/new",
            "rule-runs": f"{here}/{made['id']}/runs",
            "rule-tried": f"{here}/{made['id']}/try?conversation={talk_id}"}  # fmt: skip


async def hours(world: World) -> dict[str, str]:
    """Business hours with a break, holidays and a special day."""
    made = await world.api.post("/business-hours", {
        "name": "Shop in Leiden", "zone": "Europe/Amsterdam", "holidays": {"country": "NL"},
        "week": {"mon": [["09:00", "12:30"], ["13:30", "18:00"]], "sat": [["10:00", "16:00"]]},
        "special": [{"date": "2026-12-24", "spans": [["09:00", "13:00"]], "name": "Christmas Eve"}],
    })  # fmt: skip
    here = "/settings/hours"
    return {"hours": here, "some-hours": f"{here}/{made['id']}", "new-hours": f"{here}/new"}


async def webhooks(world: World) -> dict[str, str]:
    """An endpoint that cannot be reached, what it was to be told, and the form of a new one."""
    wanted = {"url": "https://warehouse.invalid/hooks/rapport", "events": ["order.*", "message.received", "tea.brewed"]}
    made = await world.api.post("/webhook-endpoints", {**wanted, "description": "Warehouse"})
    post = await world.api.post(f"/webhook-endpoints/{made['id']}/test", status=202)

    async def tried() -> bool:
        found = (await world.api.get(f"/webhook-endpoints/{made['id']}/deliveries"))["data"]
        return any(each["id"] == post["id"] and each["state"] == "failed" for each in found)

    await eventually(tried, "a post that was tried")
    here = f"/settings/webhooks/{made['id']}"
    return {"webhooks": "/settings/webhooks", "webhook": here, "new-webhook": "/settings/webhooks/new",
            "webhook-post": f"{here}/deliveries/{post['id']}"}  # fmt: skip


async def broadcasts(world: World, channel_id: str) -> dict[str, str]:
    """A draft at each of its steps with a review, one that is scheduled, one that is paused, one that is done."""
    arms = [{"name": "a", "share": 50}, {"name": "b", "share": 50, "content": {"text": "Which one is yours?"}}]
    whole = {
        "name": "Spring teas", "channel_ids": [channel_id], "audience": {"rule": {"all": []}},
        "content": {"body": "Hi {{ profile.name }}, the first flush is here.",
                    "locales": {"zh_CN": {"body": "春茶到了。"}}},
    }  # fmt: skip
    trial = {"arms": arms, "metric": "read", "sample_percent": 50, "decide_after": "PT4H"}
    local = {"type": "local", "date": "2031-05-01", "time": "09:00", "late": "next_day"}
    draft = await world.api.post("/broadcasts", {**whole, "ab": trial, "schedule": local, "holdout_percent": 10})
    await world.api.post(f"/broadcasts/{draft['id']}/review", {}, status=202)
    ids = {"draft": draft["id"]}
    for name, status in (("scheduled", "scheduled"), ("paused", "running"), ("done", "running")):
        later = {"schedule": {"type": "at", "at": "2090-01-01T09:00:00Z"}} if name == "scheduled" else {}
        made = await world.api.post("/broadcasts", {**whole, "name": f"Teas, {name}", **later, "ab": trial if name ==
                                                    "paused" else None, "class": "service"})  # fmt: skip
        await world.api.call("PUT", f"/broadcasts/{made['id']}/status", {"status": status})
        ids[name] = made["id"]

    async def planned() -> bool:
        waves = (await world.api.get(f"/broadcasts/{ids['paused']}"))["waves"]
        return all(each["state"] == "done" for each in waves)

    async def over() -> bool:
        return (await world.api.get(f"/broadcasts/{ids['done']}"))["status"] == "done"

    await eventually(planned, "the people to be planned")
    await world.api.call("PUT", f"/broadcasts/{ids['paused']}/status", {"status": "paused"})
    await eventually(over, "the broadcast to end")
    await figures(world, "broadcast", ids["done"], (None,))
    steps = ("audience", "content", "schedule", "review")
    return {
        "broadcasts": "/broadcasts", "broadcasts-of-a-state": "/broadcasts?status=cancelled",
        "new-broadcast": "/broadcasts/new",
        **{f"broadcast-{each}": f"/broadcasts/{ids['draft']}/{each}" for each in steps},
        **{f"broadcast-{name}": f"/broadcasts/{ids[name]}" for name in ("scheduled", "paused", "done")},
        "recipients": f"/broadcasts/{ids['done']}/recipients",
    }  # fmt: skip


async def lifecycle(world: World, person: str, other: str) -> None:
    """Somebody with a way behind them, roles, fields and relations; tags with a change that is done."""
    await world.api.post(
        "/fields",
        {"key": "favourite_tea", "labels": {"en": "Favourite tea", "zh_CN": "最爱的茶"}, "type": "choice",
         "options": [{"value": "green", "labels": {"en": "Green", "zh_CN": "绿茶"}}, {"value": "black"}],
         "personal": True, "shown": ["profile", "inbox", "list"]},
    )  # fmt: skip
    fields = {"attributes": {"favourite_tea": "green"}, "add_tags": ["regulr", "gifts"], "roles": ["buyer", "agent"],
              "tier": "gold", "score": 72}  # fmt: skip
    await world.api.call("PATCH", f"/profiles/{person}", fields)
    await world.api.post(f"/profiles/{person}/stage", {"stage": "customer"})
    await world.api.post(f"/profiles/{person}/stage", {"stage": "repeat"})
    await world.api.post(f"/profiles/{other}/stage", {"stage": "lost", "reason": "price"})
    await world.api.post(f"/profiles/{person}/relations", {"kind": "referred_by", "other_id": other})
    await world.api.post("/tags/changes", {"what": "rename", "tag": "regulr", "to": "regular"})


async def remembered(world: World, person: str) -> None:
    """Notes, a call, a follow-up that is due, files and changes, so that there is something to look at."""
    path = f"/profiles/{person}"
    spring = "只在下午五点后接电话。@Ada 请跟进春茶，见 https://shop.example/spring"
    await world.api.post(f"{path}/notes", {"text": spring, "pinned": True})
    gift = "Wants the 0.6 l pot for a friend too; gift wrap, no invoice in the box."
    await world.api.post(f"{path}/notes", {"text": gift})
    call = {"text": "Agreed to send two samples of oolong. She decides by Friday.", "kind": "call", "minutes": 12}
    at = (now() - timedelta(days=3)).isoformat()
    await world.api.post(f"{path}/notes", {**call, "direction": "in", "at": at})
    follow_up = {"at": (now() - timedelta(hours=2)).isoformat(), "text": "Ask whether the samples arrived"}
    await world.api.call("PUT", f"{path}/follow-up", follow_up)
    await world.runtime.profile_files.attach(person, b"%PDF-1.7\n" + b"0" * 48_000, "报价单 2026.pdf", None, "usr_x")
    change = {"name": "Mei Tan 陈美", "add_tags": ["tea friend"], "attributes": {"city": "Leiden"}, "score": 42}
    await world.api.call("PATCH", path, change)


async def privacy(world: World, whatsapp: Any) -> dict[str, str]:
    """Somebody who was erased, a request that waits, an export, a website."""
    gone, asks = (Person.number(world.number(), name) for name in ("Gone Girl", "Ask Wer"))
    await whatsapp.says(gone, "Please forget me")
    await whatsapp.says(asks, "Hello")
    talk, other = await world.conversation(whatsapp.id, gone), await world.conversation(whatsapp.id, asks)
    await world.api.call("DELETE", f"/profiles/{talk['profile_id']}", status=204)
    (row, *_) = await world.api.rows("/erasures")
    await world.api.post(f"/profiles/{other['profile_id']}/export", {"language": "en"}, status=202)
    details = {"email": "ask@people.example", "phone": f"+{asks.phone}"}
    await world.runtime.privacy.requests.note(whatsapp.id, "customers/redact", f"e{world.number()}", details)
    await world.channel("segment", "harbour-tea.example", {"write_key": f"site-key-{world.number()}-0123456789"})
    return {"erasure": f"/settings/privacy/{row['id']}", "export": f"/profiles/{other['profile_id']}/privacy",
            "erasure-places": f"/settings/privacy/{await still_named(world, talk['profile_id'])}"}  # fmt: skip


async def still_named(world: World, somebody: str) -> str:
    """An erasure that has ended, after which texts of colleagues may still name the person."""
    rooms = ("segments", "tags", "tasks", "templates", "journeys", "blocked_values")
    places = [{"room": room, "id": f"{room[:3]}_x" if room in ("segments", "journeys") else ""} for room in rooms]
    row = {
        "_id": new_id("ers"), "state": "done", "asked_by": "usr_x", "asked_at": now(), "source": "desk", "reason": None,
        "held": {"messages": 3}, "erased": {"messages": 3, "profiles": 1}, "hashes": [], "done_at": now(),
        "scrubbed_at": None, "places": [*places, {"room": "notes", "id": somebody}], "all_read": False,
    }  # fmt: skip
    await world.runtime.db.collection("erasures").insert_one(row)
    return str(row["_id"])


async def lists(world: World) -> dict[str, str]:
    """An import at each of its steps, and an export."""
    book = world.runtime.imports
    found = {"imports": "/profiles/imports", "exports": "/profiles/exports?tag=tea"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "list"
        for name in ("import-mapping", "import-preview", "import-done"):
            own = LIST if name != "import-done" else LIST.replace("mei.list", "done").replace("001", "002")
            path.write_text(own, encoding="gb18030")
            head = await book.bring(path, "客户名单 2026.csv", "rapport", "Ada Admin")
            found[name] = f"/profiles/imports/{head['_id']}"
            head = await book.finish(head["_id"])
            if name != "import-mapping":
                columns = [{**each, "to": "attributes.city"} if each["to"] == "ignore" else each
                           for each in head["mapping"]["columns"]]  # fmt: skip
                given = {"columns": columns, "options": {"existing": "overwrite", "tags": ["fair"], "region": "CN"}}
                await book.map(head["_id"], ImportMapping.model_validate(given))
                await book.finish(head["_id"])
            if name == "import-done":
                await book.run(head["_id"])
                await book.finish(head["_id"])
    await world.runtime.exports.begin("csv", {}, "rapport", "Ada Admin")
    return found


async def consents(world: World, person: str, identity: str) -> dict[str, str]:
    """Groups to choose from, a history to look at, and the pages that the person reaches from a message."""
    chinese = {"name": "茶讯", "description": "每月一封，关于新茶。", "wording": "同意每月接收茶讯。"}
    news = await world.api.post(
        "/consent-groups",
        {"key": "tea_news", "name": "Tea letter", "description": "Once a month, about new teas.", "default": "opt_out",
         "wording": "Yes, send me the tea letter once a month.", "locales": {"zh_CN": chinese}},
    )  # fmt: skip
    await world.api.post(
        "/consent-groups", {"key": "drops", "name": "New teas", "double_opt_in": True, "position": 2,
                            "locales": {"zh_CN": {"name": "新品"}}}
    )  # fmt: skip
    (mail,) = await world.runtime.resolver.identify(
        [Reference([IdentityRef(kind="email", value="mei.tan@example.com")])]
    )
    act = {"purpose": "tea_news", "granted": True, "source": "form", "proof": "https://shop.example/news"}
    await world.api.post(f"/profiles/{person}/consents", {**act, "identity_id": identity})
    no = {"purpose": "marketing", "granted": False, "source": "api", "proof": "Said so on the phone"}
    await world.api.post(f"/profiles/{person}/consents", {**no, "identity_id": identity})
    await world.api.post(
        f"/profiles/{mail.profile_id}/consents", {**act, "identity_id": mail.identity_id, "purpose": "drops"}
    )
    (asked,) = await world.runtime.consent.ledger(mail.profile_id)
    (gone,) = await world.runtime.resolver.identify([Reference([IdentityRef(kind="email", value="gone@example.com")])])
    await world.runtime.consent.suppress(gone.identity_id, "bounce")

    def path(kind: Any, identity_id: str, purpose: str = "", about: str | None = None) -> str:
        return PATHS[kind] + world.runtime.consent_links.token(ConsentLink(kind, identity_id, purpose, about))

    return {
        "profile-closed": f"/profiles/{gone.profile_id}?tab=consent",
        "consent-group": f"/settings/consent/{news['id']}", "new-consent-group": "/settings/consent/new",
        "unsubscribe": path("unsubscribe", mail.identity_id, "tea_news"),
        "unsubscribed": path("unsubscribe", identity, "tea_news"), "preferences": path("preferences", mail.identity_id),
        "preferences-paused": path("preferences", identity),
        "confirm": path("confirm", mail.identity_id, "drops", asked["_id"]),
        **{name: path("rate", identity, "", rating) for name, rating in (await rated(world, identity)).items()},
    }  # fmt: skip


@pytest.mark.parametrize(("locale", "size"), [("en-GB", WIDE), ("zh-CN", NARROW)], ids=["wide-en", "narrow-zh"])
async def test_every_page_opens_without_a_complaint_fits_and_stands_in_nobodys_way(
    windows: Windows, colleagues: Colleagues, places: dict[str, str], locale: str, size: tuple[int, int]
) -> None:
    page, in_the_way = await windows.open(colleagues.ada, locale=locale, size=size), list[str]()
    for name, path in places.items():
        answer = await page.goto(path)
        assert answer is not None and answer.status == 200, name
        await expect(page.get_by_role("heading", level=1).first).to_be_attached()
        too_wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert too_wide <= 0, f"{name} is {too_wide} px wider than the window"
        cut_off = await page.evaluate(CUT_OFF)
        assert cut_off <= 0, f"{name} is cut off by {cut_off} px"
        stuck = await page.evaluate(STUCK)
        assert not stuck, f"{name} has words that stick together: {stuck}"
        if locale == "zh-CN" and name != "api-docs":
            assert await page.locator("html").get_attribute("lang") == "zh-CN", name
        if locale == "en-GB":  # the words are others, what they stand in is the same
            in_the_way += [f"{name}: {each}" for each in await findings(page)]
        assert not windows.faults, (name, windows.faults)
    assert not in_the_way, "\n".join(in_the_way)


async def test_what_stands_in_the_way_is_found_in_either_theme(windows: Windows) -> None:
    page = await windows.open()
    await page.set_content(
        '<html lang="en"><style>:root { color-scheme: light dark; background: light-dark(white, black) }'
        " p { color: light-dark(black, #333) } b { color: light-dark(#ccc, white); transition: color 9s } </style>"
        '<title>Way</title><main><h1>Way</h1><img src="data:,"><p>Dark alone</p><b>Light alone</b></main></html>'
    )
    found = [each.partition(" (")[0] for each in await findings(page)]
    assert found == ["light: color-contrast", "light: image-alt", "dark: color-contrast"]


@pytest.mark.skipif(not SHOTS, reason="RAPPORT_TEST_SHOTS names no folder for pictures")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["1440", "375"])
async def test_a_tour_of_pictures(
    windows: Windows, colleagues: Colleagues, places: dict[str, str], locale: str, theme: Any, size: tuple[int, int]
) -> None:
    folder = Path(SHOTS) / f"{size[0]}-{theme}-{locale.partition('-')[0]}"
    folder.mkdir(parents=True, exist_ok=True)
    door = await windows.open(locale=locale, size=size, color_scheme=theme)
    await door.goto("/sign-in")
    await door.screenshot(path=folder / "sign-in.png")
    page = await windows.open(colleagues.ada, locale=locale, size=size, color_scheme=theme)
    for name, path in places.items():
        await page.goto(path)
        await page.wait_for_load_state("load")
        await page.screenshot(path=folder / f"{name}.png")
    assert len(list(folder.glob("*.png"))) > len(places)


async def findings(page: Page) -> list[str]:
    """What axe finds grave on an open page, in both themes. They differ in colours alone: what has to do with none is
    looked at once."""
    await page.evaluate(axe_script())
    found = []
    for theme, rules in AXE_RUNS:
        await page.emulate_media(color_scheme=theme, reduced_motion="reduce")  # no colour is on its way to another
        found += [f"{theme}: {each}" for each in await page.evaluate(AXE, [AXE_OPTIONS | rules, GRAVE])]
    await page.emulate_media(color_scheme="null", reduced_motion="null")
    return found


@cache
def axe_script() -> str:
    """The source of axe."""
    return str(pytest.importorskip("axe_playwright_python.base").AXE_SCRIPT)
