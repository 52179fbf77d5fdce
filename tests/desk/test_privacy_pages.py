"""Privacy at the desk: erased with a typed word, exported, profiling switched with a way back, requests, retention."""

import io
import re
import zipfile
from datetime import timedelta

import pytest

from base.clock import now
from channels.vocabulary import AccountNotice, Tracked
from desk.pages.tracking import website_of
from profiles.consent_links import ConsentLink
from profiles.track import TrackedInput
from tests.desk.world import channel, wrote
from webhooks.ingest import Item


@pytest.fixture(scope="module")
async def shop(desk):
    return await channel(desk.runtime, name="Shop account")


async def hurry(desk):
    past = {"$set": {"due_at": now() - timedelta(seconds=1)}}
    await desk.runtime.db.collection("erasures").update_many({"due_at": {"$exists": True}}, past)


async def test_erasing_wants_the_word_and_shows_how_far_it_is(desk, shop):
    talk = await wrote(desk.runtime, shop, "49151000001", "Hello", name="Mei  Tan")
    ada, bo = await desk.person("admin", name="Ada Admin"), await desk.person("agent", name="Bo Agent")
    here = f"/profiles/{talk.profile_id}/privacy"
    page = await ada.page(here)
    assert "Type Mei Tan to confirm" in page and 'data-testid="what-goes"' in page
    assert "Erase for good" not in await bo.page(here)
    await bo.post(f"{here}/erase", 403, word="Mei Tan")
    assert "Type exactly what stands there." in await ada.post(f"{here}/erase", 422, True, word="mei")
    assert await desk.runtime.profiles.get(talk.profile_id) is not None
    progress = await ada.post(f"{here}/erase", word=" Mei Tan ")
    assert await desk.runtime.profiles.get(talk.profile_id) is None
    assert "Under way" in await ada.page(progress)  # webhooks are read by the workers
    await hurry(desk)
    await desk.runtime.privacy.erasures.drain()
    assert "Looked at once more" in await ada.page(progress)
    await hurry(desk)
    await desk.runtime.privacy.erasures.drain()
    assert 'data-testid="state">Done' in await ada.page(progress)
    log = await ada.page("/settings/privacy?identity=%2B49151000001")
    assert "Mei" not in log and "Ada Admin" in log
    await bo.page("/settings/privacy", 403)
    await ada.page(here, 404)


async def test_who_sees_only_some_channels_neither_exports_nor_erases(desk, shop):
    other = await channel(desk.runtime, "email", "Mail")
    talk = await wrote(desk.runtime, shop, "49151000002", "Hello", name="Ben Bos")
    mail = await wrote(desk.runtime, other, "ben@example.org", "Hello", name="Ben Bos")
    await desk.runtime.merger.merge(talk.profile_id, mail.profile_id, by=None)
    limited = await desk.person("admin", channels=[shop.id], name="Lea Limited")
    here = f"/profiles/{talk.profile_id}/privacy"
    assert "Erase for good" not in await limited.page(here)
    await limited.post(f"{here}/erase", 403, word="Ben Bos")
    await limited.post(f"{here}/export", 403)
    await limited.page("/settings/privacy", 403)
    await limited.page("/settings/retention", 403)


async def test_an_export_is_made_and_fetched_by_nobody_else(desk, shop):
    talk = await wrote(desk.runtime, shop, "49151000003", "Where is my tea?", name="Cem Can")
    ada, bo = await desk.person("admin", name="Ada Admin"), await desk.person("agent", name="Bo Agent")
    here = f"/profiles/{talk.profile_id}/privacy"
    await ada.post(f"{here}/export", language="zh_CN")
    assert "Being made" in await ada.page(here)
    await desk.runtime.privacy.dossiers.drain()
    path = re.search(r'href="([^"]+)" data-testid="fetch-export"', await ada.page(here)).group(1)
    async with ada.client.get(path) as answer:
        assert answer.status == 200 and answer.headers["Cache-Control"] == "no-store"
        named = answer.headers["Content-Disposition"]
        assert re.fullmatch(r'attachment; filename="([a-z0-9-]+-)?personal-data-\d{4}-\d\d-\d\d\.zip"', named), named
        pack = zipfile.ZipFile(io.BytesIO(await answer.read()))
    assert "Where is my tea?" in pack.read("index.html").decode() and 'lang="zh-CN"' in pack.read("index.html").decode()
    await bo.page(path, 403)
    other = await wrote(desk.runtime, shop, "49151000004", "Hello", name="Dora Dom")
    await ada.page(path.replace(talk.profile_id, other.profile_id), 404)


