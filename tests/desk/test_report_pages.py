"""Reports without a script: every number leads to its rows, files are safe, nobody sees other channels."""

import html
import re
from datetime import timedelta
from typing import Any

from base.clock import now
from base.ids import new_id
from inbox.figures.cells import changes_of
from inbox.figures.facts import NO_END
from inbox.figures.tables import REPORTS
from inbox.hours.models import HoursInput
from inbox.models import Actor, ReplyInput
from inbox.routing.models import TeamInput
from inbox.store import FigureStore
from tests.desk.conftest import Desk
from tests.desk.world import channel, wrote

HERE = "/reports"
BO = Actor("usr_bo", "Bo")


async def counted(desk: Desk) -> None:
    """Everything there is stands in the figures."""
    await desk.runtime.db.collection("inbox_facts_past").delete_one({"_id": "past"})
    while await desk.runtime.figures.read_past():
        pass
    await desk.runtime.figures.keep()


async def furnished(desk: Desk) -> tuple[Any, Any]:
    """Two channels with a conversation each; one answered and resolved."""
    ours, theirs = await channel(desk.runtime, name="Our shop"), await channel(desk.runtime, name="Hidden shop")
    talk, other = await wrote(desk.runtime, ours, "grace"), await wrote(desk.runtime, theirs, "hidden")
    await desk.runtime.desk_actions.set_labels(talk.id, ["=1+1"], BO)
    await desk.runtime.outbox.reply(talk.id, BO, ReplyInput(text="Hello"), "k1")
    await desk.runtime.db.collection("messages").update_many({"direction": "out"}, {"$set": {"status": "sent"}})
    await desk.runtime.desk_actions.set_status(talk.id, "resolved", BO)
    await desk.runtime.desk_actions.set_status(other.id, "resolved", BO)
    await counted(desk)
    return ours, theirs


async def test_every_number_leads_to_its_rows(desk: Desk) -> None:
    ours, _ = await furnished(desk)
    viewer = await desk.person("viewer", name="Vic Viewer")
    page = await viewer.page(HERE)
    assert 'data-testid="figures"' in page and "Our shop" in page
    for name in REPORTS:
        page = await viewer.page(f"{HERE}/{name}?business=1")
        assert "<h1>" in page, name
        for link in re.findall(rf'href="({HERE}/{name}/rows[^"]*)"', page)[:6]:
            assert 'data-testid="rows"' in await viewer.page(html.unescape(link)), link
    page = await viewer.page(f"{HERE}/volume?by=channel&channel={ours.id}")
    assert "of=" + ours.id in page
    rows = await viewer.page(f"{HERE}/volume/rows?by=channel&column=created&of={ours.id}")
    assert "1 in all." in rows and "/inbox/cnv_" in rows
    await viewer.page(f"{HERE}/nothing", 404)
    await viewer.page(f"{HERE}/volume/rows?column=nothing", 404)
    assert "Choose a time whose end" in await viewer.page(f"{HERE}/volume?from=2026-05-01&to=2026-04-01", 422)
    assert "no such time zone" in await viewer.page(f"{HERE}/volume?zone=Nowhere/At-all", 422)
    assert "Nothing in this time" in await viewer.page(f"{HERE}/volume?from=1999-01-01&to=1999-02-01")


async def mixed(desk: Desk, channels: list[str], agents: list[str], team: str) -> None:
    """Conversations of the last days that began with any of these, with one of two labels or none."""
    rows: dict[str, Any] = {}
    for n in range(60):
        rows[f"mixed{n}"] = {
            "conversation_id": new_id("cnv"), "profile_id": "prf_x", "identity_id": None, "kind": "created", "key": "",
            "n": 1, "at": now() - timedelta(hours=n), "channel_id": channels[n % 2], "agent_id": agents[n % 3 % 2],
            "team_id": team if n % 5 else None, "labels": [["refund"], ["refund", "vip"], [""]][n % 7 % 3],
            "until": NO_END,
        }  # fmt: skip
    store = FigureStore(desk.runtime.db)
    await desk.runtime.db.in_transaction(lambda session: store.replace([], rows, session))
    await desk.runtime.db.in_transaction(lambda session: store.add(changes_of([], rows.values()), session))


