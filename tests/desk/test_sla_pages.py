"""Settings → SLA and the clocks of the inbox, without a script."""

from zoneinfo import ZoneInfo

import pytest

from base.clock import now
from desk.i18n import Formats
from desk.pages.sla import read_length, write_length
from inbox.routing.models import TeamInput
from tests.desk.conftest import Desk
from tests.desk.world import channel, wrote

HERE = "/settings/sla"
FORM = {
    "name": "Shop", "first_response-all": "1h", "next_response-all": "4 小时", "resolution-all": "2d",
    "first_response-urgent": "15m", "labels": "VIP， 投诉", "pauses": "pending", "soon": "30m", "active": "1",
}  # fmt: skip


@pytest.fixture(autouse=True)
async def none_yet(desk: Desk) -> None:
    """Each test begins without promises."""
    await desk.runtime.db.collection("sla_policies").delete_many({})


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("90", 90), ("30m", 30), ("1h 30m", 90), ("1h30m", 90), ("2d", 2880), ("2 天 3 小时", 3060), ("１小时", 60),
        ("", None), ("soon", None), ("5x", None), ("1h and", None), ("-5m", None),
    ],
)  # fmt: skip
def test_lengths_are_read_as_people_write_them(text: str, minutes: int | None) -> None:
    assert read_length(text) == minutes


@pytest.mark.parametrize("language", ["en", "zh_CN"])
@pytest.mark.parametrize("minutes", [1, 59, 60, 90, 1440, 2945, 90 * 1440])
def test_what_is_shown_can_be_written_again(minutes: int, language: str) -> None:
    assert read_length(write_length(minutes, Formats(language, ZoneInfo("UTC"), now()))) == minutes


async def test_a_promise_is_written_changed_taken_away_and_put_back(desk: Desk) -> None:
    admin = await desk.person("admin", name="Ada Admin")
    assert "Nothing is promised yet" in await admin.page(HERE)
    where = await admin.post(f"{HERE}/new", 303, **FORM)
    here = where.partition("?")[0]
    page = await admin.page(here)
    assert "The first answer within 1h, every further one within 4h, all done within 2d" in page
    assert "Urgent: the first answer within 15m" in page and "with the label VIP, 投诉" in page
    assert "The clock always runs, but not while it is pending." in page
    (row,) = await desk.runtime.sla_policies.all()
    assert row.written.lengths.next_response_min == 240 and row.written.soon_min == 30
    await admin.post(here, 303, **{**FORM, "name": "Store <b>", "active": "", "pauses": "snoozed"})
    assert "Store &lt;b&gt;" in await admin.page(HERE)
    (row,) = await desk.runtime.sla_policies.all()
    assert not row.written.active and row.written.pauses == ["snoozed"]
    gone = await admin.post(f"{here}/remove", 303)
    assert 'data-testid="undo"' in await admin.page(gone)
    await admin.post(f"{here}/restore", 303)
    second = (await admin.post(f"{HERE}/new", 303, **{**FORM, "name": "VIP"})).partition("?")[0]
    await admin.post(f"{second}/up", 303)
    assert [each.written.name for each in await desk.runtime.sla_policies.all()] == ["VIP", "Store <b>"]


async def test_faults_stand_beside_their_fields_and_nothing_is_lost(desk: Desk) -> None:
    admin = await desk.person("admin", name="Ada Admin")
    page = await admin.post(f"{HERE}/new", 422, **{**FORM, "first_response-all": "quickly", "soon": "999d"})
    assert 'data-testid="fault-first_response-all"' in page and "quickly" in page
    empty = {name: "" for name in FORM if name.startswith(("first", "next", "resolution"))}
    assert "Promise something" in await admin.post(f"{HERE}/new", 422, **{**FORM, **empty})
    assert 'data-testid="fault-soon"' in await admin.post(f"{HERE}/new", 422, **{**FORM, "soon": "80d"})
    await admin.post(f"{HERE}/new", 303, **FORM)
    assert "already" in await admin.post(f"{HERE}/new", 422, **FORM)


async def test_a_promise_may_be_of_a_team(desk: Desk) -> None:
    admin = await desk.person("admin", name="Ada Admin")
    team = await desk.runtime.teams.create(TeamInput(name="Returns <i>"))
    here = (await admin.post(f"{HERE}/new", 303, **FORM, team_ids=team.id)).partition("?")[0]
    page = await admin.page(here)
    assert "of the team Returns &lt;i&gt;" in page
    (row,) = await desk.runtime.sla_policies.all()
    assert row.written.reach.team_ids == [team.id]
    await desk.runtime.teams.remove(team.id)
    assert "a team that is gone" in await admin.page(here) and f'value="{team.id}"' in await admin.page(here)


async def test_others_look_and_do_not_write(desk: Desk) -> None:
    admin, agent = await desk.person("admin", name="Ada Admin"), await desk.person("agent", name="Bo Agent")
    here = (await admin.post(f"{HERE}/new", 303, **FORM)).partition("?")[0]
    page = await agent.page(here)
    assert 'data-testid="save"' not in page and 'data-testid="in-words"' in page
    for path in (f"{HERE}/new", here, f"{here}/remove", f"{here}/restore", f"{here}/up"):
        await agent.post(path, 403, **FORM)
    assert [each.written.name for each in await desk.runtime.sla_policies.all()] == ["Shop"]


async def test_rows_and_heads_show_the_time_that_is_left(desk: Desk) -> None:
    admin = await desk.person("admin", name="Ada Admin")
    await admin.post(f"{HERE}/new", 303, **{**FORM, "labels": ""})
    await desk.runtime.sla_clocks.fresh_terms()
    account = await channel(desk.runtime, name="Sla shop")
    found = {}
    for who, minutes in (("late", 100), ("soon", 45), ("fresh", 1)):
        talk = await wrote(desk.runtime, account, who, minutes_ago=minutes)
        found[who] = await admin.page(f"/inbox/{talk.id}?view=all&channel={account.id}")
    assert "First answer was due" in found["late"] and "40m late" in found["late"] and "due-3" in found["late"]
    assert "15m left" in found["soon"] or "14m left" in found["soon"]
    assert 'data-testid="due"' in found["fresh"] and found["fresh"].count('data-testid="row-due"') == 3
    listed = await admin.page(f"/inbox?view=all&channel={account.id}&order=due")
    assert [listed.index(f">{who}<") for who in ("late", "soon", "fresh")] == sorted(
        listed.index(f">{who}<") for who in ("late", "soon", "fresh")
    )
    assert 'data-testid="order-due"' in listed and "order=due" in listed
    await admin.post(f"/inbox/{talk.id}/change", 303, status="pending")
    assert listed.count('data-testid="conversation-row"') == 3
    assert "Paused" in await admin.page(f"/inbox/{talk.id}?view=all&channel={account.id}")
