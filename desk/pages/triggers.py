"""What starts a journey, in words. Pure: names of segments and journeys are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from desk.i18n import N_, Formats
from desk.pages.rules import cut, duration_words, event_words, field_words

Trigger = Mapping[str, Any]
#: Id → what it is called.
Names = Mapping[str, str]
#: Receipt of a `message` trigger → words.
RECEIPTS = {
    "opened": N_("When somebody opens a message"), "clicked": N_("When somebody follows a link in a message"),
    "replied": N_("When somebody answers a message"), "bounced": N_("When a message comes back"),
    "failed": N_("When a message cannot be delivered"),
}  # fmt: skip
DAYS = {
    "MO": N_("Monday"), "TU": N_("Tuesday"), "WE": N_("Wednesday"), "TH": N_("Thursday"), "FR": N_("Friday"),
    "SA": N_("Saturday"), "SU": N_("Sunday"),
}  # fmt: skip


def trigger_words(trigger: Trigger, formats: Formats, names: Names = MappingProxyType({})) -> str:
    """What starts a journey. `names`: of the segment or the journey that it names."""
    kind = str(trigger.get("type") or "")
    shape = _SHAPES.get(kind)
    return shape(trigger, formats, names) if shape else kind


def recurrence_words(rrule: Any, formats: Formats) -> str:
    """How often something comes; an unusual rule stays as it is written."""
    _, text = formats.text, str(rrule or "")
    parts = dict(part.partition("=")[::2] for part in text.upper().removeprefix("RRULE:").split(";"))
    frequency, named = parts.get("FREQ"), parts.keys() - {"FREQ", "BYHOUR", "BYMINUTE", "WKST"}
    days, of_month = parts.get("BYDAY", "").split(","), parts.get("BYMONTHDAY", "")
    if frequency == "DAILY" and not named:
        return _("Every day")
    if frequency == "WEEKLY" and named == {"BYDAY"} and set(days) <= DAYS.keys():
        return _("Every %(days)s", days=", ".join(_(DAYS[each]) for each in days))
    if frequency == "MONTHLY" and named == {"BYMONTHDAY"} and of_month.isdigit():
        return _("Every month on day %(day)s", day=of_month)
    return _("By the rule %(rule)s", rule=cut(text, 60))


def _event(trigger: Trigger, formats: Formats, names: Names) -> str:
    return formats.text(N_("When %(event)s"), event=event_words(str(trigger.get("event", "")), formats))


def _message_received(trigger: Trigger, formats: Formats, names: Names) -> str:
    _, keyword = formats.text, trigger.get("keyword")
    if trigger.get("first_contact"):
        return _("When somebody writes for the first time")
    if keyword:
        words = ", ".join(keyword) if isinstance(keyword, list | tuple) else str(keyword)
        return _("When somebody writes “%(keyword)s”", keyword=words)
    return _("When %(event)s", event=_("a message arrives"))


def _order(trigger: Trigger, formats: Formats, names: Names) -> str:
    return formats.text(N_("When %(event)s"), event=event_words(f"order.{trigger.get('status')}", formats))


def _changed(trigger: Trigger, formats: Formats, names: Names) -> str:
    return formats.text(N_("When %(field)s changes"), field=field_words(str(trigger.get("field", "")), formats))


def _entered(trigger: Trigger, formats: Formats, names: Names) -> str:
    return formats.text(N_("When somebody enters “%(name)s”"), name=_named(trigger, "segment_id", names))


def _left(trigger: Trigger, formats: Formats, names: Names) -> str:
    return formats.text(N_("When somebody leaves “%(name)s”"), name=_named(trigger, "segment_id", names))


def _date(trigger: Trigger, formats: Formats, names: Names) -> str:
    _, offset = formats.text, str(trigger.get("offset") or "")
    field = field_words(str(trigger.get("field", "")), formats)
    if any(letter in "123456789" for letter in offset):
        words = N_("%(span)s before: %(field)s") if offset.startswith("-") else N_("%(span)s after: %(field)s")
        when = _(words, span=duration_words(offset.lstrip("-+"), formats), field=field)
    else:
        when = _("On the day: %(field)s", field=field)
    when = _("%(when)s, every year", when=when) if trigger.get("yearly") else when
    return _("%(when)s at %(time)s", when=when, time=trigger["at"]) if trigger.get("at") else when


def _schedule(trigger: Trigger, formats: Formats, names: Names) -> str:
    _, when = formats.text, recurrence_words(trigger.get("rrule"), formats)
    if "BYHOUR" not in str(trigger.get("rrule")).upper():
        when = _("%(when)s at %(time)s", when=when, time=trigger.get("at") or "09:00")
    return _("%(when)s, everybody in “%(name)s”", when=when, name=_named(trigger, "segment_id", names))


def _receipt(trigger: Trigger, formats: Formats, names: Names) -> str:
    _ = formats.text
    words = _(RECEIPTS.get(str(trigger.get("what")), N_("When something happens to a message")))
    if trigger.get("journey_id"):
        return _("%(what)s, from “%(name)s”", what=words, name=_named(trigger, "journey_id", names))
    return words


def _api(trigger: Trigger, formats: Formats, names: Names) -> str:
    return formats.text(N_("When a program or a colleague starts it"))


def _named(trigger: Trigger, field: str, names: Names) -> str:
    return names.get(str(trigger.get(field)), str(trigger.get(field) or ""))


_SHAPES: Mapping[str, Callable[[Trigger, Formats, Names], str]] = {
    "event": _event, "message_received": _message_received, "order": _order, "changed": _changed,
    "segment_entered": _entered, "segment_left": _left, "date": _date, "schedule": _schedule, "message": _receipt,
    "api": _api,
}  # fmt: skip
