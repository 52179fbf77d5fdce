"""Settings → Automatic replies, without a script."""

from typing import Any

from inbox.hours.models import HoursInput
from tests.desk.conftest import Desk
from tests.desk.world import channel

HERE = "/settings/replies"
FORM = {
    "languages": "en, zh, de", "greeting_on": "1", "greeting-en": "Hello <b>you</b>", "greeting-zh": "您好",
    "words-0": "opening hours， 营业时间", "match-0": "contains", "answer-0-en": "Nine to five.", "labels-0": "hours",
    "active-0": "1", "words-1": "", "first_only": "1",
}  # fmt: skip


async def account(desk: Desk, name: str = "Shop") -> Any:
    return await channel(desk.runtime, name=name)


async def test_a_form_is_saved_tried_and_taken_back(desk: Desk) -> None:
    admin, shop = await desk.person("admin", name="Ada Admin"), await account(desk)
    here = f"{HERE}/{shop.id}"
    assert "Nothing" in await admin.page(HERE)
    saved = await admin.post(here, 303, **FORM)
    replies = await desk.runtime.channel_replies.get(shop.id)
    assert replies.greeting is not None and replies.greeting.texts == {"en": "Hello <b>you</b>", "zh": "您好"}
    assert [each.words for each in replies.keywords] == [["opening hours", "营业时间"]]
    page = await admin.page(saved)
    assert "Hello &lt;b&gt;you&lt;/b&gt;" in page and 'data-testid="undo"' in page and "German" not in page
    assert "Nine to five." in (await admin.page(f"{here}?try=What%20are%20your%20opening%20hours%3F")).partition(
        'data-testid="trial"'
    )[2]
    assert "word of consent" in await admin.page(f"{here}?try=STOP")
    assert "Greeting" in await admin.page(HERE)
    await admin.post(f"{here}/undo", 303, rev=saved.rpartition("=")[2])
    assert not (await desk.runtime.channel_replies.get(shop.id)).is_on
    await admin.post(f"{here}/undo", 409, rev="1")


async def test_faults_stand_beside_their_fields_and_nothing_is_lost(desk: Desk) -> None:
    admin, shop = await desk.person("admin", name="Ada Admin"), await account(desk)
    here = f"{HERE}/{shop.id}"
    hours = (await desk.runtime.business_hours.create(HoursInput(name="Office", zone="UTC"))).id
    for change, fault in (
        ({"words-0": "STOP"}, "keyword-0"), ({"answer-0-en": "", "labels-0": ""}, "keyword-0"),
        ({"greeting-en": "", "greeting-zh": ""}, "greeting"), ({"away_on": "1", "away-en": "Away"}, "hours_id"),
        ({"away_on": "1", "hours_id": hours}, "away"), ({"greeting-en": "{{ order.number }}"}, "greeting-en"),
        ({"languages": "english", "greeting-english": "x"}, "languages"), ({"team-0": "tea_" + "0" * 26}, "keyword-0"),
    ):  # fmt: skip
        page = await admin.post(here, 422, **{**FORM, **change})
        assert f'data-testid="fault-{fault}"' in page, (change, page)
        assert "您好" in page or "greeting-zh" in change
    assert not (await desk.runtime.channel_replies.get(shop.id)).is_on


async def test_who_may_what(desk: Desk) -> None:
    mine, other = await account(desk, "Mine"), await account(desk, "Not mine")
    agent = await desk.person("agent", name="Bo Agent")
    assert 'data-testid="save"' not in await agent.page(f"{HERE}/{mine.id}")
    await agent.post(f"{HERE}/{mine.id}", 403, **FORM)
    scoped = await desk.person("admin", channels=[mine.id], name="Cy Admin")
    assert "Not mine" not in await scoped.page(HERE)
    await scoped.post(f"{HERE}/{other.id}", 404, **FORM)
    await scoped.post(f"{HERE}/{mine.id}", 303, **FORM)
    assert not (await desk.runtime.channel_replies.get(other.id)).is_on
