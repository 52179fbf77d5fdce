"""The ledger: acts are added, denials hold, the last word is the person's."""

import asyncio
from datetime import datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.vocabulary import Address, Person
from profiles.consent import NOT_THE_PERSON, Consent, ConsentAct, State, effective
from profiles.resolve import Known, Sighting
from tests.profiles.conftest import People

AT = datetime.fromisoformat("2026-03-01T09:00:00+00:00")
acts = st.lists(st.tuples(st.booleans(), st.booleans()), max_size=8).map(
    lambda pairs: [{"granted": g, "by_person": p, "at": AT + timedelta(hours=i)} for i, (g, p) in enumerate(pairs)]
)


@pytest.fixture
def consent(people: People) -> Consent:
    return Consent(people.profiles, people.consents, people.events, people.db, people.clock, needs_yes={"newsletter"})


async def known(people: People, external_id: str = "1", person: Person | None = None) -> Known:
    address = Address(channel_id="chn_a", external_id=external_id)
    (found,) = await people.resolver.resolve([Sighting(address, "whatsapp", AT, person, inbound=True)])
    return found


async def said(consent: Consent, who: Known, granted: bool, source: str, **more: Any) -> State | None:
    return await consent.act(ConsentAct(who.identity_id, more.pop("purpose", "marketing"), granted, source, **more))


@given(acts)
def test_the_persons_last_word_holds_unless_somebody_denied_after_it(history: list[dict[str, Any]]) -> None:
    state = effective(history)
    own = [act for act in history if act["by_person"]]
    if state is not None and state.granted and own:
        assert own[-1]["granted"]
        after = history[history.index(own[-1]) :]
        assert all(act["granted"] for act in after)
    if own and own[-1] is history[-1]:
        assert state == State(own[-1]["granted"], own[-1]["at"])
    if not own and any(not act["granted"] for act in history):
        assert state is not None and not state.granted


async def test_nobody_but_the_person_lifts_a_denial(people: People, consent: Consent) -> None:
    who = await known(people)
    pair = (who.identity_id, "marketing")
    assert (await consent.allowed([pair]))[pair].ok
    await said(consent, who, False, "keyword", at=AT, proof="STOP")
    for source in sorted(NOT_THE_PERSON):
        people.clock.forward(hours=1)
        await said(consent, who, True, source)
        verdict = (await consent.allowed([pair]))[pair]
        assert (verdict.ok, verdict.reason) == (False, "denied"), source
    people.clock.forward(hours=1)
    await said(consent, who, True, "preference_centre")
    assert (await consent.allowed([pair]))[pair].ok
    names = [event.name for event in await people.events.for_profile(who.profile_id, 50) if event.name[:7] == "consent"]
    assert names == ["consent.granted", "consent.denied"]
    assert len(await consent.ledger(who.profile_id)) == len(NOT_THE_PERSON) + 2


async def test_the_order_in_which_acts_arrive_does_not_matter(people: People, consent: Consent) -> None:
    history = [(True, "form", 0), (False, "keyword", 1), (True, "import", 2), (True, "form", 3), (False, "staff", 4)]
    for n, order in enumerate(list(permutations(history))[::17]):
        who = await known(people, f"p{n}")
        for granted, source, hours in order:
            await said(consent, who, granted, source, at=AT + timedelta(hours=hours))
        pair = (who.identity_id, "marketing")
        assert (await consent.allowed([pair]))[pair].reason == "denied"


async def test_purposes(people: People, consent: Consent) -> None:
    who = await known(people)
    pairs = [
        (who.identity_id, purpose) for purpose in ("marketing", "newsletter", "offers", "service", "transactional")
    ]

    async def reasons() -> list[str | None]:
        found = await consent.allowed(pairs)
        return [found[pair].reason for pair in pairs]

    assert await reasons() == [None, "no_consent", None, None, None]
    await said(consent, who, True, "form", purpose="newsletter", at=AT)
    assert await reasons() == [None] * 5
    await said(consent, who, False, "keyword", at=AT + timedelta(days=1))
    assert await reasons() == ["denied", "denied", "denied", None, None]
    await said(consent, who, True, "form", purpose="newsletter", at=AT + timedelta(days=2))
    assert await reasons() == ["denied", None, "denied", None, None]


