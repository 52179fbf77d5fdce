"""The menus of a conversation without a script: every act says what it did and offers the way back."""

import re
from datetime import timedelta

import pytest

from desk.pages.acting import change_in
from inbox.routing.models import TeamInput
from tests.desk.conftest import Desk
from tests.desk.world import channel, wrote

NOW_ON = "2099-01-02T09:30"


@pytest.fixture(scope="module")
async def shop(desk: Desk):  # type: ignore[no-untyped-def]
    return await channel(desk.runtime, name="Shop account")


async def test_labels_priority_and_followers_are_set_shown_and_taken_back(desk: Desk, shop) -> None:  # type: ignore[no-untyped-def]
    talk, bo = await wrote(desk.runtime, shop, "labelled"), await desk.person("agent", name="Bo Agent")
    here = f"/inbox/{talk.id}"
    where = await bo.post(f"{here}/change", 303, add_label=" <b>vip ")
    page = await bo.page(where)
    assert "&lt;b&gt;vip" in page and "Label: &lt;b&gt;vip" in page and 'data-testid="undo-act"' in page
    assert "<b>vip" not in page
    undo = re.search(r'action="(/inbox/acts/act_[0-9a-z]{26}/undo)"', page)
    assert undo is not None
    back = await bo.post(undo[1], 303, back=here)
    assert "Taken back" in await bo.page(back)
    assert (await desk.runtime.conversations.get(talk.id)).labels == ()
    await bo.post(f"{here}/change", 303, priority="urgent")
    await bo.post(f"{here}/change", 303, add_participant=bo.user_id)
    page = await bo.page(here)
    assert "chip-priority-urgent" in page and "Bo Agent set the priority to Urgent" in page
    assert 'name="remove_participant"' in page
    await bo.post(f"{here}/change", 303, remove_participant=bo.user_id)
    assert (await desk.runtime.conversations.get(talk.id)).participants == ()
    assert "vip" not in await bo.page("/inbox/labels")
    await bo.post(f"{here}/change", 303, add_label="returns")
    assert '<option value="returns">' in await bo.page("/inbox/labels")


async def test_pending_spam_and_snooze_until_they_answer_or_a_time_of_ones_own(desk: Desk, shop) -> None:  # type: ignore[no-untyped-def]
    talk, bo = await wrote(desk.runtime, shop, "snoozed"), await desk.person("agent", name="Bo Agent")
    here, get = f"/inbox/{talk.id}", desk.runtime.conversations.get
    for status, word in (("pending", "Set to pending"), ("spam", "Marked as spam"), ("snoozed", "until they answer")):
        page = await bo.page(await bo.post(f"{here}/change", 303, status=status))
        assert word in page and (await get(talk.id)).status == status
    assert (await get(talk.id)).snoozed_until is None and "Bo Agent snoozed this until they answer" in page
    await bo.post(f"{here}/change", 303, status="open")
    await bo.post(f"{here}/change", 303, status="snoozed", until_on=NOW_ON, own_time="1")
    assert (await get(talk.id)).snoozed_until.year == 2099
    await bo.post(f"{here}/change", 422, status="snoozed", own_time="1")
    await bo.post(f"{here}/change", 422, status="snoozed", until_on="soon", own_time="1")
    for wrong in ({}, {"priority": "huge"}, {"add_label": "x" * 61}, {"add_participant": "usr_" + "0" * 26}):
        await bo.post(f"{here}/change", 422, **wrong)
    listed = await bo.page("/inbox?view=all&status=pending")
    assert 'aria-current="true"' in listed and "Pending" in listed


async def test_an_act_of_somebody_else_is_not_there_for_who_is_limited(desk: Desk, shop) -> None:  # type: ignore[no-untyped-def]
    talk, bo = await wrote(desk.runtime, shop, "hers"), await desk.person("agent", name="Bo Agent")
    where = await bo.post(f"/inbox/{talk.id}/change", 303, priority="high")
    act = where.partition("did=")[2]
    other = await channel(desk.runtime, name="Another account")
    limited, viewer = await desk.person(channels=[other.id]), await desk.person("viewer")
    before = await desk.runtime.conversations.row(talk.id)
    for person, status in ((limited, 404), (viewer, 403)):
        await person.post(f"/inbox/acts/{act}/undo", status)
        await person.page(f"/inbox/acts/{act}", status)
    assert "data-did" not in await limited.page(f"/inbox?did={act}")
    assert await desk.runtime.conversations.row(talk.id) == before
    await bo.post("/inbox/acts/act_" + "0" * 26 + "/undo", 404)


