"""What a customer is worth, at the side of their page: score with its reasons, tier with its history, traits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from base.errors import FieldError, WrongInput
from desk.api.scope import must_see_person, reading
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_, NN_, Formats
from desk.keys import runtime_of
from desk.pages.customer import Fact
from desk.pages.effects import Cause, marks_of, reasons_of, tier_name
from desk.pages.panels import Opened
from profiles.edit import ProfilePatch
from profiles.models import Profile
from profiles.rfm import Spell, TierSettings
from profiles.scoring import band_of

routes = web.RouteTableDef()
BANDS = {"hot": (N_("Hot"), "danger"), "warm": (N_("Warm"), "warn"), "cold": (N_("Cold"), "")}
#: Codes of the risk of leaving, in words.
RISKS = {
    "overdue": N_("The next order is late"), "fresh": N_("Bought lately"), "silent": N_("Not seen for long"),
    "left": N_("Left a channel or blocked us"), "complained": N_("Complained about a message"),
    "unhappy": N_("Gave a bad rating"), "refused": N_("Withdrew consent"), "refunded": N_("Had an order refunded"),
}  # fmt: skip
ANSWERS = {
    "minutes": N_("within minutes"), "hour": N_("within the hour"), "day": N_("within a day"),
    "days": N_("after days"),
}  # fmt: skip
CHANNELS = {"email": N_("E-mail"), "webchat": N_("Web chat"), "sms": N_("SMS")}


@dataclass(frozen=True)
class SpellView:
    """One time in a tier, in words."""

    tier: str
    times: str
    why: str


@dataclass(frozen=True)
class ValuePanel:
    """Score and tier."""

    score: int
    band: str
    tone: str
    reasons: tuple[Cause, ...]
    capped: bool
    tier: str
    tier_key: str
    by_hand: bool
    why: str
    marks: tuple[Cause, ...]
    history: tuple[SpellView, ...]
    choices: tuple[tuple[str, str], ...]
    may_give: bool
    #: What a change just made was before, for the way back: a key, empty for the rules; None where there was none.
    was: str | None


async def value_panel(opened: Opened) -> Any:
    """Score with reasons, tier with history."""
    valuing, person, formats = opened.runtime.valuing, opened.person, opened.formats
    held, tiers, spells = await valuing.score(), await valuing.tiers(), await valuing.tier_history(person.id)
    names = await opened.runtime.users.names([each.by for each in spells if each.by])
    band, tone = BANDS[band_of(person.score, held.settings.hot)]
    parts = [each.model_dump() for each in person.score_parts]
    history = tuple(spell_view(each, tiers.settings, names, formats) for each in spells)
    was = opened.request.query.get("was")
    return ValuePanel(
        person.score, formats.text(band), tone, reasons_of(parts, formats),
        bool(parts) and sum(each["points"] for each in parts) != person.score,
        tier_name(person.tier, tiers.settings, formats), person.tier or "", by_hand(person),
        history[0].why if history else "", marks_of(person.rfm, formats) if person.rfm else (), history,
        tuple((each.key, tier_name(each.key, tiers.settings, formats)) for each in tiers.settings.tiers),
        opened.principal.may("agent", "marketer"), was if was is not None and len(was) <= 64 else None,
    )  # fmt: skip


def by_hand(person: Profile) -> bool:
    """Whether somebody gave the tier."""
    return bool(person.tier) and person.tier_source != "rule"


def spell_view(spell: Spell, settings: TierSettings, names: Mapping[str, str], formats: Formats) -> SpellView:
    """One time in a tier: from when to when, and why."""
    if spell.until is None:
        times = formats.text(N_("since %(day)s"), day=formats.date(spell.at))
    else:
        times = f"{formats.date(spell.at)} – {formats.date(spell.until)}"
    if spell.source == "rule":
        why = formats.text(N_("by the rules, marks %(code)s"), code=spell.code) if spell.code else _by_rules(formats)
    else:
        name = names.get(spell.by or "")
        why = formats.text(N_("given by %(name)s"), name=name) if name else formats.text(N_("given by hand"))
    return SpellView(tier_name(spell.tier, settings, formats), times, why)


def _by_rules(formats: Formats) -> str:
    return formats.text(N_("by the rules"))


@dataclass(frozen=True)
class TraitsPanel:
    """What was read off what the person did."""

    facts: tuple[Fact, ...]
    risk: int | None
    reasons: tuple[Cause, ...]


async def traits_panel(opened: Opened) -> Any:
    """The traits; nothing where nothing is known."""
    traits, formats = opened.person.traits, opened.formats
    if not traits:
        return None
    labels = {name: card.label for name, card in opened.faces.cards.items()}
    parts: Sequence[Mapping[str, Any]] = traits.get("churn_reasons") or ()
    reasons = tuple(
        Cause(f"{each['points']:+d}".replace("-", "−"), formats.text(RISKS.get(each["code"], each["code"])))
        for each in parts
    )
    return TraitsPanel(trait_facts(traits, labels, formats), traits.get("churn_risk"), reasons)


def trait_facts(traits: Mapping[str, Any], labels: Mapping[str, str], formats: Formats) -> tuple[Fact, ...]:
    """The traits in words, in a fixed order."""
    _, facts = formats.text, []
    channel = traits.get("preferred_channel")
    if channel:
        facts.append((_("Writes mostly on"), _(CHANNELS.get(channel) or labels.get(channel) or channel)))
    if (hour := traits.get("preferred_hour")) is not None:
        facts.append((_("Mostly at"), _("%(from)s to %(to)s, their time", {"from": f"{hour:02}:00", "to": _end(hour)})))
    if "answer_minutes" in traits:
        typical = formats.span(traits["answer_minutes"] * 60)
        word = _(ANSWERS.get(traits.get("answers_within", ""), ""))
        facts.append((_("Answers"), _("%(within)s (median %(span)s)", within=word, span=typical)))
    amounts = sorted((traits.get("average_order") or {}).items())
    if amounts:
        facts.append((_("Average order"), " + ".join(formats.money(each, code) for code, each in amounts)))
    if "days_between_orders" in traits:
        days = round(traits["days_between_orders"])
        facts.append((_("Between orders"), formats.plural(*_DAYS, days)))
    due = traits.get("next_order_at")
    if isinstance(due, datetime):
        whose = _("their own rhythm") if traits.get("next_order_by") == "own" else _("the rhythm of all customers")
        at = due if due.tzinfo else due.replace(tzinfo=UTC)
        facts.append((_("Next order expected"), _("%(day)s, by %(whose)s", day=formats.date(at), whose=whose)))
    return tuple(Fact(label, value) for label, value in facts)


def _end(hour: int) -> str:
    return f"{(hour + 1) % 24:02}:00"


_DAYS = NN_("%(num)s day", "%(num)s days")


@routes.post("/profiles/{profile_id}/tier")
@require("agent", "marketer")
async def give_tier(request: web.Request) -> web.StreamResponse:
    """Give a tier by hand, or release it (empty); the page then offers the way back."""
    person_id = await must_see_person(reading(request), request.match_info["profile_id"])
    runtime, wanted = runtime_of(request), str((await read_form(request)).get("tier", "")).strip()
    person, tiers = await runtime.profiles.get(person_id), (await runtime.valuing.tiers()).settings
    known = {each.key for each in tiers.tiers} | {person.tier}
    if (
        wanted
        and wanted not in known
        and not any(each.tier == wanted for each in await runtime.valuing.tier_history(person_id))
    ):
        raise WrongInput("There is no such tier.", [FieldError("tier", "is none of the tiers")])
    was = person.tier if by_hand(person) else ""
    patch = ProfilePatch(tier=wanted or None)
    await runtime.editor.patch(person_id, patch, source="person", by=principal_of(request).id)
    runtime.doorbell.soon("react")
    raise web.HTTPSeeOther(f"/profiles/{person_id}?{urlencode({'was': was or ''})}")
