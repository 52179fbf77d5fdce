"""Lists of people brought in: who they are, what changes, what a crash leaves, and the way back."""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from base.clock import now
from base.errors import Conflict, WrongInput
from channels.vocabulary import Address, MessageReceived
from inbox.incoming import Arrival
from profiles.consent import ConsentAct
from profiles.consent_groups import GroupInput
from profiles.edit import ProfileInput, ProfilePatch
from profiles.imports.book import AT_ONCE
from profiles.imports.carrying import Carrier
from profiles.imports.mapping import ImportMapping, guessed
from profiles.models import IdentityRef
from profiles.resolve import Reference, Resolver
from tests.rapport.lists import BY, Lists, opened

pytestmark = pytest.mark.timeout(300)

PEOPLE = (
    "Name,E-Mail,Phone,Tags,Branch,Customer number\n"
    'Anna Visser,anna@example.org,0170 1234567,"tea, vip",Leiden,C1\n'
    "王芳,wang@example.cn,+8613800138000,茶,上海,C2\n"
    "Bo,bo@example.org,,,,\n"
)


@pytest.fixture(scope="module")
async def _house(
    mongo_url: str, redis_url: str, shaped_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Lists]:
    async with opened(mongo_url, redis_url, shaped_database, tmp_path_factory.mktemp("lists")) as lists:
        yield lists


@pytest.fixture
async def lists(_house: Lists) -> AsyncIterator[Lists]:
    yield _house
    await _house.empty()


async def known(lists: Lists, **fields: Any) -> str:
    """Somebody whom the shop knows."""
    profile, _ = await lists.runtime.editor.upsert(ProfileInput.model_validate(fields), source="api")
    return profile.id


# -- what comes of a file ------------------------------------------------------------------------------------------


async def test_a_list_becomes_people_once_however_often_it_is_brought(lists: Lists) -> None:
    head = await lists.imported(PEOPLE)
    assert (head["state"], head["counts"], head["outlook"]) == ("done", {"created": 3}, {"created": 3})
    anna = await lists.person(name="Anna Visser")
    assert [each["value"] for each in anna["phones"]] == ["+491701234567"] and anna["tags"] == ["tea", "vip"]
    assert anna["attributes"] == {"branch": "Leiden"} and anna["sources"]["name"]["rank"] == 4
    keys = {row["key"]: row["strength"] for row in await lists.rows("identities", profile_id=anna["_id"])}
    assert keys == {"customer_id:C1": "strong", "email:anna@example.org": "weak", "phone:+491701234567": "weak"}
    before = await lists.state()
    again = await lists.imported(PEOPLE)
    assert again["counts"] == {"unchanged": 3} and await lists.state() == before
    assert again["known_mapping"] and await lists.rows("sheets.files") == []


async def test_nothing_begins_because_of_it_unless_it_is_wanted(lists: Lists) -> None:
    await lists.imported(PEOPLE)
    assert {row["state"] for row in await lists.rows("events")} == {"done"}
    assert Counter(row["name"] for row in await lists.rows("events")) == {"profile.created": 3, "profile.tag_added": 3}
    await lists.empty()
    await lists.imported(PEOPLE, journeys=True)
    assert {row["state"] for row in await lists.rows("events")} == {"pending"}


@pytest.mark.parametrize(
    ("existing", "counts", "branch", "tier", "name"),
    [("fill", {"updated": 1, "created": 2}, "Delft", "gold", "Anna"),
     ("overwrite", {"updated": 1, "created": 2}, "Leiden", "silver", "Anna"),
     ("skip", {"skipped": 1, "created": 2}, "Delft", None, "Anna")],
)  # fmt: skip
async def test_people_whom_we_know_are_filled_in_overwritten_or_left_alone(
    lists: Lists, existing: Any, counts: dict[str, int], branch: str, tier: str | None, name: str
) -> None:
    """A name that the shop has given stays in any case: an import is the weakest source."""
    fields = {"tier": "gold"} if existing != "skip" else {}
    who = await known(lists, identities=["customer_id:C1"], name="Anna", attributes={"branch": "Delft"}, **fields)
    text = PEOPLE.replace("Branch", "Branch,Tier").replace("Leiden", "Leiden,silver").replace("上海", "上海,")
    head = await lists.imported(text, existing=existing)
    person = await lists.person(_id=who)
    assert head["counts"] == head["outlook"] == counts
    assert (person["attributes"]["branch"], person["tier"], person["name"]) == (branch, tier, name)
    assert ("tea" in person["tags"]) == (existing != "skip")


