"""The journey builder without a script: steps come and go, settings are kept, faults stand beside, it is published."""

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest

from base.clock import now
from base.errors import WrongInput
from base.ids import new_id
from campaigns.contents import TemplateInput
from campaigns.models import STEPS, TRIGGERS
from campaigns.tracking.settings import TrackingSettings
from desk.pages.journey_forms import TRIGGER_FORMS
from tests.desk.conftest import Browser, Desk
from tests.desk.world import channel, wrote


@pytest.fixture(scope="module")
async def marketer(desk: Desk) -> Browser:
    return await desk.person("marketer", name="Mia Marketer")


@pytest.fixture(scope="module")
async def shop(desk: Desk) -> Any:
    return await channel(desk.runtime, name="Shop account")


def inputs(page: str) -> dict[str, Any]:
    """The fields of the settings as a browser would send them."""
    form = page.split('data-testid="settings"', 1)[1].split("</form>", 1)[0]
    found: dict[str, Any] = {}

    def put(name: str, value: str) -> None:
        known = found.get(name, [])
        found[name] = [*([known] if isinstance(known, str) else known), value] if name in found else value

    for tag in re.findall(r"<input\b[^>]*>", form):
        name, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
        if name and not (('type="checkbox"' in tag or 'type="radio"' in tag) and "checked" not in tag):
            put(unescape(name[1]), unescape(value[1]) if value else "")
    for tag, body in re.findall(r"<textarea\b([^>]*)>\n?(.*?)</textarea>", form, re.DOTALL):
        put(unescape(re.search(r'name="([^"]*)"', tag)[1]), unescape(body))  # type: ignore[index]
    for name, body in re.findall(r'<select[^>]*name="([^"]*)"[^>]*>(.*?)</select>', form, re.DOTALL):
        chosen = re.search(r'value="([^"]*)" selected', body) or re.search(r'value="([^"]*)"', body)
        put(unescape(name), unescape(chosen[1]) if chosen else "")
    found.pop("csrf", None)
    return found


async def made(marketer: Browser) -> str:
    """A new journey from scratch; its page."""
    return (await marketer.post("/journeys/new")).partition("?")[0]


async def draft_of(desk: Desk, path: str) -> dict[str, Any]:
    return dict((await desk.runtime.journeys.get(path.rpartition("/")[2]))["draft"])


async def add(marketer: Browser, path: str, kind: str, slot: str) -> str:
    """Put a step in; its id."""
    return (await marketer.post(f"{path}/steps", act=f"add:{kind}", slot=slot)).partition("step=")[2]


async def test_a_call_into_the_house_is_refused_before_it_is_published(desk: Desk, marketer: Browser) -> None:
    step = {"id": "h", "type": "webhook", "url": "http://10.0.0.8/hook/{{ profile.id }}"}
    head = await desk.runtime.journeys.create({"name": "Inside", "trigger": {"type": "api"}, "steps": [step]})
    page = await marketer.page(f"/journeys/{head['_id']}?panel=publish")
    assert "It lies inside the house" in page and "disabled" in page.split('data-testid="publish-now"')[1][:40]
    with pytest.raises(WrongInput, match="cannot be published"):
        await desk.runtime.journeys.publish(head["_id"])


async def test_what_waits_for_links_that_nobody_tracks_is_said_before_it_is_published(
    desk: Desk, marketer: Browser
) -> None:
    step = {"id": "w", "type": "wait_event", "any": [{"event": "message.clicked"}], "timeout": "P1D"}
    head = await desk.runtime.journeys.create({"name": "In vain", "trigger": {"type": "api"}, "steps": [step]})
    path = f"/journeys/{head['_id']}?panel=publish"
    page = await marketer.page(path)
    assert "Links are not tracked at the moment" in page and f"/journeys/{head['_id']}?step=w" in page
    assert "disabled" not in page.split('data-testid="publish-now"')[1][:40], "a provider may tell of clicks"
    held = (await desk.runtime.tracking_choice.now()).settings
    await desk.runtime.tracking_choice.choose(held.model_copy(update={"links": True}), "usr_x")
    assert "Links are not tracked" not in await marketer.page(path)
    await desk.runtime.tracking_choice.choose(held, "usr_x")