async def test_a_denial_at_one_address_does_not_silence_another(people: People, consent: Consent) -> None:
    person = Person(phone="+491701234567")
    one = await known(people, "1", person)
    address = Address(channel_id="chn_b", external_id="2")
    (two,) = await people.resolver.resolve([Sighting(address, "telegram", AT, person, inbound=True)])
    assert one.profile_id == two.profile_id
    await said(consent, one, False, "keyword")
    pairs = [(one.identity_id, "marketing"), (two.identity_id, "marketing")]
    found = await consent.allowed(pairs)
    assert [found[pair].ok for pair in pairs] == [False, True]
    profile = await people.profiles.get(one.profile_id)
    assert profile is not None and [(c.channel, c.state) for c in profile.consents] == [("whatsapp", "denied")]


async def test_one_mail_address_is_one_address_whatever_account_it_wrote_to(people: People, consent: Consent) -> None:
    person = Person(email="anna@example.com")
    sightings = [
        Sighting(Address(channel_id=channel, external_id="anna@example.com"), "postmark", AT, person, inbound=True)
        for channel in ("chn_m1", "chn_m2")
    ]
    one, two = await people.resolver.resolve(sightings)
    plain = await people.resolver.refer("email", "anna@example.com", create=False)
    assert plain is not None
    await said(consent, one, False, "unsubscribe_link")
    pairs = [(who.identity_id, "marketing") for who in (one, two, plain)]
    assert {verdict.reason for verdict in (await consent.allowed(pairs)).values()} == {"denied"}
    await consent.suppress(two.identity_id, "bounced", AT)
    services = [(who.identity_id, "service") for who in (one, two, plain)]
    assert {verdict.reason for verdict in (await consent.allowed(services)).values()} == {"suppressed"}
    profile = await people.profiles.get(one.profile_id)
    assert profile is not None and profile.reachable_on == []
    await consent.lift(one.identity_id)
    assert all(verdict.ok for verdict in (await consent.allowed(services)).values())


async def test_the_same_act_counts_once(people: People, consent: Consent) -> None:
    who = await known(people)
    same = [said(consent, who, False, "keyword", key="dlv_1:0", at=AT) for _ in range(8)]
    assert set(await asyncio.gather(*same)) == {State(False, AT)}
    assert len(await consent.ledger(who.profile_id)) == 1
    assert await people.db.collection("events").count_documents({"name": "consent.denied"}) == 1


async def test_who_left_is_not_written_to_until_they_return(people: People, consent: Consent) -> None:
    who = await known(people)
    pair = (who.identity_id, "service")
    assert await consent.left(who.identity_id, AT + timedelta(hours=2))
    assert not await consent.left(who.identity_id, AT + timedelta(hours=2))
    assert (await consent.allowed([pair]))[pair].reason == "unreachable"
    assert not await consent.left(who.identity_id, AT + timedelta(hours=1), left=False)
    assert await consent.left(who.identity_id, AT + timedelta(hours=3), left=False)
    assert (await consent.allowed([pair]))[pair].ok
    names = {event.name for event in await people.events.for_profile(who.profile_id, 50)}
    assert names == {"profile.created", "contact.left", "contact.returned"}


async def test_a_block_that_ends_by_writing(people: People, consent: Consent) -> None:
    who = await known(people)
    await consent.suppress(who.identity_id, "blocked", AT + timedelta(hours=1))
    address = Address(channel_id="chn_a", external_id="1")
    await people.resolver.resolve([Sighting(address, "whatsapp", AT + timedelta(hours=2), inbound=True)])
    pair = (who.identity_id, "marketing")
    assert (await consent.allowed([pair]))[pair].ok
    assert (await consent.allowed([("idn_unknown", "marketing")]))[
        ("idn_unknown", "marketing")
    ].reason == "unknown_identity"