async def test_rows_of_one_new_person_become_one_person(lists: Lists) -> None:
    text = "email,phone,branch,tags\na@x.de,,Leiden,one\nA@X.de,0170 1234567,Delft,two\n,+491701234567,,three\n"
    head = await lists.imported(text)
    assert head["counts"] == {"created": 1, "repeated": 2}
    person = await lists.person()
    assert person["attributes"]["branch"] == "Leiden" and person["tags"] == ["one", "two", "three"]
    assert len(await lists.rows("identities")) == 2


async def test_a_row_that_speaks_for_two_people_or_another_customer_is_given_back(lists: Lists) -> None:
    await known(lists, identities=["email:a@x.de"])
    await known(lists, identities=["phone:+491701234567"])
    await known(lists, identities=["email:c@x.de", "customer_id:C9"])
    before = await lists.state()
    head = await lists.imported("email,phone,customer_id\na@x.de,0170 1234567,\nc@x.de,,C8\n")
    assert head["counts"] == {"conflict": 2} and await lists.refused(head) == [(2, "two_people"), (3, "other_customer")]
    assert await lists.state() == before


async def test_a_mailbox_that_many_share_makes_nobody_one_person(lists: Lists) -> None:
    head = await lists.imported("name,email,phone\nAnna,info@shop.de,0170 1234567\nBo,info@shop.de,0170 1234568\n")
    assert head["counts"] == {"created": 2} and await lists.rows("suggestions") == []


async def test_each_fault_is_named_with_its_row_and_nobody_is_taken_by_halves(lists: Lists) -> None:
    text = (
        "email,phone,stage,owner,locale,latitude,longitude,points,news\n"
        "no mail,,,,,,,,\n,12,,,,,,,\n,4.91701E+11,,,,,,,\n,,new,,,,,,\na@x.de,,!!,,,,,,\nb@x.de,,,nobody,,,,,\n"
        "c@x.de,,,,english please,,,,\nd@x.de,,,,,99,1,,\ne@x.de,,,,,,,many,\nf@x.de,,,,,,,,perhaps\n"
        "g@x.de,,,,,,,,,too much\n,0170 1234567,,,,,,,yes\nprf,,,,,,,,\nfine@x.de,-,,,,,,7,yes\n"
    )
    columns = ["email", "phone", "stage", "owner", "locale", "latitude", "longitude", "attributes.points",
               "consent:news:email"]  # fmt: skip
    head = await lists.brought(text)
    mapping = [{"to": each, "type": "number" if "points" in each else "text"} for each in columns]
    found = guessed(head["columns"], head["samples"], "DE")
    assert [each.to for each in found][:2] == ["email", "phone"]
    given = ImportMapping.model_validate({"columns": mapping, "options": {"evidence": "paper", "region": "DE"}})
    await lists.runtime.imports.map(head["_id"], given)
    head = await lists.runtime.imports.finish(head["_id"])
    await lists.runtime.imports.run(head["_id"])
    head = await lists.runtime.imports.finish(head["_id"])
    assert await lists.refused(head) == [
        (2, "bad_email"), (3, "bad_phone"), (4, "shortened"), (5, "no_identity"), (6, "bad_word"), (7, "unknown_owner"),
        (8, "bad_locale"), (9, "bad_location"), (10, "bad_number"), (11, "bad_consent"), (12, "ragged"),
        (13, "no_address"), (14, "bad_email"),
    ]  # fmt: skip
    assert head["counts"] == {"fault": 13, "created": 1} and len(await lists.rows("profiles")) == 1


