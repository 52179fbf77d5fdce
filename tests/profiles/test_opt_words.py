"""STOP and START as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiles.opt_words import LENGTH_MAX, OptWord, opt_word

STOPS = [
    "STOP", "stop", "Stop.", "ＳＴＯＰ！", "  stop  ", "STOPALL", "stop all", "Unsubscribe", "unsubscribe me please",
    "Please unsubscribe", "cancel", "END", "Quit", "revoke", "OPT OUT", "opt-out", "optout",
    "Please stop sending me messages",
    "stop please", "STOP STOP STOP", "Stop. I never asked for this.", "STOP\n\nSent from my phone", "/stop",
    "🛑 stop 🛑", "unsubscribe?",
    "stop\u200b", "unsubscribe anna@example.com", "Remove me from your list",
]  # fmt: skip
CHINESE_STOPS = [
    "退订", "退订。", "退訂", "TD", "td", "ＴＤ", "取消订阅", "取消订阅，谢谢", "停止", "停止！", "请退订", "我要退订",
    "回复TD",
    "停止订阅", "拒收", "不要再发短信了",
]  # fmt: skip
NOTHING = [
    "", " ", "。", "Stop by tomorrow", "Don't stop", "Do not stop", "Should I stop using it?", "cancel my order",
    "Please cancel order 1042", "The end", "end of the week works", "停止发货", "怎么退订？", "如何取消订阅",
    "可以退订吗", "I quit my job", "the bus stop is far", "stopp", "TDK", "yes", "ok", "start now", "Let us start",
    "订阅多少钱", "恢复出厂设置",
]  # fmt: skip


@pytest.mark.parametrize("text", STOPS)
def test_a_no_in_english(text: str) -> None:
    assert opt_word(text) == OptWord(False, True, "en")


@pytest.mark.parametrize("text", CHINESE_STOPS)
def test_a_no_in_chinese(text: str) -> None:
    assert opt_word(text) == OptWord(False, True, "zh_CN")


@pytest.mark.parametrize("text", NOTHING)
def test_what_speaks_of_something_else(text: str) -> None:
    assert opt_word(text) is None


@pytest.mark.parametrize(
    ("text", "explicit", "language"),
    [("START", False, "en"), ("unstop", False, "en"), ("恢复", False, "zh_CN"), ("开始", False, "zh_CN"),
     ("Subscribe", True, "en"), ("opt-in", True, "en"), ("订阅", True, "zh_CN"), ("重新订阅", True, "zh_CN")],
)  # fmt: skip
def test_a_yes(text: str, explicit: bool, language: str) -> None:
    assert opt_word(text) == OptWord(True, explicit, language)


def test_opening_a_chat_with_a_bot_is_no_yes() -> None:
    assert opt_word("/start") is None


def test_a_button_says_no_more_than_its_clear_words() -> None:
    assert opt_word("Cancel", pressed=True) is None and opt_word("Start", pressed=True) is None
    assert opt_word("Stop promotions", pressed=True) == OptWord(False, True, "en")
    assert opt_word("退订", pressed=True) == OptWord(False, True, "zh_CN")


@given(st.text(max_size=400))
def test_it_takes_whatever_people_write(text: str) -> None:
    said = opt_word(text)
    assert said is None or len(text) <= LENGTH_MAX
    assert opt_word(text, pressed=True) is None or said is not None


@given(st.sampled_from(STOPS[:6] + CHINESE_STOPS[:6]), st.sampled_from(["", " ", "!", "。", "…", "\n", "‼️"]))
def test_case_width_and_punctuation_do_not_matter(word: str, end: str) -> None:
    wide = "".join(chr(ord(each) + 0xFEE0) if "!" <= each <= "~" else each for each in word)
    for text in (word + end, word.upper() + end, word.lower() + end, wide + end, end + word):
        assert opt_word(text) is not None, text
