"""A broadcast's message as one person would get it: whom it is shown as, each of its wordings, its links in the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from base.errors import Conflict, NotFound, WrongInput
from base.ids import is_id
from base.mongo import Document
from campaigns.broadcasts.models import Audience
from campaigns.contents import PARTS, Rendered, plain_text
from campaigns.tracking.rewriting import names_for
from campaigns.utm import Utm
from channels.vocabulary import Address, OutboundMail, OutboundMessage
from desk.api.scope import must_see_person, reading, seen_ids
from desk.i18n import N_, Formats
from desk.keys import base_url_of, runtime_of
from desk.pages.link_preview import added_to, links_as_sent
from desk.pages.reads import faces_of
from desk.pages.shown_as import ShownAs, SpokenWords, shown_as, spoken_words
from desk.pages.template_words import template_words
from desk.render import reader_of


@dataclass(frozen=True)
class Shown:
    """A message as one person would get it. `size`: of what goes out, in KB; `arm`: of wordings that are compared."""

    subject: str = ""
    text: str = ""
    buttons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    size: str = ""
    has_html: bool = False
    fault: str = ""
    spoken: SpokenWords = field(default_factory=SpokenWords)
    links: tuple[str, ...] = ()
    arm: str = ""


async def who_of(request: web.Request, head: Document, given: Mapping[str, Any]) -> ShownAs:
    """As whom it is shown: one of those whom the words find, else of a few of the audience."""
    chosen = given.get("as")
    known = str(chosen) if isinstance(chosen, str) and (not chosen or is_id(chosen, "prf")) else None
    people = await sample_of(request, head)
    if known and known not in dict(people) and not given.get("who"):
        people = await _with(request, known, people)
    return await shown_as(request, str(given.get("who") or ""), known, people)


async def _with(request: web.Request, profile_id: str, people: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Somebody found before by words that are not in the form any more."""
    if not await seen_ids(reading(request), {profile_id}):
        return people
    found = await runtime_of(request).profiles.many([profile_id])
    return [*((each.id, each.display_name) for each in found.values()), *people]


async def sample_of(request: web.Request, head: Document) -> list[tuple[str, str]]:
    """(id, name) of a few people of the audience, to look at the message as."""
    try:
        raw = Audience.model_validate(head["body"].get("audience") or {}).as_raw()
        found = await runtime_of(request).segments.preview(raw)
    except (ValidationError, WrongInput, Conflict):
        return []
    seen = await seen_ids(reading(request), {each.id for each in found.sample})
    return [(each.id, each.display_name) for each in found.sample if each.id in seen]


async def message_of(
    request: web.Request, head: Document, said: Mapping[str, Any] | None, who: str, locale: str = "", *,
    arm: str = "", utm: Mapping[str, Any] | None = None,
) -> Shown:  # fmt: skip
    """The message, or why there is none. `said`: what is written; None while nothing is."""
    formats = reader_of(request)
    if said is None:
        return Shown(fault=formats.text(N_("Nothing is written yet.")), arm=arm)
    try:
        made = await rendered(request, head, said, who, locale)
    except (WrongInput, NotFound) as error:
        told = [each.message for each in getattr(error, "errors", ()) or ()]
        fault = " ".join(template_words(each, formats) for each in told[:2]) or formats.text(str(error))
        return Shown(fault=fault, arm=arm)
    spoken = await spoken_words(request, said, made, who, locale, formats)
    return _shown(made, formats, spoken, await _links(request, head, made, arm, utm), arm)


async def rendered(request: web.Request, head: Document, said: Mapping[str, Any], who: str, locale: str) -> Rendered:
    """As `who` would get it. Raises `NotFound`, `WrongInput`."""
    if who:
        who = await must_see_person(reading(request), who)
    campaign = {"campaign": {"name": head["name"], "id": head["_id"]}}
    full = {**dict.fromkeys(PARTS), "locales": {}, **said}
    found: Rendered = await runtime_of(request).templates.preview(full, who or None, campaign, locale=locale or None)
    return found


