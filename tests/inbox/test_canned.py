"""Canned replies: whose they are, their files, what is found, how uses are counted."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from base.errors import Conflict, NotFound, WrongInput
from inbox.canned import CannedInput, looked_for, unfilled
from inbox.drafts import DraftKey
from inbox.models import Actor, ChosenFile, ReplyInput
from tests.inbox.conftest import House

ANNA, BO = (f"usr_{'0' * 25}{n}" for n in "ab")
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40
BY_ANNA, BY_BO = Actor(ANNA, "Anna"), Actor(BO, "Bo")


def words(shortcut: str, text: str = "Hello", **more: Any) -> CannedInput:
    return CannedInput(shortcut=shortcut, text=text, **more)


async def upload(house: House, by: str, name: str = "map.png") -> str:
    return (await house.inbox.files.upload(PNG + name.encode(), name, "image/png", by)).id


async def file_row(house: House, file_id: str) -> Any:
    return await house.database.collection("files").find_one({"_id": file_id})


async def test_a_reply_is_ones_own_or_everybodys(house: House) -> None:
    canned = house.inbox.canned
    shared, own = await canned.create(words("hi"), ANNA), await canned.create(words("HI", scope="me"), ANNA)
    await canned.create(words("hi", scope="me"), BO)
    with pytest.raises(Conflict):
        await canned.create(words("Ｈi"), BO)
    assert {each.id for each in await canned.seen_by(ANNA)} == {shared.id, own.id}
    for wrong in (own.id, "cnr_none", "cnr_" + "0" * 26):
        with pytest.raises(NotFound):
            await canned.get(wrong, BO)
    changed = await canned.change(shared.id, BO, {"scope": "me", "shortcut": "bo", "text": "Bo here"})
    assert (changed.owner_id, changed.shortcut, changed.text) == (BO, "bo", "Bo here")
    with pytest.raises(NotFound):
        await canned.get(shared.id, ANNA)
    with pytest.raises(WrongInput):
        await canned.change(own.id, ANNA, {"text": " "})
    with pytest.raises(WrongInput):
        await canned.change(own.id, ANNA, {"channel_ids": ["chn_" + "0" * 26]})


async def test_one_taken_away_is_put_back_and_forgotten_in_the_end(house: House) -> None:
    canned = house.inbox.canned
    made = await canned.create(words("hi", file_ids=(await upload(house, ANNA),)), ANNA)
    await canned.remove(made.id, ANNA)
    assert not await canned.seen_by(ANNA)
    other = await canned.create(words("hi"), BO)
    with pytest.raises(Conflict):
        await canned.restore(made.id, ANNA)
    await canned.change(other.id, BO, {"shortcut": "other"})
    assert (await canned.restore(made.id, BO)).file_ids == made.file_ids
    await canned.remove(made.id, ANNA)
    house.clock.ahead += timedelta(days=29)
    assert await canned.tidy() == 0
    house.clock.ahead += timedelta(days=2)
    assert await canned.tidy() == 1 == len(await canned.seen_by(BO))
    with pytest.raises(NotFound):
        await canned.restore(made.id, ANNA)
    assert (await file_row(house, made.file_ids[0]))["source"] == "upload"
    house.clock.ahead += timedelta(days=8)
    await house.inbox.files.tidy()
    assert await file_row(house, made.file_ids[0]) is None


async def test_its_files_outlive_the_upload_and_are_sent_by_others(house: House) -> None:
    canned, channel = house.inbox.canned, await house.channel()
    brought = await upload(house, ANNA)
    with pytest.raises(WrongInput):
        await canned.create(words("map", file_ids=(brought,)), BO)
    shared = await canned.create(words("map", file_ids=(brought,)), ANNA)
    own = await canned.create(words("own", file_ids=(brought,), scope="me"), ANNA)
    house.clock.ahead += timedelta(days=8)
    await house.inbox.files.tidy()
    assert await file_row(house, brought) is None and (await file_row(house, shared.file_ids[0]))["state"] == "stored"
    arrival = house.arrival(channel, "cara", "m1", at=house.clock())
    (outcome,) = (await house.inbox.receiver.receive([arrival])).outcomes
    talk = outcome.conversation_id

    async def send(by: Actor, file_id: str, key: str) -> Any:
        reply = ReplyInput(text="Here", note=True, attachments=(ChosenFile(file_id=file_id),))
        return await house.inbox.outbox.reply(talk, by, reply, key)

    assert (await send(BY_BO, shared.file_ids[0], "k1")).attachments[0]["name"] == "map.png"
    await send(BY_ANNA, own.file_ids[0], "k2")
    with pytest.raises(WrongInput):
        await send(BY_BO, own.file_ids[0], "k3")
    await canned.change(own.id, ANNA, {"scope": "everybody"})
    await send(BY_BO, own.file_ids[0], "k4")
    changed = await canned.change(shared.id, BO, {"file_ids": (await upload(house, BO, "b.png"),)})
    assert len(changed.file_ids) == 1 and changed.file_ids != shared.file_ids
    assert (await file_row(house, shared.file_ids[0]))["source"] == "upload"


async def test_uses_are_counted_once_and_given_back(house: House) -> None:
    canned, channel = house.inbox.canned, await house.channel()
    one, two = await canned.create(words("one"), ANNA), await canned.create(words("two"), ANNA)
    hers = await canned.create(words("hers", scope="me"), ANNA)
    arrival = house.arrival(channel, "cara", "m1", at=house.clock())
    (outcome,) = (await house.inbox.receiver.receive([arrival])).outcomes
    talk = outcome.conversation_id
    reply = ReplyInput(text="Hello", canned_ids=(one.id, two.id, one.id, hers.id, "cnr_" + "0" * 26))
    for _ in range(2):
        line = await house.inbox.outbox.reply(talk, BY_BO, reply, "k1", undo_s=10)

    async def uses() -> dict[str, int]:
        return {each.shortcut: each.uses for each in await canned.seen_by(ANNA)}

    assert await uses() == {"one": 1, "two": 1, "hers": 0}
    for _ in range(2):
        await house.inbox.afterthoughts.undo(line.id, BY_BO)
    assert await uses() == {"one": 0, "two": 0, "hers": 0}
    draft = await house.inbox.drafts.get(DraftKey(talk, BO))
    assert draft is not None and draft.written.canned_ids[:2] == (one.id, two.id)


async def test_nothing_goes_out_with_a_blank(house: House) -> None:
    channel = await house.channel()
    arrival = house.arrival(channel, "cara", "m1", at=house.clock())
    (outcome,) = (await house.inbox.receiver.receive([arrival])).outcomes
    for text in ("Hi {{ profile.first_name }}!", "{{order.number|upper}}", "{{- Agent.name -}}"):
        with pytest.raises(WrongInput) as caught:
            await house.inbox.outbox.reply(outcome.conversation_id, BY_ANNA, ReplyInput(text=text), "k")
        assert [each.path for each in caught.value.errors] == ["text"]
    for reply in (ReplyInput(text="{{ profile.name }}", note=True), ReplyInput(text="{{ x }} { profile }")):
        await house.inbox.outbox.reply(outcome.conversation_id, BY_ANNA, reply, f"k{reply.note}")


async def test_many_at_once_make_one_shortcut(house: House) -> None:
    canned = house.inbox.canned
    made = await asyncio.gather(*(canned.create(words("same"), ANNA) for _ in range(8)), return_exceptions=True)
    assert sum(not isinstance(each, Exception) for each in made) == 1
    assert all(isinstance(each, Conflict) for each in made if isinstance(each, Exception))


async def test_what_is_looked_for_is_found_in_order(house: House) -> None:
    canned = house.inbox.canned
    for each in (words("zz", "退货地址：莱顿"), words("return", "Send it back"), words("x", "no", title="Return it"),
                 words("y", "you return it")):  # fmt: skip
        await canned.create(each, ANNA)
    seen = await canned.seen_by(ANNA)
    assert [each.shortcut for each in looked_for(seen, "RETURN")] == ["return", "x", "y"]
    assert [each.shortcut for each in looked_for(seen, "return it")] == ["return", "x", "y"]
    assert [each.shortcut for each in looked_for(seen, "地址")] == ["zz"]
    assert looked_for(seen, "  ") == seen and looked_for(seen, "nowhere") == []


@given(st.text(alphabet="{}% profileordagnt.|_-\n", max_size=60))
def test_what_is_unfilled_stands_in_the_text(text: str) -> None:
    found = unfilled(text)
    assert all(each in text and each.startswith("{{") and each.endswith("}}") for each in found)
    assert len(found) == len(set(found))


async def test_a_teams_replies_are_its_members_alone(house: House) -> None:
    canned, store = house.inbox.canned, house.inbox.teams
    team = {"name": "Tea", "members": [{"user_id": ANNA, "watches": False}], "channel_ids": []}
    ours = (await store.add("tea_" + "1" * 26, team))["_id"]
    theirs = (await store.add("tea_" + "2" * 26, {**team, "name": "Pots", "members": []}))["_id"]
    made = await canned.create(words("hi", scope="team", team_id=ours, file_ids=(await upload(house, ANNA),)), ANNA)
    other = await canned.create(words("hi", scope="team", team_id=theirs), ANNA)
    own, shared = await canned.create(words("hi", scope="me"), ANNA), await canned.create(words("hi"), ANNA)
    assert (made.scope, made.team_id, own.team_id) == ("team", ours, None)
    assert {each.id for each in await canned.seen_by(ANNA)} == {made.id, own.id, shared.id}
    assert {each.id for each in await canned.seen_by(BO)} == {shared.id}
    assert {each.id for each in await canned.seen_by(BO, all_teams=True)} == {shared.id, made.id, other.id}
    for reply_id, who in ((made.id, BO), (other.id, ANNA)):
        with pytest.raises(NotFound):
            await canned.get(reply_id, who)
        with pytest.raises(NotFound):
            await canned.change(reply_id, who, {"text": "taken"})
        with pytest.raises(NotFound):
            await canned.remove(reply_id, who)
    with pytest.raises(Conflict):
        await canned.create(words("HI", scope="team", team_id=ours), BO)
    with pytest.raises(WrongInput):
        await canned.create(words("x", scope="team", team_id="tea_" + "3" * 26), ANNA)
    talk = await house.conversation(await house.channel(), "cara")
    file = ReplyInput(text="Hi", note=True, attachments=(ChosenFile(file_id=made.file_ids[0]),), canned_ids=(made.id,))
    with pytest.raises(WrongInput):
        await house.inbox.outbox.reply(talk.id, BY_BO, file, "k1")
    await house.inbox.outbox.reply(talk.id, BY_ANNA, file, "k2")
    assert (await canned.get(made.id, ANNA)).uses == 1
    rule = Actor("arl_" + "4" * 26, "A rule", "system")  # whose it is may send it, through it as well
    with pytest.raises(WrongInput):
        await house.inbox.outbox.reply(talk.id, replace(rule, for_user=BO), file, "k3")
    await house.inbox.outbox.reply(talk.id, replace(rule, for_user=ANNA), file, "k4")
    for change, scope in (({"scope": "everybody"}, "everybody"), ({"scope": "me"}, "me")):
        assert (await canned.change(made.id, ANNA, {**change, "shortcut": "now"})).scope == scope


def test_a_text_or_an_address() -> None:
    assert words("x", text="", url="https://shop.example/slot").url
    for wrong in ({"url": "ftp://shop.example"}, {"url": "https://shop.example", "text": "both"}, {"scope": "team"}):
        with pytest.raises(ValidationError):
            words("x", **{"text": "", **wrong})
