"""What channels say by themselves: once, to people alone, and never to each other."""

import asyncio
import random
import unicodedata
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from base.duty import MAX_CRASHES
from base.errors import Conflict, WrongInput
from base.ids import new_id
from campaigns.automation.replies.answering import KIND, AutomaticReplies
from campaigns.automation.replies.book import ChannelReplyBook
from campaigns.automation.replies.choosing import (
    AT_MOST,
    Answer,
    Heard,
    Said,
    Standing,
    chosen,
    greeting_mark,
    keywords_in,
    text_for,
)
from campaigns.automation.replies.models import KEYWORDS_MAX, WORDS_MAX, ChannelReplies
from campaigns.automation.replies.store import AutomaticReplyStore, ChannelReplyStore
from campaigns.automation.replies.writing import ReplyWords, opens_in_words
from campaigns.render import Renderer
from channels.vocabulary import MailParts, Person, Postback
from inbox.acts import LABELS_MAX
from inbox.hours.models import HoursInput
from inbox.models import ReplyInput
from inbox.routing.models import TeamInput
from inbox.sources import WrittenByHand
from profiles.events import Event
from tests.dying import Dying
from tests.inbox.conftest import AGENT, House

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
UTC_ZONE = ZoneInfo("UTC")
HOURS = "hrs_" + "0" * 26
GREETING = {"texts": {"en": "Hello! We are with you soon.", "zh": "您好，马上为您服务。"}}
SHOP = {"words": ["opening hours", "营业时间"], "texts": {"en": "Nine to five.", "zh": "九点到五点。"}}
ALL = ChannelReplies.model_validate({
    "greeting": GREETING, "keywords": [SHOP, {"words": ["1"], "match": "whole", "texts": {"en": "One"}}],
    "out_of_office": {"hours_id": HOURS, "texts": {"en": "Closed until {{ hours.opens }}."}},
})  # fmt: skip


@dataclass
class Machine:
    """What says things by itself, in one process."""

    house: House
    book: ChannelReplyBook
    replies: AutomaticReplies

    async def heard(self, *, twice: bool = True, shuffled: bool = False) -> None:
        """All that has happened so far is told, as the reactor may tell it."""
        rows = await self.house.database.collection("events").find({}).to_list(None)
        events = [Event.model_validate(row) for row in rows] * (2 if twice else 1)
        if shuffled:
            random.shuffle(events)
        for event in events:
            await self.replies.hear([event])

    async def due(self) -> None:
        rows = self.house.database.collection("automatic_replies")
        await rows.update_many({"state": "due"}, {"$set": {"due_at": LONG_AGO}})

    async def answered(self, **how: Any) -> list[str]:
        """All is heard and answered; everything ever said to anybody, in order."""
        await self.heard(**how)
        await self.due()
        while await self.replies.drain():
            await self.due()
        await self.house.all_due()
        await self.house.deliver_all()
        return [call.text or "" for call in self.house.adapter().calls]

    async def why(self) -> list[str | None]:
        rows = await self.house.database.collection("automatic_replies").find({}).sort("_id").to_list(None)
        return [row.get("why") for row in rows]


def machine_of(house: House, renderer: Renderer) -> Machine:
    inbox, rows, words = house.inbox, AutomaticReplyStore(house.database), ReplyWords(renderer)
    book = ChannelReplyBook(
        ChannelReplyStore(house.database, house.clock), words, inbox.business_hours, inbox.teams, house.clock
    )
    inbox.delivery.register(KIND, WrittenByHand())
    replies = AutomaticReplies(
        book, rows, words, inbox.teams, inbox.conversations, inbox.messages, house.profiles, inbox.outbox,
        inbox.actions, house.events, house.doorbell, house.clock,
    )  # fmt: skip
    return Machine(house, book, replies)


@pytest.fixture(scope="module")
async def renderer() -> AsyncIterator[Renderer]:
    made = Renderer()
    yield made
    await made.close()


