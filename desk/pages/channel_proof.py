"""Does a channel work? Each step of its way, with what was last seen of it: signed delivery, answer, receipt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from channels.adapter import Adapter
from channels.store import Channel
from desk.i18n import N_, NN_, Formats
from inbox.models import Message
from inbox.view_filter import ConversationFilter, ViewFilter

#: What becomes of the test answer, in the words of the inbox, and how good that is.
OUTCOMES = {
    "queued": (N_("The test answer waits to be sent."), "wait"),
    "sent": (N_("The provider took the test answer."), "good"),
    "delivered": (N_("The test answer was delivered."), "good"),
    "read": (N_("The test answer was read."), "good"),
    "failed": (N_("The test answer was not sent."), "bad"),
    "unknown": (N_("Nobody can say whether the test answer was sent."), "bad"),
}
REFUSED = NN_(
    "%(num)s request was refused in the last hour: its signature does not fit the secret entered here.",
    "%(num)s requests were refused in the last hour: their signature does not fit the secret entered here.",
)
#: Kinds of providers that only tell us things.
RECEIVE_ONLY = ("shop", "tracking")


@dataclass(frozen=True)
class Step:
    """One step. `tone`: good, bad, or wait for nothing seen yet."""

    name: str
    title: str
    tone: str
    text: str
    at: datetime | None = None
    hint: str = ""


@dataclass(frozen=True)
class Proof:
    """All steps, and who could get a test answer: (conversation id, name)."""

    steps: tuple[Step, ...]
    people: tuple[tuple[str, str], ...] = ()
    test_id: str = ""


async def proof_of(runtime: Any, channel: Channel, formats: Formats, test_id: str | None) -> Proof:
    """Look at everything; `test_id`: the message of a test answer."""
    adapter = runtime.registry.get(channel.provider)
    steps = [signature_step(channel, await runtime.refusals.of(channel.id), formats)]
    if adapter.card.kind in RECEIVE_ONLY:
        return Proof(tuple(steps))
    message = await runtime.messages.get(test_id) if test_id else None
    if message is not None and message.channel_id != channel.id:
        message = None
    steps += [send_step(channel, message, formats), receipt_step(channel, adapter, message, formats)]
    latest = await runtime.conversations.page(ConversationFilter(ViewFilter(channel=(channel.id,))), limit=5)
    people = tuple((each.id, each.display_name or each.id) for each in latest.data)
    return Proof(tuple(steps), people, message.id if message else "")


def signature_step(channel: Channel, refused: int, formats: Formats) -> Step:
    """Whether deliveries come in that prove where they come from."""
    name, title = "signature", formats.text(N_("A signed delivery comes in"))
    hint = ""
    if refused:
        hint = formats.plural(*REFUSED, refused)
    if channel.last_event_at is None:
        text = formats.text(N_("Nothing yet. Write to this channel from your own phone or mailbox."))
        return Step(name, title, "bad" if refused else "wait", text, hint=hint)
    return Step(name, title, "good", formats.text(N_("Last seen")), channel.last_event_at, hint)


def send_step(channel: Channel, message: Message | None, formats: Formats) -> Step:
    """Whether the provider takes what we send."""
    name, title = "send", formats.text(N_("An answer goes out"))
    if message is not None:
        sentence, tone = OUTCOMES.get(message.status or "queued", OUTCOMES["queued"])
        reason = message.reason or {}
        why = " ".join(formats.text(str(part)) for part in (reason.get("sentence"), reason.get("detail")) if part)
        return Step(name, title, tone, formats.text(sentence), hint=why)
    if channel.last_sent_at is None:
        return Step(name, title, "wait", formats.text(N_("Nothing was sent yet.")))
    return Step(name, title, "good", formats.text(N_("Last sent")), channel.last_sent_at)


def receipt_step(channel: Channel, adapter: Adapter, message: Message | None, formats: Formats) -> Step:
    """Whether the provider tells what became of it."""
    name, title = "receipt", formats.text(N_("A receipt comes back"))
    if not (adapter.capabilities.delivery_receipts or adapter.capabilities.read_receipts):
        return Step(name, title, "none", formats.text(N_("This provider sends no receipts.")))
    if message is not None and message.status in ("delivered", "read"):
        return Step(name, title, "good", formats.text(N_("For the test answer.")))
    if channel.last_receipt_at is None:
        return Step(name, title, "wait", formats.text(N_("None yet.")))
    return Step(name, title, "good", formats.text(N_("Last seen")), channel.last_receipt_at)
