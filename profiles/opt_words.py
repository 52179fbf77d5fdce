"""STOP and START in a customer's own words, English and Chinese: what a message says about hearing from us. Pure.

The English words are those that carriers and their gateways act upon (Twilio's default list, read 2026-11-28); the
Chinese ones are what senders on the mainland have to honour (退订, TD). A wrong guess costs the person a mailing, which
the confirmation tells them how to get back; a word not understood costs them their peace. So a clear word also counts
in front of what belongs to it ("stop sending me these messages"), and one that often means an order ("cancel") alone.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

#: No opt-out is longer; whatever is has more to say than that.
LENGTH_MAX = 160

#: Clear words: they mean one thing only, alone or in front of what belongs to them.
_STOP_CLEAR = frozenset({
    "stop", "stopall", "stop all", "unsubscribe", "unsubscribe all", "unsub", "optout", "opt out", "opt me out",
    "remove me", "take me off",
})  # fmt: skip
#: Of these nobody says anything else with: whatever follows.
_STOP_LEADING = frozenset({"unsubscribe", "unsub", "optout"})
#: Words that are a no when nothing else is said. "Cancel my order" is none.
_STOP_ALONE = frozenset({"cancel", "end", "quit", "revoke"})
_STOP_CHINESE = (
    "取消订阅", "取消訂閱", "停止订阅", "停止訂閱", "停止发送", "停止發送", "退订", "退訂", "拒收", "不再接收",
    "不要再发", "不要再發",
)  # fmt: skip
_STOP_CHINESE_ALONE = frozenset({"停止", "td"})
#: A yes whatever went before.
_SUBSCRIBE = frozenset({"subscribe", "resubscribe", "opt in", "optin", "opt me in"})
_SUBSCRIBE_CHINESE = frozenset({"订阅", "訂閱", "重新订阅", "重新訂閱", "恢复订阅", "恢復訂閱"})
#: Words that take back a no. From somebody who never said one they are a greeting ("start" on a bot).
_RESUME = frozenset({"start", "unstop", "resume"})
_RESUME_CHINESE = frozenset({"恢复", "恢復", "开始", "開始"})

_BEFORE = frozenset({
    "please", "pls", "plz", "hi", "hello", "hey", "i", "want", "would", "like", "to", "can", "you", "just",
})  # fmt: skip
_AFTER = frozenset({
    "please", "pls", "plz", "now", "immediately", "all", "message", "messages", "msg", "msgs", "text", "texts",
    "texting", "messaging", "sending", "contacting", "spam", "spamming", "email", "emails", "emailing", "mail", "mails",
    "marketing", "promotion", "promotions", "promotional", "promo", "promos", "ad", "ads", "advertising", "news",
    "newsletter", "newsletters", "updates", "notifications", "list", "your", "the", "this", "these", "those", "any",
    "more", "from", "of", "to", "me", "us", "my", "number", "thanks", "thank", "you",
})  # fmt: skip
_CHINESE_BEFORE = re.compile(r"^(?:请|請|麻烦|麻煩|我要|我想|想|要|回复|回復|回)+")
_CHINESE_ASKS = re.compile(r"[吗嗎呢]|怎么|怎麼|如何|为什么|為什麼|多久|能不能|可不可以")
_SENTENCE_END = re.compile(r"[\n.!,;:。！，；：…—–]")


@dataclass(frozen=True)
class OptWord:
    """What was said. `explicit`: a yes that needs no earlier no. `language`: that of the word."""

    granted: bool
    explicit: bool
    language: str


def opt_word(text: str | None, *, pressed: bool = False) -> OptWord | None:
    """What this message says about hearing from us; None when it speaks of something else.

    `pressed`: it is the title of a button, which says no more than its clear words ("Cancel" may belong to an order).
    """
    if not text or len(text) > LENGTH_MAX:
        return None
    plain = unicodedata.normalize("NFKC", text).casefold().strip()
    said = _spoken(plain)
    if not said:
        return None
    if _is_stop(plain, said, pressed=pressed):
        return OptWord(False, True, _language(said))
    if plain.startswith("/") or pressed:
        return None  # /start opens a chat with a bot; everybody sends it
    return _start(said)


def _start(said: str) -> OptWord | None:
    whole = " ".join(word for word in said.split() if word not in ("please", "pls", "plz"))
    chinese = _chinese(said)
    if whole in _SUBSCRIBE or chinese in _SUBSCRIBE_CHINESE:
        return OptWord(True, True, _language(said))
    if whole in _RESUME or chinese in _RESUME_CHINESE:
        return OptWord(True, False, _language(said))
    return None


def _is_stop(plain: str, said: str, *, pressed: bool) -> bool:
    if _is_clear(said) or _is_chinese_stop(plain, said):
        return True
    if "?" in plain:
        return False
    if not pressed and (said in _STOP_ALONE or _chinese(said) in _STOP_CHINESE_ALONE):
        return True
    first = _spoken(_SENTENCE_END.split(plain.lstrip("/ "), maxsplit=1)[0])
    # A sentence of its own in front of whatever else: "Stop. I never asked for these."
    leads = said.split()[0] in _STOP_LEADING or first in _STOP_CLEAR
    return leads or (not pressed and "\n" in plain and _is_alone(first))


def _is_alone(first: str) -> bool:
    """Before a signature, as mail programs of telephones add one."""
    return first in _STOP_ALONE or first in _STOP_CHINESE_ALONE


def _is_clear(said: str) -> bool:
    words = said.split()
    while words and (words[0] in _BEFORE or words[:1] == words[1:2]):
        words = words[1:]
    for length in (3, 2, 1):
        if " ".join(words[:length]) in _STOP_CLEAR and len(words) >= length:
            return all(word in _AFTER for word in words[length:])
    return False


def _is_chinese_stop(plain: str, said: str) -> bool:
    joined = _chinese(said)
    if "?" in plain or _CHINESE_ASKS.search(joined):
        return False
    return joined.startswith(_STOP_CHINESE) or (joined.startswith("td") and joined[2:] in ("退订", "退訂"))


def _chinese(said: str) -> str:
    """Without spaces and the polite beginning."""
    return _CHINESE_BEFORE.sub("", said.replace(" ", ""))


def _spoken(plain: str) -> str:
    """Letters and digits alone, one space between words: no punctuation, no signs, nothing invisible."""
    kept = (
        "" if unicodedata.category(each) == "Cf" or each in "'’\ufe0e\ufe0f" else
        each if unicodedata.category(each)[0] in "LNM" else " "
        for each in plain
    )  # fmt: skip
    return " ".join("".join(kept).split())


def _language(said: str) -> str:
    return "zh_CN" if any("\u2e80" <= each <= "\u9fff" for each in said) or said.startswith("td") else "en"
