"""The customer beside a conversation: who it is, how to reach them, what they bought, what runs for them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from babel import Locale, UnknownLocaleError

from desk.i18n import N_, Formats
from desk.pages.faces import Face, Faces
from desk.pages.reads import OrderBrief
from desk.pages.runs import RunBrief
from inbox.models import Conversation
from profiles.custom_fields import CustomField
from profiles.models import SHUT_OUT, Identity, Profile
from profiles.postal import lines_of
from profiles.terms import Agreed, said_of

SYMBOLS = {"email": "envelope", "phone": "phone", "customer_id": "identification", "anonymous": "eye-slash"}
#: Ids that say nothing to a person.
UNSHOWN = frozenset({"anonymous", "platform"})
STAGE_LABELS = {
    "new": N_("New"), "lead": N_("Lead"), "subscriber": N_("Subscriber"), "prospect": N_("Prospect"),
    "customer": N_("Customer"), "active": N_("Active"), "repeat": N_("Repeat customer"), "loyal": N_("Loyal"),
    "dormant": N_("Dormant"), "lost": N_("Lost"), "churned": N_("Lost"), "vip": N_("VIP"),
}  # fmt: skip


@dataclass(frozen=True)
class Chip:
    """A small word on the customer."""

    label: str
    tone: str = ""


@dataclass(frozen=True)
class Way:
    """One identity."""

    label: str
    title: str
    symbol: str
    face: Face | None
    verified: bool
    problem: str


@dataclass(frozen=True)
class Fact:
    """A named value."""

    label: str
    value: str


@dataclass(frozen=True)
class OtherTalk:
    """Another conversation of the same person."""

    id: str
    face: Face
    preview: str
    at: datetime


@dataclass(frozen=True)
class CustomerView:
    """The whole pane."""

    id: str
    name: str
    avatar_url: str | None
    where: tuple[str, ...]
    chips: tuple[Chip, ...]
    ways: tuple[Way, ...]
    facts: tuple[Fact, ...]
    revenue: str
    orders: tuple[OrderBrief, ...]
    runs: tuple[RunBrief, ...]
    others: tuple[OtherTalk, ...]


def customer_view(
    profile: Profile | None, conversation: Conversation | None, identities: Sequence[Identity], *,
    orders: Sequence[OrderBrief], runs: Sequence[RunBrief], others: Sequence[Conversation], owner: str, faces: Faces,
    formats: Formats, agreed: Agreed | None = None, tiers: Mapping[str, str] | None = None,
) -> CustomerView:  # fmt: skip
    """Everything the pane shows. `profile` None: it was erased while its conversation stayed; `tiers`: their names."""
    fallback = (conversation.display_name or conversation.address.handle) if conversation else None
    return CustomerView(
        id=profile.id if profile else (conversation.profile_id if conversation else ""),
        name=(profile.display_name if profile else fallback) or formats.text(N_("Unknown person")),
        avatar_url=None,
        where=where_of(profile, formats) if profile else (),
        chips=chips_of(profile, formats, agreed, tiers) if profile else (),
        ways=ways_of(identities, faces, formats),
        facts=facts_of(profile, owner, faces, formats, agreed) if profile else (),
        revenue=revenue_of(profile, formats) if profile else "",
        orders=tuple(orders),
        runs=tuple(runs),
        others=tuple(_other(each, faces, formats) for each in others),
    )


def where_of(profile: Profile, formats: Formats) -> tuple[str, ...]:
    """Place, and the clock there when it is another one than ours."""
    city = profile.attributes.get("city")
    clock = formats.local_clock(profile.time_zone)
    there = (formats.text(N_("%(clock)s there"), clock=clock),) if clock else ()
    return (*((str(city),) if isinstance(city, str) and city else ()), *there)


def chips_of(
    profile: Profile, formats: Formats, agreed: Agreed | None = None, tiers: Mapping[str, str] | None = None
) -> tuple[Chip, ...]:  # fmt: skip
    """Stage, tier, score, then tags. `agreed` and `tiers`: what stages and tiers are called here."""
    stage = formats.text(STAGE_LABELS.get(profile.stage, profile.stage.capitalize()))
    shut = [Chip(formats.text(N_("Shut out")), "danger")] if profile.shut_out else []
    chips = [*shut, Chip(said_of(agreed.stages, profile.stage, formats.language) if agreed else stage, "accent")]
    if profile.tier:
        chips.append(Chip((tiers or {}).get(profile.tier) or formats.text(profile.tier.capitalize()), "warn"))
    if profile.score:
        chips.append(Chip(formats.text(N_("Score %(score)s"), score=profile.score)))
    return (*chips, *(Chip(tag) for tag in profile.tags[:12]))


def way_of(identity: Identity, faces: Faces, formats: Formats) -> Way:
    """One identity: how it is written, whether it works."""
    label = identity.handle or identity.value or identity.external_id or identity.key
    face = faces.of(identity.channel_id, identity.provider or "") if identity.channel_id else None
    problem = ""
    if identity.suppressed is not None and identity.suppressed.reason == SHUT_OUT:
        problem = formats.text(N_("Shut out"))
    elif identity.suppressed is not None:
        problem = formats.text(N_("Unreachable"))
    elif identity.left_at is not None or not identity.reachable:
        problem = formats.text(N_("Left"))
    title = f"{face.name}: {label}" if face else label
    return Way(label, title, SYMBOLS.get(identity.kind, "link"), face, identity.verified, problem)


def ways_of(identities: Sequence[Identity], faces: Faces, formats: Formats) -> tuple[Way, ...]:
    """Every way to reach the person once: an address that a channel uses is shown as that channel."""
    ways = [way_of(each, faces, formats) for each in identities if each.kind not in UNSHOWN]
    by_channel = {way.label.casefold() for way in ways if way.face}
    return tuple(way for way in ways if way.face or way.label.casefold() not in by_channel)


def facts_of(
    profile: Profile, owner: str, faces: Faces, formats: Formats, agreed: Agreed | None = None, place: str = "inbox"
) -> tuple[Fact, ...]:  # fmt: skip
    """What is known beyond the name, in a fixed order, then the defined fields of this place, then free attributes."""
    _ = formats.text
    facts = [(_("Owner"), owner), (_("Language"), language_name(profile.locale, formats))]
    if profile.address:
        facts.append((_("Address"), ", ".join(lines_of(profile.address.model_dump()))))
    facts.append((_("First seen"), formats.date(profile.created_at)))
    if profile.last_seen_at:
        facts.append((_("Last seen"), formats.date(profile.last_seen_at)))
    touch = profile.first_touch or {}
    source = next((str(touch[key]) for key in ("headline", "source", "ref") if touch.get(key)), "")
    card = faces.cards.get(str(touch.get("channel")))
    facts.append((_("Came from"), source or (_(card.label) if card else str(touch.get("channel") or ""))))
    defined = {each.key: each for each in agreed.fields} if agreed else {}
    for field in defined.values():
        value = profile.attributes.get(field.key)
        if place in field.shown and value not in (None, "", []):
            facts.append((field.said(formats.language), field_text(field, value, formats)))
    for key, value in sorted(profile.attributes.items()):
        if key != "city" and key not in defined and isinstance(value, str | int | float | bool):
            facts.append((key.replace("_", " ").capitalize(), str(value)))
    return tuple(Fact(label, value) for label, value in facts if value)[:14]


def field_text(field: CustomField, value: Any, formats: Formats) -> str:
    """The value of a defined field as it is read."""
    if isinstance(value, bool):
        return formats.text(N_("yes") if value else N_("no"))
    if isinstance(value, datetime):
        return formats.date(value) if field.type == "date" else formats.moment(value)
    if isinstance(value, list):
        return ", ".join(field.option_said(str(each), formats.language) for each in value)
    if field.type == "rating" and isinstance(value, int):
        return "★" * value
    if isinstance(value, int | float):
        return formats.number(value)
    return field.option_said(str(value), formats.language)[:300]


def language_name(locale: str | None, formats: Formats) -> str:
    """The language of a person, in the reader's language."""
    if not locale:
        return ""
    try:
        return Locale.parse(locale.replace("-", "_")).get_language_name(formats.language) or locale
    except (UnknownLocaleError, ValueError):
        return locale


def revenue_of(profile: Profile, formats: Formats) -> str:
    """What they paid so far, per currency."""
    return " + ".join(formats.money(amount, currency) for currency, amount in sorted(profile.orders.revenue.items()))


def owner_name(profile: Profile | None, names: Mapping[str, str]) -> str:
    """The colleague who looks after them."""
    return names.get(profile.owner_id or "", "") if profile else ""


def _other(conversation: Conversation, faces: Faces, formats: Formats) -> OtherTalk:
    last: Any = conversation.last_message
    preview = conversation.subject or (last.text if last else None) or formats.text(N_("Attachment"))
    face = faces.of(conversation.channel_id, conversation.provider)
    return OtherTalk(conversation.id, face, preview[:80], conversation.last_activity_at)
