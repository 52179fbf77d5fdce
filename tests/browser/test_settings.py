"""An administrator connects a channel through the form that is drawn from the provider's card."""

import orjson
import pytest
from playwright.async_api import expect

from tests.browser.conftest import Colleagues
from tests.browser.windows import Windows, live, never_reloaded
from tests.journeys.talks import OwnSystem, Person
from tests.journeys.world import World

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


async def test_a_channel_is_connected_tested_and_receives(
    windows: Windows, colleagues: Colleagues, world: World
) -> None:
    page = await windows.open(colleagues.ada)
    await page.goto("/settings/channels")
    await page.get_by_test_id("connect-generic").click()
    form = page.get_by_test_id("channel-form")
    await form.get_by_label("Name").fill("App chat")
    await form.locator('[name="settings.secret"]').fill("this is no base64 !")
    await page.get_by_test_id("save-channel").click()
    await expect(page.get_by_role("alert").first).to_contain_text("base64")  # beside its field, all else kept
    windows.forgive(r"\b422\b")
    await expect(form.get_by_label("Name")).to_have_value("App chat")
    await form.locator('[name="settings.secret"]').fill(SECRET)
    await form.locator('[name="settings.send_url"]').fill(f"{world.outside.url}/own/browser")
    await page.get_by_test_id("save-channel").click()

    # Connected: its address, and never again its secret.
    address = await page.get_by_test_id("webhook").get_by_role("textbox").input_value()
    assert address.startswith(f"{world.url}/webhooks/generic/chn_")
    assert SECRET not in await page.content()
    await expect(page.get_by_test_id("channel-state")).to_be_visible()
    await page.get_by_test_id("test-channel").click()
    await expect(page.get_by_test_id("test-result")).to_contain_text("200")

    # What is posted to that address arrives, and the page counts along.
    await live(page)
    channel_id = address.rpartition("/")[2]
    app = OwnSystem(world.api.session, channel_id, address.removeprefix(world.url), "browser", SECRET)
    await app.says(Person.number(world.number(), "App Alice"), "Hello from the app")
    await expect(page.locator('[data-live="figures"] dd').first).to_have_text("1")
    assert await never_reloaded(page)
    await page.goto("/settings/channels")
    await expect(page.get_by_test_id(f"channel-{channel_id}")).to_contain_text("App chat")


async def test_an_agent_looks_at_channels_and_changes_nothing(
    windows: Windows, colleagues: Colleagues, world: World
) -> None:
    page = await windows.open(colleagues.bo)
    await page.goto("/settings/channels")
    await expect(page.get_by_test_id("provider-list")).to_have_count(0)
    answer = await page.request.post("/settings/channels/new/generic", data=orjson.dumps({}).decode())
    assert answer.status == 403


async def test_a_key_follows_the_name_until_somebody_writes_their_own(windows: Windows, colleagues: Colleagues) -> None:
    page = await windows.open(colleagues.ada)
    await page.goto("/settings/fields/new")
    names, key = page.get_by_label("Name"), page.get_by_label("Key")
    await names.first.fill("Größe der Schuhe")
    await expect(key).to_have_value("grosse_der_schuhe")
    await names.first.fill("")
    await names.nth(1).fill("鞋码")
    await expect(key).to_have_value("field_1")
    await key.fill("shoes")
    await names.first.fill("Shoe size")
    await expect(key).to_have_value("shoes")
    await key.fill("")
    await key.blur()
    await expect(key).to_have_value("shoe_size")
    await page.get_by_test_id("save").click()
    await page.wait_for_url("**/settings/fields")
    await page.goto("/settings/fields/new")
    await names.first.fill("Shoe size")
    await expect(key).to_have_value("shoe_size_2")


async def test_a_website_gets_its_lines_to_copy(windows: Windows, colleagues: Colleagues, world: World) -> None:
    page = await windows.open(colleagues.ada)
    await page.goto("/settings/tracking/new")
    site = f"w{world.number()}.example"
    await page.get_by_label("Address of the website").fill(site)
    await page.get_by_test_id("save").click()
    card = page.locator("section.card").filter(has_text="The key is made.")
    await expect(card.get_by_role("heading")).to_have_text(site)
    key = await card.get_by_label("Write key").input_value()
    await expect(card.get_by_label("Lines for the website")).to_contain_text(f"/t/{key}.js")
    assert (await page.request.get(f"/t/{key}.js")).status == 200


async def test_who_ticks_a_channel_means_these_alone(windows: Windows, colleagues: Colleagues, world: World) -> None:
    await world.channel("generic", "Harbour chat", {"send_url": f"{world.outside.url}/own/reach", "secret": SECRET})
    page = await windows.open(colleagues.ada)
    await page.goto("/settings/people")
    form = page.locator("form", has=page.locator("[name=reach]")).first
    await form.evaluate("form => form.closest('details')?.setAttribute('open', '')")
    everything, these = form.locator("[name=reach][value=all]"), form.locator("[name=reach][value=some]")
    await expect(everything).to_be_checked()
    await form.get_by_label("Harbour chat").check()
    await expect(these).to_be_checked()
    await everything.check()
    await form.get_by_label("Harbour chat").uncheck()  # that alone says nothing
    await expect(everything).to_be_checked()
    await form.get_by_label("Harbour chat").focus()
    await page.keyboard.press("Space")
    await expect(these).to_be_checked()
