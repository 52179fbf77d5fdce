"""Writing to somebody first: one conversation, the address by which they answer, and windows that hold."""

import asyncio
from typing import Any

import pytest

from base.errors import Conflict, Refused, WrongInput
from channels.vocabulary import Address, MailParts, TemplateCall
from inbox.beginning import Begun, Reach, Wish
from inbox.models import Actor, ReplyInput
from profiles.models import IdentityRef
from profiles.resolve import Reference
from tests.dying import Dying
from tests.inbox.conftest import AGENT, House

BO = Actor("usr_bo", "Bo")
HELLO, NOTE = ReplyInput(text="Hello", subject="About your order"), ReplyInput(text="x", note=True)
TEMPLATE = TemplateCall(name="hello", language="en", body=("Anna",))


async def somebody(house: House, *refs: tuple[str, str], channel_id: str | None = None) -> str:
    """A person known by these, who has never written."""
    given = [IdentityRef(kind=kind, value=value, channel_id=channel_id if kind == "channel" else None)  # type: ignore[arg-type]
             for kind, value in refs]  # fmt: skip
    (known,) = await house.resolver.identify([Reference(given)])
    assert known is not None
    return known.profile_id


async def ways(house: House, profile_id: str) -> list[Reach]:
    identities = await house.profiles.identities_of(profile_id)
    return await house.inbox.beginning.reaches(identities, None)


async def begin(
    house: House, profile_id: str, key: str = "k1", reply: ReplyInput = HELLO, by: Actor = AGENT, **wish: Any
) -> Begun:  # fmt: skip
    wished = Wish(profile_id, owner_id=by.id, **wish)
    return await house.inbox.beginning.begin(wished, await ways(house, profile_id), by, reply, key)


async def test_two_begin_at_once_and_one_conversation_is_there(house: House) -> None:
    channel_id = await house.channel()
    profile = await somebody(house, ("channel", "anna"), channel_id=channel_id)
    begun = await asyncio.gather(*(begin(house, profile, f"k{n % 4}", by=(AGENT, BO)[n % 2]) for n in range(8)))
    rows = await house.database.collection("conversations").find({}).to_list(None)
    assert len(rows) == 1 and {each.conversation_id for each in begun} == {rows[0]["_id"]}
    assert len({each.message.id for each in begun}) == 4 and sum(each.is_new for each in begun) >= 1
    assert rows[0]["message_count"] == 4 and rows[0]["assignee_id"] in ("usr_anna", "usr_bo")
    assert (await house.event_names())["conversation.created"] == 1
    await house.deliver_all()
    assert len(house.adapter().accepted) == 4
    await house.inbox.actions.set_status(rows[0]["_id"], "resolved", AGENT)
    again = await begin(house, profile, "k1")
    assert again.conversation_id == rows[0]["_id"] and not again.is_new
    fresh = await begin(house, profile, "k9")
    assert fresh.is_new and fresh.conversation_id != rows[0]["_id"]
    answer = house.arrival(channel_id, "anna", "m1", "Hi there")
    (outcome,) = (await house.inbox.receiver.receive([answer])).outcomes
    assert outcome.conversation_id == fresh.conversation_id


