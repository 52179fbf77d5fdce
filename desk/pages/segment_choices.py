"""What can be chosen in the segment builder: read from the deployment."""

from __future__ import annotations

from typing import Any

from base.mongo import Document
from desk.i18n import N_, Formats
from desk.pages.effects import tier_name
from desk.pages.reads import faces_of, together
from desk.pages.segment_rows import Choices
from profiles.custom_fields import catalogue
from profiles.verdicts import MARKETING

TAGS_MOST = 200


async def choices_of(runtime: Any, formats: Formats, rows: list[Document], own: str = "") -> Choices:
    """`rows`: all segments; `own`: the one being changed, which cannot ask for itself."""
    found = await together(
        agreed=runtime.terms.now(), groups=runtime.consent.groups.all(), faces=faces_of(runtime),
        users=runtime.users.users(), tags=runtime.tags.names(TAGS_MOST), tiers=runtime.valuing.tiers(),
    )  # fmt: skip
    cards = {channel.provider for channel in found["faces"].channels.values()}
    channels = {"email": N_("E-mail")} | {
        each: found["faces"].cards[each].label for each in sorted(cards) if each in found["faces"].cards
    }
    language, fields = formats.language, catalogue(found["agreed"].fields, formats.language)
    groups = {MARKETING: formats.text(N_("all marketing"))} | {
        each.key: each.said(language).name or each.key for each in found["groups"]
    }
    tiers = found["tiers"].settings
    values = {
        "segment": {row["_id"]: row["name"] for row in rows if row["_id"] != own}, "consent": groups,
        "channel": {key: formats.text(label) for key, label in channels.items()},
        "stage": {each.key: each.said(language) for each in found["agreed"].stages},
        "tier": {each.key: tier_name(each.key, tiers, formats) for each in tiers.tiers},
        "roles": {each.key: each.said(language) for each in found["agreed"].roles},
        "owner_id": {user.id: user.name for user in found["users"]},
        **{each.name: dict(each.options) for each in fields if each.options},
    }  # fmt: skip
    for name in ("first_touch.channel", "last_touch.channel", "traits.preferred_channel"):
        values[name] = values["channel"]
    providers = {name: formats.text(card.label) for name, card in found["faces"].cards.items()}
    return Choices(values, [(each.name, each.label, each.type) for each in fields], found["tags"], providers)
