"""Settings → Tiers: the thresholds of recency, frequency and money, the tiers, and what they would do before saving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from aiohttp import web
from babel.numbers import get_currency_precision

from base.errors import Conflict, FieldError, WrongInput
from desk.api.scope import reading, refuse_scoped
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import LANGUAGES, N_, SOURCE, translations
from desk.keys import runtime_of
from desk.pages.effects import tier_effect, tier_names
from desk.pages.score import CONTENDED, may_value, undone
from desk.render import page, reader_of
from profiles import rfm

routes = web.RouteTableDef()
HERE = "/settings/tiers"
MARKS = ("r", "f", "m", "total")
#: Languages beside the main one, in which a tier can be named here; the API takes any.
FURTHER = {code: label for code, label in LANGUAGES.items() if code != SOURCE}
TOO_FEW = N_("There are too few customers who bought to suggest anything from.")
FOUR = {"recency_days": "r", "frequency": "f", "monetary": "m"}


@dataclass(frozen=True)
class Row:
    """One tier as its row shows it."""

    key: str = ""
    name: str = ""
    names: Mapping[str, str] | None = None
    least: Mapping[str, str] | None = None
    off: bool = False
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class Draft:
    """The form as it is being edited: all texts as they stand in the fields. `kept`: names only the API knows."""

    four: Mapping[str, Sequence[str]]
    currency: str
    rows: tuple[Row, ...]
    kept: Mapping[str, Mapping[str, str]]


def draft_of(settings: rfm.TierSettings) -> Draft:
    """The form of settings as they stand."""
    digits = _digits(settings.currency)
    four = {
        "recency_days": [str(each) for each in settings.recency_days],
        "frequency": [str(each) for each in settings.frequency],
        "monetary": [f"{Decimal(each).scaleb(-digits):.{digits}f}" for each in settings.monetary],
    }
    rows = tuple(
        Row(each.key, each.name, each.locales, {mark: str(getattr(each.least, mark)) for mark in MARKS})
        for each in settings.tiers
    )
    return Draft(four, settings.currency, rows, {each.key: each.locales for each in settings.tiers})


def sent(form: Mapping[str, Any], known: rfm.TierSettings) -> Draft:
    """The form that was sent."""

    def text(name: str) -> str:
        return str(form.get(name, "")).strip()

    four = {name: [text(f"{short}-{place}") for place in range(4)] for name, short in FOUR.items()}
    rows = []
    for place in range(rfm.TIERS_MAX + 2):
        if f"name-{place}" not in form:
            break
        names = {code: text(f"name-{place}-{code}") for code in FURTHER}
        least = {mark: text(f"{mark}-of-{place}") for mark in MARKS}
        rows.append(Row(text(f"key-{place}"), text(f"name-{place}"), names, least, bool(form.get(f"off-{place}"))))
    return Draft(four, text("currency").upper(), tuple(rows), {each.key: each.locales for each in known.tiers})


def written(draft: Draft) -> tuple[dict[str, Any], list[int]]:
    """The settings as JSON, and for each tier the place of its row. What is no number stays a text and is refused."""
    digits = _digits(draft.currency)
    tiers, places = [], []
    taken = {row.key for row in draft.rows}
    for place, row in enumerate(draft.rows):
        if row.off or (not row.key and not row.name):
            continue
        more = {code: name for code, name in (draft.kept.get(row.key) or {}).items() if code not in FURTHER}
        names = {code: name for code, name in (row.names or {}).items() if name}
        key = row.key or next(key for number in range(1, 99) if (key := f"tier-{number}") not in taken)
        taken.add(key)
        least = {mark: _whole(value) for mark, value in (row.least or {}).items() if value}
        tiers.append({"key": key, "name": row.name, "locales": {**more, **names}, "least": least})
        places.append(place)
    return {
        "recency_days": [_whole(each) for each in draft.four["recency_days"]],
        "frequency": [_whole(each) for each in draft.four["frequency"]],
        "monetary": [_minor(each, digits) for each in draft.four["monetary"]],
        "currency": draft.currency, "tiers": tiers,
    }, places  # fmt: skip


def _digits(currency: str) -> int:
    return get_currency_precision(currency) if currency.isascii() and len(currency) == 3 else 2


def _whole(text: str) -> Any:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 13 else text


def _minor(text: str, digits: int) -> Any:
    try:
        amount = Decimal(text.replace(",", ".")).scaleb(digits)
    except InvalidOperation:
        return text
    return int(amount) if amount.is_finite() and amount == amount.to_integral_value() and amount < 10**12 else text


def with_faults(
    draft: Draft, places: Sequence[int], errors: Sequence[FieldError]
) -> tuple[tuple[Row, ...], dict[str, str]]:
    """The rows with their faults, and those of the other fields by name."""
    found: dict[int, list[str]] = {}
    rest: dict[str, str] = {}
    for each in errors:
        head, _, more = each.path.partition("]")
        name, _, number = head.partition("[")
        if name == "tiers" and number.isdigit() and int(number) < len(places):
            said = ROW_SAYS.get(more.removeprefix(".").partition(".")[0], each.message)
            found.setdefault(places[int(number)], []).append(said)
        else:
            rest[name] = FIELD_SAYS.get(name, each.message)
    rows = tuple(Row(**{**row.__dict__, "faults": tuple(found.get(at, ()))}) for at, row in enumerate(draft.rows))
    return rows, rest


ROW_SAYS = {
    "name": N_("A tier needs a name."), "least": N_("Marks go from 1 to 5, their sum from 3 to 15."),
    "locales": N_("This name is too long."), "key": N_("Small letters, digits, - and _, beginning with a letter."),
}  # fmt: skip
FIELD_SAYS = {
    "recency_days": N_("Four whole numbers, each greater than the one before."),
    "frequency": N_("Four whole numbers, each greater than the one before."),
    "monetary": N_("Four amounts, each greater than the one before."),
    "currency": N_("Three capital letters, such as EUR."),
}


@routes.get(HERE)
@require("viewer")
async def show(request: web.Request) -> web.StreamResponse:
    """The tiers that stand; with `?suggest` thresholds from the deployment's own customers, not yet saved."""
    valuing, may = runtime_of(request).valuing, may_value(request)
    held = await valuing.tiers()
    if "suggest" in request.query and may:
        found = await valuing.suggest()
        if found is None:
            return await _page(request, draft_of(held.settings), notice=TOO_FEW)
        draft = draft_of(found)
        return await _page(request, draft, written(draft), notice=SUGGESTED)
    return await _page(request, draft_of(held.settings), saved="saved" in request.query)


