"""No room is forgotten: a filled house is walked collection by collection; exported and erased by the same list."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from base.clock import now
from base.errors import NotFound
from channels.adapter import Delivery
from profiles.holdings import Traces, traces_from
from rapport.holdings import IMPERSONAL
from rapport.migrations import declared_indexes
from tests.rapport.merging import Town, opened

#: Fields by which a row shows that it is about somebody.
TELLING = ("profile_id", "profile_ids", "identity_id", "survivor_id", "address_key")


@pytest.fixture(scope="module")
async def town(mongo_url: str, redis_url: str, database_name: str) -> AsyncIterator[Town]:
    async with opened(mongo_url, redis_url, database_name[-38:]) as town:
        yield town


def rooms(town: Town) -> set[str]:
    return {room.name for room in town.runtime.privacy.erasures._holdings.rooms}


async def lived(town: Town, name: str) -> str:
    """Somebody of whom every part of the house keeps something."""
    profile_id = await town.says(name, f"{name} says hello", email=f"{name}@example.org")
    await town.buys(name)
    await town.answers(name, True)
    await town.enters(profile_id)
    said = {"id": f"b-{name}", "from": {"id": name}, "text": "in a body"}
    body = json.dumps({"type": "message.received", "data": said})
    channel = town.channel(name)
    await town.runtime.journal.keep(channel, "generic", f"k-{name}", Delivery("POST", body.encode(), {}, {}, now()))
    return profile_id


async def erased(town: Town, profile_id: str) -> dict[str, Any]:
    """Asked for and carried out to its end, as the workers do it."""
    erasures = town.runtime.privacy.erasures
    row = await erasures.ask(profile_id, by="usr_tester")
    for _ in range(6):
        await town.runtime.ingest.drain(100)
        await hurry(town)
        await erasures.drain(only=row["_id"])
    return await erasures.get(row["_id"])


async def hurry(town: Town) -> None:
    past = {"$set": {"due_at": now() - timedelta(seconds=1)}}
    await town.runtime.db.collection("erasures").update_many({"due_at": {"$exists": True}}, past)


def test_every_collection_stands_in_one_of_the_two_tables(town: Town) -> None:
    declared = set(declared_indexes())
    known = rooms(town) | set(IMPERSONAL)
    assert declared - known == set(), "Say in rapport/holdings.py what these keep of a person."
    assert rooms(town) & set(IMPERSONAL) == set()
    assert all(len(reason) > 7 for reason in IMPERSONAL.values())


async def test_a_filled_database_holds_nothing_else_and_nobody_where_nobody_is_said_to_be(town: Town) -> None:
    await lived(town, "wanda")
    await town.runtime.privacy.dossiers.ask(await town.says("wanda"), by="usr_tester")
    names = set(await town.runtime.db.handle.list_collection_names())
    assert names - rooms(town) - set(IMPERSONAL) == set(), "Say in rapport/holdings.py what these keep of a person."
    for name in names & set(IMPERSONAL):
        async for row in town.runtime.db.collection(name).find({}):
            assert not [field for field in TELLING if field in row], (name, row)


async def test_a_dossier_has_every_room_and_both_languages(town: Town) -> None:
    profile_id = await lived(town, "xenia")
    await town.runtime.ingest.drain(100)
    told = await town.runtime.privacy.dossiers.at_once(profile_id, by="usr_tester")
    wanted = {"profiles", "identities", "consents", "events", "conversations", "messages", "orders", "enrolments",
              "deliveries"}  # fmt: skip
    assert wanted <= set(told["rooms"])
    assert told["rooms"]["messages"][0]["text"] == "xenia says hello"
    assert told["rooms"]["deliveries"][0]["items"][0]["text"] == "in a body"
    assert "lease" not in json.dumps(told)
    for language, title in (("en", "Everything we hold about you"), ("zh_CN", "我们保存的关于您的全部数据")):
        row = await town.runtime.privacy.dossiers.ask(profile_id, by="usr_tester", language=language)
        await town.runtime.privacy.dossiers.drain(10)
        row = await town.runtime.privacy.dossiers.get(row["_id"])
        assert row["state"] == "ready", row
        pack = zipfile.ZipFile(io.BytesIO(b"".join([piece async for piece in town.runtime.privacy.dossiers.read(row)])))
        page = pack.read("index.html").decode()
        assert title in page and "xenia says hello" in page and "<script" not in page and "http" not in page
        assert json.loads(pack.read("data.json"))["rooms"]["profiles"][0]["id"] == profile_id


async def test_erasure_leaves_nothing_and_a_log_that_names_nobody(town: Town) -> None:
    profile_id, other = await lived(town, "yvonne"), await lived(town, "ulrich")
    before = await town.runtime.privacy.erasures.outlook(other)
    row = await erased(town, profile_id)
    assert row["state"] == "done" and row["erased"]["messages"] == 2 and row["erased"]["deliveries"] == 1
    with pytest.raises(NotFound):
        await town.runtime.privacy.erasures.outlook(profile_id)
    found = await everywhere(town, "yvonne", profile_id)
    assert not found, found
    after = await town.runtime.privacy.erasures.outlook(other)
    told = {"events": 0, "feed": 0}
    assert {**after, **told} == {**before, **told, "messages": before["messages"] + 1}
    assert "yvonne" not in str(row) and profile_id not in str(row)
    known = await town.runtime.privacy.erasures.known(["email:yvonne@example.org"])
    assert [each["_id"] for each in known] == [row["_id"]]
    assert not await town.runtime.privacy.erasures.known(["email:nobody@example.org"])


async def everywhere(town: Town, *words: str) -> list[tuple[str, str]]:
    """Rows of any collection in which one of these words stands."""
    found = []
    for name in await town.runtime.db.handle.list_collection_names():
        async for row in town.runtime.db.collection(name).find({}):
            found += [(name, str(row)) for word in words if word in str(row)]
    return found


async def test_killed_after_every_room_it_is_finished_later(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    profile_id = await lived(town, "zelda")
    await town.runtime.ingest.drain(100)
    erasures = town.runtime.privacy.erasures
    row = await erasures.ask(profile_id, by="usr_tester")
    emptied = erasures._store.emptied
    deaths = 0

    async def dies(*given: Any) -> bool:
        nonlocal deaths
        if deaths % 2 == 0:
            deaths += 1
            raise KeyboardInterrupt  # nothing of ours catches it: as if the process were gone
        deaths += 1
        return await emptied(*given)

    monkeypatch.setattr(erasures._store, "emptied", dies)
    for _ in range(200):
        await hurry(town)
        try:
            await erasures.drain(only=row["_id"])
        except KeyboardInterrupt:
            continue
        if (await erasures.get(row["_id"]))["state"] == "done":
            break
    assert (await erasures.get(row["_id"]))["state"] == "done" and deaths > 40
    assert not await everywhere(town, "zelda", profile_id)


async def test_who_writes_while_it_goes_on_goes_with_it_and_who_writes_afterwards_is_new(town: Town) -> None:
    profile_id = await lived(town, "tilda")
    erasures = town.runtime.privacy.erasures
    row = await erasures.ask(profile_id, by="usr_tester")
    await erasures.drain(only=row["_id"])
    assert (await erasures.get(row["_id"]))["waits_for"] == "deliveries"  # one is kept and not worked off yet
    assert await town.runtime.profiles.get(profile_id) is not None
    await town.runtime.ingest.drain(100)
    await hurry(town)
    await erasures.drain(only=row["_id"])
    assert await town.runtime.profiles.get(profile_id) is None
    again = await town.says("tilda", "Hello again")
    assert again != profile_id
    # Somebody who had not heard of it writes a row for the one who is gone.
    await town.runtime.db.collection("tasks").insert_one({"_id": "tsk_late", "profile_id": profile_id, "title": "x"})
    await hurry(town)
    await erasures.drain(only=row["_id"])
    assert (await erasures.get(row["_id"]))["state"] == "done"
    assert await town.rows("tasks", _id="tsk_late") == []
    assert [each["text"] for each in await town.rows("messages", profile_id=again)] == ["Hello again"]


def test_traces_come_back_from_their_row() -> None:
    key, home = ("email:a@b.c",), (("chn_1", "x"),)
    traces = Traces(("prf_1",), ("idn_1",), key, key, home, (("chn_1", "idn_1"),), ("a@b.c",), ("Anna Bee",), now())
    assert traces_from(traces.as_document()) == traces