async def test_profiling_off_keeps_only_what_orders_need(desk, shop):
    talk = await wrote(desk.runtime, shop, "49151000005", "Hello", name="Eva Ems")
    bo = await desk.person("agent", name="Bo Agent")
    await desk.runtime.db.collection("profiles").update_one({"_id": talk.profile_id}, {"$set": {"score": 55}})
    here = f"/profiles/{talk.profile_id}/privacy"
    back = await bo.post(f"{here}/profiling", on="0", proof="On the phone")
    assert "Profiling is off." in await bo.page(back)
    profile = await desk.runtime.profiles.get(talk.profile_id)
    assert profile.profiling_off and profile.score == 0
    (act,) = [act for act in await desk.runtime.consent.ledger(talk.profile_id) if act["purpose"] == "profiling"]
    assert (act["granted"], act["source"], act["proof"], act["by"]) == (False, "staff", "On the phone", bo.user_id)

    for name in ("page.viewed", "order.note"):
        await desk.runtime.tracker.record([TrackedInput(event=name, profile_id=talk.profile_id)])
    event = Tracked(event_id="t1", occurred_at=now(), name="page.viewed", customer_id="c-1")
    await desk.runtime.ingest._owners.tracked([Item("chn_x", "segment", event, "dlv_x")])  # somebody else's is kept
    names = {each.name for each in await desk.runtime.events.for_profile(talk.profile_id, 100)}
    assert "order.note" in names and "page.viewed" not in names and "profile.profiling_changed" in names
    stranger = await desk.runtime.profiles.by_identity("customer_id:c-1")
    assert "page.viewed" in {each.name for each in await desk.runtime.events.for_profile(stranger.id, 10)}

    await bo.post(f"{here}/profiling", on="1")
    assert not (await desk.runtime.profiles.get(talk.profile_id)).profiling_off
    acts = [
        act["granted"] for act in await desk.runtime.consent.ledger(talk.profile_id) if act["purpose"] == "profiling"
    ]
    assert sorted(acts) == [False, True]


async def test_the_customer_switches_it_in_their_own_language(desk, shop):
    talk = await wrote(desk.runtime, shop, "49151000006", "Hello", name="Fay Fox")
    link = desk.runtime.consent_links.token(ConsentLink("preferences", talk.identity_id))
    async with (await desk.person("viewer")).client.get(f"/p/{link}?lang=zh_CN") as answer:
        assert answer.status == 200
    client = (await desk.person("viewer")).client
    async with client.post(f"/p/{link}?lang=zh_CN", data={"profiling": "off"}, allow_redirects=False) as answer:
        assert answer.status == 303
    (act,) = [act for act in await desk.runtime.consent.ledger(talk.profile_id) if act["purpose"] == "profiling"]
    assert act["by_person"] and act["source"] == "preference_centre" and act["language"] == "zh_CN"
    assert (await desk.runtime.profiles.get(talk.profile_id)).profiling_off


async def test_a_shops_requests_wait_for_an_answer(desk, shop):
    talk = await wrote(desk.runtime, shop, "49151000007", "Hello", name="Gus Gil")
    await desk.runtime.resolver.refer("email", "gus@example.org", create=True)
    details = {"email": "gus@example.org", "customer_id": "49151000007"}
    for topic, event_id in (("customers/redact", "e1"), ("customers/redact", "e1"), ("app/uninstalled", "e2")):
        notice = AccountNotice(event_id=event_id, occurred_at=now(), topic=topic, text="…", details=details)
        await desk.runtime.ingest._notices([Item(shop.id, "shopify", notice, "dlv_x")])
    ada = await desk.person("admin", name="Ada Admin")
    page = await ada.page("/settings/privacy")
    assert page.count('data-testid="request"') == 1 and f"/profiles/{talk.profile_id}/privacy" in page
    ((row, whom),) = await desk.runtime.privacy.requests.open()
    assert len(whom) == 2 and timedelta(days=29) < row["answer_by"] - now() < timedelta(days=31)
    await ada.post(f"/settings/privacy/requests/{row['_id']}", how="declined")
    assert 'data-testid="request"' not in await ada.page("/settings/privacy")
    kept = await desk.runtime.privacy.requests.get(row["_id"])
    assert kept["subject"] == {} and kept["keys"] == [] and kept["answer"] == "declined"


