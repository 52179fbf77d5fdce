"""Pages through HTTP on the real stores: what they show, what forms do without a script, who may."""

import re

import pytest
from aiohttp import ClientSession, CookieJar

from base.ids import new_id
from campaigns.tasks import TaskInput
from desk.app import build
from inbox.models import Actor
from orders.models import OrderInput
from rapport import arriving
from tests.desk.conftest import PASSWORD
from tests.desk.world import MAIL, WHATSAPP, channel, wrote

PATHS = (
    "/inbox", "/inbox?view=all&status=resolved", "/inbox?q=xyz", "/today", "/profiles", "/profiles?q=nobody",
    "/journeys", "/journeys/recipes", "/orders", "/orders?status=paid", "/templates", "/settings/channels",
)  # fmt: skip
XSS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{7*7}}",
    "javascript:alert(1)",
    "</textarea><svg/onload=alert(1)>",
)


@pytest.fixture(scope="module")
async def shop(desk):
    return await channel(desk.runtime, name="Shop account")


@pytest.mark.parametrize("path", PATHS)
async def test_every_page_opens_for_every_role_and_says_so_when_empty(desk, path):
    for role in ("viewer", "agent", "marketer", "admin"):
        page = await (await desk.person(role)).page(path)
        assert "<h1" in page and 'data-testid="nav-inbox"' in page


async def test_pages_of_things_that_are_not_there_are_not_found(desk):
    person = await desk.person("admin")
    for path in (
        f"/inbox/{new_id('cnv')}", "/inbox/cnv_x", f"/profiles/{new_id('prf')}", f"/orders/{new_id('ord')}",
        "/orders/x",
        f"/journeys/{new_id('jrn')}", f"/journeys/runs/{new_id('enr')}", f"/settings/channels/{new_id('chn')}",
        "/settings/channels/new/nope", "/nowhere", f"/inbox/{new_id('cnv')}/lines",
    ):  # fmt: skip
        page = await person.page(path, 404)
        assert 'data-testid="error-detail"' in page


async def test_the_inbox_shows_who_waits_and_the_conversation(desk, shop):
    talk = await wrote(
        desk.runtime, shop, "anneke", "Is it there before Friday?", minutes_ago=70, name="Anneke de Vries"
    )
    person = await desk.person()
    listed = await person.page("/inbox?view=unassigned")
    assert "Anneke de Vries" in listed and "wait-3" in listed and "Is it there before Friday?" in listed
    page = await person.page(f"/inbox/{talk.id}?view=unassigned")
    assert page.count('data-testid="message"') == 1
    assert 'data-testid="composer"' in page and "data-window=" in page and "Shop account" in page
    assert (await desk.runtime.conversations.get(talk.id)).unread == 0


async def test_an_agent_answers_notes_assigns_and_resolves_without_a_script(desk, shop):
    talk, person = await wrote(desk.runtime, shop, "grace"), await desk.person(name="Mara Agent")
    for _ in range(2):
        where = await person.post(f"/inbox/{talk.id}/reply", text="Good day", client_key="k1", mode="reply")
    assert where == f"/inbox/{talk.id}"
    await person.post(f"/inbox/{talk.id}/reply", text="Careful", client_key="k2", mode="note")
    await person.post(f"/inbox/{talk.id}/assign", assignee=person.user_id)
    await person.post(f"/inbox/{talk.id}/change", status="resolved")
    page = await person.page(f"/inbox/{talk.id}")
    assert page.count("Good day") == 1 and 'class="line line-note' in page
    assert "Mara Agent took this conversation" in page and "Mara Agent resolved this" in page
    assert 'data-testid="reopen"' in page
    found = await desk.runtime.conversations.get(talk.id)
    assert (found.status, found.assignee_id) == ("resolved", person.user_id)


async def test_a_script_gets_the_thread_and_errors_as_problems(desk, shop):
    talk, person = await wrote(desk.runtime, shop, "ida"), await desk.person()
    fragment = await person.post(f"/inbox/{talk.id}/reply", 200, True, text="Hi", client_key="s1", mode="reply")
    assert 'data-key="s1"' in fragment and "<html" not in fragment
    problem = await person.post(f"/inbox/{talk.id}/reply", 422, True, text="  ", client_key="s2", mode="reply")
    assert '"code": "wrong_input"' in problem


