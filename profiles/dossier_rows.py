"""Rows of a dossier as a person reads them: what it says, when, and who, without any id or name of a field. Pure.

Rows come as `profiles.holdings.shown` makes them. One function per room; what is not told here is in data.json.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel import Locale, UnknownLocaleError
from babel.dates import format_datetime, get_timezone_location
from babel.numbers import format_currency, format_decimal, get_currency_precision

from profiles.dossier_words import (
    EVENT_OF_YOURS,
    EVENTS,
    EVENTS_OF,
    LABELS,
    LANGUAGES,
    OTHER,
    PAGE,
    ROOMS,
    TECHNICAL,
    VALUES,
    Said,
)

Row = Mapping[str, Any]
Facts = list[tuple[str, str]]
#: Ids of ours, and long ids of machines: they say nothing to anybody.
_ID = re.compile(r"[a-z]{3}_[0-9a-z]{26}(?::.*)?|[0-9a-f]{24,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.I)
#: Words and keys that a program wrote for programs.
_FOR_PROGRAMS = re.compile(r"(?:^|_)(?:id|ids|key|hash|token|uuid)$")
#: Providers on which somebody is their own number or address.
BY_ADDRESS = frozenset({"whatsapp", "sms", "email"})
#: Properties of one event that are told.
PROPERTIES_MAX = 12


@dataclass(frozen=True)
class Names:
    """What the ids and keys of the house are called, in the reader's language."""

    business: str = ""
    colleagues: Mapping[str, str] = field(default_factory=dict)
    channels: Mapping[str, str] = field(default_factory=dict)
    journeys: Mapping[str, str] = field(default_factory=dict)
    #: By the key that stands on a profile.
    segments: Mapping[str, str] = field(default_factory=dict)
    purposes: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    stages: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    relations: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    tiers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reader:
    """For whom it is told: language, time zone, and the names of the house. `files`: id → name in the folder."""

    language: str = "en"
    zone: str = "UTC"
    names: Names = field(default_factory=Names)
    files: Mapping[str, str] = field(default_factory=dict)

    def say(self, words: Said) -> str:
        """In the reader's language."""
        return words[LANGUAGES.index(self.language)]

    def word(self, name: str) -> str:
        """A word of the page."""
        return self.say(PAGE[name])

    def label(self, name: str) -> str:
        """What a fact is called."""
        return self.say(LABELS[name])

    def value(self, where: str, value: Any) -> str:
        """A word for a value; empty where there is none: then it is one of ours, or a program's."""
        words = VALUES[where].get(str(value))
        return self.say(words) if words else ""

    def when(self, value: Any) -> str:
        """A moment in the reader's zone; empty for none."""
        try:
            at = datetime.fromisoformat(str(value))
        except ValueError:
            return ""
        there = at.astimezone(_zone(self.zone)) if at.tzinfo else at
        return str(format_datetime(there, "medium", locale=self.language))

    def zone_name(self) -> str:
        """What the zone is called."""
        return self.value("zone", self.zone) or str(get_timezone_location(_zone(self.zone), locale=self.language))

    def number(self, value: Any) -> str:
        """A number as it is written."""
        return str(format_decimal(value, locale=self.language))

    def money(self, minor: Any, currency: Any) -> str:
        """An amount; empty where a part of it is missing."""
        if not isinstance(minor, int) or not isinstance(currency, str):
            return ""
        amount = minor / 10 ** get_currency_precision(currency)
        return str(format_currency(amount, currency, locale=self.language))

    def amount(self, money: Any) -> str:
        """The same of `{amount_minor, currency}`."""
        return self.money(money.get("amount_minor"), money.get("currency")) if isinstance(money, Mapping) else ""

    def tongue(self, code: Any) -> str:
        """What a language is called."""
        try:
            return str(Locale.parse(str(code).replace("-", "_")).get_display_name(self.language) or "")
        except (ValueError, UnknownLocaleError):
            return ""

    def who(self, user_id: Any) -> str:
        """A colleague by name; who is none any more, or a program, by what they are."""
        named = self.names.colleagues.get(str(user_id))
        if named or not user_id:
            return named or ""
        return self.word("colleague" if str(user_id).startswith("usr_") else "program")

    def channel(self, row: Row) -> str:
        """The name of a channel, else of its kind."""
        named = self.names.channels.get(str(row.get("channel_id") or row.get("channel") or ""))
        return named or self.kind_of_channel(row.get("provider") or row.get("channel"))

    def kind_of_channel(self, kind: Any) -> str:
        """What a provider, or the word for a bare address, is called."""
        shown = str(kind).capitalize() if isinstance(kind, str) and not _is_id(kind) else ""
        return self.value("channel", kind) or shown

    def place(self, zone: Any) -> str:
        """What a time zone is called."""
        known = isinstance(zone, str) and _zone(zone).key == zone
        return Reader(self.language, zone).zone_name() if known else str(zone or "")


