"""Windows as data."""

import pytest

from channels.capabilities import Capabilities
from channels.vocabulary import Button

DAY = 24 * 3600


@pytest.mark.parametrize(
    ("given", "automatic", "window_s"),
    [
        ({}, False, None),
        ({"human_window_s": 7 * DAY}, False, None),
        ({"reply_window_s": DAY}, False, DAY),
        ({"reply_window_s": DAY, "human_window_s": 7 * DAY}, False, 7 * DAY),
        ({"reply_window_s": DAY, "human_window_s": 7 * DAY}, True, DAY),
        ({"reply_window_s": DAY, "human_window_s": 60}, False, DAY),
    ],
)
def test_a_person_may_have_longer_than_a_machine(given: dict[str, int], automatic: bool, window_s: int | None) -> None:
    assert Capabilities(text_limit=1, **given).window_s(automatic=automatic) == window_s


def test_links_may_leave_room_for_fewer_buttons() -> None:
    able = Capabilities(text_limit=100, buttons=10, buttons_with_link=1)
    link, reply = Button(title="Shop", url="https://shop.example"), Button(title="Yes", payload="y")
    assert able.shows([reply] * 10) and not able.shows([reply] * 11)
    assert able.shows([link]) and not able.shows([link, reply])
    assert Capabilities(text_limit=100, buttons=2).shows([link, reply])