SUGGESTED = N_("These thresholds part your customers in fifths. Nothing is saved yet.")


@routes.post(HERE + "/effect")
@require("marketer")
async def effect(request: web.Request) -> web.StreamResponse:
    """The form as it is, with what it would do. A script takes only that part."""
    refuse_scoped(reading(request))
    draft = sent(await read_form(request), (await runtime_of(request).valuing.tiers()).settings)
    return await _page(request, draft, written(draft), quiet="HX-Request" in request.headers)


@routes.post(HERE)
@require("marketer")
async def save(request: web.Request) -> web.StreamResponse:
    """Save; faults stand beside their fields."""
    refuse_scoped(reading(request))
    valuing, form = runtime_of(request).valuing, await read_form(request)
    draft, rev = sent(form, (await valuing.tiers()).settings), str(form.get("rev", ""))
    read = written(draft)
    try:
        await valuing.save_tiers(
            read[0], int(rev) if rev.isascii() and rev.isdigit() else None, principal_of(request).id
        )
    except WrongInput:
        return await _page(request, draft, read)
    except Conflict:
        return await _page(request, draft, read, notice=CONTENDED, status=409)
    raise web.HTTPSeeOther(f"{HERE}?saved=1")


@routes.post(HERE + "/undo")
@require("marketer")
async def undo(request: web.Request) -> web.StreamResponse:
    """Take the last change back."""
    refuse_scoped(reading(request))
    await undone(request, "tiers")
    raise web.HTTPSeeOther(HERE)


async def _page(
    request: web.Request, draft: Draft, read: tuple[dict[str, Any], list[int]] | None = None, *, saved: bool = False,
    quiet: bool = False, notice: str = "", status: int = 200,
) -> web.Response:  # fmt: skip
    """`read`: what the draft says; None: what stands. `quiet`: an answer to a script, which takes no fault for one."""
    runtime, formats, may = runtime_of(request), reader_of(request), may_value(request)
    held, shown = await runtime.valuing.tiers(), None
    rows: tuple[Row, ...] = draft.rows
    faults: dict[str, str] = {}
    if may:
        try:
            found = await runtime.valuing.tier_effect(read[0] if read else None)
            wanted = rfm.read_settings(read[0]) if read else held.settings
            shown = tier_effect(found, wanted, held.settings, formats)
        except WrongInput as error:
            rows, faults = with_faults(draft, read[1] if read else (), error.errors)
    wrong = bool(faults) or any(row.faults for row in rows)
    said_names = await tier_names(runtime, formats)
    values = {
        "draft": draft, "rows": tuple(row for row in rows if row.key or row.name), "blank": Row(), "faults": faults,
        "effect": shown, "wrong": wrong, "held": held, "saved": saved and held.undoable, "may_change": may,
        "notice": notice, "further": FURTHER, "progress": await runtime.valuing.progress(),
        "names": [(each, said_names[each.key]) for each in held.settings.tiers], "said_names": said_names,
        "in_own": _in_own(rows),
    }  # fmt: skip
    return await page(request, "settings/tiers.html", values, status=422 if wrong and not quiet else status)


def _in_own(rows: Sequence[Row]) -> dict[tuple[str, str], str]:
    """(name, language) → what a built-in tier is called there while nobody says otherwise."""
    said = {(row.name, code): translations(code).gettext(row.name) for row in rows if row.name for code in FURTHER}
    return {key: text for key, text in said.items() if text != key[0]}
