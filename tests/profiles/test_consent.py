"""The ledger: acts are added, denials hold, the last word is the person's."""

import asyncio
from datetime import datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.errors import Refused
from channels.vocabulary import Address, Person
from profiles.consent import NOT_THE_PERSON, Consent, ConsentAct, State, effective
from profiles.consent_groups import GroupInput
from profiles.resolve import Known, Sighting
from profiles.verdicts import standing
from tests.profiles.conftest import People

AT = datetime.fromisoformat("2026-03-01T09:00:00+00:00")
acts = st.lists(st.tuples(st.booleans(), st.booleans()), max_size=8).map(
    lambda pairs: [{"granted": g, "by_person": p, "at": AT + timedelta(hours=i)} for i, (g, p) in enumerate(pairs)]
)


@pytest.fixture
async def consent(people: People) -> Consent:
    consent = Consent(people.profiles, people.consents, people.events, people.db, people.clock)
    await consent.groups.create(GroupInput(key="newsletter", name="Newsletter", wording="Yes, write to me."))
    return consent


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
    await consent.release(one.identity_id, "usr_1")
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


# -- groups, double opt-in, pauses, corrections ------------------------------------------------------------------------


async def verdict(consent: Consent, who: Known, purpose: str = "marketing") -> tuple[bool, str | None]:
    found = (await consent.allowed([(who.identity_id, purpose)]))[(who.identity_id, purpose)]
    return found.ok, found.reason


async def test_a_group_decides_what_silence_means_and_goes_on_to_when_taken_away(
    people: People, consent: Consent
) -> None:
    who = await known(people)
    news = await consent.groups.create(GroupInput(key="news", name="News", default="opt_out"))
    assert await verdict(consent, who, "news") == (True, None)
    await consent.groups.change(news.id, {"default": "opt_in"})
    assert await verdict(consent, who, "news") == (False, "no_consent")
    await consent.groups.archive(news.id)
    assert [each.key for each in await consent.groups.all()] == ["newsletter"]
    assert await verdict(consent, who, "news") == (False, "no_consent")
    again = await consent.groups.create(GroupInput(key="news", name="News again", default="opt_out"))
    assert (again.id, again.name, await verdict(consent, who, "news")) == (news.id, "News again", (True, None))


async def test_where_marketing_itself_needs_a_yes_either_yes_will_do(people: People, consent: Consent) -> None:
    who = await known(people)
    await consent.groups.create(GroupInput(key="marketing", name="All"))
    await consent.groups.create(GroupInput(key="tips", name="Tips", default="opt_out"))
    assert await verdict(consent, who) == await verdict(consent, who, "tips") == (False, "no_consent")
    await said(consent, who, True, "form", purpose="tips")
    assert await verdict(consent, who, "tips") == (True, None) and not (await verdict(consent, who))[0]
    await said(consent, who, True, "form")
    assert await verdict(consent, who) == await verdict(consent, who, "offers") == (True, None)


async def test_a_changed_wording_is_a_new_version_and_acts_know_theirs(people: People, consent: Consent) -> None:
    who = await known(people)
    (group,) = await consent.groups.all()
    await said(consent, who, True, "form", purpose="newsletter")
    await consent.groups.change(group.id, {"name": "Another name"})
    await consent.groups.change(
        group.id, {"wording": "Yes, once a month.", "locales": {"zh_CN": {"wording": "同意每月接收。"}}}
    )
    people.clock.forward(hours=1)
    await said(consent, who, True, "preference_centre", purpose="newsletter", language="zh_CN")
    ledger = await consent.ledger(who.profile_id)
    assert [(act["wording"], act["wording_version"]) for act in ledger] == [
        ("同意每月接收。", 2), ("Yes, write to me.", 1)
    ]  # fmt: skip


async def test_a_double_opt_in_counts_when_it_is_confirmed_and_not_before(people: People, consent: Consent) -> None:
    who = await known(people)
    (group,) = await consent.groups.all()
    await consent.groups.change(group.id, {"double_opt_in": True})
    await said(consent, who, True, "form", purpose="newsletter")
    assert await verdict(consent, who, "newsletter") == (False, "no_consent")
    profile = await people.profiles.get(who.profile_id)
    assert profile is not None and [each.state for each in profile.consents] == ["pending"]
    (address,) = await consent.of_person(who.profile_id)
    assert list(address.awaited) == ["newsletter"] and not address.wants("newsletter")
    (act,) = await consent.ledger(who.profile_id)
    people.clock.forward(days=1)
    results = await asyncio.gather(*(consent.confirm(act["_id"]) for _ in range(4)))
    assert all(results) and await verdict(consent, who, "newsletter") == (True, None)
    assert len(await consent.ledger(who.profile_id)) == 2
    events = [event.name for event in await people.events.for_profile(who.profile_id, 50)]
    assert events[:2] == ["consent.granted", "consent.requested"]


async def test_a_confirmation_comes_in_time_and_not_after_a_no(people: People, consent: Consent) -> None:
    (group,) = await consent.groups.all()
    await consent.groups.change(group.id, {"double_opt_in": True})
    late, refused = await known(people, "late"), await known(people, "refused")
    for who in (late, refused):
        await said(consent, who, True, "form", purpose="newsletter")
    people.clock.forward(days=1)
    await said(consent, refused, False, "unsubscribe_link", purpose="newsletter")
    people.clock.forward(days=7)
    for who in (late, refused):
        asked = (await consent.ledger(who.profile_id))[-1]
        assert await consent.confirm(asked["_id"]) is None
        assert not (await verdict(consent, who, "newsletter"))[0]
    assert await consent.confirm("log_" + "0" * 26) is None


