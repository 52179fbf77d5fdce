"""Snippets, offers and revisions on a real database: nobody gets two codes, no code goes to two, no wording is lost."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from base.clock import now
from base.errors import Conflict, WrongInput
from base.ids import new_id
from base.mongo import Database
from campaigns.library.offers import OfferInput, Offers, made
from campaigns.library.snippets import SnippetInput, Snippets
from campaigns.render import Renderer
from campaigns.store import CouponRoom, OfferStore, SnippetStore, TemplateStore
from inbox.models import Send, Source
from inbox.sources import Skip
from profiles.holdings import Traces
from profiles.store.belongings import Joining, Parting


@pytest.fixture(scope="module")
async def db(mongo_url: str, shaped_database: str) -> AsyncIterator[Database]:
    opened = Database(mongo_url, shaped_database)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
async def snippets(db: Database) -> AsyncIterator[Snippets]:
    store = SnippetStore(db, now)
    renderer = Renderer(shelf=store)
    yield Snippets(store, TemplateStore(db, now), OfferStore(db, now), renderer)
    await renderer.close()


@pytest.fixture
def offers(db: Database) -> Offers:
    return Offers(OfferStore(db, now), TemplateStore(db, now), SnippetStore(db, now), now)


def send(profile_id: str, kind: str = "broadcast") -> Send:
    return Send(
        id=new_id("snd"), send_key=new_id("evt"), send_class="marketing", source=Source(kind), profile_id=profile_id,
        identity_id="idn", channel_id="chn", content={}, state="planned", planned_at=now(),
    )  # fmt: skip


async def offer(offers: Offers, codes: list[str] | None = None, **more: Any) -> dict[str, Any]:
    key = new_id("ofr")
    fields = {"source": "list"} if codes is not None else {"pattern": "TEA-########"}
    row = await offers.create(OfferInput.model_validate({"key": key, "name": "Spring", **fields, **more}), None)
    if codes:
        assert (await offers.add_codes(row["_id"], codes)).added == len(set(codes))
    return row


async def codes(offers: Offers, row: dict[str, Any], *people: str) -> list[Any]:
    sends = [send(each) for each in people]
    found = await offers.for_sends({each.id: (each, {row["key"]}) for each in sends}, now())
    answers = [found[each.id] for each in sends]
    return [each if isinstance(each, Skip) else each[row["key"]] for each in answers]


@pytest.mark.parametrize("source", ["list", "generated"])
async def test_two_workers_give_each_person_one_code_and_no_code_twice(offers: Offers, source: str) -> None:
    row = await offer(offers, [f"C{n}" for n in range(60)] if source == "list" else None)
    people = [new_id("prf") for _ in range(40)]
    rounds = await asyncio.gather(*(codes(offers, row, *people) for _ in range(4)))
    assert all(each == rounds[0] for each in rounds), "whoever asks, a person's code is the same"
    assert len(set(rounds[0])) == 40 and all(isinstance(each, str) for each in rounds[0])
    free, given = await offers.tally(row["_id"])
    assert (free, given) == (20 if source == "list" else 0, 40), "a code that two asked for at once is not lost"


async def test_a_worker_that_died_after_taking_a_code_costs_none(offers: Offers) -> None:
    row = await offer(offers, ["A", "B"])
    (first,) = await codes(offers, row, "prf_dies")  # and here the process ends: nothing was sent
    assert await codes(offers, row, "prf_dies", "prf_other") == [first, ({"A", "B"} - {first}).pop()]
    listed = (await offers.given(row["_id"])).data
    assert {each["profile_id"]: each["code"] for each in listed} == {
        "prf_dies": first, "prf_other": ({"A", "B"} - {first}).pop(),
    }  # fmt: skip


@pytest.mark.parametrize("choice", ["skip", "blank"])
async def test_without_a_code_left_the_author_decides(offers: Offers, choice: str) -> None:
    row = await offer(offers, ["ONLY"], when_none=choice)
    one, other = await codes(offers, row, "prf_1", "prf_2")
    assert one == "ONLY"
    assert (other.code, "no code left" in other.sentence) == ("no_coupon", True) if choice == "skip" else other == ""


async def test_what_has_ended_is_not_given(offers: Offers) -> None:
    row = await offer(offers, ["X"], expires_at=now() - timedelta(seconds=1))
    (answer,) = await codes(offers, row, "prf_1")
    assert isinstance(answer, Skip) and "has ended" in answer.sentence and await offers.tally(row["_id"]) == (1, 0)


async def test_a_test_uses_nothing_up(offers: Offers) -> None:
    row = await offer(offers, ["X"])
    trial = send("", "test")
    assert await offers.for_sends({trial.id: (trial, {row["key"]})}, now()) == {trial.id: {row["key"]: "SAMPLE-CODE"}}
    assert await offers.tally(row["_id"]) == (1, 0)


async def test_codes_follow_a_merge_and_come_back(offers: Offers, db: Database) -> None:
    row = await offer(offers, ["A", "B", "C"])
    mine, theirs = await codes(offers, row, "prf_stays", "prf_goes")
    rooms = OfferStore(db, now).belongings
    joining = Joining("mrg_1", "prf_goes", "prf_stays")
    assert [await rooms.move(joining), await rooms.move(joining), await rooms.carried(joining)] == [1, 0, 1]
    assert await codes(offers, row, "prf_stays") == [mine], "of two the survivor's own stays theirs"
    assert await rooms.bring_back(Parting("mrg_1", "prf_stays", "prf_goes")) == 1
    assert await codes(offers, row, "prf_stays", "prf_goes") == [mine, theirs]


async def test_an_erased_person_leaves_a_code_nobody_gets_again(offers: Offers, db: Database) -> None:
    row = await offer(offers, ["A", "B"])
    (code,) = await codes(offers, row, "prf_erased")
    room, traces = CouponRoom(db), Traces(profile_ids=("prf_erased",))
    assert await room.count(traces) == 1 and await room.erase(traces) == 1 and await room.count(traces) == 0
    assert (await offers.add_codes(row["_id"], [code])).added == 0
    (other,) = await codes(offers, row, "prf_new")
    assert other != code and "prf_erased" not in str(await db.collection("coupon_codes").find().to_list(None))


def test_made_codes_are_no_one_s_guess() -> None:
    found = Counter(made("T-########") for _ in range(500))
    assert max(found.values()) == 1 and all(len(each) == 10 and not set("OI01L") & set(each[2:]) for each in found)
    with pytest.raises(ValueError, match="6 or more"):
        OfferInput(key="x", name="x", pattern="T-###")


async def test_a_list_is_read_strictly(offers: Offers) -> None:
    row = await offer(offers, [])
    laid = await offers.add_codes(row["_id"], [" A ", "A", "", "B"])
    assert (laid.added, laid.known, laid.twice) == (2, (), ("A",))
    laid = await offers.add_codes(row["_id"], ["B", "C"])
    assert (laid.added, laid.known, laid.twice) == (1, ("B",), ())
    with pytest.raises(WrongInput):
        await offers.add_codes(row["_id"], ["x" * 101])
    generated = await offer(offers)
    with pytest.raises(WrongInput, match="pattern"):
        await offers.add_codes(generated["_id"], ["A"])


# -- snippets --------------------------------------------------------------------------------------------------------


def snippet(key: str, text: str) -> SnippetInput:
    return SnippetInput(key=key, name=key.title(), text=text)


async def test_a_snippet_that_would_contain_itself_is_refused(snippets: Snippets) -> None:
    one = await snippets.create(snippet("one", "1"), None)
    await snippets.create(snippet("two", "{% include 'one' %}"), None)
    with pytest.raises(WrongInput) as caught:
        await snippets.change(one["_id"], {"text": "{% include 'two' %}"}, None)
    assert "one → two → one" in caught.value.errors[0].message
    with pytest.raises(WrongInput, match="faults"):
        await snippets.create(snippet("three", "{% include 'three' %}"), None)
    with pytest.raises(WrongInput):
        await snippets.create(snippet("four", "{% include 'nobody' %}{{ coupon('nothing') }}"), None)
    with pytest.raises(WrongInput):
        await snippets.create(snippet("five", "{{ broken"), None)


async def test_who_uses_a_snippet_keeps_it(snippets: Snippets, db: Database) -> None:
    row = await snippets.create(snippet("kept", "Hi"), None)
    with pytest.raises(Conflict, match="is or was"):
        await snippets.create(snippet("kept", "again"), None)
    templates = TemplateStore(db, now)
    user = await templates.add("Welcome", "chat", {"text": "{% include 'kept' %}"}, None)
    assert await snippets.users("kept") == [{"_id": user["_id"], "name": "Welcome"}]
    with pytest.raises(Conflict, match="Welcome"):
        await snippets.delete(row["_id"])
    await templates.delete(user["_id"])
    await snippets.delete(row["_id"])
    assert (await snippets.restore(row["_id"]))["key"] == "kept"


# -- revisions -------------------------------------------------------------------------------------------------------


async def test_every_wording_is_kept_once(db: Database) -> None:
    store = TemplateStore(db, now)
    row = await store.add("T", "chat", {"text": "one"}, None)
    saved = await asyncio.gather(
        *(store.change(row["_id"], 1, "T", "chat", {"text": f"two {n}"}, None) for n in range(4))
    )
    assert len([each for each in saved if each]) == 1, "only one of those who saved at once"
    await store.change(row["_id"], 2, "T", "chat", {"text": "three"}, None, tags=["vip"])
    kept = (await store.revisions(row["_id"])).data
    assert [each["rev"] for each in kept] == [3, 2, 1] and kept[0]["content"] == {"text": "three"}
    first = await store.revision(row["_id"], 1)
    assert first is not None and first["content"] == {"text": "one"} and await store.revision(row["_id"], 9) is None


async def test_a_template_older_than_revisions_gets_its_first_one(db: Database) -> None:
    store = TemplateStore(db, now)
    row = await store.add("Old", "chat", {"text": "one"}, None)
    await db.collection("template_revisions").delete_many({"template_id": row["_id"]})
    assert (await store.revision(row["_id"], 1) or {})["content"] == {"text": "one"}
    await store.change(row["_id"], 1, "Old", "chat", {"text": "two"}, None)
    assert [each["rev"] for each in (await store.revisions(row["_id"])).data] == [2, 1]


async def test_the_library_is_searched(db: Database) -> None:
    store = TemplateStore(db, now)
    row = await store.add("Frühling", "email", {"subject": "Neuer Tee"}, None, tags=["promo"])
    for wanted in ({"q": "frühl"}, {"q": "neuer t"}, {"tag": "promo"}, {"q": "promo", "kind": "email"}):
        assert [each["_id"] for each in (await store.page(**wanted)).data] == [row["_id"]], wanted  # type: ignore[arg-type]
    assert (await store.page(q="(")).data == [] and "promo" in await store.tags()
