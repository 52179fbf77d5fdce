"""What delivery asks of those who planned a send, and the source of what is written by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from channels.vocabulary import Address, Attachment, Button, OutboundMail, OutboundMessage, TemplateCall
from inbox.models import Send


@dataclass(frozen=True)
class Prepared:
    """It may go as far as its source is concerned, and this is what is to be sent.

    Delivery puts in the send key and the address of the send's identity itself: a source cannot send elsewhere.
    `known`: whatever its source wants to be given back when it is asked for the rules of the house.
    """

    message: OutboundMessage
    known: object = None


@dataclass(frozen=True)
class Skip:
    """It must not go any more (the run ended, the order was paid, the person is in the control group)."""

    code: str
    sentence: str


@dataclass(frozen=True)
class Defer:
    """It may go later (quiet hours, paused journey)."""

    until: datetime
    code: str
    sentence: str


Answer = Prepared | Skip | Defer


class SendSource(Protocol):
    """Registered per `source.kind`; implemented by whoever plans sends."""

    async def prepare(
        self, sends: Sequence[Send], barred: Mapping[str, Skip], now: datetime
    ) -> Mapping[str, Answer]:  # fmt: skip
        """One answer per send id, judged on fresh data. Asked right before the hand-over and again for each retry.

        `barred`: those whose address must not be written to in any case, with the reason. It counts after the source's
        own reasons, and before anybody is held out by chance, a code is given or a word is written. Who looks at it not
        has it looked at by delivery.
        """
        ...

    async def house_rules(
        self, sends: Sequence[Send], now: datetime, known: Mapping[str, object]
    ) -> Mapping[str, Skip | Defer]:
        """Those that have to wait although every other gate lets them pass, by id: quiet hours, then caps on how much
        somebody gets. Asked after suppression, consent and the channel's own rules, so that the reason shown is the
        one that counts. `known`: of each send what `prepare` put into its answer."""
        ...

    async def last_look(self, sends: Sequence[Send], now: datetime) -> Mapping[str, Skip | Defer]:
        """Those that must not go after all, by id: what came to light since `prepare`. Nothing but the call follows."""
        ...

    async def settled(self, sends: Sequence[Send]) -> None:
        """They came to `accepted`, `failed`, `skipped` or `unknown`. May be called twice for one send."""
        ...


class WrittenByHand:
    """Replies and test sends: the row's content is the message itself, as `written` made it."""

    async def prepare(
        self, sends: Sequence[Send], barred: Mapping[str, Skip], now: datetime
    ) -> Mapping[str, Answer]:  # fmt: skip
        """Always ready."""
        return {send.id: Prepared(from_content(send)) for send in sends}

    async def house_rules(
        self, sends: Sequence[Send], now: datetime, known: Mapping[str, object]
    ) -> Mapping[str, Skip | Defer]:
        """What a colleague writes is an answer: no hours and no caps hold for it."""
        return {}

    async def last_look(self, sends: Sequence[Send], now: datetime) -> Mapping[str, Skip | Defer]:
        """Somebody wrote it for this moment: nothing speaks against it."""
        return {}

    async def settled(self, sends: Sequence[Send]) -> None:
        """Nobody waits for it: the message itself shows what became of it."""


def written(message: OutboundMessage) -> dict[str, object]:
    """The content of a send that carries its message with it; key and address stand in the row."""
    return message.model_dump(mode="json", exclude={"key", "to"}, exclude_defaults=True)


def from_content(send: Send) -> OutboundMessage:
    """The message of a send whose content was made by `written`."""
    content = send.content
    template, mail = content.get("template"), content.get("mail")
    return OutboundMessage(
        key=send.send_key,
        to=Address(channel_id=send.channel_id, external_id=(send.to or {}).get("external_id") or "?"),
        text=content.get("text"),
        attachments=tuple(Attachment.model_validate(each) for each in content.get("attachments", ())),
        buttons=tuple(Button.model_validate(each) for each in content.get("buttons", ())),
        template=TemplateCall.model_validate(template) if template else None,
        mail=OutboundMail.model_validate(mail) if mail else None,
        reply_to=content.get("reply_to"),
        sender_name=content.get("sender_name"),
        automatic=bool(content.get("automatic", False)),
    )
