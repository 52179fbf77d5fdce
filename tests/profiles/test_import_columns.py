"""Which column is which: postal addresses of many programs, our own exports in words, where numbers are written."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiles.imports.header_words import meaning_of
from profiles.imports.mapping import ColumnMapping, ImportMapping, guessed
from profiles.imports.regions import guessed_region
from profiles.imports.rows import RowReader, Wanted
from profiles.postal import block_of, country_code, country_names, lines_of, same_block
from profiles.sheets.headings import NAMES, headings_of


def targets(header: str, *samples: list[str], **more: Any) -> list[str]:
    return [each.to for each in guessed(header.split(","), samples, "DE", **more)]


def read(columns: dict[str, str], region: str = "DE", **options: Any) -> Wanted:
    """One row: target → cell."""
    mapping = ImportMapping(columns=[ColumnMapping(to=each) for each in columns])
    reader = RowReader(mapping, list(columns), region=region, owners={}, **options)
    return reader.read("imp_x:1", 2, list(columns.values()))


PARTS = ["address.street", "address.street2", "address.city", "address.region", "address.postal_code",
         "address.country"]  # fmt: skip


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Email,Address1,Address2,City,Province,Zip,Country", PARTS),
        (
            "Email,Default Address Address1,Default Address Address2,Default Address City,"
            "Default Address Province Code,Default Address Zip,Default Address Country Code",
            PARTS,
        ),
        ("mail,billing_address_1,billing_address_2,billing_city,billing_state,billing_postcode,billing_country", PARTS),
        ("Email,Address,Address 2,City,State / Region,Zip Code,Country", PARTS),
        ("邮箱,详细地址,门牌号,市,省,邮编,国家", PARTS),
        ("邮箱,收货人详细地址,收货人门牌号,收货人城市,收货人省份,收货人邮编,收货人国家", PARTS),
        ("E-Mail,Straße,Adresszusatz,Ort,Bundesland,PLZ,Land", PARTS),
    ],
)
def test_the_columns_of_an_address_are_known_by_the_names_programs_give_them(header: str, expected: list[str]) -> None:
    assert targets(header) == ["email", *expected]


def test_parts_of_two_addresses_never_make_one() -> None:
    found = targets("Email,Billing Street,Billing City,Shipping Street,Shipping City,Shipping Country")
    assert found[1:] == ["attributes.billing_street", "attributes.billing_city", "address.street", "address.city",
                         "address.country"]  # fmt: skip
    assert targets("Email,Billing City,Country,Country Code,City")[1:] == [
        "attributes.billing_city", "ignore", "address.country", "address.city",
    ]  # fmt: skip


def test_a_column_called_address_with_mail_addresses_is_one_of_mail() -> None:
    assert targets("Name,Address", ["Anna", "a@x.de"], ["Bo", "b@x.de"]) == ["name", "email"]


def test_parts_of_a_row_are_one_block_with_its_country_by_its_code() -> None:
    wanted = read({"email": "a@x.de", "address.street": "世纪大道100号", "address.district": "浦东新区",
                   "address.city": "上海市", "address.country": "中国"})  # fmt: skip
    assert wanted.fault is None and wanted.fields["address"] == {
        "street": "浦东新区\n世纪大道100号", "postal_code": None, "city": "上海市", "region": None, "country": "CN",
    }  # fmt: skip
    assert "address" not in read({"email": "a@x.de", "address.city": "-", "address.country": " "}).fields
    for cells, code in (({"address.country": "Narnia"}, "bad_country"), ({"address.city": "x" * 101}, "too_long")):
        fault = read({"email": "a@x.de", **cells}).fault
        assert fault is not None and fault.code == code


@given(st.fixed_dictionaries({}, optional={name: st.text(max_size=40) for name in ("street", "city", "region")}))
def test_a_block_is_the_same_again(parts: dict[str, str]) -> None:
    block = block_of(parts)
    assert same_block(block, block_of(block or {})) and (block is None) == (not lines_of(block or {}))


def test_countries_go_by_many_names() -> None:
    for name, code in (("Germany", "DE"), ("DE", "DE"), ("Deutschland", "DE"), ("中国大陆", "CN"), ("U.S.A.", "US"),
                       ("uk", "GB"), ("Türkiye", "TR"), ("日本", "JP")):  # fmt: skip
        assert country_code(name) == code
    assert country_code("Atlantis") is None and country_code("XX") is None
    assert country_names("zh_CN")["DE"] == "德国" and "EU" not in country_names("en")


# -- numbers -------------------------------------------------------------------------------------------------------


def test_a_numbers_country_is_that_of_its_row_then_the_chosen_one() -> None:
    row = read({"phone": "0170 1234567, +31612345678", "address.country": "Germany"}, "US")
    assert [key.value for key in row.keys] == ["+491701234567", "+31612345678"]
    assert (row.numbers.asked, row.numbers.told) == (0, 1)
    row = read({"phone": "06 12345678", "address.country": ""}, "NL")
    assert row.keys[0].value == "+31612345678" and (row.numbers.asked, row.numbers.told) == (1, 0)


@pytest.mark.parametrize(
    ("columns", "rows", "default", "expected"),
    [
        (["姓名", "手机"], [["Anna", "1"]], "US", ("CN", "headings")),
        (["姓名", "手机"], [["Anna", "1"]], "TW", ("TW", "headings")),
        (["Vorname", "Nachname", "Telefon"], [], "US", ("DE", "headings")),
        (["Vorname", "Nachname", "Telefon"], [], "AT", ("AT", "headings")),
        (["name", "phone"], [["王芳", "1"], ["李雷", "2"]], "US", ("CN", "rows")),
        (["name", "phone"], [["さとう", "1"]], "US", ("JP", "rows")),
        (["name", "phone"], [["Anna", "1"]], "US", ("US", "default")),
        (["name", "phone"], [], None, ("", "")),
    ],
)
def test_the_country_is_guessed_with_its_reason(
    columns: list[str], rows: list[list[str]], default: str | None, expected: tuple[str, str]
) -> None:
    found = guessed_region(columns, rows, default)
    assert (found.code, found.why) == expected


# -- our own headings ----------------------------------------------------------------------------------------------

PROFILE = "prf_" + "0" * 26
#: Attributes that are called as other columns are, or as nothing can be.
AWKWARD = [
    "city", "Name", "E-mail", "score", "Tea", "tea", "姓名", "address", "points", "Größe", "!", "a b", "mail", "gender",
    "punkte",
]  # fmt: skip


@pytest.mark.parametrize("headings", ["keys", "en", "zh"])
def test_an_import_knows_every_column_of_an_export_however_it_is_called(headings: Any) -> None:
    columns = [*NAMES, *(f"attributes.{key}" for key in AWKWARD)]
    called = headings_of(columns, headings, {"points": "Punkte", "Tea": "Score"}, meaning_of)
    assert len(set(called)) == len(called)
    sample = [PROFILE if column == "id" else "a@x.de" for column in columns]
    labels = {"punkte": "points", "score": "Tea"}
    found = dict(zip(columns, (each.to for each in guessed(called, [sample], "DE", labels=labels)), strict=True))
    for key in AWKWARD:
        assert found[f"attributes.{key}"] == f"attributes.{key}", called
    assert (found["id"], found["other_emails"], found["score"], found["address.city"]) == (
        "profile_id", "email", "ignore", "address.city")  # fmt: skip
    assert found["created_at"] == found["orders_revenue"] == "ignore" and found["stage"] == "stage"


def test_columns_that_were_added_to_our_list_are_known_as_in_any() -> None:
    assert targets("id,Name,Telefon,Ort,Colour", [PROFILE, "Anna", "1", "Leiden", "red"]) == [
        "profile_id", "name", "phone", "address.city", "attributes.Colour"]  # fmt: skip


def test_a_field_is_known_by_what_it_is_called() -> None:
    assert targets("Email,Favourite tea", labels={"favourite tea": "tea"}) == ["email", "attributes.tea"]