async def test_an_export_names_people_by_their_id_and_an_id_of_nobody_is_a_fault(lists: Lists) -> None:
    who = await known(lists, identities=["anonymous:a1"], name="Anna")
    head = await lists.imported(f"profile_id,branch\n{who},Leiden\nprf_{'0' * 26},Delft\nnonsense,Gouda\n")
    assert (await lists.person(_id=who))["attributes"] == {"branch": "Leiden"}
    assert await lists.refused(head) == [(3, "unknown_profile"), (4, "bad_profile_id")]


async def test_an_address_is_joined_to_whoever_the_row_is_about(lists: Lists) -> None:
    who = await known(lists, identities=["email:a@x.de"])
    head = await lists.imported("customer_id,email,phone\nC7,a@x.de,0170 1234567\n")
    assert head["counts"] == {"updated": 1} == head["outlook"]
    keys = {row["key"] for row in await lists.rows("identities", profile_id=who)}
    assert keys == {"customer_id:C7", "email:a@x.de", "phone:+491701234567"} and len(await lists.rows("profiles")) == 1
    assert (await lists.imported("customer_id,email\nC7,a@x.de\n"))["counts"] == {"unchanged": 1}


async def test_a_mapping_that_leads_nowhere_is_refused(lists: Lists) -> None:
    head = await lists.brought(PEOPLE)
    for columns, options in (
        (["name", "ignore", "ignore", "tags", "ignore", "ignore"], {}), (["email"], {}),
        (["name", "email", "consent:news:email", "tags", "ignore", "ignore"], {}),
        (["latitude", "email", "ignore", "ignore", "ignore", "ignore"], {}),
    ):  # fmt: skip
        with pytest.raises(WrongInput):
            given = ImportMapping.model_validate({"columns": [{"to": each} for each in columns], "options": options})
            await lists.runtime.imports.map(head["_id"], given)
    with pytest.raises(Conflict):
        await lists.runtime.imports.run(head["_id"])


async def test_a_file_that_cannot_be_read_says_why(lists: Lists) -> None:
    head = await lists.brought(b"%PDF-1.7")
    assert head["state"] == "failed" and "PDF" in head["fault"]
    assert await lists.rows("import_rows") == []


# -- consent -------------------------------------------------------------------------------------------------------


async def test_a_yes_is_kept_with_its_evidence_and_never_lifts_a_no(lists: Lists) -> None:
    await lists.runtime.consent.groups.create(GroupInput(key="news", name="News", default="opt_in"))
    who = await known(lists, identities=["email:a@x.de"])
    (identity,) = await lists.rows("identities", profile_id=who)
    await lists.runtime.consent.act(ConsentAct(identity["_id"], "news", False, "unsubscribe_link"))
    text = "email,news\na@x.de,yes\nb@x.de,ja\nc@x.de,nein\nd@x.de,\n"
    head = await lists.imported(text, ["email", "consent:news:email"], evidence="Fair in Leiden, on paper")
    assert head["counts"] == {"updated": 1, "created": 3}
    acts = await lists.rows("consents", source="import")
    assert len(acts) == 3 and all("Fair in Leiden" in act["proof"] and "row" in act["proof"] for act in acts)
    standing = {row["emails"][0]["value"]: [each["state"] for each in row["consents"]] for row in
                await lists.rows("profiles")}  # fmt: skip
    assert standing == {"a@x.de": ["denied"], "b@x.de": ["granted"], "c@x.de": ["denied"], "d@x.de": []}
    again = await lists.imported(text, ["email", "consent:news:email"], evidence="Again")
    assert again["counts"] == {"unchanged": 4} and len(await lists.rows("consents", source="import")) == 3


async def test_consents_of_an_import_are_taken_back_by_acts_of_their_own(lists: Lists) -> None:
    who = await known(lists, identities=["email:a@x.de"])
    head = await lists.imported("email,news\na@x.de,yes\n", ["email", "consent:news:email"], evidence="paper")
    assert [each["state"] for each in (await lists.person(_id=who))["consents"]] == ["granted"]
    await lists.undone(head)
    first, second = sorted(await lists.rows("consents"), key=lambda act: act["recorded_at"])
    assert second["retracts"] == first["_id"] and second["source"] == "import"
    assert (await lists.person(_id=who))["consents"] == []


# -- the way back --------------------------------------------------------------------------------------------------