async def test_a_send_step_shows_its_links_as_they_will_be(desk: Desk, marketer: Browser) -> None:
    """As the wizard of broadcasts does: with what the house adds, and the step in its place."""
    runtime = desk.runtime
    utm = {"source": "house", "medium": "mail", "campaign": "{campaign}", "content": "{step}"}
    words = {"text": "See https://shop.example/a and https://shop.example/{{ profile.id }}",
             "locales": {"zh_CN": {"text": "见 https://shop.example/茶"}}}  # fmt: skip
    steps = [{"id": "hello", "type": "send", "channels": ["email"], "content": words, "next": None}]
    head = await runtime.journeys.create({"name": "Spring Run", "trigger": {"type": "api"}, "steps": steps})
    path = f"/journeys/{head['_id']}?step=hello"
    assert 'data-testid="links"' not in await marketer.page(path), "nothing is added"
    await runtime.tracking_choice.choose(TrackingSettings.model_validate({"utm": utm}), "usr_x")
    page = await marketer.page(path)
    added = "utm_source=house&amp;utm_medium=mail&amp;utm_campaign=spring-run&amp;utm_content=hello"
    assert f"https://shop.example/a?{added}<" in page
    assert "https://shop.example/茶?utm_source=house" in page and "{{ profile.id }}?" not in page
    form = f"/journeys/{head['_id']}/form?step=hello"
    page = await marketer.post(form, 200, act="look", **inputs(page) | {"f/utm/source": "own", "f/utm/medium": "-"})
    assert "https://shop.example/a?utm_source=own&amp;utm_campaign=spring-run" in page
    template = await runtime.templates.create(TemplateInput(name="T", text="https://shop.example/b"), None)
    changes = {"steps": [{"id": "hello", "type": "send", "template_id": template["_id"], "next": None}]}
    await runtime.journeys.patch(head["_id"], changes)
    assert "https://shop.example/b?utm_source=house" in await marketer.page(path)
    await runtime.tracking_choice.choose(TrackingSettings(), "usr_x")


async def test_from_scratch_to_published_without_a_script(desk: Desk, marketer: Browser) -> None:
    path = await made(marketer)
    page = await marketer.page(f"{path}?panel=trigger")
    form = f"{path}/form?panel=trigger"
    page = await marketer.post(form, 200, act="look", **inputs(page) | {"type": "order"})
    await marketer.post(form, act="save", **inputs(page) | {"f/status": "delivered"})
    assert (await draft_of(desk, path))["trigger"] == {"type": "order", "status": "delivered"}
    page = await marketer.page(f"{path}?add=start")
    assert all(f'data-testid="add-{kind}"' in page for kind in STEPS)
    assert await add(marketer, path, "send", "start") == "send"
    assert await add(marketer, path, "wait", "start") == "wait"
    page = await marketer.page(path)
    assert "things are missing" in page and 'data-testid="step-send"' in page and "Choose a template" in page
    page = await marketer.page(f"{path}?panel=publish")
    assert "disabled" in page.split('data-testid="publish-now"')[1][:40] and f"{path}?step=send" in page
    page = await marketer.page(f"{path}?step=send")
    page = await marketer.post(f"{path}/form?step=send", 200, act="look", **inputs(page) | {"f/what:mode": "content"})
    await marketer.post(f"{path}/form?step=send", **inputs(page) | {"f/content/text": "There?", "f/name": "Ask"})
    page = await marketer.page(f"{path}?step=wait")
    await marketer.post(f"{path}/form?step=wait", **inputs(page) | {"f/for:n": "3", "f/for:unit": "days"})
    page = await marketer.page(f"{path}?panel=settings")
    await marketer.post(f"{path}/form?panel=settings", **inputs(page) | {"f/name": "After delivery"})
    page = await marketer.page(f"{path}?panel=publish")
    assert "Nobody is in it" in page and "things are missing" not in page
    await marketer.post(f"{path}/status", status="publish")
    head = await desk.runtime.journeys.get(path.rpartition("/")[2])
    assert (head["status"], head["live_version"], head["name"]) == ("live", 1, "After delivery")
    assert head["draft"]["steps"] == [
        {"id": "wait", "type": "wait", "for": "P3D", "next": "send"},
        {"id": "send", "type": "send", "channels": ["any"], "next": None, "name": "Ask",
         "content": {"text": "There?"}},
    ]  # fmt: skip
    # A change is a draft of its own until it is published, and the versions say what differs.
    page = await marketer.page(f"{path}?step=wait")
    await marketer.post(f"{path}/form?step=wait", **inputs(page) | {"f/for:n": "5"})
    await add(marketer, path, "exit", "send:next")
    page = await marketer.page(f"{path}?panel=versions")
    assert 'data-testid="unpublished"' in page and "for 3 days → for 5 days" in page and "diff-added" in page
    await marketer.post(f"{path}/status", status="publish")
    page = await marketer.page(f"{path}?panel=versions")
    assert 'data-testid="version-2"' in page and "for 3 days → for 5 days" in page
    page = await marketer.page(f"{path}?version=1")
    assert "for 3 days" in page and "data-editing" not in page