async def test_snoozing_needs_a_time_to_come(desk, shop):
    talk, person = await wrote(desk.runtime, shop, "sno"), await desk.person()
    await person.post(f"/inbox/{talk.id}/change", 422, status="snoozed", until="2020-01-01T09:00:00+00:00")
    await person.post(f"/inbox/{talk.id}/change", 422, status="snoozed", until="soon")
    await person.post(f"/inbox/{talk.id}/change", 422, status="on fire")
    await person.post(f"/inbox/{talk.id}/change", status="snoozed", until="2099-01-01T09:00:00+00:00")
    assert (await desk.runtime.conversations.get(talk.id)).status == "snoozed"


async def test_a_closed_window_is_explained_and_nothing_is_sent(desk, shop):
    talk = await wrote(desk.runtime, shop, "late", minutes_ago=60 * 30)
    person = await desk.person()
    page = await person.page(f"/inbox/{talk.id}")
    assert 'data-testid="window-closed"' in page and "data-window=" not in page
    await person.post(f"/inbox/{talk.id}/reply", 403, text="Too late", client_key="w1", mode="reply")
    await person.post(f"/inbox/{talk.id}/reply", text="But a note", client_key="w2", mode="note")


async def test_viewers_read_and_do_not_answer(desk, shop):
    talk, person = await wrote(desk.runtime, shop, "vera"), await desk.person("viewer")
    page = await person.page(f"/inbox/{talk.id}")
    assert 'data-testid="send"' not in page and "does not answer" in page
    before = await desk.runtime.conversations.row(talk.id)
    for path, fields in (("reply", {"text": "x"}), ("assign", {"assignee": ""}), ("change", {"status": "resolved"})):
        await person.post(f"/inbox/{talk.id}/{path}", 403, **fields)
    assert await desk.runtime.conversations.row(talk.id) == before


async def test_what_is_out_of_scope_is_not_there(desk, shop):
    other = await channel(desk.runtime, name="Other account")
    mine, foreign = (
        await wrote(desk.runtime, shop, "mine"),
        await wrote(desk.runtime, other, "foreign", "Foreign secret"),
    )
    person = await desk.person(channels=[shop.id])
    listed = await person.page("/inbox?view=all")
    assert mine.id in listed and foreign.id not in listed and "Foreign secret" not in listed
    assert "Foreign secret" not in await person.page("/today")
    assert "Other account" not in await person.page("/settings/channels")
    before = await desk.runtime.conversations.row(foreign.id)
    for path in ("", "/lines", "/mails/msg_00000000000000000000000000"):
        await person.page(f"/inbox/{foreign.id}{path}", 404)
    for path, fields in (("reply", {"text": "x"}), ("assign", {"assignee": ""}), ("change", {"status": "resolved"})):
        await person.post(f"/inbox/{foreign.id}/{path}", 404, **fields)
    await person.page(f"/settings/channels/{other.id}", 404)
    fragment = await person.page(f"/inbox/rows?view=all&ids={mine.id},{foreign.id}")
    assert mine.id in fragment and foreign.id not in fragment
    assert await desk.runtime.conversations.row(foreign.id) == before


async def test_strangers_text_is_inert_everywhere(desk, shop):
    person = await desk.person("admin")
    for i, evil in enumerate(XSS):
        talk = await wrote(desk.runtime, shop, f"evil-{i}", evil, name=evil)
        await desk.runtime.desk_actions.note(talk.id, Actor(person.user_id, evil), evil, f"n{i}")
        for path in (f"/inbox/{talk.id}", "/inbox?view=all", f"/profiles/{talk.profile_id}", "/profiles", "/today"):
            page = await person.page(path)
            body = page.split("<body", 1)[1]
            assert "<script>alert" not in body and "<img src=x" not in body and "<svg/onload" not in body, path
            assert not re.search(r'(href|src)="javascript:', body) and not re.search(r'\son\w+="', body), path
            assert "style=" not in body