@pytest.fixture
async def machine(house: House, renderer: Renderer) -> Machine:
    return machine_of(house, renderer)


async def speaking(machine: Machine, **written: Any) -> str:
    """A channel that says so."""
    channel_id = await machine.house.channel()
    await machine.book.choose(channel_id, ChannelReplies.model_validate(written), AGENT.id or "")
    return channel_id


async def closed_hours(house: House) -> str:
    """Business hours that open on one day in three years, and not before."""
    day = (house.clock() + timedelta(days=2)).date().isoformat()
    written = HoursInput.model_validate({
        "name": "Seldom", "zone": "UTC", "week": {}, "special": [{"date": day, "spans": [["09:00", "10:00"]]}],
    })  # fmt: skip
    return (await house.inbox.business_hours.create(written)).id


# -- what is said, without a database ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "closed", "kind"),
    [
        ("Hi", False, "greeting"), ("Hi", True, "out_of_office"), ("Your OPENING  hours?", False, "keyword"),
        ("请问营业时间是几点", True, "keyword"), ("1", False, "keyword"), ("number 1 please", False, "greeting"),
        ("5", False, "bare_mark"), ("5", True, "bare_mark"),
    ],
)  # fmt: skip
def test_a_keyword_beats_that_nobody_is_there_which_beats_the_greeting(text: str, closed: bool, kind: str) -> None:
    standing = Standing(NOON, is_open=not closed, opens_at=NOON + timedelta(hours=3) if closed else None)
    answer = chosen(ALL, Heard(text, NOON), standing, NOON, UTC_ZONE)
    assert (answer.kind if isinstance(answer, Answer) else answer) == kind


@pytest.mark.parametrize("match", ["contains", "whole"])
def test_however_many_words_a_message_is_read_once(monkeypatch: pytest.MonkeyPatch, match: str) -> None:
    """As many keywords as there may be, on the longest text that is looked at."""
    words = [[f"{match}{n}x{each}" for each in range(WORDS_MAX)] for n in range(KEYWORDS_MAX)]
    many = {"keywords": [{"words": each, "match": match, "labels": ["x"]} for each in words]}
    replies, text, normalize = ChannelReplies.model_validate(many), f"{match} wörds " * 70, unicodedata.normalize
    read: list[int] = []

    def reading(form: Any, said: str) -> str:
        read.append(len(said))
        return normalize(form, said)

    monkeypatch.setattr(unicodedata, "normalize", reading)
    assert keywords_in(replies, Heard(text, NOON)) == []
    assert sum(each > 500 for each in read) == 2


def _said(kind: Any, ago: timedelta, mark: str, text: str = "") -> Said:
    return Said(kind, NOON - ago, mark, text)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"answered_at": NOON + timedelta(seconds=1)}, "answered"), ({"owner": "bot"}, "bot"),
        ({"status": "spam"}, "spam"),
        ({"said": [_said("greeting", timedelta(hours=3), greeting_mark(NOON, UTC_ZONE))]}, "greeted_today"),
        ({"said": [_said("greeting", timedelta(hours=30), "greeting:x")], "began_at": NOON - timedelta(days=3)},
         "greeted"),
        ({"said": [_said("keyword", timedelta(days=2), "k", "hi")]}, "own_words"),
    ],
)  # fmt: skip
def test_who_is_not_greeted(change: dict[str, Any], why: str) -> None:
    standing = replace(Standing(NOON), **change)
    assert chosen(ALL, Heard("Hi", NOON), standing, NOON, UTC_ZONE) == why


def test_history_and_a_conversation_among_people_are_left_alone() -> None:
    late = NOON + timedelta(hours=2)
    assert chosen(ALL, Heard("Hi", NOON), Standing(NOON), late, UTC_ZONE) == "too_late"
    talking = Standing(NOON - timedelta(days=1), answered_at=NOON - timedelta(minutes=5), is_open=False)
    assert chosen(ALL, Heard("opening hours", NOON), talking, NOON, UTC_ZONE) == "talking"
    assert chosen(ALL, Heard("Thanks", NOON), talking, NOON, UTC_ZONE) == "talking"