async def test_people_are_taken_along_by_a_choice_beside_the_button_and_put_back(
    desk: Desk, shop: Any, marketer: Browser
) -> None:
    journeys, ends = desk.runtime.journeys, {"id": "x", "type": "exit", "name": "The end"}
    steps = [{"id": "w", "type": "wait", "for": "P3D", "name": "Patience", "next": "x"}, ends]
    head = await journeys.create({"name": "J", "trigger": {"type": "api"}, "steps": steps})
    await journeys.publish(head["_id"])
    talk = await wrote(desk.runtime, shop, "along", name="Al Ong")
    run = (await journeys.enrol(head["_id"], talk.profile_id)).run
    await desk.runtime.walker.advance(10)
    path, runs = f"/journeys/{head['_id']}", desk.runtime.migrations
    other = {"id": "v", "type": "wait", "for": "P9D", "name": "More patience", "next": "x"}
    await journeys.patch(head["_id"], {"steps": [other, ends]})
    page = await marketer.page(f"{path}?panel=publish")
    assert 'data-testid="people-along"' in page and "1 person goes to another step" in page and 'name="to.w"' in page
    await marketer.post(f"{path}/status", status="publish", people="along", **{"to.w": "v"})
    for _ in range(2):
        await runs.drain()
        past = now() - timedelta(minutes=1)
        pending = desk.runtime.db.collection("journey_migrations")
        await pending.update_many({"state": "pending"}, {"$set": {"created_at": past, "due_at": past}})
    page = await marketer.page(f"{path}?panel=versions")
    assert "1 person taken along" in page and 'data-testid="undo-migration"' in page
    page = await marketer.page(f"/journeys/runs/{run['_id']}")
    assert "taken along from version 1" in page and "Its step is gone" in page
    batch = (await runs.page(head["_id"])).data[0]
    await marketer.post(f"{path}/migrations/{batch['_id']}/undo")
    await runs.drain()
    assert "1 person put back" in await marketer.page(f"{path}?panel=versions")
    assert (await journeys.enrolment(run["_id"]))["node"] == "w"
    page = await marketer.page(f"{path}?panel=versions")
    assert "1 person is in an older version" in page and 'data-testid="migrate"' in page
    page = await marketer.page(f"{path}?panel=migrate")
    assert "1 person goes to another step" in page and 'name="to.w"' in page
    await marketer.post(f"{path}/migrations", **{"to.w": "v"})
    await runs.drain()
    assert (await journeys.enrolment(run["_id"]))["node"] == "v"
    await marketer.post(f"{path}/migrations", **{"to.w": "v"})  # nobody is behind any more: nothing to do
    assert "Nobody is in an older version." in await marketer.page(f"{path}?panel=migrate")


