"""Settings → Canned replies, and one of them put into an answer, without a script."""

import re

from aiohttp import FormData

from inbox.drafts import DraftKey
from inbox.routing.models import TeamInput
from tests.desk.conftest import Desk
from tests.desk.world import channel, wrote

HERE = "/settings/canned"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40


async def write(person, path: str, expected: int = 303, files: tuple[str, ...] = (), **fields: str) -> str:
    """Post the form of a canned reply; where it leads, or the page."""
    form = FormData({"csrf": person.csrf, **fields})
    form.add_field("files", b"", filename="", content_type="application/octet-stream")
    for name in files:
        form.add_field("files", PNG, filename=name, content_type="image/png")
    async with person.client.post(path, data=form, allow_redirects=False) as answer:
        text = await answer.text()
        assert answer.status == expected, text[:600]
        return answer.headers["Location"].partition("?")[0] if expected == 303 else text


async def test_what_was_looked_for_in_vain_stands_in_the_form_of_a_new_one(desk: Desk) -> None:
    person = await desk.person()
    assert 'value="lid-repair"' in await person.page(f"{HERE}/new?shortcut=/lid-repair")
    odd = await person.page(f"{HERE}/new?shortcut=%22%3E%3Cb%3E" + "x" * 60)
    assert '"><b>x' not in odd and 'value="&#34;&gt;&lt;b&gt;' + "x" * 35 + '"' in odd
    viewer = await desk.person("viewer", name="Vi")
    await viewer.page(f"{HERE}/new?shortcut=x", 403)


async def test_a_reply_is_written_changed_taken_away_and_put_back(desk: Desk) -> None:
    person = await desk.person()
    assert "No canned replies yet" in await person.page(HERE)
    form = {"shortcut": "/map", "title": "Where <b>", "text": "Hi {{ profile.first_name }}", "scope": "everybody"}
    here = await write(person, f"{HERE}/new", files=("map.png",), **form)
    page = await person.page(here)
    assert "map.png" in page and "not used yet" in page
    (kept,) = re.findall(r'name="file_ids" value="(fil_[0-9a-z]{26})" checked', page)
    page = await person.page(HERE)
    assert "/map" in page and "Where &lt;b&gt;" in page and "1 file" in page
    await write(person, here, file_ids=kept, **{**form, "scope": "me", "title": ""})
    page = await person.page(HERE)
    assert "Only you" in page and "1 file" in page
    await write(person, here, **{**form, "scope": "everybody"})
    assert "1 file" not in await person.page(HERE)
    assert "No canned reply has these words" in await person.page(f"{HERE}?q=nowhere")
    gone = await person.post(f"{here}/remove")
    assert 'data-testid="undo"' in await person.page(gone)
    assert await person.post(f"{here}/restore") == here


async def test_faults_stand_beside_their_fields_and_nothing_is_lost(desk: Desk) -> None:
    person = await desk.person()
    page = await write(person, f"{HERE}/new", 422, shortcut="two words", text="Kept <i>", scope="me")
    assert 'data-testid="fault-shortcut"' in page and "Kept &lt;i&gt;" in page
    page = await write(person, f"{HERE}/new", 422, shortcut="x", text="{{ event.name }}", scope="me")
    assert 'data-testid="fault-text"' in page
    await write(person, f"{HERE}/new", shortcut="same", text="t", scope="me")
    page = await write(person, f"{HERE}/new", 422, files=("kept.png",), shortcut="Same", text="t", scope="me")
    assert 'data-testid="fault-shortcut"' in page and "kept.png" in page


async def test_others_look_and_do_not_write(desk: Desk) -> None:
    person, viewer = await desk.person(), await desk.person("viewer", name="Vi Viewer")
    here = await write(person, f"{HERE}/new", shortcut="look", text="t", scope="everybody")
    page = await viewer.page(here)
    assert 'data-testid="save"' not in page and "/look" in await viewer.page(HERE)
    await viewer.post(f"{here}/remove", 403)
    own = await write(person, f"{HERE}/new", shortcut="mine", text="t", scope="me")
    await viewer.page(own, 404)
    await (await desk.person(name="Bo Agent")).post(f"{own}/remove", 404)


