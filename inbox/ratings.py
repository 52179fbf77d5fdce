"""What people say of us: once after a conversation is closed they are asked for a mark from 1 to 5 (`csat`), or from 0
to 10 how likely they are to recommend us (`nps`). One question per closing.

What is asked of whom is a duty row made when a conversation is resolved; whether it may be asked is judged when it is
due. The question and its row are one transaction, so are the answer and its event.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from base.clock import Clock
from base.duty import MAX_CRASHES
from base.errors import Refused
from base.feed import Feed, Notice
from base.ids import new_id, unique_key
from base.mongo import UNAVAILABLE, Database, Document, DuplicateKeyError, OperationFailure, Session
from base.queue import Doorbell
from channels.vocabulary import Address, Button, OutboundMail, OutboundMessage
from inbox.conversations import ConversationActions
from inbox.incoming import cleaned, system_row
from inbox.models import SYSTEM, SendRequest, Source
from inbox.outbox import Outbox, Way
from inbox.policy import window_objection
from inbox.rating_thanks import THANKS, WORDS_WITHIN, commented, words_of
from inbox.sources import written
from inbox.store import ConversationStore, MessageStore, RatingStore
from profiles.consent_links import ConsentLink, ConsentLinks
from profiles.events import Event, EventStore, NewEvent
from profiles.store import ProfileStore

log = logging.getLogger(__name__)

KIND = "rating"
RatingKind = Literal["csat", "nps"]
SCORES = (5, 4, 3, 2, 1)
NPS_SCORES = tuple(range(10, -1, -1))
#: So long a bare number counts as the answer to the question before it.
NUMBER_WITHIN = timedelta(days=2)
#: So long the link of a question works.
LINK_WITHIN = timedelta(days=30)
COMMENT_MAX, QUESTION_MAX = 2000, 500
DELAY_MAX_MIN, APART_MAX_DAYS = 7 * 24 * 60, 365
#: Language → the question, what stands before the link, the subject, and the marks as buttons.
WORDS: Mapping[str, Mapping[str, Any]] = {
    "en": {
        "question": "How did we do? Your rating helps us to get better.", "number": "Answer with a number from 1 (bad) "
        "to 5 (very good).", "link": "Rate us here: {url}", "subject": "How did we do?",
        "marks": {5: "5 · Very good", 4: "4 · Good", 3: "3 · All right", 2: "2 · Poor", 1: "1 · Bad"},
    },
    "zh": {
        "question": "您对这次服务满意吗？您的评价能帮助我们做得更好。",
        "number": "请回复 1（很差）到 5（非常满意）之间的数字。",
        "link": "点此评价：{url}", "subject": "您对这次服务满意吗？",
        "marks": {5: "5 · 非常满意", 4: "4 · 满意", 3: "3 · 一般", 2: "2 · 不满意", 1: "1 · 很差"},
    },
}  # fmt: skip
NPS_WORDS: Mapping[str, Mapping[str, Any]] = {
    "en": {
        "question": "How likely are you to recommend us to somebody you know?", "number": "Answer with a number from 0 "
        "(not at all) to 10 (certainly).", "link": "Answer here: {url}", "subject": "Would you recommend us?",
    },
    "zh": {
        "question": "您有多大可能把我们推荐给身边的人？", "number": "请回复 0（完全不会）到 10（一定会）之间的数字。",
        "link": "点此作答：{url}", "subject": "您会推荐我们吗？",
    },
}  # fmt: skip
_NUMBER = re.compile(r"\s*(10|\d)\s*[.!。！⭐️★]*\s*")


@dataclass(frozen=True)
class Question:
    """What is asked, the marks that answer it, and what its answer is called."""

    kind: RatingKind
    scores: tuple[int, ...]
    words: Mapping[str, Mapping[str, Any]]
    event: str
    #: The property of the event in which the mark stands.
    name: str

    def title(self, language: str, mark: int) -> str:
        """A mark as a button."""
        titles: Mapping[int, str] = self.words[language].get("marks", {})
        return titles.get(mark, str(mark))


QUESTIONS: Mapping[str, Question] = {
    "csat": Question("csat", SCORES, WORDS, "csat.submitted", "rating"),
    "nps": Question("nps", NPS_SCORES, NPS_WORDS, "nps.submitted", "score"),
}  # fmt: skip


@dataclass(frozen=True)
class Thanks:
    """What is sent to somebody who pressed a mark, and when they did."""

    request: SendRequest
    pressed_at: datetime


def question_of(row: Mapping[str, Any]) -> Question:
    """Which question a row is about."""
    return QUESTIONS[row.get("kind", "csat")]


class RatingRules(BaseModel):
    """Whether people are asked, where, how long after a conversation was closed, and how long apart."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    on: bool = False
    channel_ids: list[str] = Field(default_factory=list, max_length=200, description="Empty: all channels.")
    delay_min: int = Field(10, ge=0, le=DELAY_MAX_MIN)
    apart_days: int = Field(14, ge=0, le=APART_MAX_DAYS, description="Nobody is asked twice within so many days.")
    question: str = Field("", max_length=QUESTION_MAX, description="Empty: our own words, in the person's language.")


