"""A marketer writes a broadcast step by step, sends it, takes it back, sends it again and watches it to its end."""

import re
from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Colleagues
from tests.browser.windows import Windows, live, never_reloaded
from tests.journeys.talks import Person
from tests.journeys.world import World

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


async def test_from_the_audience_to_a_finished_broadcast(
    windows: Windows, colleagues: Colleagues, world: World, whatsapp: Any
) -> None:
    town = f"Delft {world.number()}"
    for i, name in enumerate(("Anna Aker", "Bert Bos", "Cleo Cats")):
        one = Person.number(world.number(), name)
        await whatsapp.says(one, "Tell me when the spring teas are here")
        talk = await world.conversation(whatsapp.id, one)
        await world.api.call("PATCH", f"/profiles/{talk['profile_id']}", {"attributes": {"city": town}})
        said = {"purpose": "marketing", "granted": i < 2, "source": "form", "identity_id": talk["identity_id"]}
        await world.api.post(f"/profiles/{talk['profile_id']}/consents", said)
    page = await windows.open(colleagues.ada)
    await page.goto("/today")
    await page.get_by_test_id("nav-broadcasts").click()
    await page.get_by_test_id("new-broadcast").first.click()

    # Audience: the number follows what is chosen.
    await page.get_by_label("Name", exact=True).fill("Spring teas")
    name = (await world.api.get(f"/channels/{whatsapp.id}"))["name"]
    await page.get_by_role("checkbox", name=name).check()
    await page.get_by_test_id("add-r").click()
    await page.locator('[name="r.0:what"]').select_option(label="Another field …")
    await page.locator('[name="r.0:key"]').fill("city")
    await page.locator('[name="r.0:key"]').press("Tab")
    await expect(page.locator('[name="r.0:what"]')).to_have_value("attributes.city")
    await page.locator('[name="r.0:value"]').fill(town)
    await expect(page.get_by_test_id("seen-count")).to_contain_text("3 people")
    await page.get_by_test_id("save").click()

    # Content: as one of them will read it, in two languages.
    await page.get_by_label("Message", exact=True).fill("Hi {{ profile.name }}, the spring teas are here.")
    await expect(page.get_by_test_id("letter")).to_contain_text(re.compile("Hi (Anna|Bert|Cleo)"))
    await page.get_by_test_id("add-language").click()
    await page.locator("#w1-locale").fill("zh_CN")
    await page.get_by_label("Message", exact=True).nth(1).fill("春茶到了。")
    await page.get_by_test_id("step-schedule").click()

    # Schedule: nothing to say; back to the audience, where all is as it was, and to the review.
    await expect(page.get_by_label("As soon as it is sent")).to_be_checked()
    await page.get_by_test_id("step-content").click()
    await expect(page.get_by_label("Message", exact=True).nth(1)).to_have_value("春茶到了。")
    await page.get_by_test_id("step-audience").click()
    await expect(page.locator('[name="r.0:value"]')).to_have_value(town)
    await page.get_by_test_id("step-review").click()
    await expect(page.get_by_test_id("gets")).to_have_text("2")
    await expect(page.get_by_test_id("skip-no_consent")).to_contain_text("Cleo Cats")

    # Sent, taken back, sent again; it runs and ends while the page is open.
    await page.get_by_test_id("send").click()
    await page.get_by_test_id("undo-notice").get_by_role("button", name="Take it back").click()
    await page.get_by_test_id("send").click()
    await expect(page.get_by_test_id("undo-notice")).to_be_visible()
    await live(page)
    await expect(page.get_by_test_id("broadcast-state")).to_have_attribute("data-state", "done")
    await expect(page.get_by_test_id("figure-accepted")).to_contain_text("2")
    await expect(page.get_by_test_id("figure-skipped")).to_contain_text("1")
    assert await never_reloaded(page)
    await page.get_by_test_id("reasons").get_by_role("link", name="No consent").click()
    await expect(page.get_by_test_id("recipient")).to_have_count(1)
    await expect(page.get_by_test_id("recipient")).to_contain_text("Cleo Cats")
    await page.goto("/broadcasts")
    await expect(page.get_by_test_id("broadcast-row").first).to_contain_text("Spring teas")


async def test_a_broadcast_is_written_sent_and_taken_back_by_keyboard_alone(
    windows: Windows, colleagues: Colleagues, world: World, whatsapp: Any
) -> None:
    one = Person.number(world.number(), "Kit Keys")
    await whatsapp.says(one, "Tell me more")
    await world.conversation(whatsapp.id, one)
    name = (await world.api.get(f"/channels/{whatsapp.id}"))["name"]
    page = await windows.open(colleagues.ada)
    keys = page.keyboard

    async def to(selector: str) -> None:
        """Walk by Tab until the focus is there."""
        for _ in range(120):
            if await page.evaluate("selector => !!document.activeElement?.matches(selector)", selector):
                return
            await keys.press("Tab")
        raise AssertionError(f"{selector} is not reached by Tab")

    await page.goto("/broadcasts")
    await to('[data-testid="new-broadcast"]')
    await keys.press("Enter")
    await page.wait_for_url("**/broadcasts/new*")

    # Audience: a channel, and everybody.
    await to('[name="name"]')
    await keys.type("By keys")
    channel = page.get_by_role("checkbox", name=name)
    await to(f'[name="{await channel.get_attribute("name")}"][value="{await channel.get_attribute("value")}"]')
    if not await channel.is_checked():  # where there is one alone it is chosen already
        await keys.press("Space")
    await to('input[type="radio"]')
    await keys.press("ArrowDown")
    await expect(page.get_by_test_id("seen-count")).to_contain_text(re.compile(r"\d"))
    await to('[data-testid="save"]')
    await keys.press("Enter")

    # Content and schedule: where each person lives.
    await page.wait_for_url("**/content")
    await to("textarea")
    await keys.type("Hello {{ profile.first_name }}")
    await expect(page.get_by_test_id("letter")).to_contain_text("Hello")
    await to('[data-testid="save"]')
    await keys.press("Enter")
    await page.wait_for_url("**/schedule")
    await to('[name="type"][value="now"]')
    await keys.press("ArrowDown")
    await keys.press("ArrowDown")
    await to('[name="date"]')
    await keys.type("11112090")  # in whichever order the browser asks for day and month
    await to('[name="time"]')
    await keys.type("1111AM")
    await to('[data-testid="save"]')
    await keys.press("Enter")

    # Reviewed, sent, taken back.
    await page.wait_for_url("**/review")
    await expect(page.get_by_test_id("gets")).to_have_text(re.compile(r"\d"))
    await to('[data-testid="send"]')
    await keys.press("Enter")
    await expect(page.get_by_test_id("undo-notice")).to_be_visible()
    draft = await world.api.get(f"/broadcasts/{page.url.rsplit('/', 1)[1].partition('?')[0]}")
    told = draft["definition"]["schedule"]
    assert (told["type"], told["date"], told["time"]) == ("local", "2090-11-11", "11:11")
    await to('[data-testid="undo-notice"] button')
    await keys.press("Enter")
    await page.wait_for_url("**/review*")
    assert (await world.api.get(f"/broadcasts/{draft['id']}"))["status"] == "draft"