async def test_an_import_that_was_taken_back_was_never_there(lists: Lists) -> None:
    await known(lists, identities=["email:anna@example.org"], name="Anna", tags=["old"], attributes={"branch": "Delft"})
    before = await lists.state()
    head = await lists.imported(PEOPLE, existing="overwrite")
    assert head["counts"] == {"updated": 1, "created": 2} and await lists.state() != before
    head = await lists.undone(head)
    assert (head["state"], head["undo_counts"]) == ("undone", {"restored": 1, "erased": 2})
    assert await lists.state() == before
    assert len(await lists.rows("import_rows")) == 1
    with pytest.raises(Conflict):
        await lists.runtime.imports.undo(head["_id"], "usr_x")


async def test_tags_that_came_with_it_go_with_it(lists: Lists) -> None:
    """Those that somebody has, or that were there before, stay."""
    tags = lists.runtime.tags
    who = await known(lists, identities=["email:old@x.de"], tags=["vip", "unused"])
    await tags.gather()
    await lists.runtime.editor.patch(who, ProfilePatch(remove_tags=["unused"]))
    head = await lists.imported(PEOPLE.replace("tea, vip", "tea, vip, unused"), tags=["spring list"])
    await tags.gather()
    assert [each.name for each in (await tags.page()).data] == ["spring list", "tea", "unused", "vip", "茶"]
    bo = await lists.person(name="Bo")
    await lists.runtime.editor.patch(bo["_id"], ProfilePatch(attributes={"note": "kept"}))
    await lists.undone(head)
    left = {each.name: each.count for each in (await tags.page()).data}
    assert left == {"spring list": 1, "unused": 0, "vip": 1}, "Bo was changed since, and keeps it"


async def test_what_was_changed_since_stays_and_is_told(lists: Lists) -> None:
    who = await known(lists, identities=["email:anna@example.org"], tags=["old"])
    head = await lists.imported(PEOPLE)
    await lists.runtime.editor.patch(who, ProfilePatch(attributes={"branch": "Gouda"}))
    bo = await lists.person(name="Bo")
    await lists.runtime.editor.patch(bo["_id"], ProfilePatch(add_tags=["mine"]))
    head = await lists.undone(head)
    assert head["undo_counts"] == {"partly": 1, "kept": 1, "erased": 1}
    anna = await lists.person(_id=who)
    assert anna["attributes"] == {"branch": "Gouda"} and anna["tags"] == ["old"] and anna["name"] is None
    assert (await lists.person(_id=bo["_id"]))["tags"] == ["mine"]


async def test_who_has_written_since_stays(lists: Lists) -> None:
    secret = {"secret": "whsec_" + "QUFB" * 8, "send_url": "https://receiver.example.org/in"}
    channel = await lists.runtime.channels.add("generic", "Own system", secret)
    text = "email,id\na@x.de,u1\nb@x.de,u2\n"
    head = await lists.imported(text, ["email", f"channel:{channel.id}"])
    event = MessageReceived(
        event_id="e1", message_id="m1", occurred_at=now(), text="Hello",
        address=Address(channel_id=channel.id, external_id="u1"),
    )  # fmt: skip
    await lists.runtime.receiver.receive([Arrival(channel.id, "generic", event, "dlv_" + "0" * 26)])
    head = await lists.undone(head)
    assert head["undo_counts"] == {"kept": 1, "erased": 1}
    (left,) = await lists.rows("profiles")
    assert left["emails"][0]["value"] == "a@x.de" and len(await lists.rows("messages")) == 1


async def test_rows_go_with_the_person_who_is_erased(lists: Lists) -> None:
    await lists.imported(PEOPLE)
    anna = await lists.person(name="Anna Visser")
    await lists.runtime.privacy.erasures.at_once(anna["_id"], by="usr_x")
    assert await lists.rows("import_rows", profile_id=anna["_id"]) == []
    assert "Visser" not in str(await lists.rows("import_rows"))


WAITING = """name,email,phone
Anna Visser,a@x.de,
Anna V.,ANNA.v@x.de,+49 170 765 43 21
Ben,ben@x.de,0170/7654321
Cleo,cleo@x.de,+491709999999
Dora,no address,
"""