async def test_retention_shows_what_would_go_saves_and_takes_back(desk):
    ada = await desk.person("admin", name="Ada Admin")
    assert 'data-testid="count-deliveries"' in await ada.page("/settings/retention")
    assert "Not saved yet" in await ada.page("/settings/retention?deliveries=30&events=")
    assert (await desk.runtime.retention.days())["deliveries"] == 60
    assert "takes 7 to 3650 days" in await ada.post("/settings/retention", 422, True, deliveries="3")
    assert "takes a whole number of days" in await ada.post("/settings/retention", 422, True, deliveries="soon")
    wrong = await ada.post("/settings/retention", 422, deliveries="soon", events="3", runs="120")
    for name, typed in (("deliveries", "soon"), ("events", "3"), ("runs", "120")):
        assert re.search(rf'name="{name}" value="{typed}"', wrong), f"what was typed for {name} is still there"
    assert re.findall(r'data-testid="fault-(\w+)"', wrong) == ["deliveries", "events"]
    assert wrong.count('aria-invalid="true"') == 2 and 'aria-describedby="fault-deliveries"' in wrong
    tried = await ada.page("/settings/retention?deliveries=1.5", 422)
    assert 'name="deliveries" value="1.5"' in tried and 'data-testid="fault-deliveries"' in tried
    saved = await ada.post("/settings/retention", deliveries="30", events="")
    assert (await desk.runtime.retention.days())["deliveries"] == 30 and "Undo" in await ada.page(saved)
    await ada.post("/settings/retention", deliveries="60")
    assert (await desk.runtime.retention.days())["deliveries"] == 60


@pytest.mark.parametrize("path", ["/settings/retention", "/settings/who-is-who"])
async def test_no_form_that_is_sent_by_get_carries_the_token(desk, path):
    """Neither the button that only looks nor the Enter key puts it into an address, where logs would keep it."""
    ada = await desk.person("admin", name="Ada Admin")
    page = await ada.page(path)
    for form in re.findall(r"<form.*?</form>", page, re.DOTALL):
        if "formmethod=" in form or 'method="get"' in form:
            fields = re.findall(r"<(?:input|select|textarea)[^>]*>", form)
            assert not [each for each in fields if 'name="csrf"' in each], form[:300]
            (first, *_) = re.findall(r"<button[^>]*>", form)
            assert 'formmethod="get"' in first and "csrf" not in first  # the one that Enter presses


async def test_profiling_off_takes_what_was_concluded_at_once(desk, shop):
    talk = await wrote(desk.runtime, shop, "49151000015", "Hello", name="Ida Ims")
    people = desk.runtime.db.collection("profiles")
    concluded = {
        "score": 55, "score_parts": [{"rule_id": "wrote", "name": "Wrote to us", "points": 55}], "score_told": 55,
        "rfm": {"r": 5, "f": 1, "m": 2, "total": 8, "code": "512"}, "traits": {"churn_risk": 10}, "tier": "vip",
        "tier_source": "rule", "tier_by_rule": "vip", "manual_points": 0,
    }  # fmt: skip
    await people.update_one({"_id": talk.profile_id}, {"$set": concluded})
    await desk.runtime.profiling.switch(talk.profile_id, False, source="api")
    row = await people.find_one({"_id": talk.profile_id})  # no appraisal has been in between
    assert (row["score"], row["score_parts"], row["rfm"], row["tier"], row["tier_by_rule"]) == (0, [], None, None, None)
    assert "traits" not in row and row["score_told"] == 0
    moved = [each for each in await desk.runtime.events.for_profile(talk.profile_id, 20) if "tier" in each.name]
    assert [each.properties["to"] for each in moved] == [None]
    given = {"tier": "vip", "tier_source": "person", "score": 9, "manual_points": 9}
    await people.update_one({"_id": talk.profile_id}, {"$set": given, "$unset": {"profiling_off": ""}})
    await desk.runtime.profiling.switch(talk.profile_id, False, source="api")
    row = await people.find_one({"_id": talk.profile_id})
    assert row["tier"] == "vip" and row["manual_points"] == 9, "what somebody gave by hand stays theirs"


async def test_the_tracking_page_gives_lines_to_copy(desk):
    ada = await desk.person("admin", name="Ada Admin")
    assert "No website is tracked yet" in await ada.page("/settings/tracking")
    key = "public-key-of-the-shop"
    given = {"write_key": key, "allowed_origins": ["https://shop.example"]}
    await desk.runtime.channels.add("segment", "Shop site", given)
    await desk.runtime.channels.add("segment", "Servers", {"write_key": "held-by-servers-alone", "trusted": True})
    page = await ada.page("/settings/tracking")
    assert f"/t/{key}.js" in page and "held-by-servers-alone" not in page and "Nothing has arrived yet" in page
    assert "&lt;form data-rapport" in page


