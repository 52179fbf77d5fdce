"""The steps of a broadcast's draft as the fields of a form, and back. Pure.

Only what a step shows is written by it. What a form cannot show (buttons, approved templates) stays as it was in the
draft.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from base.errors import FieldError, WrongInput
from desk.i18n import N_, Formats
from desk.pages.moments import local_value, read_date, read_local

Fields = Mapping[str, Any]
LANGUAGES_MOST, ARMS_MOST = 20, 5
ARM_NAMES = "abcdefgh"
UTM = ("source", "medium", "campaign", "term", "content")
SOME, EVERYBODY = "some", "everybody"
_DURATION = re.compile(r"P(?:T(\d+)([HM])|(\d+)(D))", re.ASCII)
#: Beginning of the path of a fault → the field beside which it is said.
_PLACES: tuple[tuple[str, str], ...] = (
    ("name", "name"), ("channel_ids", "channels"), ("audience", "audience"), ("group", "group"),
    ("template_id", "template_id"), ("content.locales", "wordings"), ("content", "w.0"), ("schedule.at", "at"),
    ("schedule.date", "date"), ("schedule.time", "time"), ("schedule.fallback_zone", "fallback_zone"),
    ("utm", "utm"), ("rate", "rate"), ("ramp", "ramp"), ("ab", "ab"), ("holdout_percent", "holdout"),
    ("quiet_hours", "quiet"),
)  # fmt: skip


def place_of(path: str) -> str:
    """The field for a fault; empty where there is none."""
    return next((name for begin, name in _PLACES if path == begin or path.startswith((begin + ".", begin + "["))), "")


def wrong(field_name: str, sentence: str) -> WrongInput:
    """A fault of our own, said beside its field."""
    return WrongInput("Please look at the marked fields.", [FieldError(f"#{field_name}", sentence)])


# -- audience ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AudienceFields:
    """Whom, on which channels, with what leave. `left_out`: the rule of who is left out."""

    name: str = ""
    channel_ids: tuple[str, ...] = ()
    whom: str = SOME
    segment_ids: tuple[str, ...] = ()
    excluded_ids: tuple[str, ...] = ()
    left_out: Mapping[str, Any] | None = None
    send_class: str = "marketing"
    group: str = ""
    recheck: bool = False

    def audience(self, rule: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """As the draft holds it; None while nobody is named."""
        exclude = {"segment_ids": list(self.excluded_ids), **({"rule": self.left_out} if self.left_out else {})}
        made: dict[str, Any] = {"segment_ids": [], "exclude": exclude}
        if self.whom == EVERYBODY:
            return {**made, "rule": {"all": []}}
        if not self.segment_ids and rule is None:
            return None
        return {**made, "segment_ids": list(self.segment_ids), **({"rule": rule} if rule else {})}


def audience_fields(body: Fields) -> AudienceFields:
    """What the draft says."""
    audience = body.get("audience") or {}
    exclude = audience.get("exclude") or {}
    segments = tuple(audience.get("segment_ids") or ())
    everybody = not segments and audience.get("rule") == {"all": []}
    return AudienceFields(
        name=str(body.get("name") or ""), channel_ids=tuple(body.get("channel_ids") or ()),
        whom=EVERYBODY if everybody else SOME, segment_ids=segments,
        excluded_ids=tuple(exclude.get("segment_ids") or ()), left_out=exclude.get("rule"),
        send_class=str(body.get("class") or "marketing"), group=str(body.get("group") or ""),
        recheck=bool(body.get("recheck")),
    )  # fmt: skip


def read_audience(form: Any) -> AudienceFields:
    """What was posted; rules are read by the builder."""
    channels = tuple(dict.fromkeys(str(each) for each in form.getall("channel", ())))
    return AudienceFields(
        name=_line(form, "name", 120), channel_ids=channels,
        whom=EVERYBODY if form.get("whom") == EVERYBODY else SOME,
        segment_ids=tuple(dict.fromkeys(str(each) for each in form.getall("segment", ()))),
        excluded_ids=tuple(dict.fromkeys(str(each) for each in form.getall("excluded", ()))),
        send_class=_line(form, "class", 20),
        group=_line(form, "group", 60), recheck=bool(form.get("recheck")),
    )  # fmt: skip


def moved_up(ids: Sequence[str], one: str) -> tuple[str, ...]:
    """One place nearer to the front."""
    place = ids.index(one) if one in ids else 0
    return (*ids[: max(place - 1, 0)], *ids[max(place - 1, 0) : place + 1][::-1], *ids[place + 1 :])


def audience_changes(fields: AudienceFields, rule: Mapping[str, Any] | None) -> dict[str, Any]:
    """For the draft. Raises `WrongInput` where people are left out of nothing."""
    audience = fields.audience(rule)
    if audience is None and (fields.excluded_ids or fields.left_out):
        raise wrong("audience", N_("Say first whom they are left out of: segments, conditions or everybody."))
    group = fields.group if fields.send_class == "marketing" and fields.group != "marketing" else ""
    return {
        "name": fields.name or None, "channel_ids": list(fields.channel_ids) or None, "audience": audience,
        "class": fields.send_class or "marketing", "group": group or None, "recheck": fields.recheck,
    }  # fmt: skip


# -- content -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Words:
    """The wording in one language. The first has none: it is for everybody else."""

    locale: str = ""
    subject: str = ""
    body: str = ""
    text: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is said."""
        return not (self.subject or self.body or self.text)


