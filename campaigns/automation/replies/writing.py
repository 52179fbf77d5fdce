"""Writes what is said by itself: the wording for a person, with its blanks filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from babel.core import Locale, UnknownLocaleError
from babel.dates import format_date, format_datetime, format_time

from base.errors import FieldError, WrongInput
from campaigns.automation.replies.choosing import text_for
from campaigns.automation.replies.models import ChannelReplies
from campaigns.namespaces import profile_view
from campaigns.render import Renderer, RenderFailed, RenderItem

NAMESPACES = ("profile", "hours")
_NAMED = re.compile(r"\{\{-?\s*([A-Za-z_]\w*)")
#: What is left before a sign where a blank stays empty: “Hello ,”.
_GAP = re.compile(r"[ \t]+(?=[,.!?;:，。！？；：])")


class ReplyWords:
    """Checks and fills in texts."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    async def check(self, replies: ChannelReplies) -> None:
        """Raise `WrongInput` for texts that cannot be read, or name what is not there."""
        faults = []
        for path, text in replies.all_texts:
            strange = [each for each in _NAMED.findall(text) if each not in NAMESPACES] if "{%" not in text else []
            if strange:
                faults.append(FieldError(path, f"knows profile and hours, not {strange[0]}"))
            elif "{" in text:
                try:
                    await self._renderer.check({"text": text})
                except WrongInput as wrong:
                    faults += [FieldError(path, each.message) for each in wrong.errors]
        if faults:
            raise WrongInput("The text has faults.", faults)

    async def write(
        self, texts: Sequence[Mapping[str, str]], person: Mapping[str, Any], said: str, opens: datetime | None,
        zone: ZoneInfo, now: datetime,
    ) -> str | None:  # fmt: skip
        """One text of all these; None where one cannot be written. `opens`: when somebody is there again."""
        items = []
        for each in texts:
            language, text = text_for(each, person.get("locale"), said)
            hours = {"opens": opens_in_words(opens, now, zone, language)}
            about = {"profile": profile_view(person), "hours": hours}
            items.append((text, RenderItem({"text": text}, about, language, zone.key)))
        blank = [item for text, item in items if "{" in text]
        made = iter(await self._renderer.render_many(blank) if blank else [])
        parts = []
        for text, _ in items:
            filled = next(made) if "{" in text else None
            if isinstance(filled, RenderFailed):
                return None
            parts.append(_GAP.sub("", filled.text) if filled is not None else text)
        return "\n\n".join(part for part in parts if part.strip()) or None


def opens_in_words(at: datetime | None, now: datetime, zone: ZoneInfo, language: str) -> str:
    """“15:00” today, “Monday 09:00” within six days, else with its date; empty where it never opens. Pure."""
    if at is None:
        return ""
    locale, local = _locale(language), at.astimezone(zone)
    time = format_time(local.timetz(), "HH:mm", locale=locale)
    if local.date() == now.astimezone(zone).date():
        return str(time)
    if at - now < timedelta(days=6):
        return f"{format_datetime(local, 'EEEE', locale=locale)} {time}"
    return f"{format_date(local.date(), 'long', locale=locale)} {time}"


def _locale(language: str) -> Locale:
    try:
        return Locale.parse(language.replace("-", "_"))
    except (UnknownLocaleError, ValueError):
        return Locale("en")
