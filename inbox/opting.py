"""What is answered when somebody says STOP or START, and how a yes is asked to be confirmed: one message each, once.

Both are service messages without a word of advertising, under keys that make them unique: an answer at most once a day
for an address and word, a confirmation once for the act it is about. So whoever asks for them may ask twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from base.clock import Clock
from base.ids import unique_key
from base.mongo import Document
from channels.registry import Registry
from channels.store import ChannelStore
from channels.vocabulary import Address, ConsentChange, MessageReceived, OutboundMail, OutboundMessage
from inbox.consent_words import word_in
from inbox.models import SendRequest, Source
from inbox.outbox import Outbox
from inbox.sources import written
from profiles.consent import MARKETING, Consent, ConsentAct
from profiles.consent_groups import ConsentGroup
from profiles.consent_links import ConsentLink, ConsentLinks
from profiles.models import Event, Identity
from profiles.opt_words import OptWord
from profiles.resolve import Resolver, Sighting
from profiles.store import ProfileStore

#: `source.kind` of what is sent here.
KIND = "consent"
#: An older message is history that was fetched late: it counts, but nobody waits for an answer any more.
ANSWERED_WITHIN = timedelta(hours=12)
#: The domain event of a yes that waits for its confirmation.
REQUESTED = "consent.requested"


@dataclass(frozen=True)
class Wording:
    """Subject and text of a message. In the text `{group}` and `{url}` are put in."""

    subject: str
    text: str


_STOPPED = {
    "en": Wording(
        "You are unsubscribed",
        "You will get no more marketing messages from us here. Answers and order notices still reach you. "
        "Reply START to get them again.",
    ),
    "zh_CN": Wording(
        "您已退订", "您已退订，这里不会再收到我们的营销信息；客服回复和订单通知不受影响。如需恢复，请回复“恢复”。"
    ),
}
_STARTED = {
    "en": Wording("You are subscribed", "You will get our messages here again. Reply STOP at any time to end them."),
    "zh_CN": Wording("您已订阅", "您将重新在这里收到我们的信息。如需退订，请随时回复 TD。"),
}
_CONFIRM = {
    "en": Wording(
        "Please confirm: {group}",
        "Somebody asked for “{group}” to be sent to this address. If that was you, please confirm it here within "
        "7 days:\n\n{url}\n\nIf not, do nothing: nothing will be sent.",
    ),
    "zh_CN": Wording(
        "请确认订阅：{group}",
        "有人为此地址申请接收“{group}”。如果是您本人，请在 7 天内点击确认：\n\n{url}\n\n"
        "如果不是，请忽略，您不会收到任何信息。",
    ),
}


@dataclass(frozen=True)
class Heard:
    """A message that came in, with the delivery that brought it."""

    channel_id: str
    provider: str
    event: MessageReceived


class OptWords:
    """Acts upon the words by which people stop our messages and let them through again."""

    def __init__(
        self, resolver: Resolver, profiles: ProfileStore, consent: Consent, outbox: Outbox, registry: Registry,
        clock: Clock,
    ) -> None:  # fmt: skip
        self._resolver = resolver
        self._profiles = profiles
        self._consent = consent
        self._outbox = outbox
        self._registry = registry
        self._clock = clock

    async def hear(self, heard: Sequence[Heard]) -> None:
        """Record what these messages say and answer it, each once. May run twice."""
        said = [(each, word) for each in heard if (word := word_in(each.event)) is not None]
        if not said:
            return
        known = await self._resolver.resolve(
            [Sighting(e.event.address, e.provider, e.event.occurred_at, e.event.person) for e, _ in said]
        )
        for (each, word), who in zip(said, known, strict=True):
            identity = await self._profiles.identity(who.identity_id)
            if identity is not None and await self._taken(identity, each, word):
                await self._answer(identity, who.profile_id, each, word)

    async def _taken(self, identity: Identity, heard: Heard, word: OptWord) -> bool:
        """Whether the word stands now: "start" of somebody who never said no is a greeting, and an older word that
        comes late changes nothing."""
        key = word_key(heard.channel_id, heard.event.message_id)
        if word.granted and not word.explicit and not await self._consent.was_refused(identity.id, MARKETING, key):
            return False
        at, proof = min(heard.event.occurred_at, self._clock()), (heard.event.text or "")[:500]
        act = ConsentAct(identity.id, MARKETING, word.granted, "keyword", at=at, proof=proof, key=key)
        state = await self._consent.act(act)
        return state is not None and state.granted == word.granted

    async def _answer(self, identity: Identity, profile_id: str, heard: Heard, word: OptWord) -> None:
        now = self._clock()
        if now - heard.event.occurred_at > ANSWERED_WITHIN or heard.event.standby:
            return
        words = (_STARTED if word.granted else _STOPPED)[word.language]
        day = f"{now:%Y-%m-%d}"
        key = unique_key("opt word", identity.id, heard.channel_id, "start" if word.granted else "stop", day)
        is_mail = self._registry.get(heard.provider).card.kind == "email"
        message = _message(heard.channel_id, words, is_mail=is_mail, head=_reply_head(heard.event))
        request = _request(key, identity, profile_id, heard.channel_id, message, heard.event.message_id)
        await self._outbox.request([request])


class Confirmations:
    """Asks people to confirm a yes that somebody gave for their address (double opt-in)."""

    def __init__(
        self, profiles: ProfileStore, consent: Consent, outbox: Outbox, channels: ChannelStore, registry: Registry,
        links: ConsentLinks,
    ) -> None:  # fmt: skip
        self._profiles = profiles
        self._consent = consent
        self._outbox = outbox
        self._channels = channels
        self._registry = registry
        self._links = links

    async def ask(self, events: Sequence[Event]) -> None:
        """For each `consent.requested` among these events one message to the address it is about. May run twice."""
        for event in events:
            if event.name == REQUESTED and event.identity_id:
                await self._ask(event, await self._profiles.identity(event.identity_id))

    async def _ask(self, event: Event, identity: Identity | None) -> None:
        purpose, act_id = str(event.properties.get("purpose")), str(event.properties.get("act_id"))
        group = await self._consent.groups.of(purpose)
        channel_id, is_mail = await self._way_to(identity)
        if identity is None or group is None or channel_id is None:
            return  # nobody to ask, or no way to: it stays pending, which the desk shows
        profile = await self._profiles.get(identity.profile_id)
        language = language_of(profile.locale if profile else None)
        url = self._links.url(ConsentLink("confirm", identity.id, purpose, act_id))
        words = _filled(_CONFIRM[language], group, language, url)
        message = _message(channel_id, words, is_mail=is_mail)
        owner = profile.id if profile else identity.profile_id
        request = _request(unique_key("confirm", act_id), identity, owner, channel_id, message, act_id)
        await self._outbox.request([request])

    async def _way_to(self, identity: Identity | None) -> tuple[str | None, bool]:
        """The account to write from, and whether by mail: the address's own, for a bare mail address any of ours."""
        if identity is None:
            return None, False
        connected = [each for each in await self._channels.list() if each.state != "disconnected"]
        kinds = {each.id: self._registry.get(each.provider).card.kind for each in connected}
        own = identity.channel_id
        if own is not None:
            return (own if own in kinds else None), kinds.get(own) == "email"
        mail = next((each.id for each in connected if kinds[each.id] == "email"), None)
        return (mail if identity.kind == "email" else None), True


