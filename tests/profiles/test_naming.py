"""Keys made from names: readable where the name is, counted where it is not, and never somebody else's."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiles.naming import LENGTH_MAX, free_key, key_of_name


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Favourite tea", "favourite_tea"), ("  Shoe-size (EU) ", "shoe_size_eu"), ("Größe", "grosse"),
        ("Café crème", "cafe_creme"), ("Łódź", "lodz"), ("2nd visit", "nd_visit"), ("VIP 客户", "vip"), ("生日", ""),
        ("42", ""), ("", ""), ("İstanbul", "istanbul"), ("ﬁne", "fine"), ("a" * 90, "a" * LENGTH_MAX),
    ],
)  # fmt: skip
def test_a_name_becomes_a_key(name: str, key: str) -> None:
    assert key_of_name(name) == key


def test_a_key_that_stands_is_never_given_again() -> None:
    assert free_key("Tea", {"tea"}, {"tea", "tea_2"}, otherwise="field") == "tea_3"
    assert free_key("生日", {"field_1"}, {"field_1", "field_2"}, otherwise="field") == "field_3"
    assert free_key("Tea", set(), {"tea"}, otherwise="field") == "tea"  # taken away before: it means the same


@given(st.text(max_size=120), st.sets(st.sampled_from(["a", "b", "field_1", "x_2"])), st.sets(st.text(max_size=9)))
def test_every_name_gets_a_key_that_can_be_kept(name: str, standing: set[str], gone: set[str]) -> None:
    key = free_key(name, standing, gone | standing, otherwise="field")
    assert re.fullmatch(r"[a-z][a-z0-9_]{0,59}", key) and key not in standing