def test_labels_come_also_where_the_answer_was_given_lately() -> None:
    labelled = ChannelReplies.model_validate({"keywords": [{**SHOP, "labels": ["hours"]}]})
    first = chosen(labelled, Heard("opening hours", NOON), Standing(NOON), NOON, UTC_ZONE)
    assert isinstance(first, Answer) and first.texts and first.labels == ("hours",)
    again = Standing(NOON, said=[Said("keyword", NOON - timedelta(minutes=1), first.mark)])
    second = chosen(labelled, Heard("opening hours", NOON), again, NOON, UTC_ZONE)
    assert isinstance(second, Answer) and not second.texts and second.labels == ("hours",)


def test_of_several_keywords_the_first_counts_or_all() -> None:
    two = {"keywords": [SHOP, {"words": ["delivery"], "texts": {"en": "Two days."}}]}
    heard = Heard("Delivery and opening hours?", NOON)
    assert len(keywords_in(ChannelReplies.model_validate(two), heard)) == 1
    assert len(keywords_in(ChannelReplies.model_validate({**two, "first_only": False}), heard)) == 2
    pressed = Heard("Anything", NOON, payload="DELIVERY")
    assert [each.words for each in keywords_in(ChannelReplies.model_validate(two), pressed)] == [["delivery"]]


@given(st.lists(st.tuples(st.integers(0, 4000), st.sampled_from(["Hi", "opening hours", "1", "x", "5"])), max_size=40))
def test_a_person_gets_one_greeting_a_day_and_few_answers(messages: list[tuple[int, str]]) -> None:
    said: list[Said] = []
    for minutes, text in sorted(messages):
        at = NOON + timedelta(minutes=minutes)
        answer = chosen(ALL, Heard(text, at), Standing(NOON, said=said), at, UTC_ZONE)
        if isinstance(answer, Answer):
            said.append(Said(answer.kind, at, answer.mark, "…"))
    days = [each.mark for each in said if each.kind == "greeting"]
    assert len(days) == len(set(days))
    for each in said:
        within = [other for other in said if timedelta(0) <= other.at - each.at < timedelta(minutes=10)]
        assert len(within) <= AT_MOST + 1
        assert len({other.mark.rpartition(":")[0] for other in within if other.kind == "keyword"}) == sum(
            other.kind == "keyword" for other in within
        )


@pytest.mark.parametrize(
    ("offered", "locale", "said", "language"),
    [
        (["en", "zh"], "en", "你好", "zh"), (["en", "zh"], "zh_CN", "hello", "zh"), (["en", "de"], "zh", "你好", "en"),
        (["de", "nl"], "fr", "bonjour", "de"), (["pt-BR", "en"], "pt_PT", "olá", "pt-BR"), (["de"], None, "?", "de"),
    ],
)  # fmt: skip
def test_in_whose_language(offered: list[str], locale: str | None, said: str, language: str) -> None:
    assert text_for(dict.fromkeys(offered, "x"), locale, said)[0] == language


def test_when_somebody_is_there_again_in_words() -> None:
    amsterdam = ZoneInfo("Europe/Amsterdam")
    assert opens_in_words(NOON + timedelta(hours=1), NOON, amsterdam, "en") == "15:00"
    assert opens_in_words(NOON + timedelta(days=1), NOON, amsterdam, "zh") == "星期二 14:00"
    assert opens_in_words(NOON + timedelta(days=9), NOON, amsterdam, "en") == "May 13, 2026 14:00"
    assert opens_in_words(None, NOON, amsterdam, "xx-strange") == ""