async def numbers(person: Any, query: str) -> tuple[int, int, int, int]:
    """New conversations so narrowed: on the page, in the file, behind the number, and in all rows of the table."""
    page = await person.page(f"{HERE}/volume?{query}")
    told = re.search(r"<tfoot>.*?column=created[^>]*>(\d+)<", page)
    assert told is not None, query
    async with person.client.get(f"{HERE}/volume/csv?{query}") as answer:
        lines = [line.split(",") for line in (await answer.text()).splitlines()]
    rows = await person.page(f"{HERE}/volume/rows?column=created&{query}")
    assert "<b>refund</b> · " in rows and "<b>Support</b> · " in rows
    behind = re.search(r"(\d+) in all", rows)
    assert behind is not None, rows[-3000:]
    return int(told[1]), int(lines[-1][2]), int(behind[1]), sum(int(line[2]) for line in lines[1:-1])


async def test_narrowed_by_all_at_once_page_file_and_rows_agree(desk: Desk) -> None:
    ours, theirs = await channel(desk.runtime, name="Our shop"), await channel(desk.runtime, name="Hidden shop")
    viewer = await desk.person("viewer", name="Vic Viewer")
    scoped = await desk.person("agent", channels=[ours.id], name="Cy Agent")
    members = [{"user_id": scoped.user_id}]
    team = await desk.runtime.teams.create(TeamInput.model_validate({"name": "Support", "members": members}))
    await mixed(desk, [ours.id, theirs.id], [viewer.user_id, scoped.user_id], team.id)
    everybody = scoped_in_all = 0
    for agent in (viewer.user_id, scoped.user_id):
        narrowed = f"agent={agent}&team={team.id}&label=refund&by="
        one, file, behind, added = await numbers(viewer, f"{narrowed}day")
        assert one == file == behind == added > 0
        assert {one} == set(await numbers(viewer, f"{narrowed}channel"))
        ours_alone = await numbers(viewer, f"{narrowed}agent&channel={ours.id}")
        assert set(await numbers(scoped, f"{narrowed}team")) == set(ours_alone) != {one}
        everybody, scoped_in_all = everybody + one, scoped_in_all + ours_alone[0]
    assert (await numbers(viewer, f"team={team.id}&label=refund&by=agent"))[0] == everybody
    assert (await numbers(scoped, f"team={team.id}&label=refund&by=agent"))[0] == scoped_in_all
    page = await scoped.page(f"{HERE}/volume?team={team.id}&label=refund&channel={theirs.id}")
    assert "Nothing in this time" in page


async def test_a_file_is_safe_and_scoped(desk: Desk) -> None:
    ours, theirs = await furnished(desk)
    agent = await desk.person("agent", channels=[ours.id], name="Cy Agent")
    page = await agent.page(f"{HERE}/volume?by=channel")
    assert "Our shop" in page and "Hidden shop" not in page and theirs.id not in page
    async with agent.client.get(f"{desk.url}{HERE}/volume/csv?by=label") as answer:
        text = await answer.text()
        assert answer.content_type == "text/csv" and "'=1+1" in text and "\n=1+1" not in text
        assert text.splitlines()[-1].split(",")[:3] == ["total", "", "1"]
    hidden = await agent.page(f"{HERE}/volume/rows?by=channel&column=created&of={theirs.id}")
    assert "/inbox/cnv_" not in hidden
    everything = await agent.page(f"{HERE}/volume/rows?column=created")
    assert everything.count("/inbox/cnv_") == 1


async def test_hours_are_chosen_by_administrators_and_taken_back(desk: Desk) -> None:
    ours, _ = await furnished(desk)
    hours = await desk.runtime.business_hours.create(HoursInput(name="Shop", zone="Europe/Amsterdam"))
    admin, viewer = await desk.person("admin", name="Ada Admin"), await desk.person("viewer", name="Vic Viewer")
    form = {"hours_id": hours.id, f"hours_{ours.id}": hours.id}
    await viewer.post(f"{HERE}/hours", 403, **form)
    assert "These hours are gone" in await admin.post(f"{HERE}/hours", 422, hours_id="hrs_" + "0" * 26)
    saved = await admin.post(f"{HERE}/hours", 303, **form)
    assert 'data-testid="undo"' in await admin.page(saved)
    rules = await desk.runtime.figures.rules()
    assert rules.hours_id == hours.id and rules.channel_hours == {ours.id: hours.id}
    assert not await desk.runtime.figures.is_up_to_date()  # everything is counted anew
    assert "still being counted" in await viewer.page(f"{HERE}/volume?from={(now() - timedelta(days=3)).date()}")