async def test_a_word_from_the_phone_itself_needs_no_confirmation(people: People, consent: Consent) -> None:
    who = await known(people)
    (group,) = await consent.groups.all()
    await consent.groups.change(group.id, {"double_opt_in": True})
    await said(consent, who, True, "keyword", purpose="newsletter")
    assert (await verdict(consent, who, "newsletter"))[0]


async def test_a_pause_ends_by_itself_and_gives_back_what_was_before(people: People, consent: Consent) -> None:
    who, firm = await known(people), await known(people, "firm")
    until = people.clock() + timedelta(days=30)
    await said(consent, firm, False, "keyword")
    people.clock.forward(hours=1)
    for each in (who, firm):
        await said(consent, each, False, "preference_centre", until=until)
        assert (await verdict(consent, each))[1] == "denied"
    people.clock.forward(days=31)
    assert (await verdict(consent, who))[0] and (await verdict(consent, firm))[1] == "denied"
    stale = await people.profiles.get(who.profile_id)
    assert stale is not None and [each.state for each in stale.consents] == ["denied"]
    assert await consent.end_pauses() == 1 + 1 and await consent.end_pauses() == 0
    fresh = await people.profiles.get(who.profile_id)
    assert fresh is not None and fresh.consents == []


async def test_what_the_desk_recorded_by_mistake_can_be_taken_back_by_the_same_hand(
    people: People, consent: Consent
) -> None:
    who = await known(people)
    await said(consent, who, False, "staff", by="usr_anna")
    (mistake,) = await consent.ledger(who.profile_id)
    with pytest.raises(Refused):
        await consent.retract(mistake["_id"], "usr_boris")
    for _ in range(2):
        await consent.retract(mistake["_id"], "usr_anna")
    assert (await verdict(consent, who))[0] and len(await consent.ledger(who.profile_id)) == 2
    people.clock.forward(minutes=1)
    await said(consent, who, False, "keyword")
    spoken = (await consent.ledger(who.profile_id))[0]
    with pytest.raises(Refused):
        await consent.retract(spoken["_id"], "usr_anna")
    await said(consent, who, False, "staff", by="usr_anna", purpose="tips")
    people.clock.forward(hours=2)
    old = next(act for act in await consent.ledger(who.profile_id) if act["purpose"] == "tips")
    with pytest.raises(Refused):
        await consent.retract(old["_id"], "usr_anna")


async def test_one_number_is_one_address_for_sms_and_whatsapp(people: People, consent: Consent) -> None:
    person = Person(phone="+491701234567")
    places = [("chn_wa", "491701234567", "whatsapp"), ("chn_sms", "+491701234567", "twilio"),
              ("chn_tw", "whatsapp:+491701234567", "twilio"), ("chn_tg", "77", "telegram")]  # fmt: skip
    sightings = [
        Sighting(Address(channel_id=channel, external_id=external), provider, AT, person, inbound=True)
        for channel, external, provider in places
    ]
    whatsapp, sms, gateway, telegram = await people.resolver.resolve(sightings)
    await said(consent, sms, False, "keyword")
    found = [await verdict(consent, who) for who in (whatsapp, sms, gateway, telegram)]
    assert [reason for _, reason in found] == ["denied", "denied", "denied", None]
    profile = await people.profiles.get(sms.profile_id)
    assert profile is not None and [each.channel for each in profile.consents] == ["phone", "twilio", "whatsapp"]
    await consent.suppress(whatsapp.identity_id, "unreachable", AT)
    assert [await verdict(consent, who) for who in (whatsapp, sms)] == [(False, "suppressed"), (False, "denied")]


async def test_a_mailbox_that_bounced_is_dead_for_an_account_that_meets_it_later(
    people: People, consent: Consent
) -> None:
    person = Person(email="anna@example.com")
    bounced = await known_by_mail(people, "chn_m1", person)
    await consent.suppress(bounced.identity_id, "bounce", AT)
    later = await known_by_mail(people, "chn_m2", person)
    assert (await consent.allowed([(later.identity_id, "service")]))[(later.identity_id, "service")].reason == (
        "suppressed"
    )


async def known_by_mail(people: People, channel: str, person: Person) -> Known:
    address = Address(channel_id=channel, external_id=person.email or "")
    (found,) = await people.resolver.resolve([Sighting(address, "postmark", AT, person)])
    return found


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from(["", "pending", "pause"])), max_size=8))
def test_a_yes_that_waits_changes_nothing_and_a_pause_only_its_time(history: list[tuple[bool, bool, str]]) -> None:
    acts: list[dict[str, Any]] = []
    for n, (granted, by_person, what) in enumerate(history):
        at = AT + timedelta(hours=n)
        act = {"_id": f"a{n}", "granted": granted, "by_person": by_person, "at": at}
        if what == "pending" and granted:
            act["pending"] = True
        if what == "pause" and not granted:
            act["until"] = at + timedelta(minutes=30)
        acts.append(act)
    counted = [act for act in acts if not act.get("pending")]
    assert effective(acts) == effective(counted)
    # Each pause here is over before the next act, so after all of them it is as if there had been none.
    plain = [act for act in counted if "until" not in act]
    over = standing(effective(acts), AT + timedelta(days=2))
    assert (over and over.granted) == (effective(plain) and effective(plain).granted)  # type: ignore[union-attr]
