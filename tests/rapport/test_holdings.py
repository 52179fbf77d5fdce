"""No room is forgotten: a filled house is walked collection by collection; exported and erased by the same list."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from base.clock import now
from base.errors import NotFound
from campaigns.tasks import TaskInput
from channels.adapter import Delivery
from desk.store import DeskStore
from profiles import dossier_words
from profiles.dossier import file_name
from profiles.dossier_rows import TELLERS, Reader
from profiles.edit import ProfilePatch
from profiles.holdings import Traces, traces_from
from profiles.membership import SegmentInput
from profiles.notes import NoteInput
from profiles.track import TrackedInput
from rapport.holdings import IMPERSONAL
from rapport.migrations import declared_indexes
from tests.rapport.merging import Town, opened

#: Fields by which a row shows that it is about somebody.
TELLING = ("profile_id", "profile_ids", "identity_id", "survivor_id", "address_key")


@pytest.fixture(scope="module")
async def town(mongo_url: str, redis_url: str, shaped_database: str) -> AsyncIterator[Town]:
    async with opened(mongo_url, redis_url, shaped_database) as town:
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
        kept = json.loads(pack.read("data.json"))
        assert kept["rooms"]["profiles"][0]["id"] == profile_id and "dice" in kept["rooms"]["profiles"][0]
        assert set(kept["rooms"]) >= wanted


async def made(town: Town, profile_id: str, language: str | None = None) -> tuple[str, dict[str, Any], zipfile.ZipFile]:
    """The page of an export, its data, and the whole file."""
    dossiers = town.runtime.privacy.dossiers
    row = await dossiers.ask(profile_id, by="usr_tester", language=language)
    await dossiers.drain(10)
    row = await dossiers.get(row["_id"])
    assert row["state"] == "ready", row
    pack = zipfile.ZipFile(io.BytesIO(b"".join([piece async for piece in dossiers.read(row)])))
    return pack.read("index.html").decode(), json.loads(pack.read("data.json")), pack


async def test_the_readable_copy_is_in_a_customers_words_language_and_zone(town: Town) -> None:
    profile_id = await lived(town, "wilma")
    await town.runtime.ingest.drain(100)
    colleague, _ = await town.runtime.accounts.invite("ada@shop.example", "Ada Lovelace", "agent")
    people = town.runtime.db.collection("profiles")
    known = {"locale": "zh-CN", "time_zone": "Asia/Shanghai", "owner_id": colleague.id, "tags": ["tea friend"],
             "attributes": {"shoe_size": 41, "shop_key": "prf_" + "0" * 26}}  # fmt: skip
    await people.update_one({"_id": profile_id}, {"$set": known})
    await town.runtime.notes.add(profile_id, NoteInput(text="Prefers oolong"), colleague.id)
    await town.runtime.notes.add(profile_id, NoteInput(text="By somebody gone"), "usr_" + "0" * 26)
    wish = TrackedInput(event="wish.made", profile_id=profile_id, properties={"colour": "red"})
    await town.runtime.tracker.record([wish])
    told, data, _ = await made(town, profile_id)
    (message,) = [each for each in data["rooms"]["messages"] if each["text"] == "wilma says hello"]
    for language, page in (("zh_CN", told), ("en", (await made(town, profile_id, "en"))[0])):
        reader = Reader(language, "Asia/Shanghai")
        for words in ("Ada Lovelace", "Prefers oolong", "tea friend", "wilma@example.org", "wish.made", "red", "41"):
            assert words in page, (language, words)
        assert f'lang="{language.replace("_", "-")}"' in page
        assert reader.word("colleague") in page and reader.value("order", "paid") in page and "€10.00" in page
        assert reader.when(message["provider_at"]) in page
        text = re.sub(r"<style>.*?</style>|<[^>]+>", " ", page)
        assert not re.search(r"\b[a-z]{3}_[0-9a-z]{10,}", text), "an id of ours"
        for field in (*data["rooms"]["profiles"][0], *data["rooms"]["messages"][0], *data["rooms"]["orders"][0]):
            if "_" in field or field in ("rev", "dice"):
                assert not re.search(rf"\b{field.replace('_', '[_ ]')}\b", text), field
    assert ("2026" in told and "北京" in told) or "上海" in told or "中国" in told
    assert "All times in" in (await made(town, profile_id, "en"))[0]


async def test_files_are_named_without_ids_and_led_to(town: Town) -> None:
    profile_id = await lived(town, "walter")
    colleague, _ = await town.runtime.accounts.invite("bo@shop.example", "Bo", "agent")
    await town.runtime.profile_files.attach(profile_id, b"oolong", "tea list.txt", "text/plain", colleague.id)
    page, data, pack = await made(town, profile_id)
    (name,) = [each for each in pack.namelist() if each.startswith("files/")]
    assert re.fullmatch(r"files/001-tea list\.txt", name) and pack.read(name) == b"oolong"
    assert f'href="{name}"' in page and data["files"] == {data["rooms"]["files"][0]["id"]: "001-tea list.txt"}


def test_every_room_on_the_page_is_told_and_every_other_has_a_name(town: Town) -> None:
    assert set(TELLERS) == set(dossier_words.ROOMS) <= rooms(town)
    assert rooms(town) - set(TELLERS) == set(dossier_words.TECHNICAL), "Say in profiles/dossier_words.py what it is."
    for table in (dossier_words.PAGE, dossier_words.ROOMS, dossier_words.TECHNICAL, dossier_words.LABELS,
                  dossier_words.EVENTS, dossier_words.EVENTS_OF, *dossier_words.VALUES.values()):  # fmt: skip
        assert all(len(said) == 2 and all(said) for said in table.values())


def test_what_a_copy_is_called() -> None:
    at = datetime(2026, 11, 28, 20, tzinfo=UTC)
    assert file_name("", at, "UTC") == "personal-data-2026-11-28.zip"
    assert file_name("Harbour Tea & Söhne", at, "Asia/Shanghai") == "harbour-tea-sohne-personal-data-2026-11-29.zip"
    assert file_name("茶馆", at, "UTC") == "personal-data-2026-11-28.zip"


async def test_what_colleagues_wrote_elsewhere_is_found_and_left_to_one_of_them(town: Town) -> None:
    profile_id, other = await lived(town, "yolanda"), await lived(town, "oskar")
    mail, runtime = "yolanda@example.org", town.runtime
    await runtime.db.collection("profiles").update_one({"_id": profile_id}, {"$set": {"name": "Yolanda Quist"}})
    rule = {"field": "emails", "op": "eq", "value": mail}
    segment = await runtime.segments.create(SegmentInput(name="One of us", rule=rule))
    same = await runtime.segments.create(SegmentInput(name="Others", rule={**rule, "value": f"x{mail}"}))
    note = await runtime.notes.add(other, NoteInput(text="Sister of YOLANDA  quist"), "usr_x")
    await runtime.notes.add(other, NoteInput(text="Knows Yolanda"), "usr_x")  # one word is anybody's
    await runtime.tasks.create(TaskInput(text=f"Write to {mail}", profile_id=other), "usr_x")
    await runtime.editor.patch(other, ProfilePatch(add_tags=[f"of {mail}"]), source="api", by="usr_x", key="k1")
    talk = (await runtime.conversations.of_profile(other))[0]
    line = {"_id": "msg_note", "dedupe": "n1", "direction": "note", "conversation_id": talk.id}
    await runtime.db.collection("messages").insert_one({**line, "text": f"Ask {mail} first"})
    asked = await runtime.privacy.erasures.ask(profile_id, by="usr_" + "1" * 26, reason=f"{mail} wrote a letter")
    for _ in range(6):
        await runtime.ingest.drain(100)
        await hurry(town)
        await runtime.privacy.erasures.drain(only=asked["_id"])
    row = await runtime.privacy.erasures.get(asked["_id"])
    found = {(each["room"], each["id"]) for each in row["places"]}
    tasks = [each for each in await town.rows("tasks") if mail in each["text"]]
    assert row["state"] == "done" and row["all_read"] is True
    wanted = {("segments", segment["_id"]), ("notes", other), ("tasks", tasks[0]["_id"]), ("tags", "")}
    assert found == wanted | {("messages", talk.id)} and same["_id"] not in str(row) and note["_id"] not in str(row)
    assert "yolanda" not in str(row).lower() and row["reason"] is None, "the log keeps where, never what"
    (task,) = [each for each in await town.rows("tasks") if each["source"].get("id") == asked["_id"]]
    assert task["assignee_id"] == "usr_" + "1" * 26 and "yolanda" not in str(task).lower()
    kept = await runtime.segments.get(segment["_id"])
    assert kept["rule"]["value"] == mail, "a colleague decides"
    await runtime.db.collection("messages").delete_one({"_id": "msg_note"})


async def test_of_whom_nobody_speaks_nobody_is_asked(town: Town) -> None:
    row = await erased(town, await lived(town, "quentin"))
    assert row["places"] == [] and not [each for each in await town.rows("tasks") if row["_id"] in str(each)]


async def test_kept_answers_go_at_once(town: Town) -> None:
    """What a program was answered is kept for two days under its key: not the erased person in it."""
    profile_id, other = await lived(town, "viola"), await lived(town, "victor")
    answers, desk = town.runtime.db.collection("idempotency"), DeskStore(town.runtime.db, now)
    said = {"a": json.dumps({"id": profile_id, "name": "Viola"}), "b": json.dumps({"id": other}),
            "c": '{"to": "viola@example.org"}'}  # fmt: skip
    for key, body in said.items():
        await desk.begin_once("tok_x", key, "hash")
        await desk.finish_once("tok_x", key, 201, {"Location": f"/{key}"}, body.encode())
    await town.runtime.ingest.drain(100)
    await town.runtime.privacy.erasures.at_once(profile_id, by="usr_tester")
    kept = {row["body"] async for row in answers.find({})}
    assert said["a"].encode() not in kept, "found by the id in it, before the request for the erasure is answered"
    assert said["b"].encode() in kept
    for _ in range(4):
        await hurry(town)
        await town.runtime.privacy.erasures.drain()
    kept = {row["body"] async for row in answers.find({})}
    assert said["c"].encode() not in kept and said["b"].encode() in kept
    assert (await desk.begin_once("tok_x", "a", "hash")).state == "done", "the key stays used"
    found = await answers.find({"about": {"$in": [profile_id]}}).explain()
    assert "COLLSCAN" not in str(found["queryPlanner"]["winningPlan"])


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