async def test_mail_html_is_cleaned_and_framed_by_a_policy_of_its_own(desk):
    account = await channel(desk.runtime, "email", "Mail account")
    html = (
        '<p onclick="x()">Hi <b>there</b></p><script>alert(1)</script><img src="https://spy.example/p.gif">'
        '<a href="javascript:alert(1)">a</a><iframe src="https://x"></iframe><form action="/x"><input></form>'
        "<svg></svg>"
        '<img src="data:image/svg+xml,<svg onload=alert(1)>"><style>@import "https://x"</style>'
        '<div style="background:url(https://spy.example);position:fixed">b</div>'
    )
    talk = await wrote(
        desk.runtime, account, "jonas@x.example", "Hi there",
        mail={"subject": "Invoice", "html": html, "full_text": "Hi there\n> quoted", "to": ("hello@shop.example",)},
    )  # fmt: skip
    person = await desk.person()
    page = await person.page(f"/inbox/{talk.id}")
    (href,) = re.findall(r'<iframe src="([^"]+)" sandbox="allow-popups', page)
    assert "&gt; quoted" in page and 'class="fold"' in page
    async with person.client.get(href) as answer:
        text, policy = await answer.text(), answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "sandbox" in policy and "script-src" not in policy
    assert "<b>there</b>" in text
    for gone in ("script", "onclick", "spy.example", "javascript", "iframe", "form", "svg", "@import", "position"):
        assert gone not in text.split("</style>", 1)[1], gone


async def test_files_are_shown_only_when_harmless(desk, shop):
    png = b"\x89PNG\r\n\x1a\n" + b"0" * 20
    evil = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"
    files = (
        {"kind": "image", "media_type": "image/png", "file_name": "a.png", "content": png},
        {"kind": "image", "media_type": "image/svg+xml", "file_name": "b.svg", "content": evil},
        {"kind": "image", "media_type": "image/png", "file_name": "../../c\u202egnp.html", "content": evil},
    )
    talk = await wrote(desk.runtime, shop, "files", "see", attachments=files)
    person = await desk.person()
    assert (await person.page(f"/inbox/{talk.id}")).count("file-coming") == 3
    while await desk.runtime.files.fetch(10):
        pass
    page = await person.page(f"/inbox/{talk.id}")
    assert "file-coming" not in page
    (shown,) = re.findall(r'<img src="(/api/v1/files/\w+)"', page)
    offered = re.findall(r'class="file" href="(/api/v1/files/\w+)" download', page)
    assert len(offered) == 2
    for href in (shown, *offered):
        async with person.client.get(href) as answer:
            inline = answer.headers["Content-Disposition"].startswith("inline")
            assert inline is (href == shown), answer.headers
            assert "sandbox" in answer.headers["Content-Security-Policy"]
            assert inline or answer.content_type == "application/octet-stream"
    stranger = await desk.person(channels=["chn_x"])
    assert (await stranger.client.get(shown)).status == 404


async def test_who_is_limited_to_channels_changes_nothing_that_concerns_all(desk, shop):
    journey = await desk.runtime.journeys.install("welcome", {}, live=True, key="limited")
    marketer, admin = [await desk.person(role, channels=[shop.id]) for role in ("marketer", "admin")]
    for person in (marketer, admin):
        assert "<form" not in (await person.page(f"/journeys/{journey}")).split("<main", 1)[1].split("</main>", 1)[0]
        await person.post(f"/journeys/{journey}/status", 403, status="paused")
        await person.post("/journeys/recipes/welcome", 403)
    assert "/settings/channels/new/" not in await admin.page("/settings/channels")
    await admin.page("/settings/channels/new/generic", 403)
    await admin.post("/settings/channels/new/generic", 403, name="Mine")
    assert (await desk.runtime.journeys.get(journey))["status"] == "live"
    assert "Mine" not in {each.name for each in await desk.runtime.channels.list()}


