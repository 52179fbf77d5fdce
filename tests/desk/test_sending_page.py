"""Settings → Sending: rules are written, refused with their place, taken back; stopped steps are resumed."""

import re

from base.clock import now
from campaigns.policies.store import StopStore

HERE = "/settings/sending"
RULES = {"quiet_from": "21:00", "quiet_to": "08:00", "least_people": "20", "least_percent": "20", "minutes": "10"}


def rev_of(page: str) -> str:
    found = re.search(r'name="rev" value="(\d+)"', page)
    assert found is not None
    return found[1]


async def test_rules_are_written_and_taken_back(desk):
    ada = await desk.person("admin", name="Ada Admin")
    first = await ada.page(HERE)
    cap = {"most-0": "2", "number-0": "7", "unit-0": "D", "class-0": "marketing", "group-0": "", "channel-0": "email"}
    assert await ada.post(HERE, rev=rev_of(first), **RULES, **cap) == f"{HERE}?saved=1"
    held = await desk.runtime.policies.get()
    assert held.policies.caps[0].per == "P7D" and held.policies.quiet_hours.from_.text == "21:00"
    again = await ada.page(f"{HERE}?saved=1")
    assert 'name="number-0" value="7"' in again and 'data-testid="undo"' in again
    late = await ada.post(HERE, 422, rev=rev_of(first), **RULES)
    assert "in the meantime" in late
    await ada.post(f"{HERE}/undo", rev=rev_of(again))
    assert not (await desk.runtime.policies.get()).policies.caps


async def test_faults_stand_beside_their_rows_and_others_only_read(desk):
    ada = await desk.person("admin", name="Ada Admin")
    rev = rev_of(await ada.page(HERE))
    bad = await ada.post(HERE, 422, rev=rev, **RULES, **{"most-0": "many", "number-0": "200", "unit-0": "D"})
    assert "A whole number from 1 on." in bad and "at most 92 days" in bad and 'value="many"' in bad
    wrong = await ada.post(HERE, 422, rev=rev, **{**RULES, "quiet_from": "25:00", "minutes": "0"})
    assert "Two times of day" in wrong and "minutes up to 240" in wrong
    lena = await desk.person("viewer", name="Lena Limited")
    assert 'data-testid="save"' not in await lena.page(HERE)
    await lena.post(HERE, 403, **RULES)


async def test_it_reads_in_chinese(desk):
    ada = await desk.person("admin", name="Ada Admin")
    ada.client.headers["Accept-Language"] = "zh-CN"
    assert "发送规则" in await ada.page(HERE)


async def test_a_stopped_step_is_resumed(desk):
    ada = await desk.person("admin", name="Ada Admin")
    await StopStore(desk.runtime.db).stop("jrn_" + "0" * 26, "hello", 25, 40, now())
    assert "25 of 40 people" in await ada.page(HERE)
    await ada.post(f"{HERE}/resume", stop="jrn_" + "0" * 26 + ":hello")
    assert 'data-testid="stopped"' not in await ada.page(HERE)
