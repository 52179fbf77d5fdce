"""Test sends: a broadcast as one person would get it, to colleagues and to addresses that an administrator allowed.

They stand in the ledger as what they are (`source.kind` is `test`), are marked in the message, and count nowhere.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from base.clock import Clock
from base.errors import FieldError, NotFound, Refused, WrongInput
from base.ids import is_id, new_id, unique_key
from base.mongo import Document
from campaigns.broadcasts.heads import wording
from campaigns.broadcasts.models import Broadcast, must_read
from campaigns.broadcasts.places import Places
from campaigns.broadcasts.store import BroadcastStore, TesterStore
from campaigns.broadcasts.ways import Road, addresses
from campaigns.facts import FactReader
from campaigns.namespaces import named
from campaigns.store import TemplateStore
from campaigns.templates import Templates
from campaigns.writing import Letter, MessageWriter
from channels.vocabulary import OutboundMessage
from inbox.models import Send, SendRequest, Source
from inbox.outbox import Outbox
from inbox.sources import Prepared, written
from profiles.normalise import email_address

MARK = "[Test] "
NO_TESTER = "is neither a mail address nor the id of a profile"
#: Id of a colleague → mail address.
Addresses = Callable[[], Awaitable[Mapping[str, str]]]


@dataclass(frozen=True)
class Tester:
    """Somebody who gets a test: by a customer's identity, or at a mail address that is no customer's."""

    profile_id: str
    identity_id: str
    channel_id: str
    mail: str | None


class TestSends:
    """The use cases."""

    __test__ = False  # no test of ours, whatever pytest thinks of its name

    def __init__(
        self, store: BroadcastStore, testers: TesterStore, places: Places, facts: FactReader, templates: Templates,
        template_rows: TemplateStore, writer: MessageWriter, outbox: Outbox, colleagues: Addresses, clock: Clock,
    ) -> None:  # fmt: skip
        self._store = store
        self._testers = testers
        self._places = places
        self._facts = facts
        self._templates = templates
        self._template_rows = template_rows
        self._writer = writer
        self._outbox = outbox
        self._colleagues = colleagues
        self._clock = clock

    async def allowed(self) -> list[str]:
        """Addresses and people outside the house."""
        return await self._testers.all()

    async def allow(self, values: Sequence[str], by: str | None) -> list[str]:
        """Replace the list. Raises `WrongInput` for what is neither a mail address nor a person."""
        found, faults = [], []
        for place, value in enumerate(values):
            clean = _tester(value)
            if clean is None:
                faults.append(FieldError(f"addresses[{place}]", NO_TESTER))
            else:
                found.append(clean)
        if faults:
            raise WrongInput("The list is not right.", faults)
        await self._testers.replace(found, by)
        return await self._testers.all()

    async def allow_one(self, value: str, by: str | None) -> None:
        """This address or person too. Raises `WrongInput`."""
        clean = _tester(value)
        if clean is None:
            raise WrongInput("The list is not right.", [FieldError("address", NO_TESTER)])
        await self._testers.add(clean, by)

    async def disallow(self, value: str) -> bool:
        """This one no more; False when it was not allowed."""
        return await self._testers.remove(value)

    async def send(
        self, broadcast_id: str, to: Sequence[str], *, as_profile: str | None = None, arm: str | None = None,
        key: str | None = None,
    ) -> int:  # fmt: skip
        """Send it to these (ids of colleagues, mail addresses, ids of people), written as for `as_profile`; how many.

        Raises `NotFound`, `Refused` for an address that nobody allowed, `WrongInput` for what cannot be written.
        """
        head = await self._store.get(broadcast_id) if is_id(broadcast_id, "brd") else None
        if head is None:
            raise NotFound("There is no such broadcast.")
        broadcast = must_read(head["body"])
        roads = await self._places.roads(broadcast)
        testers = [await self._tester(each, roads, place) for place, each in enumerate(to)]
        content = await self._content(broadcast, arm)
        campaign = {"name": broadcast.name, "id": broadcast_id}
        await self._templates.preview(content, as_profile, {"campaign": campaign})
        person = await self._person(as_profile)
        token, requests = key or new_id("evt"), []
        for tester in testers:
            send_key = unique_key("test", broadcast_id, tester.identity_id, arm, token)
            message = await self._message(tester, send_key, content, person, campaign)
            request = SendRequest(
                send_key=send_key, send_class="service", source=Source("test", broadcast_id, node_id=arm),
                profile_id=tester.profile_id, identity_id=tester.identity_id, channel_id=tester.channel_id,
                content=written(message),
            )  # fmt: skip
            requests.append((request, tester.mail))
        await self._outbox.try_out(requests)
        return len(requests)

    async def _tester(self, given: str, roads: Sequence[Road], place: int) -> Tester:
        if is_id(given, "prf"):
            return await self._customer(given, roads, place)
        colleagues = await self._colleagues()
        mail = colleagues.get(given) if is_id(given, "usr") else email_address(given)
        known = {each.lower() for each in (*colleagues.values(), *await self._testers.all())}
        if mail is None or mail.lower() not in known:
            raise Refused(f"Tests go to colleagues and to allowed addresses; {given[:80]} is none.", code="not_allowed")
        road = next((each for each in roads if each.is_mail), None)
        if road is None:
            sentence = "is a mail address, and this broadcast has no mail channel"
            raise WrongInput("This test cannot be sent.", [FieldError(f"to[{place}]", sentence)])
        return Tester("", f"test:{mail.lower()}", road.channel_id, mail)

    async def _customer(self, profile_id: str, roads: Sequence[Road], place: int) -> Tester:
        if profile_id not in await self._testers.all():
            raise Refused(f"Tests go to colleagues and to allowed people; {profile_id} is none.", code="not_allowed")
        identities = (await self._facts.identities([profile_id])).get(profile_id, [])
        for road in roads:
            for each in addresses(road, identities):
                return Tester(profile_id, each.id, road.channel_id, None)
        sentence = "has no address on the channels of this broadcast"
        raise WrongInput("This test cannot be sent.", [FieldError(f"to[{place}]", sentence)])

    async def _content(self, broadcast: Broadcast, arm: str | None) -> Mapping[str, Any]:
        if arm is not None and broadcast.arm(arm) is None:
            raise WrongInput("There is no such arm.", [FieldError("arm", "names an arm of this broadcast")])
        if arm is None and broadcast.ab is not None:
            arm = broadcast.ab.arms[0].name
        content = wording(broadcast, arm, await self._template_rows.many(broadcast.template_ids))
        if content is None:
            raise WrongInput("There is nothing to send.", [FieldError("template_id", "names a template that is gone")])
        return content

    async def _person(self, profile_id: str | None) -> Mapping[str, Any]:
        if profile_id is None:
            return {}
        return (await self._facts.profiles([profile_id])).get(profile_id, {})

    async def _message(
        self, tester: Tester, send_key: str, content: Mapping[str, Any], person: Mapping[str, Any],
        campaign: Mapping[str, Any],
    ) -> OutboundMessage:  # fmt: skip
        now = self._clock()
        send = Send(
            id=new_id("snd"), send_key=send_key, send_class="service", source=Source("test"),
            profile_id=tester.profile_id, identity_id=new_id("idn"), channel_id=tester.channel_id, content={},
            state="planned", planned_at=now,
        )  # fmt: skip
        context = partial(_context, person, campaign)
        letter = Letter(send, content, context, person.get("locale"), person.get("time_zone"), None)
        answer = (await self._writer.write([letter], now))[send.id]
        if not isinstance(answer, Prepared):
            raise WrongInput(answer.sentence, [FieldError("content", answer.sentence)], code=answer.code)
        return _marked(answer.message)


def _tester(value: str) -> str | None:
    return value if is_id(value, "prf") else email_address(value)


def _context(person: Mapping[str, Any], campaign: Mapping[str, Any], links: Mapping[str, str]) -> Document:
    return named(profile=person, event={}, order={}, journey={}, campaign=campaign, links=links)


def _marked(message: OutboundMessage) -> OutboundMessage:
    """Nobody takes it for the message itself."""
    if message.mail is not None:
        mail = message.mail.model_copy(update={"subject": MARK + message.mail.subject})
        return message.model_copy(update={"mail": mail})
    return message.model_copy(update={"text": MARK + message.text}) if message.text else message