async def test_a_message_begins_another_conversation_and_is_put_back(desk: Desk, shop) -> None:  # type: ignore[no-untyped-def]
    await wrote(desk.runtime, shop, "splitter", "First matter", minutes_ago=9)
    talk, bo = await wrote(desk.runtime, shop, "splitter", "Second matter"), await desk.person("agent", name="Bo Agent")
    here = f"/inbox/{talk.id}"
    lines = await desk.runtime.messages.raw({"conversation_id": talk.id, "direction": "in"})
    assert f'value="{lines[1]["_id"]}" data-testid="split"' in await bo.page(here)
    await bo.post(f"{here}/split", 422, message="x")
    where = await bo.post(f"{here}/split", 303, message=lines[1]["_id"])
    page = await bo.page(where)
    thread = page.split('data-testid="messages"')[1].split('id="viewers"')[0]
    assert "Second matter" in thread and "First matter" not in thread and 'data-testid="unsplit"' in page
    assert "began another conversation" in await bo.page(here)
    assert await bo.post(f"{where}/unsplit", 303) == here
    page = await bo.page(here)
    assert "Second matter" in page and "First matter" in page


async def test_scripts_get_the_thread_with_the_way_back(desk: Desk, shop) -> None:  # type: ignore[no-untyped-def]
    talk, bo = await wrote(desk.runtime, shop, "scripted"), await desk.person("agent", name="Bo Agent")
    fragment = await bo.post(f"/inbox/{talk.id}/change", 200, True, status="resolved")
    assert 'id="did"' in fragment and "Resolved" in fragment and "<html" not in fragment
    act = re.search(r'data-did="(act_[0-9a-z]{26})"', fragment)
    assert act is not None
    fragment = await bo.post(f"/inbox/acts/{act[1]}/undo", 200, True)
    assert "Taken back: Resolved" in fragment and talk.id in fragment
    assert (await desk.runtime.conversations.get(talk.id)).status == "open"


def test_a_form_is_read() -> None:
    change = change_in({"status": "snoozed", "until": "2099-01-01T09:00:00+00:00"}, None)
    assert change.snoozed_until is not None and change.snoozed_until.utcoffset() == timedelta()
    assert change_in({"give": "1", "assignee": ""}, None).parts == ["assignee"]



async def test_a_person_is_shut_out_and_let_in_again(desk: Desk, shop) -> None:  # type: ignore[no-untyped-def]
    talk, bo = await wrote(desk.runtime, shop, "rude"), await desk.person("agent", name="Bo Agent")
    here = f"/inbox/{talk.id}"
    where = await bo.post(f"{here}/shut-out", 303, on="1")
    page = await bo.page(where)
    assert "Shut out: what they write" in page and 'data-testid="let-in"' in page
    assert f'action="{here}/shut-out"' in page and "This person is shut out." in page
    await bo.post(f"/inbox/acts/{where.partition('did=')[2]}/undo", 409)
    await bo.post(f"{here}/reply", 403, text="Sorry", client_key="x", mode="reply")
    await bo.post(f"{here}/shut-out", 303)
    page = await bo.page(here)
    assert 'data-testid="let-in"' not in page
    assert (await desk.runtime.conversations.get(talk.id)).status == "open"
    viewer = await desk.person("viewer")
    await viewer.post(f"{here}/shut-out", 403, on="1")
    other = await channel(desk.runtime, name="Third account")
    limited = await desk.person(channels=[other.id])
    await limited.post(f"{here}/shut-out", 404, on="1")