async def test_what_a_journey_has_come_to_stands_beside_its_flow(desk: Desk, shop: Any, marketer: Browser) -> None:
    journeys = desk.runtime.journeys
    steps = [{"id": "w", "type": "wait", "for": "P3D", "next": "hi"},
             {"id": "hi", "type": "send", "name": "Greeting", "content": {"text": "Hi"}, "next": None}]  # fmt: skip
    head = await journeys.create({"name": "J", "trigger": {"type": "api"}, "steps": steps})
    path = f"/journeys/{head['_id']}"
    assert 'data-testid="open-results"' not in await marketer.page(path)
    await journeys.publish(head["_id"])
    page = await marketer.page(f"{path}?panel=results")
    assert "Nothing has been sent yet" in page and 'data-testid="open-results"' in page
    talk = await wrote(desk.runtime, shop, "reached", name="Rea Ched")
    at = now() - timedelta(days=2)
    sends = desk.runtime.db.collection("sends")
    for place, node in enumerate(("hi", "bye")):
        source = {"kind": "journey", "id": head["_id"], "node_id": node, "enrolment_id": None, "visit": 1}
        await sends.insert_one({
            "_id": new_id("snd"), "send_key": f"k{place}", "source": source, "profile_id": talk.profile_id,
            "identity_id": "", "channel_id": shop.id, "class": "marketing", "state": "delivered", "planned_at": at,
            "accepted_at": at + timedelta(days=place), "content": {}, "history": [], "tries": 1, "rank": 5,
            "clicked_at": at if place == 0 else None,
        })  # fmt: skip
    page = await marketer.page(f"{path}?panel=results")
    assert "Greeting" in page and 'data-testid="days"' in page and "50 %" in page
    viewer = await desk.person("viewer", name="Vi Ewer")
    assert 'data-testid="results"' in await viewer.page(f"{path}?panel=results")
    limited = await desk.person("viewer", channels=[shop.id], name="Li Mited")
    page = await limited.page(f"{path}?panel=results")
    assert 'data-testid="results"' not in page and 'data-testid="open-results"' not in page


@pytest.mark.parametrize("kind", sorted(STEPS))
async def test_every_kind_of_step_opens_and_is_kept(desk: Desk, marketer: Browser, kind: str) -> None:
    path = await made(marketer)
    step = await add(marketer, path, kind, "start")
    before = await draft_of(desk, path)
    page = await marketer.page(f"{path}?step={step}")
    fields = inputs(page)
    await marketer.post(f"{path}/form?step={step}", 200, act="look", **fields)
    assert await draft_of(desk, path) == before
    for more in re.findall(r'value="(more:[^"]*)"', page):
        page = await marketer.post(f"{path}/form?step={step}", 200, act=more, **fields)
        assert more.partition(":")[2] + "/" in page


@pytest.mark.parametrize("kind", sorted(TRIGGERS))
async def test_every_kind_of_trigger_can_be_chosen(desk: Desk, marketer: Browser, kind: str) -> None:
    path = await made(marketer)
    seen = inputs(await marketer.page(f"{path}?panel=trigger"))["seen"]
    page = await marketer.post(f"{path}/form?panel=trigger", 200, act="look", type=kind, seen=seen)
    assert f'value="{kind}" selected' in page
    for field in TRIGGER_FORMS.get(kind, ()):
        if field.name in {each.alias or name for name, each in TRIGGERS[kind].model_fields.items()}:
            assert f'data-way="f/{field.name}"' in page, field.name
    assert (await draft_of(desk, path))["trigger"]["type"] == kind


async def test_what_was_done_is_taken_back_and_made_again(desk: Desk, marketer: Browser) -> None:
    path = await made(marketer)
    for kind, slot in (("wait", "start"), ("branch", "wait:next"), ("task", "branch:cases[0].next")):
        await add(marketer, path, kind, slot)
    whole = await draft_of(desk, path)
    await marketer.post(f"{path}/steps", act="remove", step="branch", keep="else")
    assert [step["id"] for step in (await draft_of(desk, path))["steps"]] == ["wait"]
    assert "The step is removed." in await marketer.page(f"{path}?gone=1")
    await marketer.post(f"{path}/undo")
    assert await draft_of(desk, path) == whole
    await marketer.post(f"{path}/undo", again="1")
    assert [step["id"] for step in (await draft_of(desk, path))["steps"]] == ["wait"]
    await marketer.post(f"{path}/undo")
    for _ in range(9):
        await marketer.post(f"{path}/undo")
    assert await draft_of(desk, path) == {}


async def test_rules_are_built_by_buttons_and_rows_that_lack_something_are_said(desk: Desk, marketer: Browser) -> None:
    path = await made(marketer)
    await add(marketer, path, "branch", "start")
    form, rule = f"{path}/form?step=branch", "f/cases/0/when~r"
    page = await marketer.post(form, 200, act=f"add:{rule}", **inputs(await marketer.page(f"{path}?step=branch")))
    page = await marketer.post(
        form, 200, act="look", **inputs(page) | {f"{rule}.0:what": "attributes.this-run.order.status"}
    )
    page = await marketer.post(form, 422, act="save", **inputs(page))
    assert "Fill in what is missing" in page
    await marketer.post(form, act="save", **inputs(page) | {f"{rule}.0:op": "eq", f"{rule}.0:value": "paid"})
    (step,) = (await draft_of(desk, path))["steps"]
    assert step["cases"][0]["when"] == {"all": [{"field": "order.status", "op": "eq", "value": "paid"}]}
    assert "order status is" in (await marketer.page(path))


