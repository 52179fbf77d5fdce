"""Lists of people handed out: harmless in a spreadsheet, on record, and nothing changes when they come back."""

import csv
import io
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import openpyxl
import orjson
import pytest
from click.testing import CliRunner

from base.clock import now
from base.errors import NotFound
from profiles.custom_fields import FieldInput
from profiles.edit import ProfileInput
from profiles.membership import SegmentInput
from rapport.cli import cli
from rapport.lists import export_file, import_file
from tests.rapport.lists import Lists, opened

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
async def _house(
    mongo_url: str, redis_url: str, shaped_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Lists]:
    async with opened(mongo_url, redis_url, shaped_database, tmp_path_factory.mktemp("exports")) as lists:
        yield lists


@pytest.fixture
async def lists(_house: Lists) -> AsyncIterator[Lists]:
    yield _house
    await _house.empty()


async def town(lists: Lists) -> list[str]:
    """People with everything that a cell can get wrong."""
    people: list[dict[str, Any]] = [
        {"identities": ["customer_id:007", "email:anna@example.org", "email:a2@example.org", "phone:+491701234567"],
         "name": "=HYPERLINK(\"http://evil\")", "tags": ["tea, green", "a;b", "x\"y", "+plus"], "stage": "customer",
         "tier": "gold", "locale": "de-DE", "time_zone": "Europe/Berlin",
         "location": {"latitude": -52.123456789, "longitude": 4.5},
         "address": {"street": "=1 Main St\nback yard", "postal_code": "007", "city": "Leiden", "country": "NL"},
         "attributes": {"note": "two\nlines, \"quoted\"", "code": "007", "points": -5, "rate": 1.5, "big": 10**17,
                        "vip": True, "since": "2026-01-02", "at": now(), "list": ["a", "b,c"], "deep": {"x": [1]},
                        "danger": "@SUM(1)", "apostrophe": "'=x", "mail": "x@y.de"}},
        {"identities": ["email:wang@example.cn"], "name": "王芳", "tags": ["茶"],
         "attributes": {"城市": "上海", "points": 7}},
        {"identities": ["anonymous:visitor-1"]},
        {"identities": ["phone:+8613800138000"], "name": "-Bo", "attributes": {"code": "1E5"}},
    ]  # fmt: skip
    made = [(await lists.runtime.editor.upsert(ProfileInput.model_validate(each)))[0].id for each in people]
    await lists.runtime.db.collection("events").update_many({}, {"$set": {"state": "done"}})
    return made


@pytest.mark.parametrize("kind", ["csv", "xlsx", "jsonl", "vcf"])
@pytest.mark.parametrize("existing", ["fill", "overwrite"])
async def test_what_goes_out_and_comes_back_changes_nothing(lists: Lists, kind: str, existing: Any) -> None:
    people = await town(lists)
    before, events = await lists.state(), len(await lists.rows("events"))
    head = await lists.imported(await lists.exported(kind), existing=existing)
    assert head["counts"] == {"unchanged": len(people)}, (head["mapping"], await lists.refused(head))
    assert await lists.state() == before and len(await lists.rows("events")) == events


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
@pytest.mark.parametrize("headings", ["en", "zh"])
async def test_what_goes_out_with_headings_in_words_changes_nothing_either(
    lists: Lists, kind: str, headings: Any
) -> None:
    people = await town(lists)
    field = FieldInput(key="points", labels={"en": "Loyalty points", "zh_CN": "积分"}, type="number")
    defined = await lists.runtime.fields.create(field)
    before = await lists.state()
    head = await lists.imported(await lists.exported(kind, headings=headings), existing="overwrite")
    await lists.runtime.db.collection("fields").delete_many({"_id": defined.id})
    lists.runtime.terms.forget()
    assert {"en": "Loyalty points", "zh": "积分"}[headings] in head["columns"]
    assert {"en": "E-mail", "zh": "邮箱"}[headings] in head["columns"]
    assert head["counts"] == {"unchanged": len(people)}, (head["mapping"], await lists.refused(head))
    assert await lists.state() == before