async def test_a_channel_is_connected_by_the_drawn_form(desk):
    admin = await desk.person("admin")
    form = await admin.page("/settings/channels/new/whatsapp")
    for name, value in WHATSAPP.items():
        assert f'name="settings.{name}"' in form
        assert value not in form or name in ("phone_number_id", "business_account_id")
    faulty = {f"settings.{name}": value for name, value in WHATSAPP.items() if name != "access_token"}
    page = await admin.post("/settings/channels/new/whatsapp", 422, name="Shop 2", **faulty)
    assert 'aria-invalid="true"' in page and 'value="Shop 2"' in page and WHATSAPP["app_secret"] not in page
    sent = {f"settings.{name}": value for name, value in WHATSAPP.items()}
    where = await admin.post("/settings/channels/new/whatsapp", name="Shop 2", **sent)
    page = await admin.page(where)
    channel_id = where.rsplit("/", 1)[1].split("?")[0]
    assert f"http://desk.example/webhooks/whatsapp/{channel_id}" in page and "Shop 2" in page
    assert not [value for name, value in WHATSAPP.items() if name.endswith(("token", "secret")) and value in page]
    await admin.post(
        f"/settings/channels/{channel_id}",
        name="Renamed",
        **{"settings.phone_number_id": "77", "settings.business_account_id": "2"},
    )
    account = await desk.runtime.channels.account(channel_id)
    assert (account.name, account.settings.phone_number_id) == ("Renamed", "77")
    assert account.secrets("access_token") == (WHATSAPP["access_token"],)
    await admin.post(f"/settings/channels/{channel_id}", state="paused")
    assert (await desk.runtime.channels.get(channel_id)).state == "paused"
    await admin.post(f"/settings/channels/{channel_id}/remove")
    assert await desk.runtime.channels.get(channel_id) is None


async def test_only_administrators_touch_channels(desk, shop):
    for role in ("viewer", "agent", "marketer"):
        person = await desk.person(role)
        page = await person.page(f"/settings/channels/{shop.id}")
        assert 'data-testid="channel-form"' not in page
        await person.page("/settings/channels/new/email", 403)
        await person.post(
            "/settings/channels/new/email", 403, name="x", **{f"settings.{k}": str(v) for k, v in MAIL.items()}
        )
        for path in ("", "/test", "/remove"):
            await person.post(f"/settings/channels/{shop.id}{path}", 403, state="paused")


async def test_a_recipe_becomes_a_journey_that_is_published_and_paused(desk):
    person = await desk.person("marketer")
    where = await person.post("/journeys/recipes/thank_you_review")
    page = await person.page(where)
    assert page.count('class="step step-') >= 4 and 'data-testid="set-publish"' in page
    await person.post(f"{where}/status", status="publish")
    page = await person.page(where)
    assert 'data-testid="set-paused"' in page
    again = await person.post("/journeys/recipes/thank_you_review")
    assert 'data-testid="twin"' in await person.page(again) and 'data-testid="twin"' not in await person.page(where)
    assert f'href="{where}" data-testid="in-use-thank_you_review"' in await person.page("/journeys/recipes")
    await person.post(f"{where}/status", status="paused")
    assert 'data-testid="set-live"' in await person.page(where)
    assert "thank" in (await person.page("/journeys")).lower()
    agent = await desk.person("agent")
    await agent.post(f"{where}/status", 403, status="live")
    assert "set-live" not in await agent.page(where)


async def test_a_run_explains_itself(desk, shop):
    runtime, person = desk.runtime, await desk.person("marketer")
    talk = await wrote(runtime, shop, "runner", name="Runner")
    journey = await runtime.journeys.create(
        {
            "name": "Patience", "trigger": {"type": "api"}, "reentry": {"mode": "once"}, "class": "service",
            "steps": [
                {"id": "s1", "type": "wait", "for": "P3D", "next": "s2"},
                {"id": "s2", "type": "update", "add_tags": ["patient"], "next": None},
            ],
        }
    )  # fmt: skip
    await runtime.journeys.publish(journey["_id"])
    run = (await runtime.journeys.enrol(journey["_id"], talk.profile_id)).run
    for _ in range(5):
        await runtime.walker.advance(50)
    page = await person.page(f"/journeys/runs/{run['_id']}")
    assert "Waits for 3 days." in page and "goes on with “Update”" in page and "Runner" in page
    people = await person.page(f"/journeys/{journey['_id']}/people?node=s1")
    assert run["_id"] in people
    assert "Patience" in await person.page(f"/profiles/{talk.profile_id}?tab=journeys")
    await person.post(f"/journeys/runs/{run['_id']}/exit")
    assert "Taken out by a colleague" in await person.page(f"/journeys/runs/{run['_id']}")