def room_title(reader: Reader, name: str) -> str:
    """What a room is called on the page."""
    return reader.say(ROOMS.get(name) or TECHNICAL.get(name) or OTHER)


def entry(reader: Reader, room: str, row: Row) -> str:
    """One row as a piece of the page; empty where there is nothing to tell."""
    facts = [(label, value) for label, value in TELLERS[room](reader, row) if value]
    if not facts:
        return ""
    told = "".join(f"<dt>{escape(label)}</dt><dd>{value}</dd>" for label, value in facts)
    return f"<article><dl>{told}</dl></article>"


# -- values ------------------------------------------------------------------------------------------------------------


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def _is_id(value: str) -> bool:
    return _ID.fullmatch(value) is not None


def _plain(value: Any, reader: Reader) -> str:
    """A value somebody or some program gave, as text; ids are left out."""
    if isinstance(value, bool):
        return reader.word("yes" if value else "no")
    if isinstance(value, int | float):
        return reader.number(value)
    if isinstance(value, str):
        return "" if _is_id(value) else reader.when(value) if re.match(r"\d{4}-\d\d-\d\dT", value) else value
    if isinstance(value, Mapping):
        amount = reader.amount(value)
        parts = (f"{_named(key, reader)}: {_plain(each, reader)}" for key, each in value.items() if _tells(key, each))
        return amount or "; ".join(parts)
    if isinstance(value, Sequence):
        return ", ".join(told for each in value if (told := _plain(each, reader)))
    return ""


def _tells(key: str, value: Any) -> bool:
    return (
        value not in (None, "", [], {})
        and not _FOR_PROGRAMS.search(key)
        and not (isinstance(value, str) and _is_id(value))
    )


def _named(key: str, reader: Reader) -> str:
    return reader.names.fields.get(key) or key.replace("_", " ").strip().capitalize()


def _text(value: Any) -> str:
    return escape(value) if isinstance(value, str) else ""


def _list(values: Iterable[Any]) -> str:
    return escape(", ".join(str(each) for each in values if each))


def _maps(value: Any) -> list[Row]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _file_links(reader: Reader, found: Iterable[Row]) -> str:
    links = []
    for each in found:
        name, shown = reader.files.get(str(each.get("file_id") or each.get("id") or "")), each.get("name") or ""
        if name:
            links.append(f'<a href="files/{escape(name)}">{escape(str(shown) or name)}</a>')
        elif shown:
            links.append(escape(str(shown)))
    return ", ".join(links)


# -- rooms -------------------------------------------------------------------------------------------------------------