class ChannelQuestion(BaseModel):
    """How one channel has it otherwise."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    on: bool = True
    delay_min: int | None = Field(None, ge=0, le=DELAY_MAX_MIN)
    apart_days: int | None = Field(None, ge=1, le=APART_MAX_DAYS)


class NpsRules(RatingRules):
    """The same for recommendations; what a channel has otherwise holds there."""

    delay_min: int = Field(60, ge=0, le=DELAY_MAX_MIN)
    apart_days: int = Field(90, ge=1, le=APART_MAX_DAYS, description="Nobody is asked twice within so many days.")
    by_channel: dict[str, ChannelQuestion] = Field(default_factory=dict, max_length=200)

    def on_channel(self, channel_id: str) -> RatingRules:
        """What holds on a channel."""
        own = self.by_channel.get(channel_id) or ChannelQuestion(on=_is_on(self, channel_id))
        delay = self.delay_min if own.delay_min is None else own.delay_min
        apart = self.apart_days if own.apart_days is None else own.apart_days
        return RatingRules(on=self.on and own.on, delay_min=delay, apart_days=apart, question=self.question)


class Ratings:
    """Plans questions, asks them and takes the answers."""

    def __init__(
        self, database: Database, store: RatingStore, conversations: ConversationStore, messages: MessageStore,
        profiles: ProfileStore, outbox: Outbox, actions: ConversationActions, events: EventStore, links: ConsentLinks,
        feed: Feed, doorbell: Doorbell, clock: Clock,
    ) -> None:  # fmt: skip
        self._database = database
        self._store = store
        self._conversations = conversations
        self._messages = messages
        self._profiles = profiles
        self._outbox = outbox
        self._actions = actions
        self._events = events
        self._links = links
        self._feed = feed
        self._doorbell = doorbell
        self._clock = clock

    async def rules(self) -> RatingRules:
        """Those that hold now."""
        row = await self._store.rules()
        return RatingRules.model_validate({name: row[name] for name in RatingRules.model_fields if name in row})

    async def choose(self, rules: RatingRules, by: str) -> None:
        """From now on these."""
        await self._store.choose(rules.model_dump(), by)

    async def nps_rules(self) -> NpsRules:
        """Those for recommendations that hold now."""
        row = await self._store.rules("nps")
        return NpsRules.model_validate({name: row[name] for name in NpsRules.model_fields if name in row})

    async def choose_nps(self, rules: NpsRules, by: str) -> None:
        """From now on these."""
        await self._store.choose(rules.model_dump(), by, "nps")

    async def _holding(self, kind: str, channel_id: str) -> RatingRules:
        """What holds for a question on a channel."""
        if kind == "nps":
            return (await self.nps_rules()).on_channel(channel_id)
        rules = await self.rules()
        return rules.model_copy(update={"on": rules.on and _is_on(rules, channel_id)})

    # -- when a conversation is closed -------------------------------------------------------------------------

    async def hear(self, events: Sequence[Event]) -> None:
        """Told of what happens: plans a question for each conversation a colleague has resolved, and takes the marks
        that came as messages, with the words that follow them. May be told twice."""
        closed = [each for each in events if _is_closing(each)]
        planned = [row for each in closed if (row := await self._planned(each)) is not None]
        if planned:
            await self._store.plan(planned)
        for each in events:
            if each.name == "message.received" and not each.properties.get("automatic"):
                await self._heard(each)
        said = [(each, words_of(each)) for each in events]
        await self._heard_words([(each, words) for each, words in said if words and not _NUMBER.fullmatch(words)])

    async def ask(self, conversation_id: str) -> str | None:
        """Plan a question for a conversation that stands resolved, whoever has resolved it; why not, where none may be
        asked. Once for each time it is resolved."""
        talk = await self._conversations.row(conversation_id)
        if talk is None:
            return "gone"
        which = await self._which(talk["profile_id"], talk["channel_id"])
        if which is None:
            return "ratings_off"
        if talk["status"] != "resolved":
            return "not_resolved"
        about = {name: talk.get(name) for name in ("profile_id", "identity_id", "channel_id")}
        duty = _duty(conversation_id, talk["resolved_at"], which, {**about, "agent_id": talk.get("assignee_id")})
        await self._store.plan([duty])
        return None

    async def _planned(self, event: Event) -> Document | None:
        """The question a closing is followed by; None: none."""
        which = await self._which(event.profile_id or "", event.channel_id or "")
        about = {
            "profile_id": event.profile_id, "identity_id": event.identity_id, "channel_id": event.channel_id,
            "agent_id": event.properties.get("by"),
        }  # fmt: skip
        return which and _duty(event.conversation_id, event.occurred_at, which, about)

    async def _which(self, profile_id: str, channel_id: str) -> tuple[RatingKind, RatingRules] | None:
        """What this person is asked next. Who has not been asked lately whether they recommend us is asked that;
        whichever it is, its key is that of the closing, so that the other one is not asked as well."""
        nps = await self._holding("nps", channel_id)
        since = self._clock() - timedelta(days=nps.apart_days)
        if nps.on and not await self._store.asked_since(profile_id, since, "nps"):
            return "nps", nps
        rules = await self._holding("csat", channel_id)
        return ("csat", rules) if rules.on else None

    async def _heard(self, event: Event) -> None:
        payload, text = str(event.properties.get("payload") or ""), str(event.properties.get("text") or "")
        pressed = payload.startswith(f"{KIND}:")
        if pressed:
            rating_id, _, mark = payload.removeprefix(f"{KIND}:").partition(":")
            row = await self._store.get(rating_id)
            if row is None or row["identity_id"] != event.identity_id or not mark.isascii() or not mark.isdigit():
                return
            score = int(mark[:3])
        else:
            found = _NUMBER.fullmatch(text)
            if found is None or event.profile_id is None or event.identity_id is None:
                return
            since = event.occurred_at - NUMBER_WITHIN
            row = await self._store.open_question(event.profile_id, event.identity_id, since)
            score = int(found[1])
        if row is not None and score in question_of(row).scores:
            # Closed before we say thanks: once that has gone out, theirs is no longer the last message.
            await self._closed_again(row, event)
            thanks = await self._thanks(row, event) if pressed and row["state"] == "asked" else None
            await self.answer(row["_id"], score, thanks=thanks)

    async def _closed_again(self, rating: Document, event: Event) -> None:
        """A mark opens no conversation: where nothing else came, it is closed again."""
        row = await self._conversations.row(rating["conversation_id"])
        last = (row or {}).get("last_message") or {}
        if row and row["status"] == "open" and last.get("id") == event.properties.get("message_id"):
            await self._actions.set_status(row["_id"], "resolved", SYSTEM)

    async def _thanks(self, rating: Document, event: Event) -> Thanks | None:
        """What is said to a press, where it was made; None where nothing may be sent or it is a mail."""
        talk = await self._conversations.row(event.conversation_id or rating["conversation_id"])
        try:
            way = await self._outbox.way(talk) if talk else None
        except Refused:
            way = None
        if talk is None or way is None or way.is_mail:
            return None
        key, to = unique_key(KIND, rating["_id"], "thanks"), way.identity.external_id or "?"
        message = OutboundMessage(
            key=key, to=Address(channel_id=talk["channel_id"], external_id=to),
            text=THANKS[await self._language(talk["profile_id"])], automatic=True,
        )  # fmt: skip
        if window_objection(way.capabilities, way.identity, self._clock(), message) is not None:
            return None
        return Thanks(_request(rating["_id"], talk, message), event.occurred_at)

    async def _heard_words(self, said: Sequence[tuple[Event, str]]) -> None:
        """The next words after a press are its comment, and remain a message like any; not so when something else of
        ours was said in between, which they may answer."""
        people = {each.profile_id for each, _ in said if each.profile_id}
        rows = await self._store.awaiting_words(sorted(people)) if people else []
        for event, words in sorted(said, key=lambda each: each[0].occurred_at) if rows else ():
            row = commented(event, rows)
            if row is None or event.conversation_id is None:
                continue
            since, until = row["words_from"], event.occurred_at
            if not await self._messages.went_out(event.conversation_id, since, until, besides=row["thanks_id"]):
                await self._store.comment(row["_id"], (cleaned(words, COMMENT_MAX) or "").strip())

    # -- asking ------------------------------------------------------------------------------------------------

    async def drain(self, limit: int = 50) -> int:
        """Ask who is to be asked by now; how many were judged."""
        duties = await self._store.duties.claim(["due"], self._clock(), limit=limit)
        for duty in duties:
            try:
                await self._judge(duty)
            except (DuplicateKeyError, OperationFailure):  # somebody else is at it: it comes again when the lease ends
                continue
            except UNAVAILABLE:
                raise
            except Exception:  # it alone: due again when its lease ends, and set aside at last
                log.exception("a question could not be asked", extra={"duty": duty["_id"]})
        return len(duties)

    async def _judge(self, duty: Document) -> None:
        if duty["attempts"] > MAX_CRASHES:
            await self._store.settle(duty, {"state": "skipped", "why": "crashed"})
            return
        await self._ask(duty, await self._holding(duty.get("kind", "csat"), duty["channel_id"]))

    async def _ask(self, duty: Document, rules: RatingRules) -> None:
        why, talk = await self._objection(duty, rules)
        if why or talk is None:
            await self._store.settle(duty, {"state": "skipped", "why": why or "gone"})
            return
        try:
            way = await self._outbox.way(talk)
        except Refused as refused:
            await self._store.settle(duty, {"state": "skipped", "why": refused.code})
            return
        now, key = self._clock(), unique_key(KIND, duty["_id"])
        message = await self._question(duty, talk, way, key, rules)
        if window_objection(way.capabilities, way.identity, now, message) is not None:
            await self._store.settle(duty, {"state": "skipped", "why": "window"})
            return
        request = _request(duty["_id"], talk, message)
        asked = {
            "state": "asked", "asked_at": now, "send_key": key, "profile_id": talk["profile_id"],
            "agent_id": talk.get("assignee_id") or duty.get("agent_id"), "team_id": talk.get("team_id"),
        }  # fmt: skip
        if rules.apart_days:
            asked["mark"] = f"{talk['profile_id']}:{duty.get('kind', 'csat')}:{now:%Y-%m-%dT%H:%M}"

        async def work(session: Session) -> bool:
            if not await self._store.settle(duty, asked, session):
                return False
            await self._outbox.request([request], session)
            return True

        if await self._database.in_transaction(work):
            await self._doorbell.ring("deliver")

    async def _objection(self, duty: Document, rules: RatingRules) -> tuple[str, Document | None]:
        """Why this person is not asked now (empty: nothing speaks against it), and the conversation."""
        talk = await self._conversations.row(duty["conversation_id"])
        if talk is None:
            return "gone", None
        if not rules.on:
            return "off", talk
        resolved_at = talk.get("resolved_at") if talk["status"] == "resolved" else None
        if resolved_at is None or resolved_at > duty["closed_at"]:  # open, or closed once more, which has its own row
            return "opened_again", talk
        if talk.get("group_id"):
            return "group", talk
        if not talk.get("last_inbound_at"):
            return "never_wrote", talk
        since = self._clock() - timedelta(days=rules.apart_days)
        if await self._store.asked_since(talk["profile_id"], since, duty.get("kind", "csat")):
            return "asked_lately", talk
        return "", talk

    async def _question(
        self, duty: Document, talk: Document, way: Way, key: str, rules: RatingRules
    ) -> OutboundMessage:  # fmt: skip
        """The question with a button for each mark; without room for all, with a link and, in a chat, the numbers."""
        asked_for, language = question_of(duty), await self._language(talk["profile_id"])
        words = asked_for.words[language]
        question = rules.question or words["question"]
        to = Address(channel_id=talk["channel_id"], external_id=way.identity.external_id or "?")
        buttons = tuple(
            Button(title=asked_for.title(language, mark), payload=f"{KIND}:{duty['_id']}:{mark}")
            for mark in asked_for.scores
        )
        asked = OutboundMessage(key=key, to=to, text=question, buttons=buttons, automatic=True)
        if not way.is_mail and way.capabilities.objection(asked) is None and way.capabilities.shows(buttons):
            return asked
        link = words["link"].format(url=self._links.url(ConsentLink("rate", talk["identity_id"], "", duty["_id"])))
        parts = [question, *([] if way.is_mail else [words["number"]]), link]
        mail = OutboundMail(subject=words["subject"]) if way.is_mail else None
        return OutboundMessage(key=key, to=to, text="\n\n".join(parts), mail=mail, automatic=True)

    async def _language(self, profile_id: str) -> str:
        """That in which a person is asked and thanked."""
        profile = await self._profiles.get(profile_id)
        return "zh" if profile and (profile.locale or "").startswith("zh") else "en"

    # -- answers -----------------------------------------------------------------------------------------------

    async def by_link(self, rating_id: str, identity_id: str) -> Document | None:
        """What a link from a question leads to; None when it is too old or gone."""
        row = await self._store.get(rating_id)
        fresh = row is not None and row["identity_id"] == identity_id and "asked_at" in row
        return row if row and fresh and row["asked_at"] > self._clock() - LINK_WITHIN else None

    async def answer(self, rating_id: str, score: int, comment: str = "", thanks: Thanks | None = None) -> bool:
        """The first mark counts, and is thanked for; words may follow once. Whether this was the first."""
        row, now = await self._store.get(rating_id), self._clock()
        if row is None:
            return False
        if score not in question_of(row).scores:
            raise ValueError("no such mark")
        words = (cleaned(comment, COMMENT_MAX) or "").strip() or None
        fields: Document = {"score": score, "comment": words, "answered_at": now}

        async def work(session: Session) -> bool:
            if not await self._store.answer(rating_id, fields, session):
                return False
            talk = await self._conversations.row(row["conversation_id"], session)
            if talk is not None:
                line = _line(talk, row, score, words, now)
                await self._conversations.change_one(talk, {"$inc": {"seq": 1}, "$set": {"updated_at": now}}, session)
                await self._messages.insert([line], session)
            await self._events.record([_event(row, score, words, now)], session)
            if thanks is not None:
                (send,) = await self._outbox.request([thanks.request], session)
                until = thanks.pressed_at + WORDS_WITHIN
                await self._store.thanked(rating_id, send.id, thanks.pressed_at, until, session)
            return True

        first = bool(await self._database.in_transaction(work))
        if not first and words:
            await self._store.comment(rating_id, words)
        if first:
            data = {"conversation_id": row["conversation_id"]}
            await self._feed.append([Notice("conversation.updated", data, row["channel_id"])])
            await self._doorbell.ring("react")
        if first and thanks is not None:
            await self._doorbell.ring("deliver")
        return first


def _request(rating_id: str, talk: Document, message: OutboundMessage) -> SendRequest:
    return SendRequest(
        send_key=message.key, send_class="service", source=Source(KIND, rating_id), profile_id=talk["profile_id"],
        identity_id=talk["identity_id"], channel_id=talk["channel_id"], content=written(message),
        conversation_id=talk["_id"],
    )  # fmt: skip


def _is_closing(event: Event) -> bool:
    told, name = event.properties, event.name
    return name == "conversation.status_changed" and told.get("to") == "resolved" and told.get("by_type") == "agent"


def _is_on(rules: RatingRules, channel_id: str) -> bool:
    return not rules.channel_ids or channel_id in rules.channel_ids


def _duty(
    conversation_id: str | None, closed_at: datetime, which: tuple[RatingKind, RatingRules], about: Document
) -> Document:  # fmt: skip
    kind, rules = which
    return {
        **({} if kind == "csat" else {"kind": kind}),
        "_id": new_id("rat"), "key": unique_key(KIND, conversation_id, closed_at.isoformat()),
        "state": "due", "due_at": closed_at + timedelta(minutes=rules.delay_min), "attempts": 0, "fence": 0,
        "conversation_id": conversation_id, "closed_at": closed_at, **about,
    }  # fmt: skip


def _line(talk: Document, row: Document, score: int, comment: str | None, now: datetime) -> Document:
    params = {"score": score, "comment": comment, "kind": row.get("kind", "csat")}
    return system_row(
        talk, "rated", params, at=now, seq=talk["seq"] + 1, author=SYSTEM.as_author(),
        dedupe=f"{KIND}:{row['_id']}",
    )  # fmt: skip


def _event(row: Document, score: int, comment: str | None, now: datetime) -> NewEvent:
    question = question_of(row)
    properties = {
        question.name: score, "comment": comment, "rating_id": row["_id"], "agent_id": row.get("agent_id"),
        "team_id": row.get("team_id"), "conversation_id": row["conversation_id"],
    }  # fmt: skip
    return NewEvent(
        name=question.event, dedupe=f"{question.event}:{row['_id']}", occurred_at=now, profile_id=row["profile_id"],
        identity_id=row["identity_id"], channel_id=row["channel_id"], conversation_id=row["conversation_id"],
        properties={name: value for name, value in properties.items() if value is not None},
    )  # fmt: skip