async def test_several_are_put_into_an_answer(desk: Desk) -> None:
    shop, person = await channel(desk.runtime, name="Shop account"), await desk.person()
    talk = await wrote(desk.runtime, shop, "cara", name="Cara Smit")
    await write(person, f"{HERE}/new", shortcut="cara-hi", text="Hi {{ profile.first_name }}", scope="everybody")
    await write(
        person, f"{HERE}/new", files=("map.png",), shortcut="cara-map", text="{{ order.number }}", scope="me"
    )
    assert f"/inbox/{talk.id}/canned" in await person.page(f"/inbox/{talk.id}")
    chosen = await person.post(f"/inbox/{talk.id}/canned", text="Good morning", mode="reply")
    page = await person.page(f"{chosen}?q=cara")
    assert "Hi Cara" in page and "To be filled in by you: {{ order.number }}" in page and "map.png" in page
    for path in sorted(re.findall(rf'action="(/inbox/{talk.id}/canned/cnr_[0-9a-z]{{26}})"', page)):
        assert await person.post(path, mode="reply") == f"/inbox/{talk.id}"
    page = await person.page(f"/inbox/{talk.id}")
    found = re.search(r"<textarea[^>]*>\n([^<]*)</textarea>", page)
    assert found and found[1] == "Good morning\n\nHi Cara\n\n{{ order.number }}"
    ids = re.findall(r'name="canned" value="(cnr_[^"]+)"', page)
    (file_id,) = re.findall(r'name="file" value="([^"]+)"', page)
    assert len(ids) == 2
    form = [("csrf", person.csrf), ("mode", "reply"), ("client_key", "c1"), ("file", file_id)]
    form += [("canned", each) for each in ids]

    async def send(text: str) -> str:
        data = FormData([*form, ("text", text)])
        async with person.client.post(f"/inbox/{talk.id}/reply", data=data) as answer:
            return await answer.text()

    assert 'data-testid="composer-fault"' in await send(found[1])
    draft = await desk.runtime.drafts.get(DraftKey(talk.id, person.user_id))
    assert draft is not None and draft.written.canned_ids == tuple(ids)
    await send("Good morning\n\nHi Cara\n\n1042")
    used = [each.uses for each in await desk.runtime.canned.seen_by(person.user_id) if each.id in ids]
    assert used == [1, 1] and "used 1 time" in await person.page(HERE)


async def test_a_teams_reply_and_one_that_gives_no_text(desk: Desk) -> None:
    shop = await channel(desk.runtime, name="Team shop")
    admin, person = await desk.person("admin", name="Ada Admin"), await desk.person(name="Tim Team")
    team = await desk.runtime.teams.create(
        TeamInput.model_validate({"name": "Tea <b>", "members": [{"user_id": person.user_id}]})
    )
    assert 'name="url"' not in await person.page(f"{HERE}/new")
    await write(person, f"{HERE}/new", shortcut="steep", text="Five minutes", scope=team.id)
    assert "Tea &lt;b&gt;" in await person.page(HERE) and "/steep" in await admin.page(HERE)
    assert "/steep" not in await (await desk.person(name="Una Other")).page(HERE)
    both = {"shortcut": "slot", "text": "both", "url": "https://nowhere.invalid/", "scope": "me"}
    page = await write(admin, f"{HERE}/new", 422, **both)
    assert "not a text and an address" in page
    await write(admin, f"{HERE}/new", shortcut="slot", text="", url="https://nowhere.invalid/slot", scope="everybody")
    assert "The text comes from nowhere.invalid" in await person.page(HERE)
    talk = await wrote(desk.runtime, shop, "dora", name="Dora Smit")
    page = await person.page(f"/inbox/{talk.id}/canned?q=slot")
    assert "asked for when you put it in" in page
    (path,) = re.findall(rf'action="(/inbox/{talk.id}/canned/cnr_[0-9a-z]{{26}})"', page)
    failed = await person.post(path, 422, mode="reply")
    assert 'data-testid="canned-fault"' in failed and "could not be reached" in failed
