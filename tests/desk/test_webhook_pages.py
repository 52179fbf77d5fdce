"""Settings → Webhooks: made, looked at, tried out, changed, taken away and put back; nobody else gets near."""

import re
from typing import Any

from base.clock import now
from base.http import HttpReply
from profiles.events import NewEvent
from tests.desk.conftest import Browser, Desk
from tests.desk.world import channel

HERE = "/settings/webhooks"
URL = "https://shop.example/hooks"


class Phone:
    """Answers as it is told to."""

    def __init__(self, status: int) -> None:
        self.status = status

    async def request(self, *args: Any, **more: Any) -> HttpReply:
        return HttpReply(self.status, {}, b"<script>alert(1)</script>")


async def made(admin: Browser, **fields: Any) -> tuple[str, str]:
    """The address of a new endpoint's page, and the page that shows its secret."""
    form = await admin.page(f"{HERE}/new")
    chosen = re.search(r'name="id" value="(whk_\w+)"', form)
    assert chosen is not None
    page = await admin.post(f"{HERE}/new", 200, id=chosen[1], **{"url": URL, "events": "order.*", **fields})
    return f"{HERE}/{chosen[1]}", page


async def posted(desk: Desk, status: int) -> None:
    desk.runtime.poster._http = Phone(status)  # type: ignore[assignment]
    while await desk.runtime.poster.drain(10):
        await desk.runtime.poster.idle()


async def test_it_is_made_and_its_secret_shown_once(desk: Desk) -> None:
    admin = await desk.person("admin", name="Ada Admin")
    assert "No endpoints yet" in await admin.page(HERE)
    here, page = await made(admin, own_events="tea.brewed\nProduct Viewed", description="Warehouse")
    assert "whsec_" in page and 'data-testid="secret"' in page
    again = await admin.page(here)
    assert "whsec_" not in again and "Warehouse" in again
    row = (await desk.runtime.endpoints.all())[0]
    assert row["events"] == ["order.*", "tea.brewed", "Product Viewed"] and row["channels"] is None
    known = await admin.post(f"{HERE}/new", 303, id=row["_id"], url=URL, events="*")  # the same form once more
    assert known == here and len(await desk.runtime.endpoints.all()) == 1
    assert "Warehouse" in await admin.page(HERE)


async def test_a_test_says_what_came_of_it_and_it_can_be_sent_again(desk: Desk) -> None:
    admin = await desk.person("admin", name="Ada Admin")
    here, _ = await made(admin)
    where = await admin.post(f"{here}/test")
    assert "Waiting" in await admin.page(where)
    await posted(desk, 500)
    page = await admin.page(where)
    assert "HTTP 500" in page and "&lt;script&gt;alert(1)" in page and "<script>alert(1)" not in page
    assert "webhook.test" in await admin.page(f"{here}?only=trouble")
    assert 'data-testid="all-again"' not in await admin.page(here)  # a test is nobody's loss
    await desk.runtime.events.record([NewEvent("order.paid", f"o:{here}", now())])
    await desk.runtime.reactor.react(100)
    await desk.runtime.db.collection("webhook_posts").update_many({"event": "order.paid"}, {"$set": {"failures": 7}})
    await posted(desk, 500)
    assert 'data-testid="all-again"' in await admin.page(here)
    assert (await admin.post(f"{here}/redeliver")).endswith("?again=1")
    assert "Sent again: 1." in await admin.page(f"{here}?again=1")
    await posted(desk, 200)
    assert "Delivered" in await admin.page(here) and 'data-testid="all-again"' not in await admin.page(here)
    await admin.page(f"{here}/deliveries/whd_{'0' * 26}", 404)
    await admin.page(f"{here}?cursor=nonsense", 422)


async def test_it_is_changed_switched_exchanged_removed_and_put_back(desk: Desk) -> None:
    admin = await desk.person("admin", name="Ada Admin")
    here, _ = await made(admin)
    await admin.post(here, url="https://other.example/in", events="*", description="<b>x</b>")
    page = await admin.page(f"{here}?saved=1")
    assert "https://other.example/in" in page and "<b>x</b>" not in page and "Saved." in page
    await admin.post(f"{here}/state", state="off")
    assert "What happens meanwhile is not told later" in await admin.page(here)
    await admin.post(f"{here}/redeliver", 409)
    await admin.post(f"{here}/state", state="on")
    assert "whsec_" in await admin.post(f"{here}/secret", 200)
    listed = await admin.page(await admin.post(f"{here}/remove"))
    assert 'data-testid="undo"' in listed
    await admin.page(here, 404)
    await admin.page(await admin.post(f"{here}/restore"))


async def test_what_makes_no_sense_stands_beside_its_field(desk: Desk) -> None:
    admin = await desk.person("admin", name="Ada Admin")
    for fields, said in (
        ({"url": "nowhere", "events": "*"}, "A web address such as"),
        ({"url": "http://127.0.0.1/", "events": "*"}, "It lies inside the house"),
        ({"url": URL}, "Choose at least one event."),
        ({"url": URL, "own_events": "message.recieved"}, "Did you mean message.received?"),
        ({"url": URL, "events": "*", "channels": "chn_" + "0" * 26}, "is not there any more"),
    ):
        page = await admin.post(f"{HERE}/new", 422, **fields)
        assert said in page and "whsec_" not in page, fields
    here, _ = await made(admin)
    assert "Choose at least one event." in await admin.post(here, 422, url=URL)


async def test_only_administrators_come_in_and_limited_ones_to_their_own(desk: Desk) -> None:
    admin = await desk.person("admin", name="Ada Admin")
    ours = await channel(desk.runtime)
    whole, _ = await made(admin)
    part, _ = await made(admin, channels=ours.id)
    for role in ("viewer", "agent", "marketer"):
        other = await desk.person(role, name="Otto Other")
        await other.page(HERE, 403)
        await other.page(whole, 403)
        await other.post(f"{whole}/secret", 403)
    limited = await desk.person("admin", [ours.id], name="Lena Limited")
    listed = await limited.page(HERE)
    assert part in listed and whole not in listed
    await limited.page(part)
    await limited.page(whole, 404)
    for action in ("secret", "test", "state", "remove", "restore", "redeliver"):
        await limited.post(f"{whole}/{action}", 404)
    assert "Choose channels that you may see." in await limited.post(f"{HERE}/new", 422, url=URL, events="*")
    assert "Choose channels that you may see." in await limited.post(part, 422, url=URL, events="*")
