"""Search without a script: messages, people and orders on one page."""

from inbox.models import Actor, ReplyInput
from orders.models import OrderInput
from tests.desk.conftest import Desk
from tests.desk.world import channel, wrote


async def test_what_was_said_is_found_where_it_was_said(desk: Desk) -> None:
    shop, other = await channel(desk.runtime), await channel(desk.runtime, name="Other")
    talk = await wrote(desk.runtime, shop, "samowar", "你好，玻璃茶壶可以放洗碗机吗？", name="Sanna <b>")
    foreign = await wrote(desk.runtime, other, "hidden", "玻璃茶壶在哪里？", name="Hidden Harry")
    note = ReplyInput(text="Wants the teapot by Friday", note=True)
    await desk.runtime.outbox.reply(talk.id, Actor("usr_x", "Ada"), note, "n1")
    order = OrderInput(external_id="T-1042", identity=f"{shop.id}:samowar", status="paid")
    await desk.runtime.orders.record(order, "api")
    await desk.runtime.searching.keep()
    everybody = await desk.person("viewer", name="Vera Viewer")
    limited = await desk.person("agent", channels=[shop.id], name="Lim Ited")
    assert "What are you looking for?" in await everybody.page("/search")
    page = await everybody.page("/search?q=茶壶")
    assert f"/inbox/{talk.id}?" in page and f"/inbox/{foreign.id}?" in page and "Sanna &lt;b&gt;" in page
    page = await limited.page("/search?q=茶壶")
    assert f"/inbox/{talk.id}?" in page and foreign.id not in page and "Harry" not in page
    for q, shown in (("friday+teapot", "Friday"), ("t-1042", "T-1042"), ("harry", "Nothing found")):
        assert shown in await limited.page(f"/search?q={q}"), q
    assert "Harry" in await everybody.page("/search?q=harry")
