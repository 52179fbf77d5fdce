"""The page of a person without a script: notes, follow-ups, files, the timeline and its filters, and who may what."""

import re
from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
from aiohttp import FormData

from base.clock import now
from profiles.edit import ProfilePatch
from tests.desk.world import channel, wrote

pytestmark = pytest.mark.timeout(240)
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 60


async def somebody(desk: Any, name: str) -> tuple[Any, str]:
    account = await channel(desk.runtime, name=f"Shop of {name}")
    talk = await wrote(desk.runtime, account, f"49170{abs(hash(name)) % 10**7}", f"Hello from {name}", name=name)
    return account, talk.profile_id


def note_id(page: str) -> str:
    found = re.search(r"/notes/(nte_\w+)", page)
    assert found is not None
    return found[1]


async def test_a_note_is_written_pinned_edited_deleted_and_brought_back(desk: Any) -> None:
    _, who = await somebody(desk, "Nora")
    ada = await desk.person("agent", name="Ada Agent")
    where = await ada.post(f"/profiles/{who}/notes", text="<b>Likes</b> oolong, see https://tea.example", pinned="yes")
    assert where == f"/profiles/{who}"
    page = await ada.page(where)
    assert 'data-testid="pinned"' in page and "&lt;b&gt;Likes&lt;/b&gt; oolong" in page and "<b>Likes" not in page
    assert '<a href="https://tea.example" rel="noopener noreferrer nofollow" target="_blank">' in page
    tab = await ada.page(f"/profiles/{who}?tab=notes")
    path = f"/profiles/{who}/notes/{note_id(tab)}"
    await ada.post(path, text="Likes green tea")
    await ada.post(path, act="unpin")
    assert "edited by Ada Agent" in await ada.page(f"/profiles/{who}?tab=notes")
    deleted = await ada.page(await ada.post(path, act="delete"))
    assert 'data-testid="note-deleted"' in deleted and "Likes green tea" not in deleted
    assert "It was taken back." in await ada.page(f"/profiles/{who}?kind=note")
    assert "Likes green tea" in await ada.page(await ada.post(path, act="restore"))
    await ada.post(f"/profiles/{who}/notes", 422, text="  ")
    told = desk.runtime.db.collection("feed").find({"data.profile_id": who})
    assert [row["type"] async for row in told].count("note.updated") == 5  # open pages look again


async def test_a_mention_comes_to_the_colleagues_today(desk: Any) -> None:
    _, who = await somebody(desk, "Mona")
    ada, ben = await desk.person("agent", name="Ada Agent"), await desk.person("agent", name="Benedict Boss")
    await ada.post(f"/profiles/{who}/notes", text="@Benedict Boss please call back")
    while await desk.runtime.reactor.react(100):
        pass
    today = await ben.page("/today")
    assert "You are mentioned in a note." in today and "please call back" in today
    assert "please call back" not in await ada.page("/today")
    assert '<mark class="mention">@Benedict Boss</mark>' in await ada.page(f"/profiles/{who}?tab=notes")
    own, hers = [await each.page(f"/profiles/{who}?kind=task") for each in (ben, ada)]
    assert "You are mentioned in a note." in own and "Benedict Boss is mentioned in a note." not in own
    assert "Benedict Boss is mentioned in a note." in hers and "You are mentioned" not in hers


async def test_a_call_is_logged_where_it_happened(desk: Any) -> None:
    _, who = await somebody(desk, "Cora")
    ada = await desk.person("agent", name="Ada Agent")
    await ada.post(f"/profiles/{who}/notes", text="Agreed on Friday", kind="call", at="2026-01-05T10:30", minutes="12",
                   direction="in")  # fmt: skip
    page = await ada.page(f"/profiles/{who}?kind=call")
    assert "Agreed on Friday" in page and "They called · 12 minutes" in page and "Monday, 5 January" in page
    assert "Agreed on Friday" in await ada.page(f"/profiles/{who}?day=2026-01-06")
    assert "Agreed on Friday" not in await ada.page(f"/profiles/{who}?day=2026-01-04")
    await ada.post(f"/profiles/{who}/notes", 422, text="x", kind="visit", at="2199-01-01T00:00")
    await ada.post(f"/profiles/{who}/notes", 422, text="x", kind="visit", at="soon")