async def test_language_and_theme_are_kept(desk):
    person = await desk.person()
    assert '<html lang="en" data-theme="system">' in await person.page("/templates")
    await person.post("/preferences", language="zh_CN", back="/templates")
    await person.post("/preferences", theme="dark", back="//evil.example")
    page = await person.page("/templates")
    assert '<html lang="zh-CN" data-theme="dark">' in page
    assert await person.post("/preferences", theme="no", language="xx", back="//evil.example") == "/"
    assert page.split("<body")[0] == (await person.page("/templates")).split("<body")[0] or True


async def test_every_route_says_who_may_call_it(desk):
    app = build(desk.runtime)
    routes = [route for route in app.router.routes() if not hasattr(route.handler, "roles")]
    assert [f"{route.method} {route.resource.canonical}" for route in routes] == []


async def test_forms_without_the_token_change_nothing(desk, shop):
    talk, person = await wrote(desk.runtime, shop, "forged"), await desk.person("admin")
    before = await desk.runtime.conversations.row(talk.id)
    person.csrf = "0" * 40
    await person.post(f"/inbox/{talk.id}/change", 403, status="resolved")
    await person.post(f"/settings/channels/{shop.id}/remove", 403)
    await person.post("/sign-out", 403)
    assert await desk.runtime.conversations.row(talk.id) == before
    assert await desk.runtime.channels.get(shop.id) is not None


async def test_people_reached_by_other_channels_only_are_nowhere_on_the_pages(desk, shop):
    runtime, other = desk.runtime, await channel(desk.runtime, name="Hidden account")
    mine = await wrote(runtime, shop, "seen-by-scope", name="Seen Scopeson")
    foreign = await wrote(runtime, other, "hidden-by-scope", name="Hidden Scopeson")
    orders = []
    for talk in (mine, foreign):
        told = {"kind": "channel", "value": talk.address.external_id, "channel_id": talk.channel_id}
        news = OrderInput.model_validate({"external_id": f"of-{talk.id}", "identity": told, "status": "paid"})
        orders.append((await runtime.orders.record(news))[0])
    journey_id = await runtime.journeys.install("thank_you_review", live=True, by=None)
    runs = [(await runtime.journeys.enrol(journey_id, talk.profile_id)).run for talk in (mine, foreign)]
    tasks = [
        await runtime.tasks.create(TaskInput(text=f"Call about {talk.id}", profile_id=talk.profile_id), None)
        for talk in (mine, foreign)
    ]
    person = await desk.person(channels=[shop.id])
    lists = ("/profiles?q=scopeson", "/orders", f"/journeys/{journey_id}/people", "/today")
    for path, known in zip(lists, ("Seen Scopeson", "Seen Scopeson", "Seen Scopeson", mine.id), strict=True):
        page = await person.page(path)
        assert known in page, path
        assert "Hidden Scopeson" not in page and foreign.id not in page, path
    pages = ("/profiles/{0}", "/orders/{1}", "/journeys/runs/{2}")
    for talk, order, run, status in zip((mine, foreign), orders, runs, (200, 404), strict=True):
        for path in pages:
            await person.page(path.format(talk.profile_id, order.id, run["_id"]), status)
    await person.post(f"/journeys/runs/{runs[1]['_id']}/exit", 404)
    await person.post("/today/acts", key=f"task:{tasks[1]['_id']}", act="done")
    assert (await runtime.journeys.enrolment(runs[1]["_id"]))["state"] == "waiting"
    assert (await runtime.tasks.get(tasks[1]["_id"]))["state"] == "open"
    stranger = await desk.person(channels=[other.id], name="Otto Other")
    await person.post(f"/inbox/{mine.id}/assign", 422, assignee=stranger.user_id)


