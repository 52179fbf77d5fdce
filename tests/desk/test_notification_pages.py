"""Notifications at the desk: the bell, the page, what is seen by opening it, and what somebody chooses."""

import re
from typing import Any

import pytest

from base.ids import new_id
from inbox.models import Actor
from tests.desk.conftest import Browser, Desk
from tests.desk.world import channel, wrote

ADA = Actor("usr_1", "Ada")


@pytest.fixture(scope="module")
async def shop(desk: Desk) -> Any:
    return await channel(desk.runtime, name="Told")


async def given(desk: Desk, shop: Any, who: Browser, name: str = "Anna Bos", number: str = "+31612345678") -> Any:
    """A conversation that becomes somebody's."""
    talk = await wrote(desk.runtime, shop, number, name=name, key=new_id("evt"))
    await desk.runtime.desk_actions.assign(talk.id, None, ADA)
    await desk.runtime.desk_actions.assign(talk.id, who.user_id, ADA)
    while await desk.runtime.reactor.react(100):
        pass
    return talk


async def unread(who: Browser) -> int:
    async with who.client.get("/notifications/count") as answer:
        return int((await answer.json())["unread"])


def fresh(desk: Desk) -> None:
    desk.runtime.noticing._until = desk.runtime.telling_choices._until = 0.0


async def test_the_bell_tells_and_opening_is_reading(desk: Desk, shop: Any) -> None:
    bo = await desk.person(name="Bo Agent")
    fresh(desk)
    assert "Nothing to tell yet" in await bo.page("/notifications") and await unread(bo) == 0
    talk = await given(desk, shop, bo)
    await given(desk, shop, bo)  # once more about the same: one line
    page = await bo.page("/notifications")
    assert page.count('data-testid="notice"') == 1 and "Anna Bos" in page and "3 more" in page
    assert "The conversation with Anna Bos is yours now" in await bo.page("/notifications/menu")
    assert await unread(bo) == 1 and re.search(r"data-bell-count><span>1<", await bo.page("/templates"))
    (row,) = {each["about"]: each for each in (await desk.runtime.notifications.page(bo.user_id)).data}.values()
    assert await bo.post(f"/notifications/{row['_id']}/open") == f"/inbox/{talk.id}"
    assert await unread(bo) == 0 and "All is read" in await bo.page("/notifications?unread=1")

    await given(desk, shop, bo)
    await bo.page(f"/inbox/{talk.id}")
    assert await unread(bo) == 0
    await given(desk, shop, bo)
    async with bo.client.post("/notifications/seen", data={"csrf": bo.csrf, "conversation": talk.id}) as answer:
        assert await answer.json() == {"unread": 0}

    await given(desk, shop, bo)
    back = await bo.post("/notifications/read")
    assert await unread(bo) == 0
    read_at = re.search(r'name="read_at" value="([^"]+)"', await bo.page(back))
    assert read_at
    await bo.post("/notifications/unread", 303, read_at=read_at[1])
    assert await unread(bo) == 1
    await bo.post("/notifications/unread", 422, read_at="yesterday")


async def test_nobody_reads_what_is_told_to_others_or_out_of_scope(desk: Desk, shop: Any) -> None:
    bo, eve = await desk.person(name="Bob"), await desk.person(name="Eve")
    fresh(desk)
    await given(desk, shop, bo, "Boris", "+31600000001")
    row = (await desk.runtime.notifications.page(bo.user_id)).data[0]
    await eve.post(f"/notifications/{row['_id']}/open", 404)
    await eve.post("/notifications/ntf_" + "0" * 26 + "/open", 404)
    async with eve.client.post("/notifications/seen", data={"csrf": eve.csrf, "conversation": "cnv_x"}) as answer:
        assert answer.status == 404
    assert "Boris" not in await eve.page("/notifications")
    await desk.runtime.users.change_user(bo.user_id, {"channels": []})
    assert "Boris" not in await bo.page("/notifications") and await unread(bo) == 0
    await bo.post(f"/notifications/{row['_id']}/open", 404)
    async with bo.client.get("/api/v1/notifications") as answer:
        assert (await answer.json())["data"] == []
    async with bo.client.post(f"/api/v1/notifications/{row['_id']}/read", headers={"X-CSRF-Token": bo.csrf}) as answer:
        assert answer.status == 404


async def test_what_is_covered_is_covered_here_too(desk: Desk, shop: Any) -> None:
    bo = await desk.person(name="Masked")
    await desk.runtime.users.change_user(bo.user_id, {"masks": ["phones", "emails"]})
    fresh(desk)
    await given(desk, shop, bo, "+31612340000", "+31612340000")
    for path in ("/notifications", "/notifications/menu", "/api/v1/notifications"):
        assert "612340000" not in await bo.page(path), path