async def test_a_follow_up_is_planned_and_worked_off_in_today(desk: Any) -> None:
    _, who = await somebody(desk, "Fee")
    ada = await desk.person("agent", name="Ada Agent")
    soon = f"{now() - timedelta(hours=1):%Y-%m-%dT%H:%M}"
    path = f"/profiles/{who}/follow-up"
    await ada.post(path, at=soon, text="Ask for the spring order", assignee=ada.user_id)
    page = await ada.page(f"/profiles/{who}")
    assert "Ask for the spring order" in page and "promise-late" in page
    today = await ada.page("/today")
    assert 'data-kind="follow_up"' in today and "Ask for the spring order" in today
    assert f'"today": {today.count("data-key=")}' in await ada.page("/counts")
    found = re.search(r'data-key="(follow_up:prf_\w+:fup_\w+)"', today)
    assert found is not None
    where = await ada.post("/today/acts", act="done", key=found[1], back="/today")
    done = await ada.page(where)
    assert 'data-testid="undo"' in done and f'data-key="{found[1]}"' not in done
    assert f'"today": {done.count("data-key=")}' in await ada.page("/counts")
    await ada.post(path, act="set", at=soon, text="Ask for the spring order", assignee=ada.user_id)
    assert "Ask for the spring order" in await ada.page("/today")
    await ada.post(path, act="snooze", until=(now() + timedelta(days=7)).isoformat())
    assert "Ask for the spring order" not in await ada.page("/today")
    await ada.post(path, act="clear")
    assert "Nothing planned." in await ada.page(f"/profiles/{who}")
    trail = await ada.page(f"/profiles/{who}?kind=task")
    assert trail.count("Followed up") == 1 and "Follow-up put off" in trail and "Follow-up dropped" in trail
    await ada.post(path, 422, act="set", at="", text="x")
    await ada.post(path, 422, act="set", at=soon, text="x", assignee="usr_nobody")


async def test_files_are_attached_and_removed_without_a_script(desk: Any) -> None:
    _, who = await somebody(desk, "Finn")
    ada = await desk.person("agent", name="Ada Agent")

    async def bring(content: bytes, csrf: str, expected: int) -> None:
        form = FormData()
        form.add_field("csrf", csrf)
        form.add_field("file", BytesIO(content), filename="offer.png", content_type="image/png")
        async with ada.client.post(f"/profiles/{who}/files", data=form, allow_redirects=False) as answer:
            assert answer.status == expected, await answer.text()

    await bring(PNG + b"\0" * 3_000_000, ada.csrf, 303)
    await bring(PNG, "forged", 403)
    await bring(b"x" * 25_300_000, ada.csrf, 413)
    tab = await ada.page(f"/profiles/{who}?tab=files")
    found = re.search(r"/api/v1/files/(fil_\w+)", tab)
    assert found is not None and "offer.png" in tab and "3 MB" in tab
    removed = await ada.page(await ada.post(f"/profiles/{who}/files/{found[1]}", act="remove"))
    assert 'data-testid="file-removed"' in removed and 'data-testid="file-remove"' not in removed
    assert "offer.png" in await ada.page(await ada.post(f"/profiles/{who}/files/{found[1]}", act="restore"))


async def test_the_audit_says_what_was_changed_by_whom(desk: Any) -> None:
    _, who = await somebody(desk, "Audrey")
    ada = await desk.person("agent", name="Ada Agent")
    await ada.post(f"/profiles/{who}/edit", name="Audrey Lind", tags="vip, tea", locale="de", time_zone="Europe/Berlin")
    page = await ada.page(f"/profiles/{who}?tab=audit")
    assert "<del>Audrey</del>" in page and "<ins>Audrey Lind</ins>" in page
    assert "Tag vip added" in page and "· Ada Agent" in page
    assert "Hello from Audrey" not in page and "Hello from Audrey" in await ada.page(f"/profiles/{who}")
    await ada.post(f"/profiles/{who}/edit", 422, locale="not a language")