async def arms_said(
    request: web.Request, body: Mapping[str, Any], arms: Sequence[Mapping[str, Any]]
) -> list[tuple[str, Mapping[str, Any] | None]]:
    """(name, what it says) of each wording: its own, a template's, else the broadcast's."""
    return [(str(arm.get("name") or ""), await _content(request, arm) or await _content(request, body)) for arm in arms]


async def said_by(request: web.Request, head: Document, arm_name: str | None = None) -> Mapping[str, Any] | None:
    """What the draft says, or one of the wordings that it compares."""
    body = head["body"]
    arms = {each.get("name"): each for each in (body.get("ab") or {}).get("arms") or ()}
    for each in (arms.get(arm_name) or {}, body, *arms.values()):
        found = await _content(request, each)
        if found is not None:
            return found
    return None


async def short_offers(request: web.Request, head: Document, gets: int) -> list[str]:
    """A sentence for each offer in it that has ended, or has fewer codes left than people get the message."""
    runtime, formats = runtime_of(request), reader_of(request)
    arms = (head["body"].get("ab") or {}).get("arms") or ()
    try:
        said = [each for _, each in await arms_said(request, head["body"], arms)] if arms else [
            await said_by(request, head)]  # fmt: skip
    except NotFound:
        return []
    found = []
    for offer in await runtime.templates.offers_named([each for each in said if each is not None]):
        name, (free, _) = offer["name"], await runtime.offers.tally(offer["_id"])
        if offer["expires_at"] is not None and offer["expires_at"] <= runtime.clock():
            found.append(formats.text(N_("The offer %(name)s has ended: nobody is given a code."), name=name))
        elif offer["source"] == "list" and free < gets:
            text = N_("The offer %(name)s has %(free)s codes left for %(gets)s people.")
            found.append(formats.text(text, name=name, free=formats.number(free), gets=formats.number(gets)))
    return found


#: What a trial goes by → the setting without which nobody but a provider tells of it.
_TRACKED = {"clicked": "links", "opened": "opens"}


async def untracked(request: web.Request) -> list[str]:
    """What wordings can be compared by and Rapport does not count at the moment."""
    settings = (await runtime_of(request).tracking_choice.now()).settings
    return [metric for metric, name in _TRACKED.items() if not getattr(settings, name)]


async def _content(request: web.Request, part: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if part.get("content"):
        found: Mapping[str, Any] = part["content"]
        return found
    if part.get("template_id"):
        row: Document = await runtime_of(request).templates.get(part["template_id"])
        return dict(row["content"])
    return None


async def _links(
    request: web.Request, head: Document, made: Rendered, arm: str, utm: Mapping[str, Any] | None
) -> tuple[str, ...]:
    """The addresses in it as they will be, where something is added to them."""
    body = head["body"]
    added = added_to(body.get("utm") if utm is None else utm, await house_utm(request))
    if added is None or body.get("class", "marketing") != "marketing":
        return ()
    faces = await faces_of(runtime_of(request))
    kinds = [card.kind for each in head["channel_ids"] if (card := faces.cards.get(faces.of(each).provider))]
    names = names_for(head["name"], kinds[0] if kinds else "", arm, head["_id"])
    message = OutboundMessage(
        key="-", to=Address(channel_id="-", external_id="-"), text=made.text or None, buttons=made.buttons,
        mail=OutboundMail(subject="-", html=made.html) if made.html else None,
    )  # fmt: skip
    return links_as_sent(message, added, names, base_url_of(request))


async def house_utm(request: web.Request) -> Utm:
    """What the workspace adds to links."""
    found: Utm = (await runtime_of(request).tracking_choice.now()).settings.utm
    return found


def _shown(made: Rendered, formats: Formats, spoken: SpokenWords, links: tuple[str, ...], arm: str) -> Shown:
    """As it is shown beside the form: what people read, without its looks."""
    text = made.text or (plain_text(made.html) if made.html else "")
    size = len((made.html or "").encode()) + len(text.encode()) + len((made.subject or "").encode())
    return Shown(
        made.subject or "", text, tuple(each.title for each in made.buttons), made.warnings,
        formats.text(N_("%(size)s KB"), size=formats.number(round(size / 1024, 1))), bool(made.html),
        spoken=spoken, links=links, arm=arm,
    )  # fmt: skip
