"""A channel's pages: its log of deliveries, its figures, and whether each step of its way works."""

import json

import pytest

from base.clock import now
from channels.adapter import Delivery
from channels.failures import Failure
from channels.vocabulary import ApprovedTemplate, TemplateButton
from tests.desk.world import channel, wrote


@pytest.fixture(scope="module")
async def shop(desk):
    return await channel(desk.runtime, name="Shop account")


async def delivered(desk, account, body: bytes, key: str) -> str:
    delivery = Delivery("POST", body, {"content-type": ("application/json",)}, {}, now())
    return (await desk.runtime.journal.keep(account.id, account.provider, key, delivery))[0]


async def test_the_log_shows_what_came_and_processes_it_again(desk, shop):
    good = await delivered(desk, shop, json.dumps({"object": "whatsapp_business_account", "entry": []}).encode(), "g")
    bad = await delivered(desk, shop, b"<script>alert(1)</script> no json", "b")
    binary = await delivered(desk, shop, b"\xff\xfe\x00", "x")
    await desk.runtime.ingest.drain(10)
    admin = await desk.person("admin")
    here = f"/settings/channels/{shop.id}/deliveries"
    page = await admin.page(here)
    assert page.count('data-testid="delivery-row"') == 3 and "Unreadable" in page and "Processed" in page
    trouble = await admin.page(f"{here}?only=trouble")
    assert good not in trouble and bad in trouble and binary in trouble
    shown = await admin.page(f"{here}/{bad}")
    assert "<script>alert" not in shown and "&lt;script&gt;alert(1)&lt;/script&gt; no json" in shown
    assert "ff fe 00" in await admin.page(f"{here}/{binary}")
    assert "whatsapp_business_account" in await admin.page(f"{here}/{good}")
    where = await admin.post(f"{here}/{bad}/again")
    assert "again=1" in where and "Waiting" in await admin.page(where)
    await desk.runtime.ingest.drain(10)
    await admin.post(f"{here}/again")
    rows = {row["_id"]: row["state"] for row in (await desk.runtime.journal.page(shop.id)).data}
    assert rows == {good: "done", bad: "pending", binary: "pending"}


async def test_the_log_comes_in_parts(desk):
    account = await channel(desk.runtime, name="Busy account")
    for n in range(60):
        await delivered(desk, account, b"{}", f"n{n}")
    admin = await desk.person("admin")
    page = await admin.page(f"/settings/channels/{account.id}/deliveries")
    assert page.count('data-testid="delivery-row"') == 50
    following = page.split('class="button button-small" href="', 1)[1].split('"', 1)[0]
    assert (await admin.page(following)).count('data-testid="delivery-row"') == 10


async def test_nobody_else_reads_what_came_in(desk, shop):
    row = await delivered(desk, shop, b"{}", "private")
    here = f"/settings/channels/{shop.id}/deliveries"
    other = await channel(desk.runtime, name="Other account")
    for role in ("viewer", "agent", "marketer"):
        person = await desk.person(role)
        await person.page(here, 403)
        await person.page(f"{here}/{row}", 403)
        await person.post(f"{here}/{row}/again", 403)
        await person.post(f"/settings/channels/{shop.id}/prove", 403)
        assert here not in await person.page(f"/settings/channels/{shop.id}")
    admin = await desk.person("admin")
    await admin.page(f"/settings/channels/{other.id}/deliveries/{row}", 404)
    await admin.page(f"{here}/dlv_nope", 404)


async def test_the_page_says_what_works_and_what_was_refused(desk):
    account = await channel(desk.runtime, "email", "Mail account")
    admin = await desk.person("admin")
    where = f"/settings/channels/{account.id}"
    page = await admin.page(where)
    assert "proof-wait" in page and "Nothing yet." in page and 'data-testid="send-test"' not in page
    desk.runtime.refusals.note(account.id)
    await desk.runtime.refusals.close()
    assert "1 request was refused in the last hour" in await admin.page(where)
    talk = await wrote(
        desk.runtime, account, "me@shop.example", "Hi", name="Ada Admin",
        mail={"subject": "Hi", "message_id": "<1@shop.example>"},
    )  # fmt: skip
    assert "Ada Admin" in await admin.page(where)
    await admin.post(f"{where}/prove", 422, conversation=talk.id, text="")
    tested = await admin.post(f"{where}/prove", conversation=talk.id, text="Testing", client_key="k1")
    assert tested == await admin.post(f"{where}/prove", conversation=talk.id, text="Testing", client_key="k1")
    assert "The test answer waits to be sent." in await admin.page(tested)
    await desk.runtime.channels.update(account.id, settings={"smtp_host": "127.0.0.1", "smtp_port": 9})
    await desk.runtime.delivery.deliver(10)
    page = await admin.page(tested)
    assert "The test answer waits" in page or "The test answer was not sent." in page
    (stored,) = [each for each in (await desk.runtime.messages.page(talk.id)).data if each.direction == "out"]
    assert stored.text == "Testing"


