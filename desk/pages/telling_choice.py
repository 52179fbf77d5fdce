"""What somebody wants to be told, as a form on the page of their account. Pure, but for reading what they chose."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from campaigns.telling.models import KINDS, MAIL_AFTER_MOST, WAYS, Chosen, TellingChoice
from desk.i18n import N_, Formats
from desk.notice_words import KIND_LABELS, WAY_LABELS
from desk.pages.hours import DAYS
from desk.team.browsers import browser_words

_FAULTS = {
    "mail_after_min": N_("Write minutes, from 0 to 1440."),
    "quiet": N_("Write both times such as 20:00 and 08:00, or none. One day of the week at least is not quiet."),
    "paused_until": N_("Write a day and a time such as 2026-12-01 09:30."),
}
#: When it is quiet besides, by where somebody is.
PRESENCE = {
    "": N_("never because of that"), "away": N_("while I say that I am away"),
    "gone": N_("while I am away or have no window open"),
}  # fmt: skip
HOOK_FAULT = N_("Write a web address such as https://hooks.slack.com/services/…; none inside the house.")


def choice_in(form: Any, formats: Formats) -> tuple[TellingChoice | None, dict[str, str]]:
    """What was chosen, or field → what is wrong with it. Pure."""
    faults: dict[str, str] = {}
    paused: datetime | None = None
    text = str(form.get("paused_until", "")).strip()
    try:
        paused = datetime.fromisoformat(text).replace(tzinfo=formats.zone) if text else None
    except ValueError:
        faults["paused_until"] = _FAULTS["paused_until"]
    given = {
        "kinds": {kind: [way for way in WAYS if way in form.getall(kind, [])] for kind in KINDS},
        "mail_after_min": str(form.get("mail_after_min", "")).strip(),
        "quiet": {
            "from": str(form.get("quiet_from", "")).strip() or None,
            "to": str(form.get("quiet_to", "")).strip() or None, "days": form.getall("quiet_day", []),
            "while": str(form.get("quiet_while", "")) or None,
        },
        "paused_until": paused,
    }  # fmt: skip
    try:
        choice = TellingChoice.model_validate(given)
    except ValidationError as error:
        faults |= {str(each["loc"][0]): _FAULTS.get(str(each["loc"][0]), _FAULTS["quiet"]) for each in error.errors()}
        return None, faults
    return (None, faults) if faults else (choice, {})


def choice_values(
    chosen: Chosen, form: Any | None, browsers: list[Mapping[str, Any]], this: str, formats: Formats
) -> dict[str, Any]:
    """What the form shows: as chosen, or as it was written."""
    choice = chosen.choice
    ticked = {kind: choice.ways(kind) if form is None else tuple(form.getall(kind, [])) for kind in KINDS}
    paused = choice.paused_until
    until = paused.astimezone(formats.zone).strftime("%Y-%m-%dT%H:%M") if paused and paused > formats.now else ""
    texts = {
        "mail_after_min": str(choice.mail_after_min), "quiet_from": choice.quiet.start or "",
        "quiet_to": choice.quiet.end or "", "paused_until": until, "hook_url": "",
        "quiet_while": choice.quiet.presence or "",
    }  # fmt: skip
    days: list[str] = list(choice.quiet.days)
    if form is not None:
        texts |= {name: str(form.get(name, "")) for name in texts}
        days = [str(each) for each in form.getall("quiet_day", [])]
    return {
        "presence": PRESENCE,
        "kinds": [(kind, *KIND_LABELS[kind], ticked[kind]) for kind in KINDS], "ways": WAY_LABELS,
        "texts": texts, "days": DAYS, "quiet_days": days, "hook_host": chosen.hook_host, "after_most": MAIL_AFTER_MOST,
        "browsers": [(each["_id"], browser_words(each["agent"]), each["session_id"] == this) for each in browsers],
    }  # fmt: skip
