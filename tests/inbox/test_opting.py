"""STOP and START from the message to the ledger and one answer; the yes that is asked to be confirmed."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from channels.vocabulary import MailParts, MessageReceived, Postback
from inbox.handover import IN_FLIGHT
from inbox.opting import Confirmations, Heard, OptWords, answered_by_provider, word_in
from profiles.consent import ConsentAct
from profiles.consent_groups import GroupInput
from profiles.consent_links import ConsentLinks
from profiles.models import IdentityRef
from profiles.resolve import Reference
from tests.inbox.conftest import House

LINKS = ConsentLinks([b"k" * 32], "https://crm.example")


@pytest.fixture
def words(house: House) -> OptWords:
    return OptWords(house.resolver, house.profiles, house.consent, house.inbox.outbox, house.registry, house.clock)


async def says(house: House, words: OptWords, channel: str, text: str, key: str, **more: Any) -> Any:
    """Somebody writes, as the ingest takes it; their conversation."""
    provider = more.get("provider", "scripted")
    arrival = house.arrival(channel, "mei", key, text, **more)
    result = await house.inbox.receiver.receive([arrival])
    assert isinstance(arrival.event, MessageReceived)
    await words.hear([Heard(channel, provider, arrival.event)])
    return await house.inbox.conversations.get(result.outcomes[0].conversation_id or "")


async def acts(house: House) -> list[tuple[bool, str, str]]:
    rows = await house.database.collection("consents").find().sort("recorded_at").to_list(None)
    return [(row["granted"], row["source"], row["proof"]) for row in rows]


async def texts(house: House) -> list[str]:
    await house.all_due()
    await house.deliver_all()
    return [call.text or "" for call in house.adapter().calls]


async def test_a_no_is_recorded_and_answered_once_however_often_it_comes(house: House, words: OptWords) -> None:
    channel = await house.channel()
    for _ in range(3):
        talk = await says(house, words, channel, "STOP", "m1")
    await says(house, words, channel, "stop!", "m2")
    assert await acts(house) == [(False, "keyword", "STOP"), (False, "keyword", "stop!")]
    (answer,) = await texts(house)
    assert answer.startswith("You will get no more marketing") and "START" in answer
    assert house.adapter().calls[0].automatic
    lines = await house.inbox.messages.page(talk.id, limit=10)
    assert [line.text for line in lines.data if line.direction == "out"] == [answer]
    assert not (await house.consent.allowed([(talk.identity_id, "marketing")]))[(talk.identity_id, "marketing")].ok
    house.clock.ahead += timedelta(days=1)
    await says(house, words, channel, "STOP", "m3")
    assert len(await texts(house)) == 2


async def test_at_once_from_two_workers_it_is_one_act_and_one_answer(house: House, words: OptWords) -> None:
    channel = await house.channel()
    talk = await house.conversation(channel, "mei")
    event = house.arrival(channel, "mei", "m1", "退订").event
    assert isinstance(event, MessageReceived)
    await asyncio.gather(*(words.hear([Heard(channel, "scripted", event)]) for _ in range(6)))
    assert await acts(house) == [(False, "keyword", "退订")]
    (answer,) = await texts(house)
    assert answer.startswith("您已退订")
    assert talk.status == "open"


async def test_start_takes_back_a_no_and_is_a_greeting_otherwise(house: House, words: OptWords) -> None:
    channel = await house.channel()
    talk = await says(house, words, channel, "Start", "m0")
    assert await acts(house) == [] and await texts(house) == []
    await says(house, words, channel, "STOP", "m1")
    house.clock.ahead += timedelta(minutes=1)
    for _ in range(2):
        await says(house, words, channel, "START", "m2")
    assert [act[0] for act in await acts(house)] == [False, True]
    assert len(await texts(house)) == 2
    assert (await house.consent.allowed([(talk.identity_id, "marketing")]))[(talk.identity_id, "marketing")].ok


async def test_history_counts_and_is_not_answered(house: House, words: OptWords) -> None:
    channel = await house.channel()
    await says(house, words, channel, "STOP", "m1", at=house.clock() - timedelta(days=3))
    assert len(await acts(house)) == 1 and await texts(house) == []


async def test_by_mail_it_is_answered_in_its_thread(house: House, words: OptWords) -> None:
    channel = await house.channel("mail")
    mail = MailParts(message_id="<1@example.com>", subject="unsubscribe")
    await says(house, words, channel, "", "m1", provider="mail", mail=mail)
    await house.deliver_all()
    (answer,) = house.adapter("mail").calls
    assert answer.mail is not None and answer.mail.in_reply_to == "<1@example.com>"
    assert answer.mail.subject == "You are unsubscribed"


def test_whose_words_count() -> None:
    def event(**fields: Any) -> MessageReceived:
        given = {
            "event_id": "1", "message_id": "1", "occurred_at": "2026-03-01T09:00:00Z", "text": "STOP",
            "address": {"channel_id": "chn_a", "external_id": "1"},
        }  # fmt: skip
        return MessageReceived.model_validate({**given, **fields})

    assert word_in(event()) is not None
    for ours in ({"echo": True}, {"group_id": "g"}, {"forwarded": True}, {"mail": MailParts(automatic=True)}):
        assert word_in(event(**ours)) is None, ours
    pressed = event(text="Cancel", postback=Postback(payload="x", title="Cancel"))
    assert word_in(pressed) is None and answered_by_provider([pressed]) == frozenset()


@pytest.mark.parametrize("way", ["word", "link"])
async def test_no_mailing_starts_after_a_no(house: House, words: OptWords, way: str) -> None:
    """A mailing is under way when STOP comes in: what had begun goes out, nothing begins after."""
    channel = await house.channel()
    people = await house.people(channel, 120)
    await house.plan(channel, people)
    stopped = asyncio.Event()

    async def held_up(message: Any) -> None:
        await stopped.wait()

    house.adapter().script = held_up
    running = asyncio.create_task(house.deliver_all())
    while len(house.adapter().calls) < IN_FLIGHT:
        await asyncio.sleep(0.01)
    begun = {call.to.external_id for call in house.adapter().calls}
    victims = [f"person-{n}" for n in range(120) if f"person-{n}" not in begun][:3]
    for victim in victims:
        if way == "link":
            who = people[int(victim.partition("-")[2])]
            await house.consent.act(ConsentAct(who.identity_id, "marketing", False, "unsubscribe_link", if_news=True))
            continue
        event = house.arrival(channel, victim, f"m-{victim}", "STOP").event
        assert isinstance(event, MessageReceived)
        await words.hear([Heard(channel, "scripted", event)])
    stopped.set()
    await running
    verdicts = await house.verdicts()
    assert {verdicts[f"key-{victim.partition('-')[2]}"] for victim in victims} == {("skipped", "no_consent")}
    rows = await house.inbox.sends.raw({"class": "marketing", "state": "accepted"})
    assert len(rows) == 120 - len(victims)


# -- double opt-in -----------------------------------------------------------------------------------------------------


async def test_a_yes_by_form_is_asked_to_be_confirmed_once_by_mail(house: House) -> None:
    channel = await house.channel("mail")
    await house.consent.groups.create(GroupInput(key="news", name="News", double_opt_in=True, wording="Yes, monthly."))
    (who,) = await house.resolver.identify([Reference([IdentityRef(kind="email", value="anna@example.com")])])
    assert who is not None
    await house.consent.act(ConsentAct(who.identity_id, "news", True, "form", proof="page /news"))
    events = [each for each in await house.events.for_profile(who.profile_id, 10) if each.name == "consent.requested"]
    asking = Confirmations(
        house.profiles, house.consent, house.inbox.outbox, house.channels, house.registry, LINKS
    )  # fmt: skip
    for _ in range(3):
        await asking.ask(events)
    await house.deliver_all()
    (asked,) = house.adapter("mail").calls
    assert asked.to.external_id == "anna@example.com" and asked.to.channel_id == channel
    assert "Yes, monthly." in (asked.text or "") and "anna" not in (asked.text or "")
    token = (asked.text or "").split("/confirm/")[1].split()[0]
    link = LINKS.open("confirm", token)
    assert link is not None and link.about is not None and link.purpose == "news"
    assert await house.consent.confirm(link.about) is not None
    pair = (who.identity_id, "news")
    assert (await house.consent.allowed([pair]))[pair].ok


async def test_without_a_way_to_ask_it_stays_pending(house: House) -> None:
    await house.consent.groups.create(GroupInput(key="news", name="News", double_opt_in=True))
    (who,) = await house.resolver.identify([Reference([IdentityRef(kind="email", value="anna@example.com")])])
    assert who is not None
    await house.consent.act(ConsentAct(who.identity_id, "news", True, "form"))
    asking = Confirmations(house.profiles, house.consent, house.inbox.outbox, house.channels, house.registry, LINKS)
    await asking.ask(await house.events.for_profile(who.profile_id, 10))
    assert await house.inbox.sends.raw({}) == []
