"""What Meta says of the account itself: templates, quality, restrictions, faults. A critical notice pauses the channel.

https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/overview (fields; read 2026-11-22).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from channels.failures import Failure
from channels.providers.meta.graph import read_error
from channels.providers.meta.keys import content_key
from channels.providers.meta.whatsapp.failures import failure_of
from channels.providers.meta.whatsapp.items import Change
from channels.reading import Json, identifier, items, mapping, text
from channels.vocabulary import AccountNotice, AnyEvent, FetchWanted

Severity = Literal["info", "warning", "critical"]


class Said(NamedTuple):
    """A notice in words."""

    severity: Severity
    text: str


def notice(change: Change) -> AccountNotice:
    """One notice for one change of a field in `NOTICES`."""
    said = NOTICES[change.field](change.value)
    return AccountNotice(
        event_id=content_key(change.field, change.at, change.value),
        occurred_at=change.at,
        topic=change.field,
        severity=said.severity,
        text=said.text,
        details=change.value,
        raw=change.value,
    )


def fetch(change: Change) -> Iterator[FetchWanted]:
    """The list of templates is worth reading again when one of them changed."""
    if "template" in change.field:
        key = content_key("fetch", change.at, change.value)
        yield FetchWanted(event_id=key, occurred_at=change.at, what="templates", raw=change.value)


def errors(change: Change) -> Iterator[AnyEvent]:
    """`errors[]` beside the messages: faults of the account that concern no single message."""
    for part in items(change.value.get("errors")):
        error = read_error(part)
        account = failure_of(error) is Failure.ACCOUNT_PROBLEM
        code = f" (code {error.shown_code})" if error.shown_code else ""
        yield AccountNotice(
            event_id=content_key("error", change.at, part),
            occurred_at=change.at,
            topic="error",
            severity="critical" if account else "warning",
            text=f"Meta reports a fault{code}: {error.detail or 'no details given'}",
            details=mapping(part),
            raw=mapping(part) or {"part": part},
        )


def _event(value: Json) -> str:
    return text(value.get("event")) or "UNKNOWN"


def _words(value: object) -> str:
    """`PENDING_DELETION` as people read it."""
    return (identifier(value) or "unknown").replace("_", " ").lower()


def _template_name(value: Json) -> str:
    name, language = identifier(value.get("message_template_name")), text(value.get("message_template_language"))
    return f'Template "{name or "?"}"' + (f" ({language})" if language else "")


def _template_status(value: Json) -> Said:
    event, reason = _event(value), text(value.get("reason"))
    why = "; ".join(words.rstrip(".") for words in (reason if reason != "NONE" else None, *_explained(value)) if words)
    severity: Severity = "warning" if event in _TEMPLATE_LOST else "info"
    return Said(severity, f"{_template_name(value)} is now {_words(event)}" + (f": {why}." if why else "."))


def _explained(value: Json) -> tuple[str | None, str | None]:
    """Meta's longer words about a rejection, a lock or an unlock."""
    rejected, other = mapping(value.get("rejection_info")), mapping(value.get("other_info"))
    found = text(rejected.get("reason")) or text(other.get("title"))
    advice = text(rejected.get("recommendation")) or text(other.get("description"))
    return found, advice


def _template_quality(value: Json) -> Said:
    score = text(value.get("new_quality_score")) or "UNKNOWN"
    severity: Severity = "warning" if score in ("RED", "YELLOW") else "info"
    return Said(severity, f"{_template_name(value)} has quality {_words(score)}.")


def _template_category(value: Json) -> Said:
    return Said("warning", f"{_template_name(value)} changed its category to {_words(value.get('new_category'))}.")


def _number_quality(value: Json) -> Said:
    event, limit = _event(value), text(value.get("current_limit"))
    number = identifier(value.get("display_phone_number")) or "?"
    severity: Severity = "warning" if event in ("FLAGGED", "DOWNGRADE") else "info"
    return Said(severity, f"Number {number}: quality {_words(event)}" + (f", limit {limit}." if limit else "."))


def _number_name(value: Json) -> Said:
    decision, name = text(value.get("decision")) or "UNKNOWN", text(value.get("requested_verified_name")) or "?"
    severity: Severity = "info" if decision == "APPROVED" else "warning"
    return Said(severity, f'The display name "{name}" is {_words(decision)}.')


def _account(value: Json) -> Said:
    event = _event(value)
    restrictions = [mapping(each) for each in items(value.get("restriction_info"))]
    kinds = [identifier(each.get("restriction_type")) or "?" for each in restrictions]
    banned = text(mapping(value.get("ban_info")).get("waba_ban_state"))
    # A lifted ban comes under the same event; and while answers are allowed, the inbox must stay open.
    lost = event in _ACCOUNT_LOST and banned != "REINSTATE"
    critical = lost or "RESTRICTED_CUSTOMER_INITIATED_MESSAGING" in kinds
    severity: Severity = "critical" if critical else "warning" if event in _ACCOUNT_WARNED else "info"
    details = ", ".join(_words(each) for each in [*kinds, *([banned] if banned else [])])
    return Said(severity, f"Business account: {_words(event)}" + (f" ({details})." if details else "."))


def _account_review(value: Json) -> Said:
    decision = text(value.get("decision")) or "UNKNOWN"
    return Said("info" if decision == "APPROVED" else "warning", f"Business account review: {_words(decision)}.")


def _other(value: Json) -> Said:
    event = value.get("event") or value.get("alert_type") or value.get("status")
    return Said("info", f"Meta changed something in the business account: {_words(event)}.")


def _alert(value: Json) -> Said:
    severity: Severity = "info" if value.get("alert_severity") == "INFORMATIONAL" else "warning"
    told = text(value.get("alert_description")) or _words(value.get("alert_type"))
    return Said(severity, f"Meta warns: {told}")


_TEMPLATE_LOST = frozenset({"REJECTED", "PAUSED", "DISABLED", "FLAGGED", "DELETED", "PENDING_DELETION", "ARCHIVED"})
_ACCOUNT_LOST = frozenset({"DISABLED_UPDATE", "ACCOUNT_DELETED", "ACCOUNT_OFFBOARDED", "PARTNER_REMOVED"})
_ACCOUNT_WARNED = frozenset({"ACCOUNT_RESTRICTION", "ACCOUNT_VIOLATION", "PARTNER_APP_UNINSTALLED", "DISABLED_UPDATE"})

#: Field → how to say it.
NOTICES: dict[str, Callable[[Json], Said]] = {
    "message_template_status_update": _template_status,
    "message_template_quality_update": _template_quality,
    "template_category_update": _template_category,
    "message_template_components_update": lambda value: Said("info", f"{_template_name(value)} was changed."),
    "phone_number_quality_update": _number_quality,
    "phone_number_name_update": _number_name,
    "account_update": _account,
    "account_review_update": _account_review,
    "account_alerts": _alert,
    "business_capability_update": _other,
    "business_status_update": _other,
    "business_username_update": _other,
    "payment_configuration_update": _other,
    "security": _other,
}
