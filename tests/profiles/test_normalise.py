"""Names, addresses and ids in the form that is compared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiles.normalise import (
    clean_text,
    email_address,
    folded,
    is_placeholder,
    is_shared_mailbox,
    phone_key,
    phone_number,
)  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (" Anna@Example.COM ", "anna@example.com"),
        ("ａnna＠example．com", "anna@example.com"),
        ("anna@müller.de", "anna@xn--mller-kva.de"),
        ("a.n.n.a+shop@gmail.com", "a.n.n.a+shop@gmail.com"),
        ("用户@例子.公司", "用户@xn--fsqu00a.xn--55qx5d"),
        ("anna@localhost", None),
        ("anna", None),
        ("@example.com", None),
        ("a b@example.com", None),
        ("null", None),
        ("", None),
        ("a@" + "b" * 300 + ".com", None),
    ],
)
def test_mail_addresses(raw: str, value: str | None) -> None:
    assert email_address(raw) == value


@pytest.mark.parametrize(
    ("raw", "region", "value", "key"),
    [
        ("+49 (170) 123-4567", None, "+491701234567", "+491701234567"),
        ("0049 170 1234567", None, "+491701234567", "+491701234567"),
        ("0170 1234567", "DE", "+491701234567", "+491701234567"),
        ("0170 1234567", None, None, None),
        ("＋８６ １３８ ００１３ ８０００", None, "+8613800138000", "+8613800138000"),
        ("tel:+15551234567", None, "+15551234567", "+15551234567"),
        # Argentina: the mobile 9 comes and goes
        ("+54 9 11 2345-6789", None, "+5491123456789", "+541123456789"),
        ("+54 11 2345-6789", None, "+541123456789", "+541123456789"),
        ("011 15-2345-6789", "AR", "+5491123456789", "+541123456789"),
        # Mexico: the 1 is gone since 2019, WhatsApp still writes it
        ("+5215512345678", None, "+525512345678", "+525512345678"),
        ("+525512345678", None, "+525512345678", "+525512345678"),
        # Brazil: the ninth digit
        ("+55 11 8765-4321", None, "+5511987654321", "+5511987654321"),
        ("+55 11 2345-6789", None, "+551123456789", "+551123456789"),
        ("000000000", "US", None, None),
        ("+0", None, None, None),
        ("call me", "US", None, None),
        ("+" + "1" * 60, None, None, None),
    ],
)
def test_phone_numbers(raw: str, region: str | None, value: str | None, key: str | None) -> None:
    found = phone_number(raw, region)
    assert found == value
    assert (phone_key(found) if found else None) == key


@pytest.mark.parametrize("value", ["", "  ", "0", "000-000", "-1", "NULL", "None", "ａnonymous", "undefined", "N/A"])
def test_values_that_stand_for_nobody(value: str) -> None:
    assert is_placeholder(value)


@pytest.mark.parametrize("value", ["0042", "a", "42", "nobody@example.com", "李"])
def test_values_that_stand_for_somebody(value: str) -> None:
    assert not is_placeholder(value)


def test_boxes_of_many() -> None:
    assert is_shared_mailbox("info@shop.example") and is_shared_mailbox("Support+eu@shop.example")
    assert not is_shared_mailbox("anna.info@shop.example")


def test_folding() -> None:
    assert folded("Ｍüller") == folded("MULLER") == "muller"
    assert folded("北京") == "北京" and folded("ﾊﾝｶｸ") == folded("ハンカク")


def test_names_are_one_clean_line() -> None:
    assert clean_text(" Anna\u202e\n  Meier\x00 ") == "Anna Meier"
    assert clean_text("👩\u200d🚀 Astro") == "👩\u200d🚀 Astro"
    assert clean_text("\u200b\x07") is None and clean_text(None) is None
    assert len(clean_text("x" * 900) or "") == 200


@given(st.text(max_size=60))
def test_nothing_a_stranger_writes_breaks_them(raw: str) -> None:
    for value in (email_address(raw), clean_text(raw), phone_number(raw), phone_number(raw, "DE")):
        assert value is None or value
    is_placeholder(raw)
    email = email_address(raw)
    assert email is None or email_address(email) == email
    phone = phone_number(raw, "CN")
    assert phone is None or phone_number(phone) == phone
    assert folded(folded(raw)) == folded(raw)


@given(st.text(alphabet="+0123456789 ()-", max_size=20), st.sampled_from([None, "AR", "MX", "BR", "US"]))
def test_a_number_stays_what_it_became(raw: str, region: str | None) -> None:
    phone = phone_number(raw, region)
    assert phone is None or (phone_number(phone, region) == phone and phone_key(phone_key(phone)) == phone_key(phone))
