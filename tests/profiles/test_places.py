"""Where colleagues' words still name somebody: what counts as naming, and what does not."""

from __future__ import annotations

import pytest

from profiles.holdings import Traces, traces_from, traces_of
from profiles.places import Places, pattern_of, places_of, words_of

ANNA = Traces(
    ("prf_1",),
    words=("anna.bee@example.com", "+4915123456789", "4915123456789", "4711", "customer-9-77"),
    names=("Anna Bee", "Annabella", "@annabee", "王 小明", "李小红"), short_names=("王芳",),
)


@pytest.mark.parametrize("text", [
    "Call anna.bee@example.com", "ANNA.BEE@EXAMPLE.COM said no", "rule: <anna.bee@example.com>", "+49 151 2345 6789",
    "0151-23456789 is hers", "(0151) 234 567 89", "Anna Bee wants tea", "anna  BEE", "Ａｎｎａ Ｂｅｅ",
    "as @annabee wrote", "with annabee", "customer-9-77", "问 王 小明",
    "请发邮件到anna.bee@example.com谢谢", "电话015123456789吧", "问annabee吧", "找Anna Bee聊", "请联系李小红吧",
    "王芳要茶", "问王 芳", "VIP王芳女士",
])  # fmt: skip
def test_these_name_her(text: str) -> None:
    pattern = pattern_of(ANNA)
    assert pattern is not None and pattern.search(words_of({"all": [{"field": "email", "value": text}]})), text


@pytest.mark.parametrize("text", [
    "Anna wants tea", "Bee Anna", "Joanna Beetle", "annabelle", "Annabella", "order 4711", "my.anna.bee@example.com",
    "anna.bee@example.community", "5123456789012345", "customer-9-771", "小王来过", "芳王", "",
])  # fmt: skip
def test_these_do_not(text: str) -> None:
    """One word of a name is anybody's; so are short numbers, and what only begins or ends alike."""
    pattern = pattern_of(ANNA)
    assert pattern is not None and not pattern.search(words_of({"text": text})), text


def test_a_chinese_name_is_long_enough_to_be_looked_for() -> None:
    row = {"_id": "idn_1", "key": "x", "address_key": "x", "display_name": "李小红", "handle": "小红", "value": None}
    assert traces_of([], ["prf_1"], [row]).names == ("李小红",)


@pytest.mark.parametrize(
    ("name", "short"),
    [("王芳", "王芳"), (" 李 娜 ", "李娜"), ("陳靜", "陳靜"), ("客户", ""), ("阿杰", ""), ("王小明", ""), ("Li", ""),
     ("王", "")],
)  # fmt: skip
def test_a_name_of_two_signs_is_one_with_a_family_name(name: str, short: str) -> None:
    """Words and nicknames would be found in everything; of what is found nothing is taken away."""
    row = {"_id": "idn_1", "key": "x", "address_key": "x", "display_name": name, "handle": None, "value": None}
    traces = traces_of([], ["prf_1"], [row])
    assert traces.short_names == ((short,) if short else ()) and short not in traces.names
    assert traces_from(traces.as_document()) == traces
    before = {key: value for key, value in traces.as_document().items() if key != "short_names"}
    assert traces_from(before).short_names == (), "an erasure that was begun by an older version"


async def test_of_nobody_nothing_is_looked_for() -> None:
    assert pattern_of(Traces(("prf_1",), words=("abc",), names=("Anna",))) is None
    assert await places_of([], ANNA) == Places()