@pytest.mark.parametrize(
    "written",
    [
        {"keywords": [{"words": ["STOP"], "texts": {"en": "No"}}]},
        {"keywords": [{"words": ["退订"], "labels": ["x"]}]},
        {"keywords": [{"words": ["hi"]}]}, {"greeting": {"texts": {}}}, {"greeting": {"texts": {"no language": "x"}}},
        {"unknown": 1},
    ],
)  # fmt: skip
def test_what_cannot_be_chosen(written: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ChannelReplies.model_validate(written)


async def test_what_is_named_must_be_there(machine: Machine) -> None:
    for written, path in (
        ({"greeting": {"texts": {"en": "Hi {{ order.number }}"}}}, "greeting.texts.en"),
        ({"greeting": {"texts": {"en": "Hi {{ profile."}}}, "greeting.texts.en"),
        ({"out_of_office": {"hours_id": HOURS, "texts": {"en": "x"}}}, "out_of_office.hours_id"),
        ({"keywords": [{"words": ["x"], "team_id": "tea_" + "0" * 26}]}, "keywords.0.team_id"),
    ):
        with pytest.raises(WrongInput) as wrong:
            await speaking(machine, **written)
        assert [each.path for each in wrong.value.errors] == [path]


# -- with a database -----------------------------------------------------------------------------------------------


async def test_a_greeting_once_whatever_is_told_twice_or_out_of_order(
    machine: Machine, second_house: House, renderer: Renderer
) -> None:
    channel_id = await speaking(machine, greeting={"texts": {"en": "Hello {{ profile.first_name }}, welcome."}})
    for number in range(4):
        await machine.house.inbox.receiver.receive([machine.house.arrival(channel_id, "anna", f"m{number}")])
    await machine.heard(shuffled=True)
    await machine.due()
    other = machine_of(second_house, renderer)
    await asyncio.gather(*(each.replies.drain() for each in (machine, other) for _ in range(4)))
    assert await machine.answered(shuffled=True) == ["Hello Name, welcome."]
    (line,) = await machine.house.inbox.messages.raw({"direction": "out"})
    assert line["author"] == {"type": "system", "id": None, "name": "channel_reply"}
    talk = await machine.house.inbox.conversations.row(line["conversation_id"])
    assert talk is not None and talk["waiting_since"] and "first_reply_at" not in talk
    assert sorted(filter(None, await machine.why())) == ["greeted_today"] * 3 or "said_already" in await machine.why()
    (call,) = machine.house.adapter().calls
    assert call.automatic


async def test_it_dies_anywhere_and_answers_once(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    house, dying = machine.house, Dying(monkeypatch)
    team_id = new_id("tea")
    await house.inbox.teams.add(team_id, TeamInput(name="Shop").model_dump(mode="json"))
    channel_id = await speaking(machine, keywords=[{**SHOP, "labels": ["hours"], "team_id": team_id}])
    for at in range(1, 40):
        died = False
        for after in (False, True):
            who = f"p{at}{after}"
            talk = await house.conversation(channel_id, who, text="Opening hours?")
            await machine.heard(twice=False)
            await machine.due()
            died = await dying.on(at, after, machine.replies.drain)
            await machine.due()
            while await machine.replies.drain():
                await machine.due()
            sends = await house.inbox.sends.raw({"conversation_id": talk.id, "source.kind": KIND})
            now = await house.inbox.conversations.row(talk.id)
            assert now is not None
            assert (len(sends), now["labels"], now["team_id"]) == (1, ["hours"], team_id), (at, after)
            told = await house.events.find(talk.profile_id, ["conversation.labelled"])
            assert len(told) == 1, (at, after)
            (ran,) = await house.events.find(talk.profile_id, ["automation.ran"])
            assert ran.properties["name"] == "keyword" and ran.properties["did"] == ["reply", "labels", "team"]
        if not died:
            return
    raise AssertionError("answering writes more often than that")


async def test_nobody_is_there_is_said_once_until_it_opens(machine: Machine) -> None:
    house = machine.house
    hours_id = await closed_hours(house)
    channel_id = await speaking(
        machine, greeting=GREETING, out_of_office={"hours_id": hours_id, "texts": {"en": "Back {{ hours.opens }}."}}
    )
    talk = await house.conversation(channel_id, "anna")
    (text,) = await machine.answered()
    assert text.startswith("Back ") and text.endswith(" 09:00.")
    await house.inbox.actions.set_status(talk.id, "resolved", AGENT)
    for hours in (1, 20):
        house.clock.ahead = timedelta(hours=hours)
        await house.inbox.receiver.receive([house.arrival(channel_id, "anna", f"later-{hours}")])
        assert len(await machine.answered()) == 1
    assert await machine.why() == [None, "said_while_closed", "said_while_closed"]
    await house.conversation(channel_id, "boris")
    assert len(await machine.answered()) == 2


@pytest.mark.parametrize("what", ["group", "automatic", "consent", "rating", "echo", "shut", "off"])
async def test_who_gets_nothing(machine: Machine, what: str) -> None:
    house = machine.house
    channel_id = await speaking(machine, greeting={**GREETING, "active": what != "off"}, keywords=[])
    more: dict[str, Any] = {
        "group": {"group_id": "g1"}, "automatic": {"mail": MailParts(message_id="<a@b>", automatic=True)},
        "consent": {"text": "STOP"}, "rating": {"postback": Postback(payload="rating:rat_x:5")}, "echo": {"echo": True},
    }.get(what, {})  # fmt: skip
    if what == "shut":
        await house.conversation(channel_id, "anna")
        (person,) = await house.database.collection("profiles").find({}).to_list(None)
        await house.inbox.shutting_out.shut(person["_id"], AGENT)
        await house.database.collection("events").delete_many({})
    await house.inbox.receiver.receive([house.arrival(channel_id, "anna", "m1", **more)])
    assert await machine.answered() == []


async def test_a_colleague_who_was_quicker_is_not_spoken_over(machine: Machine) -> None:
    house = machine.house
    talk = await house.conversation(await speaking(machine, greeting=GREETING, keywords=[SHOP]), "anna")
    await house.inbox.outbox.reply(talk.id, AGENT, ReplyInput(text="I am here"), "k1")
    assert await machine.answered() == ["I am here"]
    assert await machine.why() == ["answered"]


async def test_a_mail_is_answered_in_its_thread(machine: Machine) -> None:
    house = machine.house
    channel_id = await house.channel("mail")
    await machine.book.choose(channel_id, ChannelReplies.model_validate({"greeting": GREETING}), "usr_1")
    mail = MailParts(message_id="<m1@x>", subject="My order")
    await house.conversation(channel_id, "anna@x", "mail", mail=mail)
    await machine.answered()
    (call,) = house.adapter("mail").calls
    assert call.mail is not None and call.automatic
    assert (call.mail.subject, call.mail.in_reply_to) == ("Re: My order", "<m1@x>")


async def test_outside_of_the_window_nothing_is_said(machine: Machine) -> None:
    house = machine.house
    channel_id = await house.channel("windowed")
    await machine.book.choose(channel_id, ChannelReplies.model_validate({"greeting": GREETING}), "usr_1")
    await house.conversation(channel_id, "anna", "windowed")
    await machine.heard()
    gone = house.database.collection("identities")
    await gone.update_many({}, {"$set": {"last_inbound_at": house.clock() - timedelta(days=2)}})
    await machine.answered()
    assert house.adapter("windowed").calls == []
    assert await machine.why() == ["window"]


@pytest.mark.parametrize("peer", ["keyword", "echo", "many", "polite"])
async def test_two_autoresponders_do_not_talk(machine: Machine, peer: str) -> None:
    """The other side is a machine that answers whatever comes, at once and for ever."""
    house = machine.house
    words = [f"word{number}" for number in range(12)]
    keywords = [SHOP, *({"words": [each], "texts": {"en": f"About {each}"}} for each in words)]
    channel_id = await speaking(machine, greeting=GREETING, keywords=keywords)
    answers = {
        "keyword": lambda said, turn: "Our opening hours are nine to five.", "echo": lambda said, turn: said,
        "many": lambda said, turn: words[turn % len(words)], "polite": lambda said, turn: f"Thank you ({turn})",
    }  # fmt: skip
    await house.inbox.receiver.receive([house.arrival(channel_id, "peer", "m-first", "Hello there")])
    heard = 0
    for turn in range(12):
        said = await machine.answered(twice=False)
        if len(said) == heard:
            break
        back = [answers[peer](text, turn) for text in said[heard:]]
        heard = len(said)
        arrivals = [house.arrival(channel_id, "peer", f"m{turn}-{n}", text) for n, text in enumerate(back)]
        await house.inbox.receiver.receive(arrivals)
    assert len(await machine.answered()) == heard <= {"keyword": 2, "echo": 1, "many": AT_MOST, "polite": 1}[peer]


async def test_what_was_chosen_is_taken_back_unless_it_has_changed(machine: Machine) -> None:
    channel_id = await speaking(machine, greeting=GREETING)
    rev = await machine.book.choose(channel_id, ChannelReplies(), "usr_1")
    await machine.book.take_back(channel_id, rev, "usr_1")
    assert (await machine.book.get(channel_id)).greeting is not None
    with pytest.raises(Conflict):
        await machine.book.take_back(channel_id, rev, "usr_1")
    trial = await machine.book.try_out(await machine.book.get(channel_id), "你好")
    assert (trial.kind, trial.text) == ("greeting", "您好，马上为您服务。")
    assert (await machine.book.try_out(ChannelReplies(), "stop")).why == "consent_word"


async def test_the_name_of_nobody_leaves_no_gap(machine: Machine) -> None:
    house = machine.house
    channel_id = await speaking(machine, greeting={"texts": {"en": "Hello {{ profile.first_name }}, welcome."}})
    await house.conversation(channel_id, "anna", person=Person())
    assert await machine.answered() == ["Hello, welcome."]


async def test_a_conversation_full_of_labels_is_answered_without_one_more(machine: Machine) -> None:
    """And one that cannot be judged at all keeps nobody else from an answer, and is set aside in the end."""
    house = machine.house
    labels = [f"l{n}" for n in range(LABELS_MAX)]
    channel_id = await speaking(machine, keywords=[{**SHOP, "labels": ["hours"]}, {"words": ["sale"], "labels": ["x"]}])
    for who, text in (("anna", "Opening hours?"), ("boris", "Is there a sale?")):
        talk = await house.conversation(channel_id, who, text=text)
        await house.inbox.actions.set_labels(talk.id, labels, AGENT)
    assert await machine.answered() == ["Nine to five."]
    assert sorted(filter(None, await machine.why())) == ["too_many_labels"]

    poison = await house.conversation(channel_id, "cleo", text="Opening hours?")
    await house.conversation(channel_id, "dora", text="Opening hours?")
    await machine.heard(twice=False)
    rows = house.database.collection("automatic_replies")
    await rows.update_one({"conversation_id": poison.id}, {"$unset": {"heard_at": ""}})
    await machine.due()
    assert await machine.replies.drain() == 2
    await house.all_due()
    await house.deliver_all()
    assert len(house.adapter().calls) == 2
    await rows.update_one({"conversation_id": poison.id}, {"$set": {"attempts": MAX_CRASHES}})
    await machine.due()
    await machine.replies.drain()
    row = await rows.find_one({"conversation_id": poison.id})
    assert row is not None and (row["state"], row["why"]) == ("skipped", "crashed")
