"""Settings → Automatic replies: what each channel says by itself, in all languages, and what it would say now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from babel.core import Locale, UnknownLocaleError
from pydantic import ValidationError

from base.errors import NotFound, WrongInput
from base.ids import is_id
from campaigns.automation.replies.book import Trial
from campaigns.automation.replies.models import KEYWORDS_MAX, LANGUAGES_MAX, TEXT_MAX, ChannelReplies
from channels.store import Channel
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_, NN_, Formats
from desk.keys import runtime_of
from desk.pages.definition_forms import id_in
from desk.pages.reads import faces_of
from desk.render import formats_of, page

routes = web.RouteTableDef()
HERE = "/settings/replies"
MISSING = "There is no such channel."
#: Languages that are always offered, and empty keywords below those that are there.
USUAL, BLANK_ROWS = ("en", "zh"), 1
TRIED_MAX = 1000
MATCHES = {"contains": N_("stand in the message"), "whole": N_("are all of the message")}
KINDS = {"keyword": N_("Keyword"), "out_of_office": N_("Out of office"), "greeting": N_("Greeting")}
KEYWORDS = NN_("%(num)s keyword", "%(num)s keywords")
#: Why nothing is said to a message that is tried.
WHY = {
    "nothing_to_say": N_("Nothing is said: there is no greeting."),
    "consent_word": N_("Nothing is said here: this is a word of consent, which is acted upon and answered by itself."),
    "bare_mark": N_("Nothing is said: a bare number may be a rating."),
}  # fmt: skip
_SAYS = {
    "words": N_("Write words of at most 100 signs, separated by commas; words of consent such as STOP are none."),
    "texts": N_("Write at least one text, of at most 2,000 characters."),
    "labels": N_("A label has at most 60 signs; at most 10 stand here."),
    "hours_id": N_("Choose business hours."), "team_id": N_("This team is gone."),
    "does_nothing": N_("Write an answer, a label or choose a team."),
    "languages": N_("Write languages by their short names, such as en, zh, de or pt-BR; at most 12."),
    "blank": N_("This blank cannot be filled in. There are %(names)s."),
}  # fmt: skip
#: What may stand in a text.
BLANKS = (("profile.first_name", N_("First name of the customer")), ("hours.opens", N_("When somebody is there again")))


@dataclass(frozen=True)
class Line:
    """One channel in the list: what it says, in words."""

    channel: Channel
    parts: tuple[str, ...]


# -- the list ------------------------------------------------------------------------------------------------------


@routes.get(HERE)
@require("viewer")
async def all_replies(request: web.Request) -> web.StreamResponse:
    """All channels with what they say."""
    runtime, principal = runtime_of(request), principal_of(request)
    formats, faces = formats_of(request, principal), await faces_of(runtime)
    kinds = {card.provider: card.kind for card in runtime.registry.cards()}
    seen = [
        each for each in faces.channels.values() if principal.may_see(each.id) and kinds.get(each.provider) != "shop"
    ]
    chosen = await runtime.channel_replies.of(each.id for each in seen)
    lines = [Line(each, said_parts(chosen.get(each.id, ChannelReplies()), formats)) for each in seen]
    values = {"lines": [(each, faces.of(each.channel.id)) for each in lines]}
    return await page(request, "settings/replies.html", values)


def said_parts(replies: ChannelReplies, formats: Formats) -> tuple[str, ...]:
    """What a channel says, in words. Pure."""
    keywords = sum(each.active for each in replies.keywords)
    parts = [
        formats.text(KINDS["greeting"]) if replies.greeting and replies.greeting.active else "",
        formats.text(KINDS["out_of_office"]) if replies.out_of_office and replies.out_of_office.active else "",
        formats.plural(*KEYWORDS, keywords) if keywords else "",
    ]
    return tuple(part for part in parts if part)


# -- one channel ---------------------------------------------------------------------------------------------------


@routes.get(HERE + "/{channel_id}")
@require("viewer")
async def show(request: web.Request) -> web.StreamResponse:
    """The form of one channel, and what a message that is tried would be answered."""
    channel = await _channel(request)
    replies = await runtime_of(request).channel_replies.get(channel.id)
    return await _form(request, channel, given_of(replies), {}, replies)


@routes.post(HERE + "/{channel_id}")
@require("admin")
async def save(request: web.Request) -> web.StreamResponse:
    """Keep it; faults stand beside their fields."""
    channel, given = await _channel(request), written(await read_form(request))
    wanted, faults = checked(given)
    if wanted is not None:
        try:
            rev = await runtime_of(request).channel_replies.choose(channel.id, wanted, principal_of(request).id)
        except WrongInput as wrong:
            faults = dict(_fault(given, tuple(each.path.split("."))) for each in wrong.errors)
        else:
            raise web.HTTPSeeOther(f"{HERE}/{channel.id}?saved={rev}")
    return await _form(request, channel, given, faults, None)


@routes.post(HERE + "/{channel_id}/undo")
@require("admin")
async def undo(request: web.Request) -> web.StreamResponse:
    """What stood before stands again."""
    channel, rev = await _channel(request), str((await read_form(request)).get("rev", ""))
    if not (rev.isascii() and rev.isdigit() and len(rev) < 10):
        raise WrongInput("Say what is to be taken back.")
    await runtime_of(request).channel_replies.take_back(channel.id, int(rev), principal_of(request).id)
    raise web.HTTPSeeOther(f"{HERE}/{channel.id}")


# -- the form ------------------------------------------------------------------------------------------------------


def written(form: Any) -> dict[str, Any]:
    """The fields as they were sent, all as texts."""

    def text(name: str) -> str:
        return str(form.get(name, "")).strip()

    languages = _languages(text("languages"))

    def texts(prefix: str) -> dict[str, str]:
        return {each: text(f"{prefix}-{each}") for each in languages}

    keywords = []
    for place in range(KEYWORDS_MAX + BLANK_ROWS):
        if f"words-{place}" not in form:
            break
        row: dict[str, Any] = {
            "words": text(f"words-{place}"), "match": text(f"match-{place}"), "texts": texts(f"answer-{place}"),
            "labels": text(f"labels-{place}"), "team_id": text(f"team-{place}"),
            "active": bool(form.get(f"active-{place}")),
        }  # fmt: skip
        if row["words"] or row["labels"] or any(row["texts"].values()):
            keywords.append(row)
    return {
        "languages": languages, "greeting_on": bool(form.get("greeting_on")), "greeting": texts("greeting"),
        "away_on": bool(form.get("away_on")), "away": texts("away"), "hours_id": text("hours_id"),
        "first_only": bool(form.get("first_only")), "keywords": keywords,
    }  # fmt: skip


def _languages(text: str) -> list[str]:
    named = [each.strip() for each in text.replace("，", ",").replace(" ", ",").split(",")]
    return list(dict.fromkeys([*USUAL, *(each for each in named if each)]))


def given_of(replies: ChannelReplies) -> dict[str, Any]:
    """The form of what a channel says. Pure."""
    used = [path.rpartition(".")[2] for path, _ in replies.all_texts]
    languages = list(dict.fromkeys([*USUAL, *used]))

    def texts(found: Mapping[str, str]) -> dict[str, str]:
        return {each: found.get(each, "") for each in languages}

    greeting, away = replies.greeting, replies.out_of_office
    return {
        "languages": languages,
        "greeting_on": bool(greeting and greeting.active), "greeting": texts(greeting.texts if greeting else {}),
        "away_on": bool(away and away.active), "away": texts(away.texts if away else {}),
        "hours_id": away.hours_id if away else "", "first_only": replies.first_only,
        "keywords": [
            {
                "words": ", ".join(each.words), "match": each.match, "texts": texts(each.texts),
                "labels": ", ".join(each.labels), "team_id": each.team_id or "", "active": each.active,
            }
            for each in replies.keywords
        ],
    }  # fmt: skip


def checked(given: Mapping[str, Any]) -> tuple[ChannelReplies | None, dict[str, str]]:
    """The input, or field → what is wrong with it. Pure."""
    fields: dict[str, Any] = {"first_only": given["first_only"]}
    greeting, away = _filled(given["greeting"]), _filled(given["away"])
    if greeting or given["greeting_on"]:
        fields["greeting"] = {"active": given["greeting_on"], "texts": greeting}
    if away or given["away_on"]:
        fields["out_of_office"] = {"active": given["away_on"], "texts": away, "hours_id": given["hours_id"]}
    fields["keywords"] = [
        {
            **each, "words": _listed(each["words"]), "labels": _listed(each["labels"]), "texts": _filled(each["texts"]),
            "team_id": each["team_id"] or None,
        }
        for each in given["keywords"]
    ]  # fmt: skip
    try:
        return ChannelReplies.model_validate(fields), {}
    except ValidationError as error:
        return None, dict(_fault(given, tuple(str(part) for part in each["loc"])) for each in error.errors())


def _filled(texts: Mapping[str, str]) -> dict[str, str]:
    return {language: text for language, text in texts.items() if text}


def _listed(text: str) -> list[str]:
    named = text.replace("，", ",").replace("、", ",").split(",")
    return list(dict.fromkeys(each.strip() for each in named if each.strip()))


def _fault(given: Mapping[str, Any], place: tuple[str, ...]) -> tuple[str, str]:
    """(field of the form, what is wrong with it) for a fault at this place of the input."""
    prefix = {"greeting": "greeting", "out_of_office": "away"}.get(place[0], "")
    if place[0] == "keywords":
        prefix, place = f"keyword-{place[1]}" if len(place) > 1 else "keywords", place[1:]
    part = place[1] if len(place) > 1 else ""
    if part == "hours_id":
        return part, _SAYS[part]
    language = place[2] if part == "texts" and len(place) > 2 else ""
    if language and place[-1] != "[key]" and language in given["languages"]:
        too_long = any(len(each) > TEXT_MAX for each in _all_texts(given))
        return f"{prefix}-{language}", _SAYS["texts"] if too_long else _SAYS["blank"]
    if language:
        return "languages", _SAYS["languages"]
    return prefix, _SAYS.get(part, _SAYS["does_nothing"] if prefix.startswith("keyword") else N_("Please check this."))


def _all_texts(given: Mapping[str, Any]) -> list[str]:
    parts = [given["greeting"], given["away"], *(each["texts"] for each in given["keywords"])]
    return [text for part in parts for text in part.values()]


async def _form(
    request: web.Request, channel: Channel, given: Mapping[str, Any], faults: Mapping[str, str],
    standing: ChannelReplies | None,
) -> web.Response:  # fmt: skip
    """`standing`: what can be tried out; None while the form has faults."""
    principal, runtime = principal_of(request), runtime_of(request)
    formats, saved = formats_of(request, principal), request.query.get("saved", "")
    may_change = principal.may("admin")
    empty = {"words": "", "match": "contains", "texts": {}, "labels": "", "team_id": "", "active": True}
    blank = [empty] * (BLANK_ROWS if may_change and len(given["keywords"]) < KEYWORDS_MAX else 0)
    names = ", ".join(f"{{{{ {name} }}}}" for name, _ in BLANKS)
    values: dict[str, Any] = {
        "channel": channel, "face": (await faces_of(runtime)).of(channel.id), "given": given,
        "faults": {name: formats.text(said, {"names": names}) for name, said in faults.items()},
        "keywords": [*given["keywords"], *blank],
        "named": {each: language_name(each, formats.language) for each in given["languages"]},
        "hours": {each.id: each.written.name for each in await runtime.business_hours.all()},
        "teams": {each.id: each.name for each in await runtime.teams.all()}, "matches": MATCHES, "blanks": BLANKS,
        "may_change": may_change, "saved": saved,
        "undo": saved if saved.isascii() and saved.isdigit() and may_change else "",
        "text_max": TEXT_MAX, "languages_max": LANGUAGES_MAX, **await _tried(request, standing, formats),
    }  # fmt: skip
    return await page(request, "settings/replies_form.html", values, status=422 if faults else 200)


async def _tried(request: web.Request, replies: ChannelReplies | None, formats: Formats) -> dict[str, Any]:
    """What is answered to the message that is tried."""
    text, language = request.query.get("try", "").strip()[:TRIED_MAX], request.query.get("language", "")
    known = language if language in USUAL else None
    if not text or replies is None:
        return {"tried": text, "trial": None, "their_language": known or ""}
    trial: Trial = await runtime_of(request).channel_replies.try_out(replies, text, None, known)
    teams = {each.id: each.name for each in await runtime_of(request).teams.all()}
    told = {
        "kind": formats.text(KINDS[trial.kind]) if trial.kind else "", "text": trial.text or "",
        "labels": trial.labels, "team": teams.get(trial.team_id or "", ""),
        "why": formats.text(WHY.get(trial.why or "", N_("Nothing is said."))) if trial.why else "",
    }  # fmt: skip
    return {"tried": text, "trial": told, "their_language": known or ""}


def language_name(code: str, reader: str) -> str:
    """“English”, “中文” as the reader calls it; the code itself where nobody knows it. Pure."""
    try:
        named = Locale.parse(code.replace("-", "_")).get_display_name(reader)
    except (UnknownLocaleError, ValueError):
        return code
    return str(named) if named else code


async def _channel(request: web.Request) -> Channel:
    channel_id = id_in(request, "channel_id", "chn", MISSING)
    found: Channel | None = await runtime_of(request).channels.get(channel_id) if is_id(channel_id, "chn") else None
    if found is None or not principal_of(request).may_see(channel_id):
        raise NotFound(MISSING)
    return found