async def test_many_are_chosen_by_hand_or_by_the_list_and_taken_back(desk: Desk, shop) -> None:  # type: ignore[no-untyped-def]
    bo, get = await desk.person("agent", name="Bo Agent"), desk.runtime.conversations.get
    talks = [await wrote(desk.runtime, shop, f"many-{n}") for n in range(4)]
    for talk in talks:
        await bo.post(f"/inbox/{talk.id}/change", 303, add_label="batch")
    where = "view=all&label=batch"
    page = await bo.page(f"/inbox?{where}&select=1")
    assert "all 4 that match" in page and page.count('data-testid="pick"') >= 4 and 'data-testid="bulk"' in page
    assert 'data-testid="select"' in await bo.page(f"/inbox?{where}")
    async with bo.client.post(
        "/inbox/bulk", data=[("csrf", bo.csrf), ("where", where), ("id", talks[0].id), ("id", talks[1].id),
                             ("status", "pending")], allow_redirects=False,
    ) as answer:  # fmt: skip
        assert answer.status == 303
        led = answer.headers["Location"]
    assert [(await get(each.id)).status for each in talks] == ["pending", "pending", "open", "open"]
    page = await bo.page(led)
    assert "Set to pending" in page and "2 conversations" in page
    undo = re.search(r'action="(/inbox/acts/act_[0-9a-z]{26}/undo)"', page)
    assert undo is not None
    back = await bo.post(undo[1], 303, back=f"/inbox?{where}")
    assert "Taken back: Set to pending" in await bo.page(back)
    led = await bo.post("/inbox/bulk", 303, where=where, all="1", priority="high")
    assert "Priority: High" in await bo.page(led)
    assert {(await get(each.id)).priority for each in talks} == {"high"}
    await bo.post("/inbox/bulk", 422, where=where, status="resolved")
    team = await desk.runtime.teams.create(TeamInput(name="Returns desk", members=[{"user_id": bo.user_id}]))
    led = await bo.post("/inbox/bulk", 303, where=where, all="1", move="1", team=team.id)
    assert "Moved to the team Returns desk" in await bo.page(led)
    assert {(await get(each.id)).team_id for each in talks} == {team.id}
    await bo.post("/inbox/bulk", 422, where=where, all="1", move="1", team="tea_" + "0" * 26)
    viewer = await desk.person("viewer")
    assert 'data-testid="pick"' not in await viewer.page(f"/inbox?{where}&select=1")
    await viewer.post("/inbox/bulk", 403, where=where, all="1", status="spam")
    other = await channel(desk.runtime, name="Fourth account")
    limited = await desk.person(channels=[other.id])
    await limited.post("/inbox/bulk", 303, where=where, all="1", status="spam")
    await limited.post("/inbox/bulk", 303, where=where, id=talks[0].id, status="spam")
    assert {(await get(each.id)).status for each in talks} == {"open"}


async def test_conversations_of_a_person_are_merged_answered_and_taken_apart(desk: Desk, shop) -> None:  # type: ignore[no-untyped-def]
    bo, other = await desk.person("agent", name="Bo Agent"), await channel(desk.runtime, name="Second shop")
    talk = await wrote(desk.runtime, shop, "merger", "On the first")
    twin = await wrote(desk.runtime, other, "merger-2", "On the second")
    here = f"/inbox/{talk.id}"
    assert "Nothing to merge" in await bo.page(f"{here}/merge")
    await desk.runtime.db.collection("conversations").update_one(
        {"_id": twin.id}, {"$set": {"profile_id": talk.profile_id}}
    )  # fmt: skip
    await desk.runtime.db.collection("identities").update_one(
        {"_id": twin.identity_id}, {"$set": {"profile_id": talk.profile_id}}
    )  # fmt: skip
    page = await bo.page(f"{here}?all=1")
    assert "On the second" in page and 'data-testid="elsewhere"' in page
    assert "On the second" in await bo.page(f"{here}/merge")
    await bo.post(f"{here}/merge", 422)
    await bo.post(f"{here}/merge", 422, other="cnv_" + "0" * 26)
    where = await bo.post(f"{here}/merge", 303, other=twin.id)
    page = await bo.page(where)
    assert "On the second" in page and "1 conversation is shown with this one" in page and 'data-testid="via"' in page
    assert 'data-testid="elsewhere"' not in page
    assert await bo.page(f"/inbox/{twin.id}")
    await bo.post(f"{here}/reply", 303, text="Hello there", client_key="m1", mode="reply", via=twin.id)
    lines = await desk.runtime.messages.raw({"conversation_id": twin.id, "direction": "out"})
    assert [each["text"] for each in lines] == ["Hello there"]
    limited = await desk.person(channels=[shop.id])
    page = await limited.page(here)
    assert "On the second" not in page and "Hello there" not in page
    await limited.post(f"{here}/unmerge", 422)
    assert "On the second" not in await limited.page("/inbox?view=all")
    page = await bo.page(await bo.post(f"{here}/unmerge", 303))
    assert "Taken back" in page and "On the second" not in page.split('data-testid="messages"')[1].split("</ol>")[0]