async def test_the_members_of_a_segment_go_out(lists: Lists) -> None:
    await town(lists)
    rule = {"field": "tags", "op": "any_of", "value": ["茶"]}
    row = await lists.runtime.segments.create(SegmentInput(name="Tea", rule=rule))
    await lists.runtime.segment_builder.drain()
    lines = (await lists.exported("jsonl", segment=row["_id"])).splitlines()
    assert [orjson.loads(line)["name"] for line in lines] == ["王芳"]


async def test_a_csv_is_harmless_and_a_phone_number_survives(lists: Lists) -> None:
    await town(lists)
    content = await lists.exported("csv")
    assert content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    anna = next(row for row in rows if row["customer_id"] == "007")
    assert anna["phone"] == "'+491701234567" and anna["name"].startswith("'=HYPERLINK")
    assert anna["other_emails"] == "a2@example.org" and anna["attributes.points"] == "-5"
    numbers = {"latitude", "longitude", "attributes.points"}
    texts = [cell for row in rows for name, cell in row.items() if name not in numbers]
    assert not [cell for cell in texts if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


async def test_a_workbook_holds_no_formula(lists: Lists) -> None:
    await town(lists)
    (lists.folder / "out.xlsx").write_bytes(await lists.exported("xlsx"))
    sheet = openpyxl.load_workbook(lists.folder / "out.xlsx").active
    kinds = {cell.data_type for row in sheet.iter_rows() for cell in row}
    assert "f" not in kinds and kinds <= {"s", "n", "inlineStr"}


async def test_lines_hold_values_as_they_are_and_cards_can_be_read_elsewhere(lists: Lists) -> None:
    people = await town(lists)
    rows = {each["id"]: each for each in map(orjson.loads, (await lists.exported("jsonl")).splitlines())}
    anna = rows[people[0]]
    assert anna["attributes"]["points"] == -5 and anna["attributes"]["list"] == ["a", "b,c"]
    assert anna["tags"] == ["tea, green", "a;b", 'x"y', "+plus"] and anna["phone"] == "+491701234567"
    text = (await lists.exported("vcf")).decode()
    assert text.count("BEGIN:VCARD\r\n") == 4 and "TEL;VALUE=uri;PREF=1:tel:+491701234567" in text


async def test_only_the_people_of_the_list_go_out_and_it_stays_on_record(lists: Lists) -> None:
    await town(lists)
    lines = (await lists.exported("jsonl", tag="茶")).splitlines()
    assert [orjson.loads(line)["name"] for line in lines] == ["王芳"]
    (row,) = await lists.rows("exports")
    assert (row["by_name"], row["count"], row["filter"]) == ("Ada", 1, {"tag": "茶"})
    await lists.runtime.db.collection("exports").update_many({}, {"$set": {"ended_at": now() - timedelta(days=8)}})
    await lists.runtime.exports.tidy()
    with pytest.raises(NotFound):
        await lists.runtime.exports.file(row["_id"])
    (row,) = await lists.rows("exports")
    assert (row["state"], row["count"]) == ("expired", 1)


async def test_with_an_erasure_the_files_of_all_exports_go(lists: Lists) -> None:
    (anna, *_) = await town(lists)
    row = await lists.runtime.exports.begin("csv", {}, "usr_1", "Ada")
    await lists.runtime.exports.finish(row["_id"])
    assert await lists.rows("sheets.files", filename=row["_id"])
    await lists.runtime.privacy.erasures.at_once(anna, by="usr_1")
    with pytest.raises(NotFound):
        await lists.runtime.exports.file(row["_id"])
    assert await lists.rows("sheets.files", filename=row["_id"]) == []


async def test_an_export_that_is_being_written_while_somebody_is_erased_begins_anew(lists: Lists) -> None:
    (anna, *_) = await town(lists)
    exports = lists.runtime.exports
    row = await exports.begin("csv", {}, "usr_1", "Ada")
    (held,) = await exports._store.duties.claim(["running"], now(), limit=1)
    await lists.runtime.privacy.erasures.at_once(anna, by="usr_1")
    assert not await exports._store.note(held, {"count": 1})  # whoever had read the person may not go on
    await lists.runtime.db.collection("exports").update_one({"_id": row["_id"]}, {"$set": {"due_at": now()}})
    assert (await exports.finish(row["_id"]))["state"] == "done"
    _, pieces = await exports.file(row["_id"])
    assert b"anna@example.org" not in b"".join([piece async for piece in pieces])


async def test_with_an_erasure_goes_what_was_searched_for(lists: Lists) -> None:
    (anna, *_) = await town(lists)
    searches = ("Anna@example.org", "0170 1234567", "anna@exam", "example of tea", "wang@example.cn")
    rows = [await lists.runtime.exports.begin("csv", {"q": each}, "usr_1") for each in searches]
    for row in rows:
        await lists.runtime.exports.finish(row["_id"])
    await lists.runtime.privacy.erasures.at_once(anna, by="usr_1")
    left = [(await lists.runtime.exports.get(row["_id"]))["filter"]["q"] for row in rows]
    assert left == ["…", "…", "…", "example of tea", "wang@example.cn"]


async def test_an_export_whose_worker_died_is_written_again_and_one_that_was_stopped_is_not(lists: Lists) -> None:
    await town(lists)
    book = lists.runtime.exports
    row = await book.begin("csv", {}, "usr_x")
    await lists.runtime.db.collection("exports").update_one(
        {"_id": row["_id"]}, {"$set": {"lease": "dead", "attempts": 1}}
    )
    assert (await book.finish(row["_id"]))["state"] == "done"
    row = await book.begin("csv", {}, "usr_x")
    await book.cancel(row["_id"])
    assert (await book.finish(row["_id"]))["state"] == "cancelled"


# -- the command line ----------------------------------------------------------------------------------------------

IMPORT: dict[str, Any] = {"mapped": (), "dry_run": False, "errors": None, "tags": (), "region": "DE"}


async def test_the_command_line_brings_and_writes_lists(lists: Lists, tmp_path: Path) -> None:
    path, said = tmp_path / "in.csv", []

    def say(text: str, **_: Any) -> None:
        said.append(text)

    path.write_text("email,name,What,=1+1\na@x.de,Anna,1,\n=nonsense,Bo,2,-x\n")
    chosen = {**IMPORT, "mapped": ("What=customer_id",), "tags": ("list",), "errors": tmp_path / "errors.csv"}
    assert await import_file(lists.runtime, path, say, **{**chosen, "dry_run": True}) == 3
    assert await lists.rows("profiles") == [] and any("would be created" in line for line in said)
    assert await import_file(lists.runtime, path, say, **chosen) == 3
    (anna,) = await lists.rows("profiles")
    assert anna["tags"] == ["list"] and any("customer_id:1" in str(each) for each in await lists.rows("identities"))
    errors = list(csv.reader((tmp_path / "errors.csv").read_text("utf-8-sig").splitlines()))
    assert errors[0] == ["email", "name", "What", "'=1+1", "Row", "Reason"]
    assert errors[1] == ["'=nonsense", "Bo", "2", "'-x", "3", "'=nonsense is no mail address."], "no formula anywhere"
    assert await export_file(lists.runtime, tmp_path / "out.jsonl", None, {}, say) == 0
    assert orjson.loads((tmp_path / "out.jsonl").read_bytes())["name"] == "Anna"
    assert await import_file(lists.runtime, tmp_path / "out.jsonl", say, **IMPORT) == 0
    path.write_text("email\nnonsense\n")
    assert await import_file(lists.runtime, path, say, **IMPORT) == 1


def test_the_commands_are_there() -> None:
    for name in ("import", "export"):
        answer = CliRunner().invoke(cli, [name, "--help"])
        assert answer.exit_code == 0 and "FILE" in answer.output