@dataclass(frozen=True)
class ContentFields:
    """A template, or words of one's own."""

    source: str = "own"
    template_id: str = ""
    wordings: tuple[Words, ...] = (Words(),)
    #: Name of what is added to links → what is written for it; empty: as the workspace says.
    utm: Mapping[str, str] = field(default_factory=dict)


def content_fields(body: Fields) -> ContentFields:
    """What the draft says."""
    content = body.get("content") or {}
    own = [Words("", *_said(content)), *(Words(key, *_said(each)) for key, each in _locales(content).items())]
    source = "template" if body.get("template_id") else "own"
    utm = {name: str(value) for name, value in (body.get("utm") or {}).items() if value}
    return ContentFields(source, str(body.get("template_id") or ""), tuple(own), utm)


def read_content(form: Any) -> ContentFields:
    """What was posted."""
    wordings = []
    for number in range(LANGUAGES_MOST):
        if f"w.{number}:body" not in form:
            break
        said = (_text(form, f"w.{number}:{name}") for name in ("subject", "body", "text"))
        wordings.append(Words(_line(form, f"w.{number}:locale", 20), *said))
    source = "template" if form.get("source") == "template" else "own"
    utm = {name: value for name in UTM if (value := _line(form, f"utm_{name}", 200))}
    return ContentFields(source, _line(form, "template_id", 40), tuple(wordings) or (Words(),), utm)


def with_language(fields: ContentFields) -> ContentFields:
    """One more, still empty."""
    return replace(fields, wordings=(*fields.wordings, Words())[:LANGUAGES_MOST])


def without_language(fields: ContentFields, number: int) -> ContentFields:
    """The first one stays."""
    kept = [each for place, each in enumerate(fields.wordings) if place != number or place == 0]
    return replace(fields, wordings=tuple(kept))


def content_changes(fields: ContentFields, body: Fields) -> dict[str, Any]:
    """For the draft. Raises `WrongInput` for languages that are not named or named twice."""
    utm = {"utm": dict(fields.utm) or None}
    if fields.source == "template":
        return utm | ({"template_id": fields.template_id, "content": None} if fields.template_id else {})
    return utm | {"template_id": None, "content": own_content(fields, body.get("content") or {})}


def own_content(fields: ContentFields, known: Fields) -> dict[str, Any] | None:
    """The wording in all its languages; None while nothing is said."""
    main, *others = fields.wordings
    locales: dict[str, Any] = {}
    for number, each in enumerate(others, 1):
        if each.is_empty and not each.locale:
            continue
        if not each.locale:
            raise wrong(f"w.{number}", N_("Say which language this is."))
        if each.locale in locales:
            raise wrong(f"w.{number}", N_("This language is there twice."))
        locales[each.locale] = _wording(each, _locales(known).get(each.locale) or {})
    made = _wording(main, known)
    if not (main.body or main.text or made.get("whatsapp")):
        if locales or main.subject:
            raise wrong("w.0", N_("Write the message: it goes to everybody whose language is not among the others."))
        return None
    return {**made, **({"locales": locales} if locales else {})}


def _wording(words: Words, known: Fields) -> dict[str, Any]:
    kept = {name: value for name, value in known.items() if name in ("buttons", "whatsapp") and value}
    own = {name: getattr(words, name) for name in ("subject", "body", "text") if getattr(words, name)}
    return {**kept, **own}


def _said(wording: Fields) -> tuple[str, str, str]:
    return str(wording.get("subject") or ""), str(wording.get("body") or ""), str(wording.get("text") or "")


def _locales(content: Fields) -> Mapping[str, Any]:
    found: Mapping[str, Any] = content.get("locales") or {}
    return found


# -- schedule ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ArmFields:
    """One of the wordings that are compared. `source`: `own` (the broadcast's), `written`, or a template's id."""

    name: str = ""
    share: str = ""
    source: str = "own"
    subject: str = ""
    body: str = ""


