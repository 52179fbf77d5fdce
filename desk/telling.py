"""Tells colleagues outside of the desk: the words in their language, and letters through a mail channel of ours.

What leaves the house is read on other people's screens: no address or number of a customer stands in it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from base.clock import Clock
from base.mongo import Document
from campaigns.telling.carrying import Outcome, Said
from campaigns.telling.models import OF_PROMISES, Reader
from campaigns.wallclock import zone_or
from desk.i18n import N_, NN_, Formats, chosen_language, translations
from desk.notice_words import SOMEBODY, place_of, sentence_of
from desk.pages.inbox_address import Asked
from desk.pages.notice_rows import names_for
from desk.team.letters import SILENT, Letter, Letters
from desk.team.masking import MASKS, covering
from inbox.view_filter import ViewFilter
from profiles.models import Profile

#: Said of several things at once.
SEVERAL = NN_("%(num)s thing concerns you", "%(num)s things concern you")
#: The same where all say what becomes of promises, and where more of them follow.
LATE = NN_("%(num)s conversation is late", "%(num)s conversations are late")
SOON = NN_("%(num)s conversation is due soon", "%(num)s conversations are due soon")
BOTH = NN_("%(num)s conversation is late or due soon", "%(num)s conversations are late or due soon")
MORE_LATE = NN_("%(num)s more conversation is late", "%(num)s more conversations are late")
MORE_SOON = NN_("%(num)s more conversation is due soon", "%(num)s more conversations are due soon")
MORE_BOTH = NN_("%(num)s more conversation is late or due soon", "%(num)s more conversations are late or due soon")
#: Kinds → what is said of several of them: at first, and of more.
_CROWDS: Mapping[frozenset[str], tuple[tuple[str, str], tuple[str, str]]] = {
    frozenset({"sla_breached"}): (LATE, MORE_LATE), frozenset({"sla_soon"}): (SOON, MORE_SOON),
    OF_PROMISES: (BOTH, MORE_BOTH),
}  # fmt: skip
FOOT = N_("You are told because you chose so: %(link)s")
TITLE = "Rapport"
HERE = "/notifications"
#: Everything that can be covered: whoever reads a lock screen may see less than the one whose it is.
_COVERED = covering(frozenset(MASKS))


class NoticeWording:
    """Says notifications. `runtime`: everything that names are read from."""

    def __init__(self, runtime: Any, clock: Clock, *, time_zone: str) -> None:
        self._runtime = runtime
        self._clock = clock
        self._time_zone = time_zone

    async def said(self, person: Reader, rows: Sequence[Document], *, more: bool = False) -> Said:
        """As `campaigns.telling.carrying.Wording`."""
        zone, _ = zone_or(person.time_zone, self._time_zone)
        formats = Formats(chosen_language(person.language, ""), zone, self._clock())
        names = await names_for(self._runtime, rows, formats)
        profiles: Mapping[str, Profile] = await self._runtime.profiles.many(list(names.people))
        names = replace(
            names, people={key: safe_name(profiles[key]) or formats.text(SOMEBODY) for key in names.people},
            tasks={key: _COVERED(text) for key, text in names.tasks.items()},
        )  # fmt: skip
        lines = tuple(sentence_of(row, names, formats) for row in rows)
        about, crowd = {row["about"] for row in rows}, _CROWDS.get(frozenset(row["kind"] for row in rows))
        if crowd is not None and len(about) > 1:
            talks = await self._runtime.conversations.rows(about)
            owners = {talk.get("assignee_id") for talk in talks.values()}
            return Said(formats.plural(*crowd[more], len(about)), lines, list_of(person.id, rows, owners), HERE)
        path = place_of(rows[0], names) if len(about) == 1 else HERE
        title = lines[0] if len(lines) == 1 else formats.plural(*SEVERAL, len(lines))
        return Said(title, lines, path, rows[0]["about"])


def list_of(user_id: str, rows: Iterable[Document], owners: Collection[str | None]) -> str:
    """Where the conversations of these promises stand, the most urgent first. `owners`: who has them. What was due soon
    is late when somebody comes to look, and stands there all the same. Pure."""
    soon = any(row["kind"] == "sla_soon" for row in rows)
    late = ViewFilter(status=("open",), sla=("soon", "breached") if soon else ("breached",))
    if set(owners) <= {None}:
        asked = Asked("unassigned", late, due=True)
    elif set(owners) <= {user_id}:
        asked = Asked("mine", late, due=True)
    elif set(owners) <= {user_id, None}:
        asked = Asked("all", late.model_copy(update={"assignee": ("me", "none")}), due=True)
    else:
        asked = Asked("all", late, due=True)
    return f"/inbox?{asked.query()}"


def safe_name(profile: Profile) -> str:
    """What a customer is called where others may read it: their name, if it is one; else nothing. Pure."""
    name = " ".join((profile.name or "").split())[:80]
    return name if name and "@" not in name and _COVERED(name) == name else ""


class MailCarrier:
    """Sends letters, through the oldest mail channel that can carry one."""

    def __init__(self, letters: Letters, *, base_url: str, house: str) -> None:
        self._letters = letters
        self._base_url = base_url
        self._house = house

    async def carry(self, person: Reader, said: Said, telling: Document) -> Outcome:
        """As `campaigns.telling.carrying.Carrier`."""
        ways = sorted(await self._letters.ways())
        if not ways:
            return Outcome("failed", "no_mail_channel")
        letter = letter_of(person, said, self._base_url, self._house)
        fault = await self._letters.send(letter, ways[0][0], key=telling["_id"])
        if fault is None:
            return Outcome("done")
        return Outcome("again", "timeout" if fault == SILENT else fault[:200])


def letter_of(person: Reader, said: Said, base_url: str, house: str) -> Letter:
    """The mail: a line for each thing, where it leads, and where to choose otherwise. Pure."""
    language = chosen_language(person.language, "")
    foot = translations(language).gettext(FOOT) % {"link": f"{base_url}/account#telling"}
    lines = "\n".join(f"– {line}" if len(said.lines) > 1 else line for line in said.lines)
    return Letter(person.email, f"[{house or TITLE}] {said.title}", f"{lines}\n\n{base_url}{said.path}\n\n{foot}")