async def test_a_test_answer_goes_to_nobody_of_another_channel(desk, shop):
    other = await channel(desk.runtime, name="Third account")
    talk = await wrote(desk.runtime, other, "31600000000", name="Stranger")
    admin = await desk.person("admin")
    await admin.post(f"/settings/channels/{shop.id}/prove", 422, conversation=talk.id, text="x")


async def test_the_gallery_shows_volume_and_the_trouble_of_the_last_hour(desk):
    account = await channel(desk.runtime, name="Figures account")
    await desk.runtime.channels.note(account.id, received=3, sent=1)
    fault = {"at": now(), "code": Failure.TEMPORARY.value, "text": "The sky fell."}
    await desk.runtime.channels.note(account.id, error=fault)
    viewer = await desk.person("viewer")
    page = await viewer.page("/settings/channels")
    own = page.split(f'data-testid="channel-{account.id}"', 1)[1].split("</li>", 1)[0]
    assert '<b class="num">4</b>' in own and own.count("<rect") == 24 and "The sky fell." in own
    old = {**fault, "at": fault["at"].replace(year=2025)}
    await desk.runtime.channels.note(account.id, error=old)
    assert "The sky fell." not in await viewer.page("/settings/channels")


async def test_an_approved_template_goes_out_when_the_window_is_closed(desk, shop):
    talk = await wrote(desk.runtime, shop, "31611112222", name="Anneke de Vries", minutes_ago=60 * 30)
    agent = await desk.person("agent")
    assert 'data-testid="pick-template"' in await agent.page(f"/inbox/{talk.id}")
    where = f"/inbox/{talk.id}/templates"
    assert "No approved templates" in await agent.page(where)
    waiting = ApprovedTemplate(name="not_yet", language="en", status="pending", body="Soon")
    sale = ApprovedTemplate(
        name="order_news", language="en", status="approved", body="Hi {{1}}, your {{2}} <is> here.", body_values=2,
        header="News", buttons=(TemplateButton(title="Track", value=True), TemplateButton(title="Thanks")),
    )  # fmt: skip
    await desk.runtime.approved.replace(shop.id, [waiting, sale])
    page = await agent.page(where)
    assert "offer-order_news" in page and "offer-not_yet" not in page
    assert 'value="Anneke"' in page and "&lt;is&gt;" in page
    assert "offer-order_news" not in await agent.page(f"{where}?q=zzz")
    fields = {"name": "order_news", "language": "en", "client_key": "t1", "body.0": "Anneke", "buttons.0": "A-7"}
    await agent.post(where, 422, **fields)
    await agent.post(where, 404, **{**fields, "name": "not_yet"})
    for _ in range(2):
        assert await agent.post(where, **fields, **{"body.1": "parcel"}) == f"/inbox/{talk.id}"
    (line,) = [each for each in (await desk.runtime.messages.page(talk.id)).data if each.direction == "out"]
    assert line.text == "News\n\nHi Anneke, your parcel <is> here."
    assert line.template == {
        "name": "order_news", "language": "en", "body": ["Anneke", "parcel"], "header": [], "buttons": ["A-7", ""],
    }  # fmt: skip
    viewer = await desk.person("viewer")
    await viewer.page(where, 403)


async def test_a_channel_of_our_own_shows_a_tag_to_copy_and_says_when_it_shows_nowhere(desk):
    account = await desk.runtime.channels.add("webchat", "Shop chat", {})
    admin = await desk.person("admin")
    page = await admin.page(f"/settings/channels/{account.id}")
    tag = f"&lt;script src=&#34;http://desk.example/widget/{account.id}.js&#34; async&gt;&lt;/script&gt;"
    assert tag in page and 'data-testid="webhook"' not in page and 'data-testid="nowhere"' in page
    await desk.runtime.channels.update(account.id, settings={"allowed_origins": ["https://www.example.com"]})
    assert 'data-testid="nowhere"' not in await admin.page(f"/settings/channels/{account.id}")


async def test_an_account_sends_as_many_a_minute_as_its_owner_says(desk):
    """A mail host that takes 300 an hour is not the provider's rate; by form or by program, and again what it says."""
    account = await channel(desk.runtime, name="Slow account")
    admin, here = await desk.person("admin"), f"/settings/channels/{account.id}"
    assert 'placeholder="4,800"' in await admin.page(here)
    await admin.post(here, name="Slow account", rate_per_min="30")
    assert (await desk.runtime.channels.get(account.id)).rate_per_s == 0.5
    shown = await admin.page(here)
    assert 'name="rate_per_min" value="30"' in shown and "<details class=\"form-rest\" open>" in shown
    granted = [await desk.runtime.channels.reserve(account.id, 10, 0.5) for _ in range(3)]
    assert granted == [1, 0, 0], "over all workers"
    for wrong in ("0", "fast", "-3", "600001", "1.5"):
        refused = await admin.post(here, 422, name="x", rate_per_min=wrong)
        assert "1 to 600000" in refused and f'value="{wrong}"' in refused
    assert (await desk.runtime.channels.get(account.id)).rate_per_s == 0.5
    await admin.post(here, name="Slow account", rate_per_min="")
    assert (await desk.runtime.channels.get(account.id)).rate_per_s is None