async def test_somebody_chooses_what_they_are_told(desk: Desk) -> None:
    bo = await desk.person(name="Chooser")
    page = await bo.page("/account")
    assert page.count('type="checkbox" name="assigned"') == 4 and 'name="assigned" value="app" checked' in page
    form = {"mail_after_min": "5", "quiet_from": "20:00", "quiet_to": "08:00", "quiet_day": "sun", "assigned": "app",
            "quiet_while": "gone", "paused_until": "",
            "hook_url": "https://hooks.slack.com/services/T/B/secret"}  # fmt: skip
    assert await bo.post("/account/telling", **form) == "/account?done=telling#telling"
    chosen = await desk.runtime.telling_choices.of(bo.user_id)
    assert chosen.choice.ways("assigned") == ("app",) and chosen.choice.ways("message") == ()
    assert (chosen.choice.quiet.start, chosen.choice.quiet.days, chosen.choice.mail_after_min) == ("20:00", ["sun"], 5)
    assert chosen.choice.quiet.presence == "gone"
    page = await bo.page("/account")
    assert '<option value="gone" selected>' in page
    assert "secret" not in page and "https://hooks.slack.com/…" in page
    assert 'name="message" value="app" checked' not in page
    await bo.post("/account/telling", **{**form, "hook_url": ""})
    assert await desk.runtime.telling_choices.hook_url(bo.user_id) == form["hook_url"]
    for wrong, mark in (
        ({"hook_url": "https://127.0.0.1/x"}, "fault-hook"), ({"hook_url": "slack"}, "fault-hook"),
        ({"quiet_to": ""}, "fault-quiet"), ({"mail_after_min": "soon"}, "Write minutes"),
        ({"paused_until": "soon"}, "Write a day and a time"), ({"quiet_while": "asleep"}, "fault-quiet"),
    ):  # fmt: skip
        page = await bo.post("/account/telling", 422, **{**form, **wrong})
        assert mark in page, (wrong, mark)
    await bo.post("/account/telling", **{**form, "hook_url": "", "hook_gone": "1"})
    assert await desk.runtime.telling_choices.hook_url(bo.user_id) is None


async def test_programs_and_browsers_of_the_api(desk: Desk) -> None:
    bo = await desk.person(name="Caller")
    csrf = {"X-CSRF-Token": bo.csrf}
    async with bo.client.get("/api/v1/push-key") as answer:
        key = (await answer.json())["public_key"]
    browser = {"endpoint": "https://push.example.org/a", "p256dh": key, "auth": "BTBZMqHH6r4Tts7J_aSIgg"}
    async with bo.client.post("/api/v1/me/push", json=browser, headers=csrf) as answer:
        made = await answer.json()
        assert answer.status == 201 and made["current"] is True, made
    async with bo.client.post("/api/v1/me/push", json=browser, headers=csrf) as answer:
        assert (await answer.json())["id"] == made["id"]
    async with bo.client.post("/api/v1/me/push", json={**browser, "endpoint": "http://x"}, headers=csrf) as answer:
        found = await answer.json()
        assert answer.status == 422 and found["errors"][0]["path"] == "endpoint"
    assert "this one" in await bo.page("/account") and "push.example.org" not in await bo.page("/account")
    async with bo.client.put(
        "/api/v1/me/notification-settings", json={"kinds": {"task": []}, "quiet": {"from": "20:00"}}, headers=csrf
    ) as answer:
        assert answer.status == 422
    async with bo.client.put("/api/v1/me/notification-settings", json={"kinds": {"task": []}}, headers=csrf) as answer:
        found = await answer.json()
        assert found["kinds"]["task"] == [] and found["kinds"]["assigned"] == ["app", "push"]
    assert await bo.post("/sign-out") == "/sign-in"
    assert await desk.runtime.db.collection("push_subscriptions").find_one({"user_id": bo.user_id}) is None


async def test_a_phone_can_install_it(desk: Desk) -> None:
    bo = await desk.person(name="Phone")
    async with bo.client.get("/manifest.webmanifest") as answer:
        told = await answer.json(content_type=None)
        assert answer.content_type == "application/manifest+json" and told["display"] == "standalone"
    for picture in told["icons"]:
        async with bo.client.get(picture["src"]) as answer:
            assert answer.status == 200 and answer.content_type == "image/png"
    async with bo.client.get("/sw.js") as answer:
        assert answer.content_type == "text/javascript" and "push" in await answer.text()
        assert answer.headers["Cache-Control"] == "no-cache"