async def test_who_is_erased_while_their_file_is_read_is_not_in_it_afterwards(lists: Lists) -> None:
    """The erasure waits until the file has become rows, and takes them with it."""
    await lists.imported("email,phone\nanna.v@x.de,+491707654321\n")
    anna = (await lists.person())["_id"]
    path = lists.folder / "brought"
    path.write_text(WAITING)
    head = await lists.runtime.imports.bring(path, "people.csv", BY)
    erasures = lists.runtime.privacy.erasures
    asked = await erasures.at_once(anna, by="usr_x")
    row = await erasures.get(asked["_id"])
    assert (row["state"], row["waits_for"]) == ("erasing", "imports") and await lists.person(_id=anna)
    head = await lists.runtime.imports.finish(head["_id"])
    assert head["state"] == "mapping" and await lists.rows("sheets.files") == []
    await carried_out(lists, asked["_id"])
    cells = str([each["cells"] for each in await lists.rows("import_rows", import_id=head["_id"])])
    assert "765" not in cells and "ANNA" not in cells and "Cleo" in cells
    mapping = ImportMapping.model_validate({"columns": head["mapping"]["columns"], "options": {"region": "DE"}})
    await lists.runtime.imports.map(head["_id"], mapping)
    await lists.runtime.imports.finish(head["_id"])
    await lists.runtime.imports.run(head["_id"])
    await lists.runtime.imports.finish(head["_id"])
    assert not [each for each in await lists.rows("identities") if "7654321" in str(each) or "anna" in str(each)]


