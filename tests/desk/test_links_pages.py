"""The doors of tracked links, and the page on which tracking is chosen: through HTTP on the real stores."""

import asyncio
import re

import pytest
from aiohttp import ClientSession

from base.clock import now
from base.ids import new_id
from campaigns.tracking.settings import TrackingSettings
from campaigns.tracking.tokens import PIXEL, TrackedLink, link_id_of

TARGET = "https://shop.example/träume?a=1&b=%20x#top"


@pytest.fixture
async def stranger(desk):
    """A browser that nobody is signed in with."""
    async with ClientSession(desk.url) as client:
        yield client


def token(desk, way_id, send_id):
    return desk.runtime.hits._links.token(TrackedLink(send_id, way_id))


async def a_link(desk, url=TARGET):
    link_id = link_id_of("jrn_x", url)
    await desk.runtime.hits._store.know({link_id: (url, "jrn_x", ["prf_a", "prf_b"])})
    return token(desk, link_id, new_id("snd"))


async def test_a_link_leads_on_without_cookie_or_referrer(desk, stranger):
    async with stranger.get(f"/c/{await a_link(desk)}", allow_redirects=False) as answer:
        assert answer.status == 302
        assert answer.headers["Location"] == "https://shop.example/tr%C3%A4ume?a=1&b=%20x#top"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "no-store" in answer.headers["Cache-Control"]
        assert "Set-Cookie" not in answer.headers


async def test_no_redirect_goes_where_a_caller_wants(desk, stranger):
    good = await a_link(desk)
    bad = [
        good[:-1] + ("A" if good[-1] != "A" else "B"),
        "https:%2F%2Fevil.example",
        good + "?url=https://evil.example",
    ]
    for each in bad[:2]:
        async with stranger.get(f"/c/{each}", allow_redirects=False) as answer:
            assert answer.status == 404
            assert "Location" not in answer.headers
    async with stranger.get(f"/c/{bad[2]}", allow_redirects=False) as answer:
        assert answer.headers["Location"].startswith("https://shop.example/")
    broken = await a_link(desk, "https://shop.example/\r\nSet-Cookie:%20a=b")
    async with stranger.get(f"/c/{broken}", allow_redirects=False) as answer:
        assert answer.headers["Location"] == "https://shop.example/%0D%0ASet-Cookie:%20a=b"
        assert "Set-Cookie" not in answer.headers


async def test_a_link_that_is_gone_says_so(desk, stranger):
    async with stranger.get(f"/c/{token(desk, 'a' * 16, new_id('snd'))}") as answer:
        assert answer.status == 404
        assert "leads nowhere" in await answer.text()


async def test_the_picture_comes_whatever_happens(desk, stranger, monkeypatch):
    from base.mongo import ExecutionTimeout

    async def away(rows):
        raise ExecutionTimeout("away")

    monkeypatch.setattr(desk.runtime.hits._store, "keep_hits", away)
    for each in (token(desk, PIXEL, new_id("snd")), "nonsense"):
        begun = asyncio.get_running_loop().time()
        async with stranger.get(f"/o/{each}") as answer:
            assert answer.status == 200
            assert answer.content_type == "image/gif"
            assert len(await answer.read()) < 60
        assert asyncio.get_running_loop().time() - begun < 2
    monkeypatch.undo()


async def test_a_known_link_leads_on_while_the_store_is_away(desk, stranger, monkeypatch):
    from base.mongo import ExecutionTimeout

    good = await a_link(desk)
    async with stranger.get(f"/c/{good}", allow_redirects=False) as answer:
        assert answer.status == 302

    async def away(*_):
        raise ExecutionTimeout("away")

    monkeypatch.setattr(desk.runtime.hits._store, "keep_hits", away)
    monkeypatch.setattr(desk.runtime.hits._store, "target", away)
    async with stranger.get(f"/c/{good}", allow_redirects=False) as answer:
        assert answer.status == 302


async def test_a_hit_is_kept_with_nothing_of_who_called(desk, stranger):
    good = await a_link(desk)
    async with stranger.head(f"/c/{good}", allow_redirects=False) as answer:
        assert answer.status == 302
    (row,) = (
        await desk.runtime.db.collection("hits").find({"send_id": desk.runtime.hits.read(good).send_id}).to_list(None)
    )
    assert row["bot"] == "head_request"
    assert set(row) == {"_id", "send_id", "link_id", "at", "bot", "state", "due_at", "attempts", "fence"}


async def test_tracking_is_chosen_and_undone(desk):
    ada = await desk.person("admin", name="Ada Admin")
    page = await ada.page("/settings/links")
    rev = re.search(r'name="rev" value="(\d+)"', page)[1]
    fields = {"links": "on", "window_click": "48", "window_open": "0", "window_chat_delivery": "24", "rev": rev}
    wrong = await ada.post("/settings/links", 422, **{**fields, "window_click": "x", "utm_source": "{who}"})
    assert 'data-testid="fault-window_click"' in wrong
    assert 'data-testid="fault-utm_source"' in wrong
    where = await ada.post("/settings/links", **fields)
    choice = await desk.runtime.tracking_choice.now()
    assert (choice.settings.links, choice.settings.windows.click) == (True, 48)
    shown = await ada.page(where)
    assert 'data-testid="undo"' in shown
    assert "Somebody has changed this" in await ada.post("/settings/links", 409, **fields)
    undo = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', shown.split('data-testid="undo"')[0]))
    await ada.post("/settings/links", **{name: value for name, value in undo.items() if name != "csrf"})
    assert (await desk.runtime.tracking_choice.now()).settings == TrackingSettings()
    lena = await desk.person("viewer", name="Lena Limited")
    assert 'data-testid="save"' not in await lena.page("/settings/links")
    await lena.post("/settings/links", 403, **fields)