async def tracked_by_browser(desk, key, *calls):
    who = {"type": "track", "anonymousId": "a" * 32}
    batch = [{**who, "messageId": f"{key}-{n}-{len(calls)}", **call} for n, call in enumerate(calls)]
    client = (await desk.person("viewer")).client
    headers = {"Origin": "https://shop.example", "Content-Type": "text/plain"}
    async with client.post(f"/t/{key}", json={"batch": batch}, headers=headers) as answer:
        return answer.status, await answer.json(content_type=None)


async def test_a_browser_tells_only_what_a_browser_may_know(desk):
    settings = {"write_key": "public-key-of-a-page", "allowed_origins": ["https://shop.example"]}
    await desk.runtime.channels.add("segment", "Page", settings)
    key = settings["write_key"]
    names = ("order.paid", "Order.Refunded", "checkout.completed", "consent.granted", "profile.merged", "payment.taken")
    for name in names:
        status, told = await tracked_by_browser(desk, key, {"event": name})
        assert (status, told["code"]) == (403, "not_for_browsers") and name in told["detail"], name
    assert await desk.runtime.db.collection("deliveries").count_documents({"provider": "segment"}) == 0
    status, told = await tracked_by_browser(
        desk, key, {"event": "order.paid"}, {"event": "checkout.started"}, {"event": "wish.made"}
    )
    assert status == 200
    assert told["refused"] == [{"index": 0, "event": "order.paid", "code": "not_for_browsers"}]
    await desk.runtime.ingest.drain(100)
    visitor = await desk.runtime.profiles.by_identity("anonymous:" + "a" * 32)
    names = {each.name for each in await desk.runtime.events.for_profile(visitor.id, 20)}
    assert {"checkout.started", "wish.made"} <= names and "order.paid" not in names
    assert visitor.emails == [] and visitor.phones == []


async def test_a_website_is_asked_for_its_address_alone(desk):
    ada = await desk.person("admin", name="Ada Admin")
    assert 'data-testid="site-form"' in await ada.page("/settings/tracking/new")
    for wrong in ("", "no address", "ftp://shop.example", "https://"):
        assert "This is no address of a website." in await ada.post("/settings/tracking/new", 422, website=wrong)
    where = await ada.post("/settings/tracking/new", website="Tea.Example/tea?x=1")
    shown = await ada.page(where.partition("#")[0])
    (site,) = [each for each in await desk.runtime.channels.list(provider="segment") if each.name == "tea.example"]
    key = (await desk.runtime.channels.account(site.id)).secrets("write_key")[0]
    assert len(key) == 32 and f"/t/{key}.js" in shown and f'value="{key}"' in shown and "The key is made." in shown
    assert list(site.settings["allowed_origins"]) == ["https://tea.example", "https://www.tea.example"]
    assert "already" in await ada.post("/settings/tracking/new", 422, website="https://www.tea.example")
    made = await ada.post("/settings/channels/new/segment", **{"name": "Servers", "settings.trusted": "1"})
    (secret,) = [
        (await desk.runtime.channels.account(each.id)).secrets("write_key")[0]
        for each in await desk.runtime.channels.list(provider="segment")
        if each.name == "Servers" and each.id in made
    ]
    assert secret in await ada.page(made.partition("#")[0]) and secret not in await ada.page("/settings/tracking")
    mara = await desk.person("marketer", name="Mara Marketer")
    assert secret not in await mara.page(made.partition("#")[0])
    await mara.post("/settings/tracking/new", 403, website="other.example")
    limited = await desk.person("admin", [site.id], name="Lena Limited")
    await limited.post("/settings/tracking/new", 403, website="other.example")


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("www.example.com", ("example.com", ["https://www.example.com", "https://example.com"])),
        ("http://example.com:8080/a", ("example.com:8080", ["http://example.com:8080", "http://www.example.com:8080"])),
        ("localhost:5173", ("localhost:5173", ["http://localhost:5173"])),
        ("127.0.0.1", ("127.0.0.1", ["http://127.0.0.1"])),
        ("https://*.example.com", ("*.example.com", ["https://*.example.com"])),
        (
            "bücher.example",
            ("xn--bcher-kva.example", ["https://xn--bcher-kva.example", "https://www.xn--bcher-kva.example"]),
        ),
    ],
)
def test_an_address_is_read_as_people_write_it(written, found):
    assert website_of(written) == found
