"""The gates every send passes right before it is handed over, on fresh data, in one order. Pure.

The source's own gates (is the run still live? has its goal been reached?) come first, then `barred`, then what the
source holds back by chance, `stopped`, and the rules of the house. The rate comes last and is the number of rows that
are claimed at all. Why in this order: decision 33.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from channels.capabilities import Capabilities
from channels.failures import CONSEQUENCES, Failure
from channels.store import Channel
from channels.vocabulary import OutboundMessage
from inbox.policy import SendClass, window_objection
from inbox.sources import Defer, Skip
from profiles.consent import Verdict
from profiles.models import SHUT_OUT, Identity

#: When a send for a paused account is looked at again; it usually goes at once when the account is mended.
PAUSED_FOR = timedelta(minutes=1)


@dataclass(frozen=True)
class Facts:
    """Fresh data about one send's recipient and account."""

    identity: Identity | None
    capabilities: Capabilities
    channel: Channel | None


def barred(
    send_class: SendClass, channel_id: str, identity: Identity | None, consent: Verdict | None
) -> Skip | None:  # fmt: skip
    """Why this address must not be written to, whatever the message says: suppressed, no consent, out of reach. None:
    it may. `consent` None: nobody asked, which is enough for what needs none."""
    if identity is None:
        return Skip("no_address", "The address it was to be sent to has been erased.")
    if identity.channel_id is not None and identity.channel_id != channel_id:
        return Skip("other_channel", "This address belongs to another channel account.")
    if identity.suppressed is not None:
        return _suppressed(identity)
    return _without_consent(send_class, consent) or _left(identity)


def stopped(message: OutboundMessage, facts: Facts, now: datetime) -> Skip | Defer | None:
    """The first gate of the channel that does not let this message pass; None: it may go now."""
    if facts.channel is None or facts.channel.state == "disconnected":
        return Skip("channel_gone", "The channel it was to be sent on is no longer connected.")
    return (
        _outside_window(message, facts, now) or _not_carried(message, facts.capabilities) or _paused(facts.channel, now)
    )


def withdrawn(consent: Verdict | None) -> Skip | None:
    """The last look before a marketing call: has the person said no, or the address been suppressed, meanwhile?"""
    return _without_consent("marketing", consent)


def _left(identity: Identity) -> Skip | None:
    return None if identity.reachable else Skip("left", CONSEQUENCES[Failure.RECIPIENT_BLOCKED].sentence)


def _suppressed(identity: Identity) -> Skip:
    reason = identity.suppressed.reason if identity.suppressed else ""
    if reason == SHUT_OUT:
        return Skip("shut_out", "This person is shut out; nothing is sent to them.")
    return Skip("suppressed", f"Nothing is sent to this address any more ({reason}).")


def _without_consent(send_class: SendClass, consent: Verdict | None) -> Skip | None:
    if send_class != "marketing" or (consent is not None and consent.ok):
        return None
    if consent is None:
        return Skip("no_consent", "Nobody could say whether this person wants marketing messages.")
    codes = {"suppressed": "suppressed", SHUT_OUT: SHUT_OUT, "unreachable": "left"}
    code = codes.get(consent.reason or "", "no_consent")
    return Skip(code, consent.sentence or "This person wants no marketing messages.")


def _outside_window(message: OutboundMessage, facts: Facts, now: datetime) -> Skip | None:
    if facts.identity is None:
        return None
    closed = window_objection(facts.capabilities, facts.identity, now, message)
    return Skip(closed.code, closed.sentence) if closed else None


def _not_carried(message: OutboundMessage, capabilities: Capabilities) -> Skip | None:
    sentence = capabilities.objection(message)
    return Skip("not_supported", sentence) if sentence else None


def _paused(channel: Channel, now: datetime) -> Defer | None:
    if channel.state != "paused":
        return None
    return Defer(now + PAUSED_FOR, "account_paused", "The channel is paused; it goes out when it is connected again.")