def _profile(reader: Reader, row: Row) -> Facts:
    say, names = reader.label, reader.names
    if row.get("merged_into"):
        return [(say("earlier"), _text(row.get("name")) or escape(reader.when(row.get("created_at"))))]
    address, orders = row.get("address") or {}, row.get("orders") or {}
    point = (row.get("location") or {}).get("coordinates") or []
    follow, traits = row.get("next_follow_up") or {}, row.get("traits") or {}
    off = row.get("profiling_off")
    rules = [(str(each.get("name") or ""), each.get("points")) for each in _maps(row.get("score_parts"))]
    parts = [f"{reader.value('rule', name) or name} ({points})" for name, points in rules if name]
    marks = row.get("rfm") or {}
    facts: Facts = [
        (say("name"), _text(row.get("name"))),
        (say("emails"), _list(each.get("value") for each in _maps(row.get("emails")))),
        (say("phones"), _list(each.get("value") for each in _maps(row.get("phones")))),
        (say("handles"), _list(row.get("handles") or ())),
        (say("address"), _list(address.get(name) for name in ("street", "postal_code", "city", "region", "country"))),
        (say("locale"), escape(reader.tongue(row["locale"])) if row.get("locale") else ""),
        (say("time_zone"), escape(reader.place(row.get("time_zone")))),
        (say("place"), _list(reader.number(each) for each in reversed(point))),
        (say("avatar"), _text(row.get("avatar_url"))),
        (say("tags"), _list(row.get("tags") or ())),
        (say("roles"), _list(names.roles.get(each, each) for each in row.get("roles") or ())),
        (say("stage"), _list([names.stages.get(str(row.get("stage")), str(row.get("stage") or ""))])),
        (say("tier"), _list([names.tiers.get(str(row["tier"]), str(row["tier"]))]) if row.get("tier") else ""),
        (say("score"), reader.number(row["score"]) if row.get("score") else ""),
        (say("because"), _list(parts)),
        (say("marks"), _list(f"{marks[each]}" for each in "rfm" if marks.get(each))),
        (say("owner"), escape(reader.who(row.get("owner_id")))),
        (say("orders"), reader.number(orders["count"]) if orders.get("count") else ""),
        (say("revenue"), _list(reader.money(minor, code) for code, minor in (orders.get("revenue") or {}).items())),
        (say("reachable"), _list(reader.kind_of_channel(each) for each in row.get("reachable_on") or ())),
        (say("segments"), _list(names.segments.get(str(each)) for each in row.get("segments") or ())),
        (say("first_touch"), escape(_touch(reader, row.get("first_touch")))),
        (say("last_touch"), escape(_touch(reader, row.get("last_touch")))),
        (say("follow_up"), _list([reader.when(follow.get("at")), follow.get("text")]) if follow else ""),
        (say("profiling"), reader.word("no") if off else ""),
        (say("known_since"), escape(reader.when(row.get("created_at")))),
        (say("last_seen"), escape(reader.when(row.get("last_seen_at")))),
    ]
    for name in ("preferred_channel", "preferred_hour", "answer_minutes", "churn_risk", "days_between_orders",
                 "next_order_at"):  # fmt: skip
        if traits.get(name) is not None:
            told = reader.kind_of_channel(traits[name]) if name == "preferred_channel" else _plain(traits[name], reader)
            facts.append((say(name), escape(told)))
    for key, value in (row.get("attributes") or {}).items():
        facts.append((names.fields.get(key) or key.replace("_", " ").capitalize(), escape(_plain(value, reader))))
    return facts


def _touch(reader: Reader, touch: Any) -> str:
    if not isinstance(touch, Mapping):
        return ""
    told = [reader.channel(touch), *(str(touch.get(name) or "") for name in ("utm_source", "utm_campaign", "headline"))]
    return ", ".join(each for each in [*told, reader.when(touch.get("at"))] if each)


def _identity(reader: Reader, row: Row) -> Facts:
    say, kind = reader.label, str(row.get("kind") or "")
    own = [] if kind in ("anonymous", "platform", "channel") else [row.get("value")]
    own += [row.get("external_id")] if row.get("provider") in BY_ADDRESS else []
    known = [each for each in (*own, row.get("handle"), row.get("display_name")) if each]
    suppressed = row.get("suppressed") or {}
    return [
        (say("kind"), escape(reader.value("identity", kind))),
        (say("channel"), escape(reader.channel(row)) if row.get("channel_id") else ""),
        (say("value"), _list(dict.fromkeys(str(each) for each in known))),
        (say("verified"), reader.word("yes") if row.get("verified") else ""),
        (say("suppressed"), escape(reader.value("suppressed", suppressed.get("reason")) or
                                   reader.when(suppressed.get("at"))) if suppressed else ""),
        (say("left"), escape(reader.when(row.get("left_at")))),
        (say("known_since"), escape(reader.when(row.get("first_seen_at")))),
        (say("last_seen"), escape(reader.when(row.get("last_seen_at")))),
    ]  # fmt: skip


def _consent(reader: Reader, row: Row) -> Facts:
    say, purpose = reader.label, str(row.get("purpose") or "")
    by = reader.word("you") if row.get("by_person") else reader.who(row.get("by"))
    return [
        (say("at"), escape(reader.when(row.get("at")))),
        (say("purpose"), escape(reader.names.purposes.get(purpose) or reader.value("purpose", purpose) or purpose)),
        (say("answer"), escape(reader.value("answer", "yes" if row.get("granted") else "no"))),
        (say("channel"), escape(reader.channel(row))),
        (say("who"), escape(by)),
        (say("source"), escape(reader.value("source", row.get("source")))),
        (say("proof"), escape(_plain(row.get("proof"), reader))),
        (say("wording"), _text(row.get("wording"))),
    ]


