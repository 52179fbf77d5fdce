"""What the composer knows before a word is written: the channel's limit, its reply window, what to do past it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

from base.ids import new_id
from channels.capabilities import Capabilities
from channels.failures import CONSEQUENCES, Failure
from desk.i18n import N_, Formats
from inbox.models import Conversation
from inbox.policy import Closed, Windowed, window
from profiles.models import Identity

#: The countdown turns warm when this little is left.
SOON = timedelta(hours=2)
HINT_TEMPLATES = N_("An approved template of this channel may still be sent; a note to colleagues is always possible.")
HINT_WAIT = N_("The customer has to write first. A note to colleagues is always possible.")


@dataclass(frozen=True)
class ComposerView:
    """The state of the composer."""

    client_key: str
    limit: int
    closed: str = ""
    soon: bool = False
    window_until: datetime | None = None
    #: An approved template may still go out.
    templates: bool = False
    template_hint: str = ""


@dataclass(frozen=True)
class Snooze:
    """One time to put a conversation away until."""

    label: str
    at: datetime
    shown: str


def composer_of(capabilities: Capabilities | None, identity: Windowed | None, formats: Formats) -> ComposerView:
    """The composer of one conversation. `capabilities` None: the channel is gone, nothing can be sent."""
    key = new_id("msg")
    if capabilities is None or identity is None:
        gone = formats.text(N_("This channel is not connected any more."))
        return ComposerView(key, 1, closed=gone, template_hint=formats.text(HINT_WAIT))
    state = window(capabilities, identity, formats.now, automatic=False)
    if isinstance(state, Closed):
        offered = capabilities.template_outside_window and state.code == "window_closed"
        hint = HINT_TEMPLATES if offered else HINT_WAIT
        sentence = CONSEQUENCES[Failure.WINDOW_CLOSED].sentence if state.code == "window_closed" else state.sentence
        return ComposerView(
            key, capabilities.text_limit, closed=formats.text(sentence), templates=offered,
            template_hint=formats.text(hint),
        )  # fmt: skip
    soon = state.until is not None and state.until - formats.now < SOON
    return ComposerView(key, capabilities.text_limit, soon=soon, window_until=state.until)


def snoozes(formats: Formats) -> list[Snooze]:
    """In three hours, tomorrow morning, Monday morning, in the zone of the person."""
    there = formats.now.astimezone(formats.zone)

    def morning(days: int) -> datetime:
        return datetime.combine(there.date() + timedelta(days=days), time(9), formats.zone)

    later = (there + timedelta(hours=3)).replace(minute=0, second=0, microsecond=0)
    monday = morning(7 - there.weekday())
    found = [(N_("Later today"), later)] if later.date() == there.date() else []
    found.append((N_("Tomorrow morning"), morning(1)))
    if monday.date() != morning(1).date():
        found.append((N_("Monday morning"), monday))
    found.append((N_("In a week"), morning(7)))
    return [Snooze(formats.text(label), at, _shown(at, formats)) for label, at in found]


def _shown(at: datetime, formats: Formats) -> str:
    clock = formats.clock(at)
    return clock if at.date() == formats.now.astimezone(formats.zone).date() else f"{formats.date(at)} {clock}"


def capabilities_of(runtime: Any, conversation: Conversation, identity: Identity | None) -> Capabilities | None:
    """What the conversation's channel can carry to this person; None when it is gone."""
    cards = {card.provider for card in runtime.registry.cards()}
    if conversation.provider not in cards:
        return None
    external_id = conversation.group_id or (identity.external_id if identity else None)
    found: Capabilities = runtime.registry.get(conversation.provider).capabilities_for(external_id)
    return found