async def test_a_beginning_that_dies_anywhere_is_whole_or_not_there(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel_id, dying = await house.channel(), Dying(monkeypatch)
    for at in range(1, 14):
        for after in (False, True):
            name = f"p{at}{after}"
            profile = await somebody(house, ("channel", name), channel_id=channel_id)
            found = await ways(house, profile)
            wish = Wish(profile, owner_id="usr_anna")
            work = lambda w=wish, f=found, n=name: house.inbox.beginning.begin(w, f, AGENT, HELLO, n)  # noqa: E731
            await dying.on(at, after, work)
            begun = await work()
            talk = await house.inbox.conversations.get(begun.conversation_id)
            assert talk is not None and talk.message_count == 1 and talk.seq == 1, name
    count = await house.database.collection("conversations").count_documents({})
    assert count == await house.database.collection("sends").count_documents({}) == 26
    assert (await house.event_names())["conversation.created"] == 26


async def test_a_known_address_answers_in_the_same_conversation(house: House) -> None:
    mail, phone = await house.channel("mail"), await house.channel("phoning")
    profile = await somebody(house, ("email", "anna@shop.example"), ("phone", "+4915112345678"))
    found = {each.channel_id: each for each in await ways(house, profile)}
    assert found[mail].objection is None and found[phone].only_templates
    with pytest.raises(WrongInput, match="Several"):
        await begin(house, profile)
    with pytest.raises(WrongInput, match="subject"):
        await begin(house, profile, channel_id=mail, reply=ReplyInput(text="Hello"))
    letter = await begin(house, profile, channel_id=mail)
    with pytest.raises(Refused) as refused:
        await begin(house, profile, channel_id=phone)
    assert refused.value.code == "window_closed"
    chat = await begin(house, profile, channel_id=phone, reply=ReplyInput(text="Hello Anna", template=TEMPLATE))
    (first,) = (await house.profiles.identity_rows.rows_by_key([f"{mail}:anna@shop.example"])).values()
    assert not first["verified"] and first["address_key"] == "email:anna@shop.example"
    await house.deliver_all()
    assert house.adapter("phoning").calls[0].to.external_id == "4915112345678"
    assert house.adapter("mail").calls[0].mail.subject == "About your order"  # type: ignore[union-attr]
    arrivals = [
        house.arrival(mail, "anna@shop.example", "m1", provider="mail", mail=MailParts(message_id="<1@x>")),
        house.arrival(phone, "4915112345678", "m2", provider="phoning"),
    ]
    outcomes = (await house.inbox.receiver.receive(arrivals)).outcomes
    assert [each.conversation_id for each in outcomes] == [letter.conversation_id, chat.conversation_id]
    assert len({each.channel_id for each in await ways(house, profile)}) == 2
    rows = await house.profiles.identity_rows.rows_by_key([f"{mail}:anna@shop.example", f"{phone}:4915112345678"])
    assert [row["verified"] for row in rows.values()] == [True, True]
    again = await begin(house, profile, "k7", channel_id=mail, identity_id=found[mail].identity.id)
    assert again.conversation_id == letter.conversation_id
    rows = await house.inbox.conversations.rows([letter.conversation_id, chat.conversation_id])
    assert {row["profile_id"] for row in rows.values()} == {profile}


async def test_each_way_says_why_it_is_closed(house: House) -> None:
    chat, windowed = await house.channel(), await house.channel("counted")
    profile = await somebody(house, ("channel", "anna"), ("email", "anna@shop.example"), channel_id=chat)
    await house.resolver.identify(
        [Reference([IdentityRef(kind="channel", value="a2", channel_id=windowed)], profile_id=profile)]
    )
    codes = {each.identity.value: each.objection and each.objection.code for each in await ways(house, profile)}
    assert codes == {"anna": None, "anna@shop.example": "no_channel", "a2": "window_closed"}
    (anna,) = [each.identity for each in await ways(house, profile) if each.identity.value == "anna"]
    await house.consent.suppress(anna.id, "bounced")
    with pytest.raises(Refused) as refused:
        await begin(house, profile, identity_id=anna.id)
    assert refused.value.code == "suppressed"
    with pytest.raises(WrongInput):
        await begin(house, profile, channel_id="chn_none")
    with pytest.raises(WrongInput):
        await begin(house, await somebody(house, ("channel", "bo"), channel_id=chat), reply=NOTE)


async def test_an_address_that_writes_as_somebody_else_is_not_taken(house: House) -> None:
    mail = await house.channel("mail")
    profile = await somebody(house, ("customer_id", "77"))
    await house.resolver.identify(
        [Reference([IdentityRef(kind="email", value="bo@shop.example", verified=False)], profile_id=profile)]
    )
    await house.resolver.introduce(await somebody(house, ("customer_id", "78")), _address(mail), "mail")
    with pytest.raises(Conflict) as refused:
        await begin(house, profile, channel_id=mail)
    assert refused.value.code == "other_person"


def _address(channel_id: str) -> Address:
    return Address(channel_id=channel_id, external_id="bo@shop.example")


async def test_what_stands_open_or_merged_is_gone_on_with(house: House) -> None:
    channel_id, mail = await house.channel(), await house.channel("mail")
    talk = await house.conversation(channel_id, "anna")
    other = await house.conversation(mail, "anna@shop.example", "mail")
    await house.database.collection("conversations").update_one(
        {"_id": other.id}, {"$set": {"profile_id": talk.profile_id}}
    )
    merge = await house.inbox.merging.merge(other.id, [talk.id], AGENT)
    begun = await begin(house, talk.profile_id, channel_id=channel_id)
    assert (begun.conversation_id, begun.is_new, begun.message.conversation_id) == (other.id, False, talk.id)
    await house.inbox.actions.set_status(merge.conversation.id, "resolved", AGENT)
    fresh = await begin(house, talk.profile_id, "k2", channel_id=channel_id)
    assert fresh.is_new and fresh.conversation_id not in (talk.id, other.id)