async def test_who_saves_over_somebody_elses_change_is_told(desk: Desk, marketer: Browser) -> None:
    path = await made(marketer)
    await add(marketer, path, "wait", "start")
    fields = inputs(await marketer.page(f"{path}?step=wait"))
    await marketer.post(f"{path}/form?step=wait", **fields | {"f/for:n": "2"})
    page = await marketer.post(f"{path}/form?step=wait", 422, **fields | {"f/for:n": "9"})
    assert "Somebody else has changed this" in page and inputs(page)["f/for:n"] == "9"
    await marketer.post(f"{path}/form?step=wait", **inputs(page))
    assert (await draft_of(desk, path))["steps"][0]["for"] == "P9D"


async def test_who_may(desk: Desk, marketer: Browser) -> None:
    path = await made(marketer)
    await add(marketer, path, "wait", "start")
    for role, channels in (("viewer", None), ("agent", None), ("marketer", ["chn_" + "0" * 26])):
        browser = await desk.person(role, channels, name="Lena Limited")
        page = await browser.page(f"{path}?step=wait")
        assert (
            "for 1 day" in page
            and "<form" not in page.split("<main", 1)[1].split("</main>", 1)[0]
            and "data-editing" not in page
        )
        for way in ("/journeys/new", f"{path}/steps", f"{path}/form?step=wait", f"{path}/undo", f"{path}/status"):
            await browser.post(way, 403, act="remove", step="wait")
    for way in ("form?step=nothing", "form"):
        await marketer.post(f"{path}/{way}", 404)
    await marketer.post(f"{path}/steps", 409, act="add:wait", slot="nothing:next")
    await marketer.post(f"{path}/steps", 422, act="add:nothing", slot="start")


async def test_counts_lead_to_the_people_who_went_on(desk: Desk, marketer: Browser) -> None:
    shop = await channel(desk.runtime, name="Counted")
    talk = await wrote(desk.runtime, shop, "counted", name="Connie Counted")
    steps = [{"id": "u", "type": "update", "add_tags": ["x"], "next": "w"}, {"id": "w", "type": "wait", "for": "P1D"}]
    given = {"name": "Counted", "trigger": {"type": "api"}, "class": "service", "steps": steps}
    head = await desk.runtime.journeys.create(given)
    path = f"/journeys/{head['_id']}"
    await desk.runtime.journeys.publish(head["_id"])
    run = (await desk.runtime.journeys.enrol(head["_id"], talk.profile_id)).run
    for _ in range(3):
        await desk.runtime.walker.advance(50)
    page = await marketer.page(path)
    for href in (f"{path}/people?node=w", f"{path}/people?node=u&amp;left=passed"):
        assert f'href="{href}"' in page
        people = await marketer.page(unescape(href))
        assert "Connie Counted" in people and run["_id"] in people
    assert "Profile changed" in people
    assert "Connie Counted" not in await marketer.page(f"{path}/people?node=u&left=failed")
    page = await marketer.page(f"{path}?step=u")
    assert "went on" in page.split('class="panel-counts"')[1].split("</p>")[0]
    await add(marketer, path, "exit", "w:next")
    assert "1 person is in it and stays" in await marketer.page(f"{path}?panel=publish")


async def test_the_gallery_is_the_first_screen_as_long_as_there_is_no_journey(desk: Desk, marketer: Browser) -> None:
    everything = await desk.runtime.journeys.page(limit=200)
    for head in everything.data:
        await desk.runtime.journeys.set_status(head["_id"], "archived")
    page = await marketer.page("/journeys")
    assert 'data-testid="recipe-list"' in page and 'data-testid="from-scratch"' in page
    viewer = await desk.person("viewer", name="Vera Viewer")
    assert 'data-testid="recipe-list"' not in await viewer.page("/journeys")
    archived = everything.data[0]["_id"]
    assert "data-editing" not in await marketer.page(f"/journeys/{archived}")
    await made(marketer)
    assert 'data-testid="journey-list"' in await marketer.page("/journeys")