async def test_a_change_is_said_once(desk: Any) -> None:
    _, who = await somebody(desk, "Stella")
    ada = await desk.person("agent", name="Ada Agent")
    await ada.post(f"/profiles/{who}/stage", stage="lead", back="")
    await desk.runtime.editor.patch(who, ProfilePatch(score=40), source="person", by=ada.user_id)
    page = await ada.page(f"/profiles/{who}?kind=profile")
    trail = page.split('data-testid="timeline"', 1)[1].split("</ol>", 1)[0]
    assert trail.count("Stage changed") == 1 and trail.count("Lead") == 1 and "<dt>Stage" not in trail
    forties = re.findall(r"(?<![\w:.-])40(?![\w:.-])", trail)  # ids and times have digits, too
    assert trail.count("Score changed") == 1 and len(forties) == 1


async def test_a_merge_names_who_it_was_and_leads_to_its_undo(desk: Any) -> None:
    account, who = await somebody(desk, "Merle")
    _, other = await somebody(desk, "Double")
    ada = await desk.person("agent", name="Ada Agent")
    merge_id = (await ada.post(f"/profiles/{who}/merge", other=other)).partition("merged=")[2]
    page = await ada.page(f"/profiles/{who}?kind=profile")
    assert "Merged with Double" in page and f'href="?tab=identities#{merge_id}"' in page
    assert f'<li id="{merge_id}">' in await ada.page(f"/profiles/{who}?tab=identities")
    limited = await desk.person("agent", [account.id], name="Lena Limited")
    seen = await limited.page(f"/profiles/{who}?kind=profile")
    assert "Merged with another profile" in seen and merge_id not in seen
    await ada.post(f"/profiles/merges/{merge_id}/undo")
    assert "The merge with Double was undone" in await ada.page(f"/profiles/{who}?kind=profile")
    assert "The merge with Merle was undone" in await ada.page(f"/profiles/{other}?kind=profile")


async def test_pages_of_the_timeline_lead_both_ways(desk: Any) -> None:
    account, who = await somebody(desk, "Paula")
    number = f"49170{abs(hash('Paula')) % 10**7}"
    for n in range(70):
        await wrote(desk.runtime, account, number, f"Line {n}", minutes_ago=100 - n, key=f"p{n}")
    ada = await desk.person("agent", name="Ada Agent")
    first = await ada.page(f"/profiles/{who}?kind=message")
    assert "Line 69" in first and "Line 5<" not in first and 'data-testid="newer"' not in first
    older = re.search(r'href="([^"]+)" data-testid="older"', first)
    assert older is not None
    second = await ada.page(older[1].replace("&amp;", "&"))
    assert "Line 5<" in second and "Line 69" not in second
    newer = re.search(r'href="([^"]+)" data-testid="newer"', second)
    assert newer is not None and "Line 69" in await ada.page(newer[1].replace("&amp;", "&"))
    assert "Line 69" in await ada.page(f"/profiles/{who}?kind=message&older=nonsense")


async def test_who_may_only_look_changes_nothing_and_others_channels_stay_hidden(desk: Any) -> None:
    account, who = await somebody(desk, "Vera")
    other, _ = await somebody(desk, "Otto")
    ada = await desk.person("agent", name="Ada Agent")
    await ada.post(f"/profiles/{who}/notes", text="For us")
    viewer = await desk.person("viewer", name="Vic Viewer")
    page = await viewer.page(f"/profiles/{who}?tab=notes")
    assert "For us" in page and 'data-testid="log"' not in page and "note-delete" not in page
    for path, more in (("notes", {"text": "x"}), ("follow-up", {"act": "clear"}), ("edit", {"name": "x"}),
                       ("files/fil_" + "0" * 26, {}), (f"notes/{note_id(await ada.page(f'/profiles/{who}?tab=notes'))}",
                                                       {"act": "delete"})):  # fmt: skip
        await viewer.post(f"/profiles/{who}/{path}", 403, **more)
    limited = await desk.person("agent", [other.id], name="Lim Ited")
    for path, more in (("notes", {"text": "x"}), ("follow-up", {"act": "clear"}), ("edit", {"name": "x"})):
        await limited.post(f"/profiles/{who}/{path}", 404, **more)
    assert account.id
