"""Rules of the public contract (section 3) as sentences. Pure: names of segments, stages, fields … are given."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Any

from desk.i18n import N_, NN_, Formats
from desk.pages.rules import FIELDS, duration_words, field_words
from profiles.segments.span import parse_instant

#: Operator → sentence, for what has one value.
SENTENCES = {
    "eq": N_("%(field)s is %(value)s"), "ne": N_("%(field)s is not %(value)s"),
    "lt": N_("%(field)s is below %(value)s"), "lte": N_("%(field)s is at most %(value)s"),
    "gt": N_("%(field)s is above %(value)s"), "gte": N_("%(field)s is at least %(value)s"),
    "between": N_("%(field)s is between %(value)s"), "in": N_("%(field)s is one of %(value)s"),
    "not_in": N_("%(field)s is none of %(value)s"), "exists": N_("%(field)s is known"),
    "missing": N_("%(field)s is not known"), "contains": N_("%(field)s contains %(value)s"),
    "not_contains": N_("%(field)s does not contain %(value)s"), "starts_with": N_("%(field)s begins with %(value)s"),
    "ends_with": N_("%(field)s ends with %(value)s"), "matches": N_("%(field)s fits the pattern %(value)s"),
    "any_of": N_("%(field)s is one of %(value)s"), "all_of": N_("%(field)s is all of %(value)s"),
    "none_of": N_("%(field)s is none of %(value)s"), "before": N_("%(field)s is before %(value)s"),
    "after": N_("%(field)s is after %(value)s"), "within_last": N_("%(field)s is within the last %(value)s"),
    "older_than": N_("%(field)s is more than %(value)s ago"), "day_of_year": N_("%(field)s falls on %(value)s"),
}  # fmt: skip
#: The same for what has many.
MANY = {
    "eq": N_("%(field)s include %(value)s"), "ne": N_("%(field)s do not include %(value)s"),
    "in": N_("%(field)s include any of %(value)s"), "not_in": N_("%(field)s include none of %(value)s"),
    "any_of": N_("%(field)s include any of %(value)s"), "all_of": N_("%(field)s include all of %(value)s"),
    "none_of": N_("%(field)s include none of %(value)s"), "exists": N_("has any %(field)s"),
    "missing": N_("has no %(field)s"), "contains": N_("%(field)s include %(value)s"),
    "not_contains": N_("%(field)s do not include %(value)s"),
    "starts_with": N_("one of the %(field)s begins with %(value)s"),
    "ends_with": N_("one of the %(field)s ends with %(value)s"),
    "matches": N_("one of the %(field)s fits the pattern %(value)s"),
}  # fmt: skip
PLURAL = frozenset({"tags", "roles"})
#: What somebody did, or what happened to them, as it stands in “never …” and “… at least 2 times”.
DEEDS = {
    "message.received": N_("wrote to us"), "message.sent": N_("was written to"),
    "message.delivered": N_("was reached by a message"), "message.read": N_("read a message"),
    "message.replied": N_("answered a message"), "message.clicked": N_("clicked a link"),
    "message.opened": N_("opened a mail"), "message.failed": N_("could not be sent a message"),
    "message.bounced": N_("had a mail bounce"), "message.complained": N_("reported a message as unwanted"),
    "conversation.created": N_("began a conversation"), "order.created": N_("placed an order"),
    "order.paid": N_("paid for an order"), "order.payment_failed": N_("failed to pay"),
    "order.fulfilled": N_("had an order shipped"), "order.delivered": N_("had an order delivered"),
    "order.cancelled": N_("cancelled an order"), "order.refunded": N_("got a refund"),
    "order.completed": N_("completed an order"), "checkout.started": N_("began a checkout"),
    "checkout.completed": N_("completed a checkout"), "profile.created": N_("appeared for the first time"),
    "profile.tag_added": N_("was given a tag"), "profile.tag_removed": N_("lost a tag"),
    "profile.stage_changed": N_("changed the stage"), "profile.tier_changed": N_("changed the tier"),
    "contact.left": N_("left a channel"), "contact.returned": N_("came back to a channel"),
    "consent.granted": N_("gave consent"), "consent.denied": N_("withdrew consent"),
    "segment.entered": N_("entered a segment"), "segment.left": N_("left a segment"),
    "csat.submitted": N_("gave a rating"),
    "nps.submitted": N_("said whether they recommend us"), "task.done": N_("had a task done"),
}  # fmt: skip
COUNTS = {
    "gte": NN_("at least %(num)s time", "at least %(num)s times"),
    "lte": NN_("at most %(num)s time", "at most %(num)s times"),
    "eq": NN_("exactly %(num)s time", "exactly %(num)s times"),
    "gt": NN_("more than %(num)s time", "more than %(num)s times"),
    "lt": NN_("fewer than %(num)s time", "fewer than %(num)s times"),
    "ne": NN_("not exactly %(num)s time", "not exactly %(num)s times"),
}
LAST = {
    "within_last": N_("last %(deed)s within the last %(value)s"),
    "older_than": N_("last %(deed)s more than %(value)s ago"),
    "before": N_("last %(deed)s before %(value)s"), "after": N_("last %(deed)s after %(value)s"),
    "exists": N_("once %(deed)s"), "missing": N_("never %(deed)s"),
}  # fmt: skip
CONSENT = {
    "granted": (N_("agreed to %(purpose)s"), N_("agreed to %(purpose)s by %(channel)s")),
    "denied": (N_("said no to %(purpose)s"), N_("said no to %(purpose)s by %(channel)s")),
    "unknown": (N_("has not answered about %(purpose)s"), N_("has not answered about %(purpose)s by %(channel)s")),
}  # fmt: skip


MONEY = re.compile(r"(orders\.revenue|traits\.revenue|traits\.average_order)\.[A-Z]{3}", re.ASCII)


@dataclass(frozen=True)
class Known:
    """Names that a sentence needs. `values`: of `segment`, `consent`, `channel` or a field, value → its name."""

    fields: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def value(self, of: str, value: Any) -> str | None:
        """What a value is called."""
        return self.values.get(of, {}).get(value) if isinstance(value, str) else None


NOTHING = Known()


def rule_words(rule: Any, formats: Formats, known: Known = NOTHING) -> str:
    """A rule as one sentence."""
    return _words(rule, formats, known, 0)


def deed_words(event: str, formats: Formats) -> str:
    """What somebody did; an event of one's own stays in quotes."""
    return formats.text(DEEDS[event]) if event in DEEDS else formats.text(N_("had “%(name)s”"), name=event)


