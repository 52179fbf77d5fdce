"""What is said by itself to a message, or why nothing is. Pure.

Consent words beat all, then a keyword, then that nobody is there, then the greeting. A machine at the other end is met
by three bars: mail that calls itself automatic is never answered, no answer is given twice in a short time, and one
person gets a few at most.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from base.ids import unique_key
from campaigns.automation.replies.models import ChannelReplies, Keyword
from campaigns.contents import closest_locale
from campaigns.matching import folded, has_word, is_word
from profiles.events import Event
from profiles.opt_words import OptWord, opt_word

Kind = Literal["keyword", "out_of_office", "greeting"]

#: An older message is history that came late: nobody waits for an answer by itself.
ANSWERED_WITHIN = timedelta(hours=1)
#: So long after a word of a colleague the two are talking, and no machine puts in its own.
TALKING = timedelta(minutes=30)
#: The same keyword answers one person once in so long, and by all of them one gets so many answers in that time.
APART, AT_MOST = timedelta(minutes=10), 5
#: A bare mark is likely meant for somebody who asked for one.
_MARK = re.compile(r"\s*\d{1,2}\s*[.!。！⭐️★]*\s*")
_HAN = re.compile(r"[\u3400-\u9fff]")


@dataclass(frozen=True)
class Heard:
    """A message of a customer. `payload`: of the button that was pressed."""

    text: str
    at: datetime
    payload: str = ""


@dataclass(frozen=True)
class Said:
    """Something that was said by itself to this person before; `mark` is what is not said twice."""

    kind: Kind
    at: datetime
    mark: str
    text: str = ""


@dataclass(frozen=True)
class Standing:
    """How the conversation stands. `answered_at`: when one of ours last wrote in it; `opens_at`: None while it is open,
    or when it never opens (`is_open` tells which)."""

    began_at: datetime
    answered_at: datetime | None = None
    owner: str | None = None
    status: str = "open"
    said: Sequence[Said] = ()
    is_open: bool = True
    opens_at: datetime | None = None


@dataclass(frozen=True)
class Answer:
    """What is said and done. `marks`: what makes it once; of each the first is written down."""

    kind: Kind
    texts: tuple[Mapping[str, str], ...]
    mark: str
    labels: tuple[str, ...] = ()
    team_id: str | None = None


def is_to_be_answered(event: Event) -> bool:
    """Whether an event is a message to which something may be said by itself: none of a machine, none in a group, no
    word of consent, no mark that was asked for."""
    return is_said_to_us(event) and word_of(event) is None


def word_of(event: Event) -> OptWord | None:
    """What such a message says about hearing from us."""
    told = event.properties
    return opt_word(str(told.get("text") or ""), pressed=bool(told.get("payload")))


def is_said_to_us(event: Event) -> bool:
    """The same, whether it is a word of consent or not."""
    told = event.properties
    if event.name != "message.received" or told.get("automatic") or told.get("group_id"):
        return False
    if event.conversation_id is None or event.profile_id is None or event.identity_id is None:
        return False
    return not str(told.get("payload") or "").startswith("rating:")


def chosen(replies: ChannelReplies, heard: Heard, standing: Standing, now: datetime, zone: ZoneInfo) -> Answer | str:
    """What is said, or the reason why nothing is."""
    if now - heard.at > ANSWERED_WITHIN:
        return "too_late"
    if standing.owner == "bot":
        return "bot"
    if standing.status == "spam":
        return "spam"
    if _is_own(heard, standing.said):
        return "own_words"
    found = keywords_in(replies, heard)
    if found:
        return _answered(found, standing, now)
    if _MARK.fullmatch(heard.text):
        return "bare_mark"
    if not standing.is_open and replies.out_of_office is not None and replies.out_of_office.active:
        mark = away_mark(replies.out_of_office.hours_id, standing.opens_at)
        return may_say_away(standing, heard, mark) or Answer("out_of_office", (replies.out_of_office.texts,), mark)
    if replies.greeting is None or not replies.greeting.active:
        return "nothing_to_say"
    mark = greeting_mark(now, zone)
    return may_greet(standing, heard, mark) or Answer("greeting", (replies.greeting.texts,), mark)


def keywords_in(replies: ChannelReplies, heard: Heard) -> list[Keyword]:
    """The keywords a message names, in their order; the first alone where that is all that counts."""
    found = [each for each in replies.keywords if each.active and _names(each, heard)]
    return found[:1] if replies.first_only else found


def _names(keyword: Keyword, heard: Heard) -> bool:
    if heard.payload and folded(heard.payload) in {folded(word) for word in keyword.words}:
        return True
    if keyword.match == "contains":
        return any(has_word(heard.text, word) for word in keyword.words)
    return any(is_word(heard.text, word) for word in keyword.words)


def _answered(found: Sequence[Keyword], standing: Standing, now: datetime) -> Answer | str:
    texts = tuple(each.texts for each in found if each.texts)
    labels = tuple(dict.fromkeys(label for each in found for label in each.labels))
    team = next((each.team_id for each in found if each.team_id), None)
    mark = "keyword:" + unique_key(*(folded(word) for each in found for word in each.words))[:16]
    if texts:
        why = may_answer(standing, mark, now)
        if why and not (labels or team):
            return why
        texts = () if why else texts
    return Answer("keyword", texts, f"{mark}:{int(now.timestamp() // APART.total_seconds())}", labels, team)


def may_answer(standing: Standing, mark: str, now: datetime) -> str | None:
    """What speaks against the answer of a keyword; None: nothing."""
    if standing.answered_at is not None and now - standing.answered_at < TALKING:
        return "talking"
    lately = [each for each in standing.said if now - each.at < APART]
    if any(each.mark.startswith(mark) for each in lately):
        return "said_lately"
    return "too_many" if len(lately) >= AT_MOST else None


def may_greet(standing: Standing, heard: Heard, mark: str) -> str | None:
    """What speaks against a greeting; None: nothing. One a day and person, and only while nobody has answered."""
    if standing.answered_at is not None and standing.answered_at >= standing.began_at:
        return "answered"
    if any(each.mark == mark for each in standing.said):
        return "greeted_today"
    greeted = any(each.kind in ("greeting", "out_of_office") and each.at >= standing.began_at for each in standing.said)
    return "greeted" if greeted else None


def may_say_away(standing: Standing, heard: Heard, mark: str) -> str | None:
    """What speaks against saying that nobody is there; None: nothing. Once until it opens, and not while somebody who
    works late is talking."""
    if standing.answered_at is not None and heard.at - standing.answered_at < TALKING:
        return "talking"
    return "said_while_closed" if any(each.mark == mark for each in standing.said) else None


def greeting_mark(now: datetime, zone: ZoneInfo) -> str:
    """One a day, by the calendar of the house."""
    return f"greeting:{now.astimezone(zone):%Y-%m-%d}"


def away_mark(hours_id: str, opens_at: datetime | None) -> str:
    """One for each time between closing and opening: all of it opens at the same instant."""
    return f"away:{hours_id}:{opens_at.isoformat() if opens_at else 'never'}"


def text_for(texts: Mapping[str, str], locale: str | None, said: str) -> tuple[str, str]:
    """(language, text): in Chinese to who writes Chinese, else in the person's language, else in English, else the
    first there is."""
    offered = list(texts)
    chinese = closest_locale("zh", offered) if _HAN.search(said) else None
    language = chinese or closest_locale(locale, offered) or closest_locale("en", offered) or offered[0]
    return language, texts[language]


def _is_own(heard: Heard, said: Sequence[Said]) -> bool:
    """What says our words back is a machine."""
    words = folded(heard.text)
    return bool(words) and any(each.text and folded(each.text) == words for each in said)