async def test_clicks_in_chats_may_have_a_window_of_their_own(desk):
    ada = await desk.person("admin", name="Ada Admin")
    before = await desk.runtime.tracking_choice.now()
    fields = {"window_click": "120", "window_open": "0", "window_chat_delivery": "24", "rev": str(before.rev)}
    wrong = await ada.post("/settings/links", 422, **fields, window_chat_click="no")
    assert 'data-testid="fault-window_chat_click"' in wrong
    await ada.post("/settings/links", **fields, window_chat_click="24")
    held = await desk.runtime.tracking_choice.now()
    assert held.settings.windows.chat_click == 24
    assert re.search(r'name="window_chat_click" value="24"', await ada.page("/settings/links"))
    await ada.post("/settings/links", **{**fields, "rev": str(held.rev)}, window_chat_click="")
    held = await desk.runtime.tracking_choice.now()
    assert held.settings.windows.chat_click is None
    await desk.runtime.tracking_choice.choose(before.settings, "usr_x")


async def test_results_are_said_in_words(desk):
    from campaigns.results import Day, Measured, Outcome, Part, Taking
    from campaigns.tracking.lift import Group, lift_of
    from desk.i18n import Formats, zone_of
    from desk.pages.results_panel import panel_of
    from desk.render import RENDERER

    formats = Formats("en", zone_of(None, "UTC"), now())
    whole = Part(
        None, {**Part(None).counts, "accepted": 200, "clicked": 20, "machine_clicked": 7}, [Taking("EUR", 3, 4200)]
    )
    groups = Group([100] * 90 + [0] * 910, 90), Group([100] * 40 + [0] * 960, 40)

    def outcome_of(whole, lift=None, days=()):
        measured = lift and Measured(lift, "EUR", 5, False, now())
        return Outcome("journey", "jrn_x", now(), "UTC", whole, [], list(days), 0, measured)

    days = [Day("2026-03-01", 150, 9, 4), Day("2026-03-04", 50, 1, 16, [Taking("EUR", 3, 4200)])]
    panel = panel_of(outcome_of(whole, lift_of(*groups), days), formats)
    assert [column.sent for column in panel.chart.columns] == ["150", "0", "0", "50"]
    assert "most on 1 Mar: 150" in panel.chart.said and "42.00" in panel.chart.said_money
    text = desk.app[RENDERER].draw("results/panel.html", "en", {"panel": panel, "formats": formats})
    assert "42.00 from 3 orders" in text
    assert "7 hits by machines are not counted above." in text
    assert "More of those who were to get it bought: between 2.9 and 7.2 more of a hundred." in text
    assert 'aria-hidden="true"' in text
    assert 'role="img"' in text and "10 % of" not in text and "9 %" in text and "Measured:" in text
    rest = {each.label: (each.text, each.share) for each in panel_of(outcome_of(whole), formats, tracked=()).bars}
    assert rest["Opened"] == ("–", "not tracked"), "a nought would say that nobody opened it"
    assert rest["Clicked"] == ("20", "10 %"), "what was counted before is told"
    assert rest["Unsubscribed"] == ("0", "0 %")
    few = panel_of(outcome_of(whole, lift_of(Group([0], 0), Group([0], 0))), formats)
    assert few.lift.sentences == ("It cannot be told yet: too few people, or too few purchases.",)
    assert not few.lift.drawn
    empty = panel_of(outcome_of(Part(None)), formats)
    assert empty.empty


async def test_figures_and_the_report_through_the_api(desk):
    ada = await desk.person("admin", name="Ada Admin")
    head = await desk.runtime.journeys.create({"name": "J", "trigger": {"type": "api"}})
    async with ada.client.get(f"/api/v1/journeys/{head['_id']}/results") as answer:
        body = await answer.json()
        assert answer.status == 200, body
        assert (body["whole"]["counts"]["accepted"], body["sent_after_purchase"], body["lift"]) == (0, 0, None)
    async with ada.client.get("/api/v1/reports/campaigns?by=day") as answer:
        assert (answer.status, await answer.json()) == (200, {"data": [], "next_cursor": None})
    async with ada.client.get("/api/v1/reports/campaigns", headers={"Accept": "text/csv"}) as answer:
        assert (await answer.text()).startswith("kind,id,name,accepted,delivered")
    async with ada.client.get("/api/v1/reports/campaigns?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z") as answer:
        assert answer.status == 422
        assert (await answer.json())["errors"][0]["path"] == "to"