def _words(rule: Any, formats: Formats, known: Known, depth: int) -> str:
    if not isinstance(rule, Mapping):
        return str(rule)
    for key, word in (("all", N_("and")), ("any", N_("or"))):
        if isinstance(rule.get(key), Sequence):
            return _joined([_words(each, formats, known, depth + 1) for each in rule[key]], word, formats, depth)
    if "not" in rule:
        return _negated(rule["not"], formats, known, depth)
    for key, say in _FORMS.items():
        if key in rule:
            return say(rule, formats, known)
    return ", ".join(f"{key}: {value}" for key, value in rule.items())


def _joined(parts: Sequence[str], word: str, formats: Formats, depth: int) -> str:
    if not parts:
        return formats.text(N_("everybody"))
    text = f" {formats.text(word)} ".join(parts)
    return f"({text})" if depth and len(parts) > 1 else text


def _negated(rule: Any, formats: Formats, known: Known, depth: int) -> str:
    if isinstance(rule, Mapping):
        for key, (_, _, words) in _NEGATIVE.items():
            if key in rule:
                return formats.text(words, _parts(rule, formats, known))
        if rule.get("all") == []:
            return formats.text(N_("nobody"))
        if "event" in rule and not rule.get("count"):
            return _event({**rule, "count": {"eq": 0}}, formats, known)
    return formats.text(N_("not: %(rule)s"), rule=_words(rule, formats, known, depth + 1))


def _event(rule: Mapping[str, Any], formats: Formats, known: Known) -> str:
    deed, counts = deed_words(str(rule["event"]), formats), rule.get("count")
    counts = {"eq": counts} if isinstance(counts, int) else counts if isinstance(counts, Mapping) else {}
    if dict(counts) in ({"eq": 0}, {"lte": 0}, {"lt": 1}):
        words = formats.text(LAST["missing"], deed=deed)
    elif dict(counts) in ({}, {"gte": 1}, {"gt": 0}):
        words = deed
    else:
        said = [formats.plural(*COUNTS[op], number) for op, number in counts.items() if op in COUNTS]
        words = formats.text(N_("%(deed)s %(counts)s"), deed=deed, counts=f" {formats.text(N_('and'))} ".join(said))
    if rule.get("within"):
        span = duration_words(rule["within"], formats)
        words = formats.text(N_("%(what)s in the last %(span)s"), what=words, span=span)
    where = rule.get("where")
    if where:
        asked = [where] if isinstance(where, Mapping) else where
        condition = _joined([_words(each, formats, known, 1) for each in asked], N_("and"), formats, 0)
        words = formats.text(N_("%(what)s (where %(condition)s)"), what=words, condition=condition)
    return words


def _last(rule: Mapping[str, Any], formats: Formats, known: Known) -> str:
    op, deed = str(rule.get("op")), deed_words(str(rule["last_event"]), formats)
    value = value_words(rule.get("value", ""), formats, op) if op not in ("exists", "missing") else ""
    return formats.text(LAST.get(op, "%(deed)s"), deed=deed, value=value)


def _consent(rule: Mapping[str, Any], formats: Formats, known: Known) -> str:
    general, by_channel = CONSENT.get(str(rule.get("is", "granted")), CONSENT["granted"])
    return formats.text(by_channel if rule.get("channel") else general, _parts(rule, formats, known))


def _belongs(rule: Mapping[str, Any], formats: Formats, known: Known) -> str:
    key = next(each for each in _NEGATIVE if each in rule)
    return formats.text(_NEGATIVE[key][1], _parts(rule, formats, known))