def _message(reader: Reader, row: Row) -> Facts:
    direction, author = str(row.get("direction") or ""), row.get("author") or {}
    if direction == "system":
        return []
    say, mail = reader.label, row.get("mail") or {}
    named = reader.names.colleagues.get(str(author.get("id"))) or author.get("name") or reader.who(author.get("id"))
    who = reader.value("direction", direction) + (f" ({named})" if named and direction != "in" else "")
    reactions = [each.get("emoji") for each in _maps(row.get("reactions"))]
    return [
        (say("at"), escape(reader.when(row.get("provider_at") or row.get("received_at")))),
        (say("who"), escape(who)),
        (say("channel"), escape(reader.channel(row))),
        (say("subject"), _text(mail.get("subject"))),
        (say("text"), _text(row.get("text"))),
        (say("files"), _file_links(reader, _maps(row.get("attachments")))),
        (say("place"), escape(_plain(row.get("location"), reader)) if row.get("location") else ""),
        (say("reactions"), _list(reactions)),
        (say("state"), escape(reader.value("message", row.get("status"))) if direction == "out" else ""),
    ]


def _conversation(reader: Reader, row: Row) -> Facts:
    say = reader.label
    return [
        (say("channel"), escape(reader.channel(row))),
        (say("subject"), _text(row.get("subject"))),
        (say("state"), escape(reader.value("conversation", row.get("status")))),
        (say("count"), reader.number(row["message_count"]) if row.get("message_count") else ""),
        (say("tags"), _list(row.get("labels") or ())),
        (say("owner"), escape(reader.who(row.get("assignee_id")))),
        (say("from"), escape(reader.when(row.get("created_at")))),
        (say("until"), escape(reader.when(row.get("last_activity_at")))),
    ]


def _file(reader: Reader, row: Row) -> Facts:
    say, size = reader.label, row.get("size_bytes")
    return [
        (say("files"), _file_links(reader, [row])),
        (say("size"), f"{reader.number(max(1, size // 1024))} KB" if isinstance(size, int) else ""),
        (say("at"), escape(reader.when(row.get("created_at")))),
        (say("who"), escape(reader.who(row.get("created_by")))),
    ]


def _order(reader: Reader, row: Row) -> Facts:
    say, tracking = reader.label, row.get("tracking") or {}
    number = str(row.get("number") or row.get("external_id") or "")
    lines = [f"{reader.number(each.get('quantity') or 1)} × {each.get('name')}" for each in _maps(row.get("lines"))]
    refunds = [reader.amount(each.get("amount")) for each in _maps(row.get("refunds"))]
    return [
        (say("number"), "" if _is_id(number) else escape(number)),
        (say("at"), escape(reader.when(row.get("placed_at") or row.get("created_at")))),
        (say("state"), escape(reader.value("order", row.get("status")))),
        (say("lines"), _list(lines)),
        (say("total"), escape(reader.amount(row.get("total")))),
        (say("refunds"), _list(refunds)),
        (say("tracking"), _list([tracking.get("company"), tracking.get("number")])),
    ]


def _note(reader: Reader, row: Row) -> Facts:
    say = reader.label
    return [
        (say("at"), escape(reader.when(row.get("at") or row.get("created_at")))),
        (say("kind"), escape(reader.value("note", row.get("kind")))),
        (say("who"), escape(reader.who(row.get("by")))),
        (say("minutes"), reader.number(row["minutes"]) if row.get("minutes") else ""),
        (say("text"), _text(row.get("text"))),
    ]


def _task(reader: Reader, row: Row) -> Facts:
    say = reader.label
    return [
        (say("text"), _text(row.get("text"))),
        (say("state"), escape(reader.value("task", row.get("state")))),
        (say("owner"), escape(reader.who(row.get("assignee_id")))),
        (say("due"), escape(reader.when(row.get("due_at")))),
        (say("done"), escape(reader.when(row.get("done_at")))),
        (say("answer"), _text(row.get("result"))),
    ]


