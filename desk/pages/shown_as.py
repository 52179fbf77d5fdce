"""As whom a preview is shown: somebody found by words, among those whom this reader may see; and in which language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from base.errors import WrongInput
from campaigns.contents import Rendered, fallen_back
from desk.api.scope import reading, seen_ids
from desk.i18n import LANGUAGES, N_, Formats
from desk.keys import runtime_of
from profiles.store.profiles import ProfileFilter

#: People who are offered.
FOUND_MAX = 10
PARTS: Mapping[str, str] = {
    "subject": N_("Subject"), "body": N_("Text"), "blocks": N_("Text"), "text": N_("Plain part"),
    "buttons": N_("Buttons"), "whatsapp": N_("Approved template"),
}  # fmt: skip


@dataclass(frozen=True)
class ShownAs:
    """The choice. `people`: (id, name) to choose among; an empty `id` is nobody in particular."""

    asked: str = ""
    people: tuple[tuple[str, str], ...] = ()
    id: str = ""

    @property
    def name(self) -> str:
        """Of the person chosen."""
        return dict(self.people).get(self.id, "")


@dataclass(frozen=True)
class SpokenWords:
    """In which language it is, in words; and what of it is taken from elsewhere, a line each."""

    line: str = ""
    fallen: tuple[str, ...] = ()


async def shown_as(
    request: web.Request, words: str, chosen: str | None, sample: Sequence[tuple[str, str]] = ()
) -> ShownAs:  # fmt: skip
    """Whom the words find; without words, the sample. `chosen` None: the first of them; "": nobody."""
    asked = " ".join(words.split())[:200]
    people = await _found(request, asked) if asked else tuple(sample)
    known = dict(people)
    if chosen in known:
        return ShownAs(asked, people, chosen or "")
    first = people[0][0] if people else ""
    return ShownAs(asked, people, first if asked or chosen is None else "")


async def _found(request: web.Request, asked: str) -> tuple[tuple[str, str], ...]:
    runtime = runtime_of(request)
    try:
        found = (await runtime.profiles.page(ProfileFilter(q=asked), limit=FOUND_MAX)).data
    except WrongInput:
        return ()
    seen = await seen_ids(reading(request), {each.id for each in found})
    return tuple((each.id, each.display_name) for each in found if each.id in seen)


async def spoken_words(
    request: web.Request, content: Mapping[str, Any], rendered: Rendered, profile_id: str, asked: str, formats: Formats
) -> SpokenWords:
    """What is said of the language. `asked`: the language that was chosen in place of the person's."""
    offered = content.get("locales") or {}
    wanted = asked
    if not wanted and profile_id:
        known = await runtime_of(request).profiles.many([profile_id])
        wanted = (known[profile_id].locale or "") if profile_id in known else ""
    if not offered or not (profile_id or asked):
        return SpokenWords()
    return said_of(content, wanted, rendered.locale, formats)


def said_of(content: Mapping[str, Any], wanted: str, used: str | None, formats: Formats) -> SpokenWords:
    """The same from what is known. Pure."""
    if used is None:
        text = N_("In the main wording: nothing is written in %(language)s.") if wanted else (
            N_("In the main wording: no language of theirs is known."))  # fmt: skip
        return SpokenWords(formats.text(text, language=language_name(wanted)))
    line = formats.text(N_("In %(language)s"), language=language_name(used))
    if wanted and wanted.replace("-", "_").lower() != used.replace("-", "_").lower():
        text = N_("In %(language)s, the closest to %(wanted)s")
        line = formats.text(text, language=language_name(used), wanted=language_name(wanted))
    text = N_("From the main wording: %(part)s")
    missing = dict.fromkeys(formats.text(PARTS[part]) for part in fallen_back(content, used))
    return SpokenWords(line, tuple(formats.text(text, part=part) for part in missing))


def language_name(locale: str) -> str:
    """As a person calls it; others keep their code."""
    return LANGUAGES.get(locale.replace("-", "_"), locale)
