"""The list of the inbox narrowed, and views saved, without a script."""

import re
from urllib.parse import quote

from inbox.models import Actor
from tests.desk.conftest import Desk
from tests.desk.world import channel, wrote

BOSS = Actor("usr_x", "Boss")


async def test_the_list_is_narrowed_and_kept_as_a_view(desk: Desk) -> None:
    person = await desk.person("agent", name="Vera Viewer")
    shop = await channel(desk.runtime)
    one, two = await wrote(desk.runtime, shop, "narrow-one"), await wrote(desk.runtime, shop, "narrow-two")
    await desk.runtime.desk_actions.set_labels(one.id, ["refund <b>"], BOSS)
    await desk.runtime.desk_actions.set_priority(one.id, "urgent", BOSS)
    await desk.runtime.desk_actions.set_status(two.id, "pending", BOSS)
    everything = await person.page("/inbox?view=all")
    assert "refund &lt;b&gt;" in everything and 'data-testid="row-priority"' in everything
    narrowed = await person.page("/inbox?view=all&whole=1&status=open&priority=urgent&label=" + quote("refund <b>"))
    assert f"row-{one.id}" in narrowed and f"row-{two.id}" not in narrowed and 'data-testid="narrowed"' in narrowed
    assert f"row-{two.id}" in await person.page("/inbox?view=all&status=pending")
    query = "view=all&priority=urgent"
    again = await person.post("/inbox/views", 422, query=query, name=" ")
    assert "Write a name" in again
    where = await person.post("/inbox/views", query=query, name="Burning")
    page = await person.page(where)
    assert "Burning" in page and f"row-{one.id}" in page and 'data-testid="narrowed"' not in page
    assert "already" in await person.post("/inbox/views", 422, query=query, name="burning")
    await person.post(where.replace("?view=", "/views/"), query=where.partition("?")[2] + "&unread=no")
    assert f"row-{one.id}" not in await person.page(where)
    gone = await person.post(where.replace("?view=", "/views/") + "/remove")
    assert 'data-testid="undo"' in await person.page(gone) and "Burning" not in await person.page("/inbox?view=all")
    await person.post(where.replace("?view=", "/views/") + "/restore")
    assert "Burning" in await person.page("/inbox/tabs?view=all")


async def test_tabs_and_saved_views_tell_how_many(desk: Desk) -> None:
    person = await desk.person("agent", name="Tess Teller")
    shop = await channel(desk.runtime)
    talk = await wrote(desk.runtime, shop, "counted-one")
    await wrote(desk.runtime, shop, "counted-two")
    await desk.runtime.desk_actions.assign(talk.id, person.user_id, BOSS)
    where = await person.post("/inbox/views", query=f"view=all&channel={shop.id}", name="This shop")
    await desk.runtime.counting.keep()
    tabs = await person.page("/inbox/tabs?view=all")
    assert re.search(r'data-testid="view-mine">\s*Mine<span class="num">1</span>', tabs), tabs
    assert re.search(r'This shop</span><span class="end num">2</span>', tabs), tabs
    async with person.client.get("/counts") as answer:
        assert (await answer.json())["inbox"] == 1
    await desk.runtime.desk_actions.set_status(talk.id, "resolved", BOSS)
    assert re.search(r'This shop</span><span class="end num">1</span>', await person.page(where))


async def test_who_is_called_in_a_note_finds_it_under_mentions(desk: Desk) -> None:
    bo, cleo = await desk.person("agent", name="Bo Bos"), await desk.person("agent", name="Cleopatra Cole")
    shop, other = await channel(desk.runtime), await channel(desk.runtime)
    talk, foreign = await wrote(desk.runtime, shop, "called-in"), await wrote(desk.runtime, other, "elsewhere")
    narrow = await desk.person("agent", channels=[shop.id], name="Nora Narrow")
    assert "Nobody has called you yet" in await cleo.page("/inbox?view=mentions")
    for each in (talk, foreign):
        text = "@Cleopatra @Nora would you look at this?"
        await bo.post(f"/inbox/{each.id}/reply", text=text, client_key=f"n-{each.id}", mode="note")
    await bo.post(f"/inbox/{foreign.id}/reply", text="Dear @Bo", client_key="no-note", mode="reply")
    await desk.runtime.desk_actions.set_status(talk.id, "resolved", BOSS)
    page = await cleo.page("/inbox?view=mentions")
    assert f"row-{talk.id}" in page and f"row-{foreign.id}" in page and 'data-testid="narrowed"' not in page
    page = await narrow.page("/inbox?view=mentions")
    assert f"row-{talk.id}" in page and foreign.id not in page
    assert "Nobody has called you yet" in await bo.page("/inbox?view=mentions")
    again = f"/inbox/rows?view=mentions&ids={talk.id}"
    assert f"row-{talk.id}" in await cleo.page(again) and f"row-{talk.id}" not in await bo.page(again)
    assert f"row-{talk.id}" not in await cleo.page("/inbox?view=mentions&status=open")


async def test_only_who_answers_everywhere_shares(desk: Desk) -> None:
    viewer, other = await desk.person("viewer", name="Vic Viewer"), await desk.person("agent", name="Olga Other")
    await viewer.post("/inbox/views", 403, query="view=all", name="For all", shared="1")
    own = await viewer.post("/inbox/views", query="view=all", name="My own")
    assert "My own" not in await other.page("/inbox?view=all")
    await other.post(own.replace("?view=", "/views/") + "/remove", 404)
    shared = await other.post("/inbox/views", query="view=all", name="Ours", shared="1")
    assert "Ours" in await viewer.page("/inbox?view=all")
    await viewer.post(shared.replace("?view=", "/views/") + "/remove", 403)