def _event(reader: Reader, row: Row) -> Facts:
    say, name, told = reader.label, str(row.get("name") or ""), row.get("properties") or {}
    head, dot, _ = name.partition(".")
    ours = EVENTS.get(name) or (EVENTS_OF.get(head) if dot else None)
    what = reader.say(ours) if ours else reader.say(EVENT_OF_YOURS) % {"name": name.replace("_", " ")}
    facts: Facts = [(say("at"), escape(reader.when(row.get("occurred_at")))), (say("kind"), escape(what))]
    if name in ("page.viewed", "screen.viewed"):
        seen = [told.get("title") or told.get("name"), told.get("url") or told.get("path")]
        return [*facts, (say("page"), _list(seen))]
    if ours:
        number = str(told.get("number") or "")
        who = reader.who(told["by"]) if isinstance(told.get("by"), str) and told["by"].startswith("usr_") else ""
        return [*facts, (say("number"), "" if _is_id(number) else escape(number)), (say("who"), escape(who))]
    more = [(key, value) for key, value in told.items() if _tells(key, value)][:PROPERTIES_MAX]
    return [*facts, *((_named(key, reader), escape(_plain(value, reader))) for key, value in more)]


def _run(reader: Reader, row: Row) -> Facts:
    say = reader.label
    return [
        (say("name"), escape(reader.names.journeys.get(str(row.get("journey_id")), reader.say(OTHER)))),
        (say("from"), escape(reader.when(row.get("started_at")))),
        (say("state"), escape(reader.value("run", row.get("state")))),
    ]


def _send(reader: Reader, row: Row) -> Facts:
    say, source = reader.label, row.get("source") or {}
    return [
        (say("at"), escape(reader.when(row.get("accepted_at") or row.get("handed_at") or row.get("planned_at")))),
        (say("channel"), escape(reader.channel(row))),
        (say("state"), escape(reader.value("message", row.get("state")))),
        (say("reason"), escape(reader.names.journeys.get(str(source.get("id")), ""))),
        (say("who"), escape(reader.who(source.get("id")) if str(source.get("id")).startswith("usr_") else "")),
    ]


def _move(reader: Reader, row: Row) -> Facts:
    say, stages = reader.label, reader.names.stages
    named = [stages.get(str(row.get(side)), str(row.get(side) or "")) for side in ("from", "to")]
    reason = str(row.get("reason") or "")
    return [
        (say("at"), escape(reader.when(row.get("at")))),
        (say("from"), escape(named[0])), (say("to"), escape(named[1])),
        (say("reason"), escape(reader.names.reasons.get(reason, reason))),
        (say("who"), escape(reader.who(row.get("by")) if str(row.get("by")).startswith("usr_") else "")),
    ]  # fmt: skip


def _relation(reader: Reader, row: Row) -> Facts:
    """The other one is somebody else, whose data this is not."""
    kind = str(row.get("kind") or "")
    return [
        (reader.label("kind"), escape(reader.names.relations.get(f"{kind}:{row.get('way')}", kind.replace("_", " ")))),
        (reader.label("text"), _text(row.get("note"))), (reader.label("at"), escape(reader.when(row.get("at")))),
    ]  # fmt: skip


def _import(reader: Reader, row: Row) -> Facts:
    cells = row.get("cells")
    values = cells.values() if isinstance(cells, Mapping) else cells if isinstance(cells, list) else ()
    return [(reader.label("row"), _list(each for each in values if isinstance(each, str) and not _is_id(each)))]


def _merge(reader: Reader, row: Row) -> Facts:
    say = reader.label
    return [(say("at"), escape(reader.when(row.get("at") or row.get("merged_at") or row.get("created_at")))),
            (say("who"), escape(reader.who(row.get("by"))))]  # fmt: skip


def _pair(reader: Reader, row: Row) -> Facts:
    return [(reader.label("at"), escape(reader.when(row.get("created_at"))))]


def _request(reader: Reader, row: Row) -> Facts:
    say = reader.label
    return [
        (say("kind"), escape(reader.value("request", row.get("kind")))),
        (say("asked"), escape(reader.when(row.get("received_at")))),
        (say("answered"), escape(reader.when(row.get("answered_at")))),
        (say("answer"), escape(reader.value("request_answer", row.get("answer")))),
    ]


def _copy(reader: Reader, row: Row) -> Facts:
    return [(reader.label("asked"), escape(reader.when(row.get("asked_at")))),
            (reader.label("who"), escape(reader.who(row.get("asked_by"))))]  # fmt: skip


TELLERS: Mapping[str, Callable[[Reader, Row], Facts]] = {
    "profiles": _profile, "identities": _identity, "consents": _consent, "messages": _message,
    "conversations": _conversation, "files": _file, "orders": _order, "notes": _note, "tasks": _task, "events": _event,
    "enrolments": _run, "sends": _send, "stage_log": _move, "relations": _relation, "import_rows": _import,
    "merges": _merge, "suggestions": _pair, "privacy_requests": _request, "dossiers": _copy,
}  # fmt: skip
