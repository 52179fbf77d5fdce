"""Sealed links: opaque, bound to what they are for, alive after the keys were rotated."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.ids import new_id, packed_id, unpacked_id
from base.secret_box import SecretBox
from profiles.consent_links import ConsentLink, ConsentLinks

LINKS = ConsentLinks([os.urandom(32)], "https://crm.example")
PURPOSE = st.from_regex(r"[\w.-]{0,60}", fullmatch=True)


@given(st.sampled_from(["unsubscribe", "preferences", "confirm"]), PURPOSE, st.booleans())
def test_what_was_sealed_is_read_by_its_own_kind_alone(kind: str, purpose: str, named: bool) -> None:
    prefix = "log" if kind == "confirm" else "snd"
    link = ConsentLink(kind, new_id("idn"), purpose, new_id(prefix) if named else None)  # type: ignore[arg-type]
    token = LINKS.token(link)
    assert LINKS.open(link.kind, token) == link and token.replace("-", "").replace("_", "").isalnum()
    others = {"unsubscribe", "preferences", "confirm"} - {kind}
    assert all(LINKS.open(other, token) is None for other in others)  # type: ignore[arg-type]
    assert link.identity_id[4:] not in token and (len(purpose) < 6 or purpose not in token)
    assert ConsentLinks([os.urandom(32)], "").open(link.kind, token) is None


@given(st.text(max_size=200))
def test_whatever_somebody_makes_up_opens_nothing(token: str) -> None:
    assert LINKS.open("unsubscribe", token) is None


def test_not_one_letter_can_be_changed() -> None:
    token = LINKS.token(ConsentLink("unsubscribe", new_id("idn"), "marketing", new_id("snd")))
    for place in range(len(token) - 1):  # the last letter carries bits that stand for nothing
        other = "A" if token[place] != "A" else "B"
        assert LINKS.open("unsubscribe", token[:place] + other + token[place + 1 :]) is None


def test_links_outlive_a_rotation_of_keys() -> None:
    old = SecretBox.new_key()
    link = ConsentLink("unsubscribe", new_id("idn"), "marketing", new_id("snd"))
    token = ConsentLinks([SecretBox([old]).signing_key], "").token(link)
    rotated = SecretBox([SecretBox.new_key(), old])
    assert ConsentLinks([rotated.signing_key], "").open("unsubscribe", token) == link


@given(st.binary(min_size=16, max_size=16))
def test_an_id_is_sixteen_bytes(raw: bytes) -> None:
    assert packed_id(unpacked_id("idn", raw)) == raw
    assert unpacked_id("snd", packed_id(made := new_id("snd"))) == made
    assert packed_id("") == bytes(16)


@pytest.mark.parametrize("tail", ["0il", "0o", "U1", "1_0", " 1", "+1", "é", "٣"])
def test_what_is_no_id_is_not_packed(tail: str) -> None:
    with pytest.raises(ValueError):
        packed_id(f"snd_{tail}")
