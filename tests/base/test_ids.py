"""Ids: ULIDs in lower case behind their prefix, sortable, never the same."""

import time

from ulid import ULID

from base.ids import is_id, new_id


def test_an_id_is_a_ulid_of_this_moment() -> None:
    before = time.time()
    made = new_id("msg")
    read = ULID.from_str(made.removeprefix("msg_").upper())
    assert is_id(made, "msg") and before - 0.001 <= read.timestamp <= time.time()
    assert str(read).lower() == made.removeprefix("msg_")


def test_ids_sort_by_time_and_differ() -> None:
    made = [new_id("evt") for _ in range(20_000)]  # many in each millisecond
    time.sleep(0.002)
    made.append(new_id("evt"))
    assert made == sorted(made) and len(set(made)) == len(made)