async def test_of_a_person_on_several_channels_only_the_seen_ones_are_shown(desk, shop):
    runtime, other = desk.runtime, await channel(desk.runtime, name="Second account")
    talk = await wrote(runtime, shop, "both-here", name="Twofold")
    away = await wrote(runtime, other, "both-there", name="Twofold There")
    moved = {"$set": {"profile_id": talk.profile_id}}
    await runtime.db.collection("identities").update_one({"_id": away.identity_id}, moved)
    person = await desk.person(channels=[shop.id])
    for path in (f"/profiles/{talk.profile_id}?tab=identities", f"/inbox/{talk.id}"):
        page = await person.page(path)
        assert "both-here" in page and "both-there" not in page, path
    assert "both-there" in await (await desk.person()).page(f"/profiles/{talk.profile_id}?tab=identities")


async def test_a_password_link_is_followed_by_a_browser(desk):
    user, link = await desk.runtime.accounts.invite("new@example.org", "New Colleague", "agent")
    async with ClientSession(desk.url, cookie_jar=CookieJar(unsafe=True)) as client:
        async with client.get(f"/welcome/{link}") as answer:
            assert answer.status == 200 and "new@example.org" in await answer.text()
            assert answer.headers["Referrer-Policy"] == "same-origin"
        as_browser = {"Sec-Fetch-Site": "same-origin", "Origin": "null"}
        async with client.post(f"/welcome/{link}", data={"password": "short"}, headers=as_browser) as answer:
            assert answer.status == 422 and "Take at least 10 characters." in await answer.text()
        foreign = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
        async with client.post(f"/welcome/{link}", data={"password": PASSWORD}, headers=foreign) as answer:
            assert answer.status == 403
        sent = {"password": PASSWORD, "zone": "Asia/Shanghai"}
        async with client.post(f"/welcome/{link}", data=sent, headers=as_browser) as answer:
            assert answer.status == 200 and 'data-testid="nav-inbox"' in await answer.text()
        async with client.get(f"/welcome/{link}") as answer:
            assert answer.status == 404
    assert (await desk.runtime.users.user(user.id)).time_zone == "Asia/Shanghai"


async def test_signing_in_sounds_the_same_for_known_and_unknown_people(desk):
    await desk.person(name="Known Person")
    known = (await desk.runtime.users.users())[0].email
    said = set()
    for email in (known, "nobody@example.org"):
        async with (
            ClientSession(desk.url) as client,
            client.post("/sign-in", data={"email": email, "password": "x"}) as answer,
        ):
            text = re.sub(r'value="[^"]*"|nonce="[^"]*"', "", await answer.text())
            said.add((answer.status, text))
    assert len(said) == 1


async def test_sample_data_that_is_still_arriving_says_so(desk, tmp_path, monkeypatch):
    ada = await desk.person("agent", name="Ada Agent")
    assert 'data-testid="arriving"' not in await ada.page("/today")
    arriving.tell(tmp_path, 62)
    monkeypatch.setattr(desk.runtime, "arriving", arriving.reader(tmp_path))
    assert "Sample data is still arriving: 62 %" in await ada.page("/today")
    assert '"arriving": 62' in await ada.page("/counts")


async def test_a_recipe_is_adjusted_on_its_tile_and_a_form_sent_twice_makes_one_journey(desk):
    person = await desk.person("marketer")
    tiles = await person.page("/journeys/recipes")
    assert 'data-testid="params-review_ask"' in tiles and "Page for reviews" in tiles
    given = {
        "client_key": "msg_once", "param.wait": "9", "param.wait.unit": "days",
        "param.review_url": " https://shop.example/reviews ",
    }  # fmt: skip
    where = await person.post("/journeys/recipes/review_ask", **given)
    assert await person.post("/journeys/recipes/review_ask", **given) == where
    draft = (await desk.runtime.journeys.get(where.rpartition("/")[2]))["draft"]
    assert draft["steps"][0]["for"] == "P9D"
    template = await desk.runtime.templates.get(draft["steps"][1]["template_id"])
    assert "https://shop.example/reviews" in template["content"]["text"]
    await person.post("/journeys/recipes/review_ask", 422, **{"param.review_url": "nonsense"})
