"""What tells nobody apart joins nobody: role boxes, our own addresses, what is named, what too many people gave."""

from collections.abc import AsyncIterator

import pytest

from base.clock import now
from base.errors import NotFound, WrongInput
from channels.vocabulary import Address, Person
from profiles.blocking import PAIRS_MAX, Blocking, BlockInput
from profiles.models import IdentityRef, Profile
from profiles.resolve import Known, Reference, Resolver, Sighting
from profiles.store import BlockedStore, blocked
from tests.profiles.conftest import People

AT = now()


async def staff() -> dict[str, str]:
    return {"usr_1": "Ada@Shop.example"}


@pytest.fixture
async def blocking(people: People) -> AsyncIterator[Blocking]:
    await people.db.ensure_indexes(blocked.INDEXES)
    yield Blocking(BlockedStore(people.db), people.profiles, people.clock, staff=staff, region="DE")
    await people.db.collection("blocked_values").delete_many({})


@pytest.fixture
def resolver(people: People, blocking: Blocking) -> Resolver:
    return Resolver(people.profiles, people.events, people.clock, region="DE", blocking=blocking)


def mail(value: str) -> IdentityRef:
    return IdentityRef(kind="email", value=value)


def customer(value: str) -> IdentityRef:
    return IdentityRef(kind="customer_id", value=value)


async def named(resolver: Resolver, *refs: IdentityRef) -> Known:
    (known,) = await resolver.identify([Reference(refs)])
    assert known is not None
    return known


async def writes(resolver: Resolver, external_id: str, **person: str) -> Known:
    address = Address(channel_id="chn_a", external_id=external_id)
    (known,) = await resolver.resolve([Sighting(address, "telegram", AT, Person(**person), inbound=True)])  # type: ignore[arg-type]
    return known


async def profile(people: People, known: Known) -> Profile:
    found = await people.profiles.get(known.profile_id)
    assert found is not None
    return found


@pytest.mark.parametrize("shared", ["info@bakery.example", "family@home.example", "ada@shop.example"])
async def test_two_customers_with_one_shared_address_stay_two(
    people: People, blocking: Blocking, resolver: Resolver, shared: str
) -> None:
    await blocking.add(BlockInput(kind="email", value="family@home.example"), "usr_1")
    one, two = await named(resolver, customer("1"), mail(shared)), await named(resolver, customer("2"), mail(shared))
    assert one.profile_id != two.profile_id
    assert await people.profiles.suggestions.open() == []
    assert [(await profile(people, each)).email for each in (one, two)] == [shared, shared]
    (identity,) = [each for each in await people.profiles.identities_of(one.profile_id) if each.kind == "email"]
    assert identity.strength == "weak" and (await named(resolver, mail(shared))).profile_id == one.profile_id


async def test_a_blocked_number_joins_no_sightings(people: People, blocking: Blocking, resolver: Resolver) -> None:
    await blocking.add(BlockInput(kind="phone", value="030 1234567"), "usr_1")
    one, two = [await writes(resolver, each, phone="+49301234567") for each in ("a", "b")]
    assert one.profile_id != two.profile_id and await people.profiles.suggestions.open() == []


async def test_a_blocked_customer_number_is_left_out_and_alone_names_somebody_still(
    people: People, blocking: Blocking, resolver: Resolver
) -> None:
    await blocking.add(BlockInput(kind="customer_id", value="till-1"), "usr_1")
    one = await named(resolver, customer("till-1"), mail("anna@example.com"))
    two = await named(resolver, customer("till-1"), mail("ben@example.com"))
    assert one.profile_id != two.profile_id
    assert {each.kind for each in await people.profiles.identities_of(one.profile_id)} == {"email"}
    alone = await named(resolver, customer("till-1"))
    assert alone.created and (await named(resolver, customer("till-1"))).profile_id == alone.profile_id


async def test_a_value_that_speaks_for_too_many_blocks_itself(
    people: People, blocking: Blocking, resolver: Resolver
) -> None:
    """A till at which every customer is given the same address, told by the operator's own server."""
    await named(resolver, mail("till@shop2.example"))
    for number in range(PAIRS_MAX + 2):
        await named(resolver, customer(f"till-{number}"), mail("till@shop2.example"))
    (only,) = (await blocking.page()).data
    assert (only.value, only.why, only.by) == ("till@shop2.example", "many_people", None)
    assert await people.profiles.suggestions.open() == []
    await writes(resolver, "one-more", email="till@shop2.example")
    assert await people.profiles.suggestions.open() == []


@pytest.mark.parametrize("path", ["chat", "tracking"])
async def test_naming_an_address_over_and_over_blocks_nobody_else(
    people: People, blocking: Blocking, resolver: Resolver, path: str
) -> None:
    """The attack: a script opens one chat (or sends one tracking call) after the other and says it is the victim."""
    victim = await named(resolver, customer("victim"), mail("victim@example.com"))
    for number in range(3 * PAIRS_MAX):
        if path == "chat":
            address = Address(channel_id="chn_w", external_id=f"v-{number}")
            person = Person(email="victim@example.com", verified=False)
            await resolver.resolve([Sighting(address, "webchat", AT, person, inbound=True)])
        else:
            said = IdentityRef(kind="email", value="victim@example.com", verified=False)
            await named(resolver, IdentityRef(kind="anonymous", value=f"browser-{number}", verified=False), said)
    assert (await blocking.page()).data == [] and "email:victim@example.com" not in await blocking.keys()
    assert len(await people.profiles.suggestions.open()) <= PAIRS_MAX + 1, "nor does it fill the list of pairs"
    again = await named(resolver, mail("victim@example.com"))
    assert again.profile_id == victim.profile_id
    proved = await named(resolver, customer("other"), mail("victim@example.com"))
    pairs = [set(row["profile_ids"]) for row in await people.profiles.suggestions.open(100)]
    assert {victim.profile_id, proved.profile_id} in pairs, "who proves it is still suggested"


async def test_who_is_concerned_is_said_and_nothing_changes_for_them(
    people: People, blocking: Blocking, resolver: Resolver
) -> None:
    owner = await named(resolver, customer("1"), mail("family@home.example"))
    wanted = BlockInput(kind="email", value="Family@Home.example ")
    assert [each.id for each in await blocking.holders(wanted)] == [owner.profile_id]
    row = await blocking.add(wanted, "usr_1")
    assert (await blocking.add(wanted, "usr_2")).id == row.id
    assert (await named(resolver, mail("family@home.example"))).profile_id == owner.profile_id
    assert (await blocking.remove(row.id)).value == "family@home.example"
    with pytest.raises(NotFound):
        await blocking.remove(row.id)
    with pytest.raises(WrongInput):
        await blocking.holders(BlockInput(kind="phone", value="not a number"))