def _parts(rule: Mapping[str, Any], formats: Formats, known: Known) -> dict[str, str]:
    """What the sentences about belonging are filled with."""
    channel = rule.get("reachable", rule.get("channel", ""))
    share, near = rule.get("bucket", {}), rule.get("near", {})
    share, near = (each if isinstance(each, Mapping) else {} for each in (share, near))
    named = known.value("segment", rule.get("segment"))
    return {
        "segment": f"“{named}”" if named else str(rule.get("segment")),
        "purpose": known.value("consent", rule.get("consent")) or str(rule.get("consent")),
        "channel": known.value("channel", channel) or str(channel),
        "start": _number(share.get("from"), formats), "end": _number(share.get("to"), formats),
        "salt": str(share.get("salt")), "km": _number(near.get("km"), formats),
        "lat": _number(near.get("lat"), formats), "lon": _number(near.get("lon"), formats),
    }  # fmt: skip


#: Leading key → (what is asked, said of who is, said of who is not).
_NEGATIVE = {
    "segment": ("segment", N_("in segment %(segment)s"), N_("not in segment %(segment)s")),
    "reachable": ("channel", N_("reachable on %(channel)s"), N_("not reachable on %(channel)s")),
    "near": ("place", N_("within %(km)s km of %(lat)s, %(lon)s"), N_("not within %(km)s km of %(lat)s, %(lon)s")),
    "bucket": (
        "share", N_("in the random share “%(salt)s” from %(start)s %% to %(end)s %%"),
        N_("not in the random share “%(salt)s” from %(start)s %% to %(end)s %%"),
    ),
}  # fmt: skip


def _field(rule: Mapping[str, Any], formats: Formats, known: Known) -> str:
    name, op, value = str(rule["field"]), str(rule.get("op", "eq")), rule.get("value")
    words = known.fields.get(name) or field_words(name, formats)
    if op in ("exists", "missing") and value is False:
        op = {"exists": "missing", "missing": "exists"}[op]
    if isinstance(value, bool) and op in ("eq", "ne"):
        yes = value if op == "eq" else not value
        if name not in FIELDS:
            answer = formats.text(N_("yes") if yes else N_("no"))
            return formats.text(N_("%(field)s: %(value)s"), field=words, value=answer)
        return words if yes else formats.text(N_("not: %(rule)s"), rule=words)
    table = MANY if name in PLURAL and op in MANY else SENTENCES
    said = value_words(value, formats, op, name, known) if op not in ("exists", "missing") else ""
    return formats.text(table.get(op, "%(field)s " + op.replace("%", "%%") + " %(value)s"), field=words, value=said)


_FORMS = {
    "field": _field, "event": _event, "last_event": _last, "consent": _consent, "segment": _belongs,
    "reachable": _belongs, "near": _belongs, "bucket": _belongs,
}  # fmt: skip


def value_words(value: Any, formats: Formats, operator: str = "eq", of: str = "", known: Known = NOTHING) -> str:
    """A value as it is read. `of`: the field, which may hold money or names."""
    if operator in ("within_last", "older_than"):
        return duration_words(value, formats)
    if operator == "day_of_year":
        return _day(value, formats)
    if isinstance(value, Sequence) and not isinstance(value, str):
        parts = [value_words(each, formats, of=of, known=known) for each in value]
        if operator == "between" and len(parts) == 2:
            return formats.text(N_("%(first)s and %(second)s"), first=parts[0], second=parts[1])
        return formats.text(N_(", ")).join(parts)
    if isinstance(value, bool):
        return formats.text(N_("yes") if value else N_("no"))
    if isinstance(value, int | float):
        currency = of[-3:] if MONEY.fullmatch(of) else ""
        return formats.money(value, currency) if currency and isinstance(value, int) else _number(value, formats)
    named = known.value(of, value)
    if named:
        return named
    if isinstance(value, str) and (operator in ("before", "after") or of.endswith(("_at", ".at", "_since"))):
        return time_words(value, formats)
    return f"“{value}”" if isinstance(value, str) else str(value)


def _number(value: Any, formats: Formats) -> str:
    return formats.number(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def time_words(text: str, formats: Formats) -> str:
    """A day or a moment of a rule; anything else as it stands."""
    try:
        if len(text) == 10:
            return formats.date(datetime.combine(date.fromisoformat(text), time(12), formats.zone))
        return formats.moment(parse_instant(text))
    except ValueError:
        return f"“{text}”"


def _day(value: Any, formats: Formats) -> str:
    if value == "today":
        return formats.text(N_("today"))
    if isinstance(value, Mapping):
        first, last = (_day(str(value.get(key, "")), formats) for key in ("from", "to"))
        return formats.text(N_("a day from %(first)s to %(last)s"), first=first, last=last)
    try:
        return formats.date(datetime.combine(date.fromisoformat(f"{formats.now.year}-{value}"), time(12), formats.zone))
    except ValueError:
        return str(value)
