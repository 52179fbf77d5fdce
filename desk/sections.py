"""The parts of an area of the desk, as its menu offers them: what each is called, where it is, who may open it.

A new page of the settings or about all people is one line here; a test compares the tables with the routes.
"""

from __future__ import annotations

from dataclasses import dataclass

from desk.auth import Principal
from desk.i18n import N_


@dataclass(frozen=True)
class Section:
    """One page of an area. `roles`: who may open it, as its route says; `whole`: nobody who sees some channels only."""

    path: str
    #: An English msgid.
    label: str
    roles: tuple[str, ...] = ("viewer",)
    whole: bool = False


@dataclass(frozen=True)
class Entry:
    """A section in a menu that somebody reads."""

    path: str
    label: str
    current: bool
    #: It belongs to another area: the menu stays behind.
    leads_out: bool


#: Heading → what stands below it.
SETTINGS: tuple[tuple[str, tuple[Section, ...]], ...] = (
    (N_("Connections"), (
        Section("/settings/channels", N_("Channels")),
        Section("/settings/tracking", N_("Website tracking"), ("marketer",)),
        Section("/settings/sending", N_("Rules of sending")),
        Section("/settings/brand", N_("Look of letters")),
        Section("/settings/tests", N_("Test sends"), ("admin",), whole=True),
        Section("/settings/links", N_("Links and results")),
    )),
    (N_("Inbox"), (
        Section("/settings/answering", N_("Answering")),
        Section("/settings/canned", N_("Canned replies")),
        Section("/settings/macros", N_("Macros")),
        Section("/settings/automation", N_("Automation")),
        Section("/settings/replies", N_("Automatic replies")),
        Section("/settings/teams", N_("Teams")),
        Section("/settings/presence", N_("Presence")),
        Section("/settings/hours", N_("Business hours")),
        Section("/settings/sla", N_("SLA")),
        Section("/settings/ratings", N_("Ratings")),
        Section("/settings/today", N_("Today")),
    )),
    (N_("Customers"), (
        Section("/settings/stages", N_("Stages")),
        Section("/settings/roles", N_("Roles and relations")),
        Section("/settings/fields", N_("Fields")),
        Section("/profiles/tags", N_("Tags")),
        Section("/settings/score", N_("Score")),
        Section("/settings/tiers", N_("Tiers")),
        Section("/settings/who-is-who", N_("Who is who")),
    )),
    (N_("Consent and privacy"), (
        Section("/settings/consent", N_("Consent groups")),
        Section("/settings/privacy", N_("Privacy"), ("admin",), whole=True),
        Section("/settings/retention", N_("Retention"), ("admin",), whole=True),
    )),
    (N_("Team"), (
        Section("/settings/people", N_("People"), ("admin",), whole=True),
        Section("/settings/audit", N_("Audit"), ("admin",), whole=True),
    )),
    (N_("Programs"), (
        Section("/api/docs", N_("API")),
        Section("/settings/webhooks", N_("Webhooks"), ("admin",)),
        Section("/settings/bots", N_("Bots"), ("admin",), whole=True),
        Section("/settings/calls", N_("Calls of journeys"), ("admin",), whole=True),
    )),
)  # fmt: skip
CONTENT: tuple[Section, ...] = (
    Section("/templates", N_("Templates")), Section("/snippets", N_("Snippets")), Section("/offers", N_("Offers")),
)  # fmt: skip
PROFILES: tuple[Section, ...] = (
    Section("/profiles", N_("Profiles")),
    Section("/segments", N_("Segments")),
    Section("/profiles/board", N_("Board")),
    Section("/profiles/duplicates", N_("Duplicates")),
    Section("/profiles/tags", N_("Tags")),
    Section("/profiles/imports", N_("Import"), ("marketer",), whole=True),
    Section("/profiles/exports", N_("Export"), ("agent", "marketer"), whole=True),
)


def settings_menu(principal: Principal, path: str) -> list[tuple[str, list[Entry]]]:
    """Heading → entries of the settings, as far as this person may open them. Pure."""
    groups = ((heading, _entries(sections, principal, path)) for heading, sections in SETTINGS)
    return [(heading, entries) for heading, entries in groups if entries]


def profile_sections(principal: Principal, path: str, *, agents_export: bool) -> list[Entry]:
    """The pages about all people. Pure; `agents_export`: whether the deployment lets agents export."""
    hidden = () if agents_export or principal.may("marketer") else ("/profiles/exports",)
    return _entries([each for each in PROFILES if each.path not in hidden], principal, path)


def content_sections(principal: Principal, path: str) -> list[Entry]:
    """What messages are made of. Pure."""
    return _entries(CONTENT, principal, path)


def _entries(sections: tuple[Section, ...] | list[Section], principal: Principal, path: str) -> list[Entry]:
    area = "/settings/" if path.startswith("/settings/") else ""
    return [
        Entry(each.path, each.label, _stands_at(each.path, path), not each.path.startswith(area))
        for each in sections
        if principal.may(*each.roles) and not (each.whole and principal.channels is not None)
    ]


def _stands_at(section: str, path: str) -> bool:
    """Whether a path is this section or a page of it; `/profiles` is the list alone."""
    return path == section or (section != "/profiles" and path.startswith(section + "/"))