@pytest.mark.parametrize("when", ["before they are settled", "after they are settled", "in a worker that died"])
async def test_who_is_erased_while_a_batch_is_under_way_does_not_come_back(
    lists: Lists, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    await lists.imported("email,phone\nanna.v@x.de,+491707654321\n")
    anna = (await lists.person())["_id"]
    head = await lists.looked("name,email\nAnna V.,anna.v@x.de\nBen,ben@x.de\n")
    settle = Carrier._settled
    erasures = lists.runtime.privacy.erasures
    done: list[str] = []

    async def settled(self: Carrier, *given: Any) -> dict[str, str]:
        if not done and when == "before they are settled":
            done.append((await erasures.at_once(anna, by="usr_x"))["_id"])
        elif not done:
            await lists.runtime.db.collection("profiles").delete_many({"_id": anna})
            await lists.runtime.db.collection("identities").delete_many({"profile_id": anna})
            asked = await erasures.at_once((await made_again(lists))["_id"], by="usr_x")
            done.append(asked["_id"])
        if done and when == "in a worker that died" and len(done) == 1:
            done.append("dead")
            await settle(self, *given)
            raise asyncio.CancelledError
        return await settle(self, *given)

    monkeypatch.setattr(Carrier, "_settled", settled)
    await lists.runtime.imports.run(head["_id"])
    try:
        await lists.runtime.imports.finish(head["_id"])
    except asyncio.CancelledError:
        await lists.due()
        await lists.runtime.imports.finish(head["_id"])
    await carried_out(lists, *[each["_id"] for each in await lists.rows("erasures")])
    head = await lists.runtime.imports.get(head["_id"])
    assert (head["state"], head["counts"]) == ("done", {"erased": 1, "created": 1})
    assert [each["name"] for each in await lists.rows("profiles")] == ["Ben"]
    assert "anna" not in str(await lists.rows("identities")) + str(await lists.rows("import_rows"))


async def made_again(lists: Lists) -> dict[str, Any]:
    """Somebody with Anna's address, who is not from the list."""
    await known(lists, identities=["email:anna.v@x.de"])
    return next(each for each in await lists.rows("profiles") if each["emails"])


async def test_a_list_of_somebody_new_is_not_touched_by_an_erasure_before_it(lists: Lists) -> None:
    await lists.imported("email\nanna.v@x.de\n")
    await erased_wholly(lists, (await lists.person())["_id"])
    assert (await lists.imported("email\nanna.v@x.de\n"))["counts"] == {"created": 1}


async def test_a_list_that_is_dropped_while_it_is_read_leaves_nothing(lists: Lists) -> None:
    path = lists.folder / "brought"
    path.write_text(PEOPLE)
    head = await lists.runtime.imports.bring(path, "people.csv", BY)
    await lists.runtime.imports.cancel(head["_id"])
    assert await lists.rows("sheets.files") == [] and await lists.rows("import_rows") == []


@pytest.mark.parametrize("until", ["mapping", "ready", "done"])
async def test_rows_that_wait_or_were_given_back_go_too(lists: Lists, until: str) -> None:
    head = await lists.imported("email,phone\nanna.v@x.de,+491707654321\n")
    anna = (await lists.person())["_id"]
    if until == "mapping":
        head = await lists.brought(WAITING)
    else:
        head = await (lists.looked(WAITING) if until == "ready" else lists.imported(WAITING))
    await erased_wholly(lists, anna)
    cells = str([row["cells"] for row in await lists.rows("import_rows", import_id=head["_id"])])
    assert "765" not in cells and "ANNA" not in cells and "no address" in cells
    assert ("Cleo" in cells) is (until != "done")


async def test_a_first_row_that_was_taken_for_a_header_names_nobody_who_is_erased(lists: Lists) -> None:
    await lists.imported("email,name,phone\nanna.v@x.de,Anna Visser,+491707654321\n")
    head = await lists.brought("Anna Visser,0170 7654321,Delft\nBen Bo,+491701111111,Gouda\n", "Anna Visser.csv")
    await erased_wholly(lists, (await lists.person())["_id"])
    (left,) = await lists.rows("imports", _id=head["_id"])
    assert (left["name"], left["columns"]) == ("list", ["Column 1", "Column 2", "Delft"])
    assert "visser" not in str(left).lower() and "7654321" not in str(left)


async def erased_wholly(lists: Lists, profile_id: str) -> None:
    erasures = lists.runtime.privacy.erasures
    row = await erasures.ask(profile_id, by="usr_x")
    await carried_out(lists, row["_id"])


async def carried_out(lists: Lists, *erasure_ids: str) -> None:
    """Both looks at all rooms, without the time between."""
    erasures = lists.runtime.privacy.erasures
    for erasure_id in erasure_ids:
        for _ in range(3):
            past = {"$set": {"due_at": now() - timedelta(seconds=1)}}
            await lists.runtime.db.collection("erasures").update_many({"due_at": {"$exists": True}}, past)
            await erasures.drain(only=erasure_id)
        assert (await erasures.get(erasure_id))["state"] == "done"


# -- addresses, numbers, stages --------------------------------------------------------------------------------------

HOMES = "email,address,zip,city,country,phone\na@x.de,Hauptstr. 1,10115,Berlin,Germany,030 1234567\n"
BLOCK = {"street": "Hauptstr. 1", "postal_code": "10115", "city": "Berlin", "region": None, "country": "DE"}


async def test_an_address_is_one_block_that_gives_way_to_a_stronger_source(lists: Lists) -> None:
    head = await lists.imported(HOMES, region="US")
    person = await lists.person()
    assert head["counts"] == {"created": 1} and head["numbers"] == {"asked": 0, "told": 1}
    assert (person["address"], person["sources"]["address"]["rank"]) == (BLOCK, 4)
    assert person["phones"][0]["value"] == "+49301234567" and person["attributes"] == {}
    moved = HOMES.replace("Hauptstr. 1", "Neue Str. 2")
    assert (await lists.imported(moved, existing="fill"))["counts"] == {"unchanged": 1}
    head = await lists.imported(moved, existing="overwrite")
    assert (await lists.person())["address"]["street"] == "Neue Str. 2"
    await lists.undone(head)
    assert (await lists.person())["address"] == BLOCK
    await lists.runtime.editor.patch(person["_id"], ProfilePatch(address={"city": "Leiden"}))
    head = await lists.imported(moved, existing="overwrite")
    assert head["counts"] == {"unchanged": 1} and (await lists.person())["address"]["city"] == "Leiden"


async def test_the_preview_says_what_becomes_of_stages_and_refuses_those_that_are_none(lists: Lists) -> None:
    await known(lists, identities=["email:a@x.de"])
    text = "email,stage,phone\na@x.de,Repeat customer,\nb@x.de,复购客户,030 1\nc@x.de,nonsense,\nd@x.de,nonsense,\n"
    head = await lists.looked(text + "e@x.de,lead,030 1234567\n")
    assert head["outlook"] == {"updated": 1, "fault": 3, "created": 1}
    assert head["unknown_stages"] == [{"stage": "nonsense", "rows": 2}]
    assert head["moves"] == [{"stage": "repeat", "moving": 1, "new": 0}, {"stage": "lead", "moving": 0, "new": 1}]
    assert head["numbers"]["asked"] == 2 and head["region"] == {"code": "DE", "why": "default"}
    assert [code for _, code in await lists.refused(head)] == ["bad_phone", "unknown_stage", "unknown_stage"]
    await lists.runtime.imports.run(head["_id"])
    head = await lists.runtime.imports.finish(head["_id"])
    assert head["counts"] == head["outlook"]
    assert [row["stage"] for row in await lists.rows("profiles")] == ["repeat", "lead"]


# -- crashes -------------------------------------------------------------------------------------------------------


def many(count: int) -> str:
    lines = [f"Person {i},p{i}@example.org,+49170{2000000 + i},C{i},t{i % 3}" for i in range(count)]
    return "\n".join(["name,email,phone,customer_id,tags", *lines, ""])


async def whole(lists: Lists, count: int) -> None:
    """Everybody once, with all that belongs to them."""
    assert len(await lists.rows("profiles")) == count and len(await lists.rows("identities")) == 3 * count
    names = Counter(row["name"] for row in await lists.rows("events"))
    assert names == {"profile.created": count, "profile.tag_added": count}
    assert all(row["tags"] and row["name"] for row in await lists.rows("profiles"))
    assert {row["outcome"] for row in await lists.rows("import_rows")} == {"created"}


@pytest.mark.parametrize("method", ["_write_profiles", "_write_identities", "_announce", "_touch"])
async def test_a_worker_that_dies_while_people_are_made_loses_and_doubles_nobody(
    lists: Lists, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    head = await lists.looked(many(30))
    original, calls = getattr(Resolver, method), []

    async def dies(self: Any, *args: Any) -> Any:
        found = await original(self, *args) if method != "_write_profiles" else None
        if not calls:
            calls.append(1)
            raise asyncio.CancelledError
        return found if method != "_write_profiles" else await original(self, *args)

    monkeypatch.setattr(Resolver, method, dies)
    await lists.runtime.imports.run(head["_id"])
    with pytest.raises(asyncio.CancelledError):
        await lists.runtime.imports.drain()
    await lists.due()
    head = await lists.runtime.imports.finish(head["_id"])
    assert head["counts"] == {"created": 30}
    await lists.runtime.resolver.repair()
    await whole(lists, 30)
    head = await lists.undone(head)
    assert head["undo_counts"] == {"erased": 30} and await lists.rows("profiles") == []


async def test_a_row_that_cannot_be_written_is_set_aside_alone(lists: Lists, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Carrier._settled

    async def poisoned(self: Any, batch: Any, *rest: Any) -> Any:
        if any("Person 7" in str(row.fields) and row.fault is None for row in batch.rows):
            raise RuntimeError("poison")
        return await original(self, batch, *rest)

    monkeypatch.setattr(Carrier, "_settled", poisoned)
    head = await lists.imported(many(20))
    assert head["counts"] == {"created": 19, "fault": 1} and await lists.refused(head) == [(9, "failed")]


async def killed_after(lists: Lists, servers: Any, field: str, least: int) -> None:
    """A worker of its own carries on until it has come so far; then it is killed."""
    names = lists.runtime.settings.database, lists.runtime.settings.queue_prefix
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.rapport.lists", servers.mongo_url, servers.redis_url, *names,
        stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    try:
        for _ in range(3000):
            (head,) = await lists.rows("imports")
            if sum(head[field].values()) >= least:
                break
            await asyncio.sleep(0.01)
        else:
            raise AssertionError("the worker does not get on")
    finally:
        os.kill(worker.pid, signal.SIGKILL)
        await worker.wait()
    await lists.due()


async def test_kill_9_in_the_middle_of_a_run_and_of_its_undo(lists: Lists, servers: Any) -> None:
    count = 2500
    head = await lists.looked(many(count))
    await lists.runtime.imports.run(head["_id"])
    await killed_after(lists, servers, "counts", 400)
    (row,) = await lists.rows("imports")
    assert row["state"] == "running" and 400 <= sum(row["counts"].values()) < count
    head = await lists.runtime.imports.finish(head["_id"])
    assert head["counts"] == {"created": count}
    await lists.runtime.resolver.repair()
    await whole(lists, count)

    await lists.runtime.imports.undo(head["_id"], "usr_x")
    await killed_after(lists, servers, "undo_counts", 200)
    head = await lists.runtime.imports.finish(head["_id"])
    assert head["state"] == "undone" and await lists.rows("profiles") == [] == await lists.rows("identities")


async def test_a_slow_list_holds_up_no_other(lists: Lists, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each worker has places for several, and whose turn has ended stands behind those who wait."""
    slow, quick = await lists.looked(many(450)), await lists.looked("email\nquick@x.de\n")
    carry, go_on = Carrier.carry, asyncio.Event()

    async def slowly(self: Carrier, batch: Any) -> None:
        if batch.head["_id"] == slow["_id"]:
            await go_on.wait()
        await carry(self, batch)

    async def ticking(do: Any) -> None:
        while True:
            await do()
            await asyncio.sleep(0.02)

    async def done(head: dict[str, Any]) -> None:
        async with asyncio.timeout(60):
            while (await lists.runtime.imports.get(head["_id"]))["state"] != "done":
                await asyncio.sleep(0.02)

    monkeypatch.setattr(Carrier, "carry", slowly)
    for head in (slow, quick):
        await lists.runtime.imports.run(head["_id"])
    places = [each.do for each in lists.runtime.chores() if each.name.startswith("carry imports on")]
    assert len(places) == AT_ONCE > 1
    ticks = [asyncio.create_task(ticking(do)) for do in places]
    try:
        await done(quick)
        assert (await lists.runtime.imports.get(slow["_id"]))["state"] == "running"
        go_on.set()
        await done(slow)
    finally:
        for each in ticks:
            each.cancel()
        await asyncio.wait(ticks)
    assert len(await lists.rows("profiles")) == 451 and len(await lists.rows("identities")) == 3 * 450 + 1


async def test_two_workers_carry_on_one_import_without_doubling(lists: Lists) -> None:
    head = await lists.looked(many(900))
    await lists.runtime.imports.run(head["_id"])

    async def late() -> None:
        await asyncio.sleep(0.2)
        await lists.due()
        await lists.runtime.imports.drain()

    await asyncio.gather(lists.runtime.imports.drain(), late(), late())
    head = await lists.runtime.imports.finish(head["_id"])
    assert head["counts"] == {"created": 900}
    await whole(lists, 900)


async def test_an_import_that_is_stopped_keeps_what_was_done_and_can_be_taken_back(lists: Lists) -> None:
    head = await lists.looked(many(1500))
    await lists.runtime.imports.run(head["_id"])
    running = asyncio.create_task(lists.runtime.imports.drain())
    while not (await lists.runtime.imports.get(head["_id"]))["counts"]:
        await asyncio.sleep(0.01)
    await lists.runtime.imports.cancel(head["_id"])
    await running
    head = await lists.runtime.imports.get(head["_id"])
    assert head["state"] == "cancelled" and len(await lists.rows("profiles")) >= head["counts"]["created"]
    assert head["counts"]["created"] < 1500
    head = await lists.undone(head)
    assert head["state"] == "undone"


async def test_somebody_else_may_meet_the_same_people_at_the_same_time(lists: Lists) -> None:
    head = await lists.looked(many(300))
    await lists.runtime.imports.run(head["_id"])
    refs = [Reference([IdentityRef(kind="customer_id", value=f"C{i}")], source="api") for i in range(0, 300, 3)]
    await asyncio.gather(
        lists.runtime.imports.drain(), *(lists.runtime.resolver.identify([each]) for each in refs)
    )  # fmt: skip
    head = await lists.runtime.imports.finish(head["_id"])
    assert len(await lists.rows("profiles")) == 300 and sum(head["counts"].values()) == 300