@dataclass(frozen=True)
class ScheduleFields:
    """When, how fast, and what is tried out: each value as it stands in its field."""

    values: Mapping[str, str] = field(default_factory=dict)
    arms: tuple[ArmFields, ...] = ()

    def __getitem__(self, name: str) -> str:
        return self.values.get(name, "")


def schedule_fields(body: Fields, formats: Formats) -> ScheduleFields:
    """What the draft says; times in the reader's zone."""
    schedule, rate, quiet = body.get("schedule") or {}, body.get("rate") or {}, body.get("quiet_hours") or {}
    trial = body.get("ab") or {}
    amount, unit = _span(str(trial.get("decide_after") or ""))
    at = str(schedule.get("at") or "")
    values = {
        "type": str(schedule.get("type") or "now"), "at": local_value(datetime.fromisoformat(at), formats.zone) if at
        else "", "date": str(schedule.get("date") or ""), "time": str(schedule.get("time") or ""),
        "fallback_zone": str(schedule.get("fallback_zone") or ""), "late": str(schedule.get("late") or "send_now"),
        "per_minute": str(rate.get("per_minute") or ""), "per_hour": str(rate.get("per_hour") or ""),
        "ramp": ", ".join(str(each) for each in body.get("ramp") or ()),
        "holdout": str(body.get("holdout_percent") or ""), "quiet_from": str(quiet.get("from") or ""),
        "quiet_to": str(quiet.get("to") or ""), "quiet_zone": str(quiet.get("zone") or "profile"),
        "on_quiet": str(body.get("on_quiet") or "defer"), "on_cap": str(body.get("on_cap") or "defer"),
        "wording": str(body.get("wording") or "latest"), "trying": "1" if trial else "",
        "metric": str(trial.get("metric") or "clicked"), "sample": str(trial.get("sample_percent") or "100"),
        "decide_n": amount, "decide_unit": unit, "min_sample": str(trial.get("min_sample") or "50"),
        "fallback": str(trial.get("fallback") or ""), "automatic": "" if trial.get("automatic") is False else "1",
    }  # fmt: skip
    return ScheduleFields(values, tuple(_arm_fields(each) for each in trial.get("arms") or ()))


def _arm_fields(arm: Fields) -> ArmFields:
    content = arm.get("content") or {}
    source = "written" if content else str(arm.get("template_id") or "own")
    return ArmFields(str(arm.get("name") or ""), str(arm.get("share", 50)), source, *_said(content)[:2])


def read_schedule(form: Any) -> ScheduleFields:
    """What was posted."""
    names = (
        "type", "at", "date", "time", "fallback_zone", "late", "per_minute", "per_hour", "ramp", "holdout",
        "quiet_from", "quiet_to", "quiet_zone", "on_quiet", "on_cap", "wording", "trying", "metric", "sample",
        "decide_n", "decide_unit", "min_sample", "fallback", "automatic",
    )  # fmt: skip
    arms = []
    for number in range(ARMS_MOST):
        if f"arm.{number}:name" not in form:
            break
        arms.append(
            ArmFields(
                _line(form, f"arm.{number}:name", 20).lower(), _line(form, f"arm.{number}:share", 10),
                _line(form, f"arm.{number}:source", 40) or "own", _text(form, f"arm.{number}:subject"),
                _text(form, f"arm.{number}:body"),
            )
        )  # fmt: skip
    return ScheduleFields({name: _line(form, name, 400) for name in names}, tuple(arms))


def with_arm(fields: ScheduleFields) -> ScheduleFields:
    """One more wording to compare; the shares are made equal."""
    if len(fields.arms) >= ARMS_MOST:
        return fields
    taken = {each.name for each in fields.arms}
    name = next(each for each in ARM_NAMES if each not in taken)
    return _evenly(replace(fields, arms=(*fields.arms, ArmFields(name))))


def without_arm(fields: ScheduleFields, number: int) -> ScheduleFields:
    """The same with one less."""
    return _evenly(replace(fields, arms=tuple(each for place, each in enumerate(fields.arms) if place != number)))


def with_two_arms(fields: ScheduleFields) -> ScheduleFields:
    """A comparison needs two wordings."""
    while len(fields.arms) < 2:
        fields = with_arm(fields)
    return fields