def word_key(channel_id: str, message_id: str) -> str:
    """Under which a word of this message, by the provider's id of it, stands in the ledger."""
    return f"word:{channel_id}:{message_id}"


def answered_by_provider(events: Sequence[object]) -> frozenset[tuple[str, str]]:
    """(channel, external id) whose word the provider itself heard and answered, among the events of one delivery."""
    told = [each for each in events if isinstance(each, ConsentChange)]
    return frozenset((each.address.channel_id, each.address.external_id) for each in told)


def language_of(locale: str | None) -> str:
    """The language in which such a message is written."""
    return "zh_CN" if (locale or "").casefold().startswith("zh") else "en"


def _filled(words: Wording, group: ConsentGroup, language: str, url: str) -> Wording:
    given = {"group": group.said(language).name or group.key, "url": url}
    wording = group.said(language).wording
    text = words.text.format(**given)
    return Wording(words.subject.format(**given), f"{text}\n\n{wording}" if wording else text)


def _reply_head(event: MessageReceived) -> Mapping[str, object]:
    """A mail is answered in its thread."""
    mail = event.mail
    if mail is None or mail.message_id is None:
        return {}
    return {"in_reply_to": mail.message_id, "references": (*mail.references, mail.message_id)[-20:]}


def _message(
    channel_id: str, words: Wording, *, is_mail: bool, head: Mapping[str, object] | None = None
) -> OutboundMessage:
    mail = OutboundMail.model_validate({"subject": words.subject, **(head or {})}) if is_mail else None
    to = Address(channel_id=channel_id, external_id="?")  # delivery fills in the address of today
    return OutboundMessage(key="?", to=to, text=words.text, mail=mail, automatic=True)


def _request(
    key: str, identity: Identity, profile_id: str, channel_id: str, message: OutboundMessage, about: str
) -> SendRequest:
    content: Document = dict(written(message))
    return SendRequest(
        send_key=key, send_class="service", source=Source(KIND, about), profile_id=profile_id,
        identity_id=identity.id, channel_id=channel_id, content=content,
    )  # fmt: skip
