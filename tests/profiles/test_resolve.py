"""Who is who: no races, no strangers joined, every crash repaired."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from base.errors import WrongInput
from base.mongo import Database
from channels.vocabulary import Address, Person, Referral
from profiles.models import IdentityRef
from profiles.resolve import Reference, Resolver, Sighting
from profiles.store import EventStore, ProfileStore
from tests.profiles.conftest import People

MAIL = IdentityRef(kind="email", value="named@shop.example", verified=True)
AT = datetime.fromisoformat("2026-03-01T09:00:00+00:00")


def seen(external_id: str, channel: str = "chn_a", provider: str = "whatsapp", **more: Any) -> Sighting:
    person = more.pop("person", None)
    handle = more.pop("handle", None)
    at = more.pop("at", AT)
    address = Address(channel_id=channel, external_id=external_id, handle=handle)
    return Sighting(address, provider, at, person, inbound=more.pop("inbound", True), **more)


async def counted(people: People) -> dict[str, int]:
    names = ("profiles", "identities", "events", "suggestions")
    return {name: await people.db.collection(name).count_documents({}) for name in names}


async def test_fifty_first_contacts_at_once_are_one_person(people: People) -> None:
    person = Person(name="Anna", phone="+491701234567")
    found = await asyncio.gather(*(people.resolver.resolve([seen("49170", person=person)]) for _ in range(50)))
    assert len({known.profile_id for (known,) in found}) == 1
    assert len({known.identity_id for (known,) in found}) == 1
    assert sum(known.created for (known,) in found) == 1
    assert await counted(people) == {"profiles": 1, "identities": 2, "events": 1, "suggestions": 0}
    assert found[0][0].display_name == "Anna"


async def test_two_accounts_with_the_same_external_id_are_two_strangers(people: People) -> None:
    both = (seen("77", "chn_a"), seen("77", "chn_b"))
    found = await asyncio.gather(*(people.resolver.resolve([both[i % 2]]) for i in range(40)))
    assert len({known.profile_id for (known,) in found}) == 2
    assert await counted(people) == {"profiles": 2, "identities": 2, "events": 2, "suggestions": 0}


async def test_one_phone_on_two_channels_at_once_is_one_person(people: People) -> None:
    person = Person(name="Bo", phone="+491701234568")
    both = (seen("a", "chn_a", person=person), seen("b", "chn_b", "telegram", person=person))
    found = await asyncio.gather(*(people.resolver.resolve([both[i % 2]]) for i in range(20)))
    assert len({known.profile_id for (known,) in found}) == 1
    assert await counted(people) == {"profiles": 1, "identities": 3, "events": 1, "suggestions": 0}
    profile = await people.profiles.get(found[0][0].profile_id)
    assert profile is not None and set(profile.reachable_on) == {"whatsapp", "telegram", "phone"}


async def test_the_same_sender_with_and_without_a_phone_at_once_stays_one_person(people: People) -> None:
    for i in range(10):
        both = (seen(f"x{i}"), seen(f"x{i}", person=Person(phone=f"+4917012000{i:02}")))
        found = await asyncio.gather(*(people.resolver.resolve([both[n % 2]]) for n in range(6)))
        assert len({known.profile_id for (known,) in found}) == 1
    counts = await counted(people)
    assert (counts["identities"], counts["suggestions"]) == (20, 0)
    assert counts["profiles"] == counts["events"] == 10


async def test_a_batch_is_answered_in_its_order_and_knows_itself(people: People) -> None:
    batch = [seen("1"), seen("2"), seen("1", at=AT + timedelta(minutes=5)), seen("3")]
    found = await people.resolver.resolve(batch)
    assert found[0].profile_id == found[2].profile_id
    assert [known.created for known in found] == [True, True, False, True]
    identity = await people.profiles.identity(found[0].identity_id)
    assert identity is not None and identity.last_inbound_at == AT + timedelta(minutes=5)
    assert identity.first_seen_at == AT + timedelta(minutes=5) or identity.first_seen_at == AT


async def test_an_order_by_phone_finds_the_whatsapp_customer_and_the_reverse(people: People) -> None:
    (chat,) = await people.resolver.resolve([seen("491701234567", person=Person(phone="+491701234567"))])
    order = await people.resolver.refer("phone", "+49 170 1234567", create=True, source="shop")
    assert order is not None and order.profile_id == chat.profile_id and not order.created

    first = await people.resolver.refer("phone", "+521 55 1234 5678", create=True, source="shop")
    (later,) = await people.resolver.resolve([seen("5215512345678", person=Person(phone="+5215512345678"))])
    assert first is not None and later.profile_id == first.profile_id


async def test_a_mail_sender_is_known_by_the_address_and_consent_hangs_on_it(people: People) -> None:
    mail = seen("Anna@Example.com", "chn_m", "email", person=Person(name="Anna", email="anna@example.com"))
    (known,) = await people.resolver.resolve([mail])
    again = await people.resolver.refer("email", "ANNA@example.com", create=False)
    assert again is not None and again.profile_id == known.profile_id
    identities = await people.profiles.identities_of(known.profile_id)
    assert {identity.address_key for identity in identities} == {"email:anna@example.com"}
    profile = await people.profiles.get(known.profile_id)
    assert profile is not None and profile.reachable_on == ["email"]


async def test_a_conflict_never_joins_two_people_but_is_shown(people: People) -> None:
    (one,) = await people.resolver.resolve([seen("1")])
    other = await people.resolver.refer("phone", "+491701234567", create=True)
    (again,) = await people.resolver.resolve([seen("1", person=Person(phone="+491701234567"))])
    assert other is not None and again.profile_id == one.profile_id != other.profile_id
    (row,) = await people.profiles.suggestions.open()
    assert row["profile_ids"] == sorted([one.profile_id, other.profile_id])
    by_phone = {"kind": "phone", "key": "phone:+491701234567", "reason": "other_profile", "proved": True}
    assert row["evidence"] == [by_phone]
    await people.resolver.resolve([seen("1", person=Person(phone="+491701234567"))])
    assert len((await people.profiles.suggestions.open())[0]["evidence"]) == 1


async def test_the_strongest_identity_decides_for_a_caller(people: People) -> None:
    by_mail = await people.resolver.refer("email", "a@shop.example", create=True)
    by_id = await people.resolver.refer("customer_id", "42", create=True)
    refs = [IdentityRef(kind="email", value="a@shop.example"), IdentityRef(kind="customer_id", value="42")]
    (both,) = await people.resolver.identify([Reference(refs)])
    assert both is not None and by_id is not None and by_mail is not None
    assert both.profile_id == by_id.profile_id
    assert (await people.profiles.suggestions.open())[0]["evidence"][0]["kind"] == "email"


async def test_what_was_said_is_kept_beside_what_is_compared(people: People) -> None:
    number = IdentityRef(kind="phone", value="+49 170 123-45 67")
    refs = [IdentityRef(kind="email", value=" Anna@Shop.Example "), number]
    (first,) = await people.resolver.identify([Reference(refs)])
    (again,) = await people.resolver.identify([Reference([IdentityRef(kind="email", value="anna@shop.example")])])
    assert first is not None and again is not None and first.profile_id == again.profile_id
    rows = {row["kind"]: row async for row in people.db.collection("identities").find({})}
    assert (rows["email"]["value"], rows["email"]["raw"].strip()) == ("anna@shop.example", "Anna@Shop.Example")
    assert (rows["phone"]["value"], rows["phone"]["raw"]) == ("+491701234567", "+49 170 123-45 67")


async def test_beyond_the_limit_nothing_more_is_gathered(people: People) -> None:
    """A customer number, five addresses, five numbers: a sixth address stands beside them and joins nobody."""
    who = IdentityRef(kind="customer_id", value="42")
    for n in range(7):
        mail = IdentityRef(kind="email", value=f"a{n}@shop.example", verified=True)
        (known,) = await people.resolver.identify([Reference([who, mail])])
    assert known is not None
    held = people.db.collection("identities")
    assert await held.count_documents({"profile_id": known.profile_id, "kind": "email"}) == 5
    other = await people.resolver.refer("email", "a6@shop.example", create=True)
    assert other is not None and other.profile_id != known.profile_id


async def test_browsers_fill_up_what_is_left_of_a_person_and_no_more(people: People) -> None:
    who = IdentityRef(kind="customer_id", value="43")
    for n in range(53):
        (known,) = await people.resolver.identify([Reference([who, IdentityRef(kind="anonymous", value=f"b-{n}")])])
    assert known is not None
    held = people.db.collection("identities")
    assert await held.count_documents({"profile_id": known.profile_id}) == 50
    mail = IdentityRef(kind="email", value="late@shop.example", verified=True)
    (again,) = await people.resolver.identify([Reference([who, mail])])
    assert again is not None and again.profile_id == known.profile_id, "what proves somebody finds its room"
    assert await held.count_documents({"profile_id": known.profile_id, "kind": "email"}) == 1


async def test_who_is_named_by_an_id_on_a_channel_is_reached_there(people: People) -> None:
    asked: list[set[str]] = []

    async def providers_of(channels: Collection[str]) -> dict[str, str]:
        asked.append(set(channels))
        return {"chn_t": "telegram"} if "chn_t" in channels else {}

    resolver = Resolver(people.profiles, people.events, people.clock, providers=providers_of, looked_up=["telegram"])
    refs = [Reference([IdentityRef(kind="channel", value=each, channel_id="chn_t")]) for each in ("7", "8")]
    found = await resolver.identify([*refs, replace(refs[0], made_by="imp_1:1", refs=[refs[0].refs[0], MAIL])])
    (known,) = await resolver.resolve([seen("7", "chn_t", "telegram")])
    assert found[0] is not None and known.profile_id == found[0].profile_id and asked == [{"chn_t"}]
    profile = await people.profiles.get(known.profile_id)
    assert profile is not None and set(profile.reachable_on) == {"telegram", "email"}
    rows = await people.db.collection("identities").find({"kind": "channel"}).to_list(None)
    assert [row["provider"] for row in rows] == ["telegram", "telegram"] and all("lookup" in row for row in rows)


async def test_a_new_customer_id_never_lands_on_another_customer(people: People) -> None:
    first = [IdentityRef(kind="customer_id", value="1"), IdentityRef(kind="email", value="family@home.example")]
    second = [IdentityRef(kind="customer_id", value="2"), IdentityRef(kind="email", value="family@home.example")]
    (one,) = await people.resolver.identify([Reference(first)])
    (two,) = await people.resolver.identify([Reference(second)])
    assert one is not None and two is not None and one.profile_id != two.profile_id and two.created


async def test_a_shared_session_does_not_join_two_customers(people: People) -> None:
    session = IdentityRef(kind="anonymous", value="cookie-1")
    for number in ("1", "2"):
        refs = [IdentityRef(kind="customer_id", value=number), session]
        await people.resolver.identify([Reference(refs)])
    assert (await counted(people))["profiles"] == 2
    assert await people.profiles.suggestions.open() == []


async def test_a_typed_address_suggests_and_never_joins(people: People) -> None:
    owner = await people.resolver.refer("email", "anna@example.com", create=True)
    typed = Person(name="Stranger", email="anna@example.com", verified=False)
    (known,) = await people.resolver.resolve([seen("web-1", "chn_w", "webchat", person=typed)])
    assert owner is not None and known.profile_id != owner.profile_id
    assert (await people.profiles.suggestions.open())[0]["evidence"][0]["reason"] == "unverified"
    profile = await people.profiles.get(known.profile_id)
    assert profile is not None and [(c.value, c.verified) for c in profile.emails] == [("anna@example.com", False)]


async def test_the_operators_own_id_joins_also_where_the_address_is_only_typed(people: People) -> None:
    known = await people.resolver.refer("customer_id", "c-4711", create=True)
    person = Person(name="Anna", email="somebody.else@example.com", verified=False, customer_id="c-4711")
    (first,) = await people.resolver.resolve([seen("u_1", "chn_w", "webchat", person=person)])
    assert known is not None and first.profile_id == known.profile_id and not first.created
    (again,) = await people.resolver.resolve([seen("u_1", "chn_v", "webchat", person=person)])
    assert again.profile_id == known.profile_id
    assert await people.resolver.refer("email", "somebody.else@example.com", create=False) is None
    (nobody,) = await people.resolver.resolve([seen("v_2", "chn_w", "webchat", person=Person(customer_id="null"))])
    assert nobody.created


async def test_who_proves_an_imported_address_gets_it(people: People) -> None:
    ref = IdentityRef(kind="email", value="anna@example.com", verified=False)
    (imported,) = await people.resolver.identify([Reference([ref], source="import")])
    mail = seen("anna@example.com", "chn_m", "email", person=Person(email="anna@example.com"))
    (real,) = await people.resolver.resolve([mail])
    asked = await people.resolver.refer("email", "anna@example.com", create=False)
    assert imported is not None and asked is not None
    assert real.profile_id != imported.profile_id and asked.profile_id == real.profile_id
    assert (await people.profiles.suggestions.open())[0]["evidence"][0]["reason"] == "proved_elsewhere"


async def test_role_boxes_join_nobody(people: People) -> None:
    person = Person(email="info@shop.example")
    found = await people.resolver.resolve(
        [seen("t1", "chn_t", "telegram", person=person), seen("t2", "chn_t", "telegram", person=person)]
    )
    assert found[0].profile_id != found[1].profile_id


@pytest.mark.parametrize(("kind", "value"), [("email", "nobody"), ("phone", "0170 123"), ("customer_id", "null")])
async def test_what_names_nobody_is_refused(people: People, kind: Any, value: str) -> None:
    with pytest.raises(WrongInput) as caught:
        await people.resolver.refer(kind, value, create=True)
    assert caught.value.errors[0].path == "identities[0]"
    assert (await counted(people))["profiles"] == 0


async def test_nobody_is_made_where_nobody_was_asked_for(people: People) -> None:
    assert await people.resolver.refer("email", "a@b.example", create=False) is None
    assert sum((await counted(people)).values()) == 0


async def test_further_ids_of_one_account_are_one_identity(people: People) -> None:
    (hidden,) = await people.resolver.resolve([seen("US.1")])
    (shown,) = await people.resolver.resolve([seen("15551112222", person=Person(aliases=("US.1",)))])
    (again,) = await people.resolver.resolve([seen("15551112222")])
    assert hidden.identity_id == shown.identity_id == again.identity_id
    identity = await people.profiles.identity(hidden.identity_id)
    assert identity is not None and identity.external_id == "US.1"
    assert len(await people.profiles.identities_of(hidden.profile_id)) == 1

    (both,) = await people.resolver.resolve([seen("15559990000", person=Person(aliases=("US.9",)))])
    (only,) = await people.resolver.resolve([seen("US.9")])
    assert both.identity_id == only.identity_id


async def test_a_person_the_provider_moved_keeps_the_identity_and_is_sent_to_anew(people: People) -> None:
    (before,) = await people.resolver.resolve([seen("-100", "chn_t", "telegram")])
    (after,) = await people.resolver.resolve([seen("-200", "chn_t", "telegram", former="-100")])
    (later,) = await people.resolver.resolve([seen("-200", "chn_t", "telegram")])
    assert before.identity_id == after.identity_id == later.identity_id
    identity = await people.profiles.identity(before.identity_id)
    assert identity is not None
    assert (identity.external_id, identity.former_external_ids) == ("-200", ["-100"])


async def test_names_follow_rank_then_time(people: People) -> None:
    (known,) = await people.resolver.resolve([seen("1", person=Person(name="Nick"))])
    await people.resolver.resolve([seen("1", person=Person(name="Older"), at=AT - timedelta(days=1))])
    profile = await people.profiles.get(known.profile_id)
    assert profile is not None and profile.name == "Nick"
    await people.resolver.identify(
        [Reference([IdentityRef(kind="channel", value="1", channel_id="chn_a")], name="Nicholas", source="shop")]
    )
    await people.resolver.resolve([seen("1", person=Person(name="Nicky"), at=AT + timedelta(days=2))])
    profile = await people.profiles.get(known.profile_id)
    assert profile is not None and profile.name == "Nicholas"
    identity = await people.profiles.identity(known.identity_id)
    assert identity is not None and identity.display_name == "Nicky"


async def test_writing_again_brings_back_who_left(people: People) -> None:
    (known,) = await people.resolver.resolve([seen("1")])
    await people.profiles.identity_rows.set_reachable(known.identity_id, False, AT + timedelta(hours=1))
    await people.profiles.refresh_reach([known.profile_id])
    profile = await people.profiles.get(known.profile_id)
    assert profile is not None and profile.reachable_on == []
    await people.resolver.resolve([seen("1", at=AT + timedelta(hours=2))])
    identity, profile = await people.profiles.identity(known.identity_id), await people.profiles.get(known.profile_id)
    assert identity is not None and identity.reachable and identity.left_at is None
    assert profile is not None and profile.reachable_on == ["whatsapp"]


async def test_where_a_person_came_from_is_kept(people: People) -> None:
    ad = Referral(source="ad", source_id="123", ref="spring")
    (known,) = await people.resolver.resolve([seen("1", referral=ad)])
    await people.resolver.resolve([seen("1", at=AT + timedelta(days=1), referral=Referral(source="qr"))])
    await people.resolver.resolve([seen("1", at=AT + timedelta(days=2))])
    profile = await people.profiles.get(known.profile_id)
    assert profile is not None and profile.first_touch is not None and profile.last_touch is not None
    assert (profile.first_touch["source_id"], profile.last_touch["source"]) == ("123", "qr")


class Crash(Exception):
    """The process died here."""


class Crashing:
    """Lets the first `calls` writes of a store pass and then dies."""

    def __init__(self, calls: int) -> None:
        self.left = calls

    def on(self, write: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def guarded(*args: Any, **kwargs: Any) -> Any:
            if self.left == 0:
                raise Crash
            self.left -= 1
            return await write(*args, **kwargs)

        return guarded


@pytest.mark.parametrize("survived", range(6))
async def test_a_crash_at_any_write_is_repaired_by_the_next_try(people: People, survived: int) -> None:
    crash = Crashing(survived)
    store, events = ProfileStore(people.db), EventStore(people.db, people.clock)
    for owner, names in ((store.identity_rows, ("insert",)), (store, ("insert", "announced")), (events, ("record",))):
        for name in names:
            setattr(owner, name, crash.on(getattr(owner, name)))
    sighting = seen("1", person=Person(name="Anna", phone="+491701234567"))
    dying = Resolver(store, events, people.clock)
    if survived < 5:
        with pytest.raises(Crash):
            await dying.resolve([sighting])
    else:
        await dying.resolve([sighting])
    (known,) = await people.resolver.resolve([sighting])
    assert await counted(people) == {"profiles": 1, "identities": 2, "events": 1, "suggestions": 0}
    profile = await people.profiles.get(known.profile_id)
    assert profile is not None and profile.name == "Anna"
    assert await people.profiles.unannounced() == []


async def test_the_clockwork_announces_what_a_dead_process_did_not(people: People) -> None:
    events = EventStore(people.db, people.clock)
    setattr(events, "record", Crashing(0).on(events.record))  # noqa: B010 - a store with one broken method
    with pytest.raises(Crash):
        await Resolver(people.profiles, events, people.clock).resolve([seen("1")])
    assert await people.resolver.repair() == 1
    assert (await counted(people))["events"] == 1
    assert await people.resolver.repair() == 0


async def test_an_old_id_answers_with_the_survivor(people: People, mongo_url: str) -> None:
    ids = [known.profile_id for known in await people.resolver.resolve([seen("1"), seen("2"), seen("3")])]
    rows = people.db.collection("profiles")
    await rows.update_one({"_id": ids[0]}, {"$set": {"merged_into": ids[1]}})
    await rows.update_one({"_id": ids[1]}, {"$set": {"merged_into": ids[2]}})
    profile = await people.profiles.get(ids[0])
    assert profile is not None and (profile.id, profile.merged_from) == (ids[2], ids[0])
    assert (await rows.find_one({"_id": ids[0]}))["merged_into"] == ids[2]
    (known,) = await people.resolver.resolve([seen("1", at=AT + timedelta(days=1))])
    assert known.profile_id == ids[2]
    assert await people.resolver.current([*ids, "prf_unknown"]) == {
        **dict.fromkeys(ids, ids[2]),
        "prf_unknown": "prf_unknown",
    }
    assert await people.profiles.there([*ids, "prf_unknown"]) == set(ids)
    await rows.delete_one({"_id": ids[2]})
    assert await people.profiles.there(ids) == set()


async def test_five_hundred_sightings_within_a_second(people: People, capsys: pytest.CaptureFixture[str]) -> None:
    def batch(minutes: int) -> list[Sighting]:
        at = AT + timedelta(minutes=minutes)
        return [seen(f"u{i}", at=at, person=Person(name=f"Person {i}", phone=f"+4917080{i:05}")) for i in range(500)]

    await people.resolver.resolve([seen("warm")])
    rates, busy = {}, {}
    for name, minutes in (("new", 0), ("known", 1), ("known again", 2)):
        started, began = time.perf_counter(), time.process_time()
        found = await people.resolver.resolve(batch(minutes))
        rates[name], busy[name] = time.perf_counter() - started, time.process_time() - began
        assert len({known.profile_id for known in found}) == 500
    told = ", ".join(f"{name} {500 / seconds:,.0f}/s" for name, seconds in rates.items())
    with capsys.disabled():
        sys.stdout.write(f"\nresolve, 500 at a time, each with a phone: {told}\n")
    # Our own work, which the machine's other tenants cannot lengthen; the printed rates are by the clock on the wall.
    assert max(busy.values()) < 1.0


async def test_batches_of_many_workers_overlap_without_harm(people: People) -> None:
    async def work(worker: int) -> None:
        resolver = Resolver(ProfileStore(people.db), people.events, people.clock)
        for start in range(0, 60, 20):
            batch = [
                seen(
                    f"u{(start + i * (worker + 1)) % 60}",
                    person=Person(phone=f"+49170800{(start + i * (worker + 1)) % 60:04}"),
                )
                for i in range(30)
            ]
            await resolver.resolve(batch)

    await asyncio.gather(*(work(worker) for worker in range(4)))
    await work(0)
    counts = await counted(people)
    touched = await people.db.collection("identities").count_documents({"kind": "channel"})
    assert counts["identities"] == 2 * touched and counts["profiles"] == counts["events"] == touched
    orphans = await _orphans(people.db)
    assert orphans == 0


async def _orphans(db: Database) -> int:
    held = await db.collection("profiles").distinct("_id")
    return await db.collection("identities").count_documents({"profile_id": {"$nin": held}})


@pytest.mark.parametrize("kind", ["customer_id", "anonymous", "channel"])
async def test_an_address_that_was_only_said_joins_no_id_to_who_proved_it(people: People, kind: Any) -> None:
    """Whoever holds the key of a web page, or an account in a shop, may type anybody's address."""
    (anna,) = await people.resolver.identify([Reference([IdentityRef(kind="email", value="anna@example.com")])])
    own = IdentityRef(kind=kind, value="4711", channel_id="chn_a" if kind == "channel" else None)
    said = IdentityRef(kind="email", value="anna@example.com", verified=False)
    (other,) = await people.resolver.identify([Reference([own, said])])
    assert anna is not None and other is not None and other.profile_id != anna.profile_id
    assert await people.db.collection("suggestions").count_documents({}) == 1