def _evenly(fields: ScheduleFields) -> ScheduleFields:
    count = len(fields.arms)
    shares = [100 // count + (place < 100 % count) for place in range(count)] if count else []
    return replace(
        fields, arms=tuple(replace(arm, share=str(share)) for arm, share in zip(fields.arms, shares, strict=True))
    )


def schedule_changes(fields: ScheduleFields, body: Fields, formats: Formats) -> dict[str, Any]:
    """For the draft. Raises `WrongInput` with the field of what cannot be read."""
    rate = {name: number for name in ("per_minute", "per_hour") if (number := _number(fields[name], "rate"))}
    quiet = {"from": fields["quiet_from"], "to": fields["quiet_to"], "zone": fields["quiet_zone"] or "profile"}
    if bool(quiet["from"]) != bool(quiet["to"]):
        raise wrong("quiet", N_("Quiet hours need a beginning and an end."))
    ramp = [_number(each, "ramp") for each in re.split(r"[\s,，;、]+", fields["ramp"]) if each]
    return {
        "schedule": _schedule(fields, formats), "rate": rate or None, "ramp": ramp or None,
        "holdout_percent": _number(fields["holdout"], "holdout") or None,
        "quiet_hours": quiet if quiet["from"] else None, "on_quiet": fields["on_quiet"] or "defer",
        "on_cap": fields["on_cap"] or "defer", "wording": fields["wording"] or "latest",
        "ab": _trial(fields, body.get("ab") or {}) if fields["trying"] else None,
    }  # fmt: skip


def _schedule(fields: ScheduleFields, formats: Formats) -> dict[str, Any] | None:
    if fields["type"] == "at":
        if not fields["at"]:
            raise wrong("at", N_("Say when."))
        return {"type": "at", "at": read_local(fields["at"], formats, "#at").isoformat()}
    if fields["type"] != "local":
        return None
    try:
        day = read_date(fields["date"], formats).isoformat()
    except ValueError:
        raise wrong("date", N_("This needs a day, such as 2026-05-01.")) from None
    if not fields["time"]:
        raise wrong("time", N_("Say at what time."))
    zone = {"fallback_zone": fields["fallback_zone"]} if fields["fallback_zone"] else {}
    return {"type": "local", "date": day, "time": fields["time"][:5], "late": fields["late"] or "send_now", **zone}


def _trial(fields: ScheduleFields, known: Fields) -> dict[str, Any]:
    if len(fields.arms) < 2:
        raise wrong("ab", N_("A comparison needs two wordings at least."))
    before = {str(each.get("name")): each for each in known.get("arms") or ()}
    amount = _number(fields["decide_n"], "ab")
    trial: dict[str, Any] = {
        "arms": [_arm(each, before.get(each.name) or {}) for each in fields.arms], "metric": fields["metric"],
        "sample_percent": _number(fields["sample"], "ab") or 100, "automatic": bool(fields["automatic"]),
        "min_sample": _number(fields["min_sample"], "ab") or 50,
    }  # fmt: skip
    if amount:
        trial["decide_after"] = {"minutes": "PT{}M", "days": "P{}D"}.get(fields["decide_unit"], "PT{}H").format(amount)
    if fields["fallback"] in [each.name for each in fields.arms]:
        trial["fallback"] = fields["fallback"]
    return trial


def arms_shown(fields: ScheduleFields, known: Fields) -> list[dict[str, Any]]:
    """The wordings that are compared as they stand in the form, for a look at them."""
    before = {str(each.get("name")): each for each in known.get("arms") or ()}
    found: list[dict[str, Any]] = []
    for each in fields.arms:
        own = (before.get(each.name) or {}).get("content") or {}
        written = {**own, **_wording(Words("", each.subject, each.body), own)} if each.body or own else None
        source = {"own": {}, "written": {"content": written}}.get(each.source, {"template_id": each.source})
        found.append({"name": each.name, **source})
    return found


def _arm(arm: ArmFields, before: Fields) -> dict[str, Any]:
    made: dict[str, Any] = {"name": arm.name, "share": _number(arm.share, "ab") or 0}
    if arm.source == "written":
        if not arm.body:
            raise wrong("ab", N_("A wording of your own needs a message."))
        known = before.get("content") or {}
        return made | {"content": {**known, **_wording(Words("", arm.subject, arm.body), known)}}
    return made if arm.source == "own" else made | {"template_id": arm.source}


def _number(text: str, field_name: str) -> int:
    """A whole number; 0 for an empty field."""
    if not text:
        return 0
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise wrong(field_name, N_("This needs a whole number."))
    return int(text)


def _span(text: str) -> tuple[str, str]:
    found = _DURATION.fullmatch(text)
    if found is None:
        return "", "hours"
    return found[1] or found[3], {"H": "hours", "M": "minutes", "D": "days"}[found[2] or found[4]]


def _line(form: Any, name: str, most: int) -> str:
    return " ".join(str(form.get(name) or "").split())[:most]


def _text(form: Any, name: str) -> str:
    return str(form.get(name) or "").replace("\r\n", "\n").strip()[:200_000]
