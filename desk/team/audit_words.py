"""Rows of the audit in words, and as a table. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from base.clock import iso
from base.mongo import Document
from desk.i18n import N_
from profiles.sheets.cells import guarded

#: Part of the house → what it is called.
AREAS: Mapping[str, str] = {
    "account": N_("Account"), "audit": N_("Audit"), "blocked-values": N_("Who is who"),
    "brand": N_("Look of letters"), "broadcasts": N_("Broadcasts"), "channels": N_("Channels"),
    "consent-groups": N_("Consent groups"), "conversations": N_("Conversations"), "deliveries": N_("Webhooks"),
    "enrolments": N_("Journeys"), "events": N_("Events"), "exports": N_("Export"),
    "fields": N_("Fields"), "files": N_("Files"),
    "imports": N_("Import"), "inbox": N_("Inbox"), "journeys": N_("Journeys"), "me": N_("Account"),
    "messages": N_("Messages"), "offers": N_("Offers"), "orders": N_("Orders"), "preferences": N_("Account"),
    "profiles": N_("Profiles"), "retention": N_("Retention"), "score": N_("Score"), "score-rules": N_("Score"),
    "sending-policies": N_("Rules of sending"), "tracking": N_("Links and results"),
    "webhook-secret": N_("Calls of journeys"), "segments": N_("Segments"), "sends": N_("Messages sent"),
    "settings/audit": N_("Audit"), "settings/brand": N_("Look of letters"), "settings/calls": N_("Calls of journeys"),
    "settings/channels": N_("Channels"), "settings/consent": N_("Consent groups"), "settings/fields": N_("Fields"),
    "settings/canned": N_("Canned replies"), "settings/macros": N_("Macros"),
    "settings/automation": N_("Automation"),
    "settings/replies": N_("Automatic replies"), "channel-replies": N_("Automatic replies"),
    "settings/bots": N_("Bots"),
    "settings/hours": N_("Business hours"), "settings/sla": N_("SLA"),
    "settings/ratings": N_("Ratings"), "rating-rules": N_("Ratings"), "nps-rules": N_("Ratings"),
    "report-rules": N_("Reports"), "settings/today": N_("Today"), "settings/links": N_("Links and results"),
    "settings/people": N_("People"), "settings/privacy": N_("Privacy"),
    "settings/presence": N_("Presence"), "settings/teams": N_("Teams"),
    "settings/retention": N_("Retention"), "settings/roles": N_("Roles and relations"),
    "settings/score": N_("Score"), "settings/sending": N_("Rules of sending"), "settings/stages": N_("Stages"),
    "settings/tests": N_("Test sends"), "settings/tiers": N_("Tiers"), "settings/tracking": N_("Website tracking"),
    "settings/who-is-who": N_("Who is who"), "sign-in": N_("Sign in"), "sign-out": N_("Sign out"),
    "snippets": N_("Snippets"), "stages": N_("Stages"), "tags": N_("Tags"), "tasks": N_("Tasks"),
    "team-rules": N_("People"), "templates": N_("Templates"), "terms": N_("Stages"), "tiers": N_("Tiers"),
    "today": N_("Today"), "tokens": N_("API"), "users": N_("People"), "welcome": N_("Sign in"),
    "agents": N_("People"), "automation-rules": N_("Rules"), "bots": N_("Bots"),
    "business-hours": N_("Business hours"), "canned-replies": N_("Canned replies"), "drafts": N_("Drafts"),
    "macros": N_("Macros"), "notifications": N_("Notifications"), "presence": N_("Presence"),
    "presence-rules": N_("Presence"),
    "ratings": N_("Ratings"), "reports": N_("Reports"), "search": N_("Search"), "settings/webhooks": N_("Webhooks"),
    "sla-policies": N_("SLA"), "stream-rules": N_("Today"),
    "teams": N_("Teams"), "views": N_("Views"), "webhook-endpoints": N_("Webhooks"),
}  # fmt: skip
KIND_WORDS: Mapping[str, str] = {"change": N_("Made a change"), "look": N_("Looked at"), "sign_in": N_("Came in")}
REFUSED_WORDS: Mapping[str, str] = {
    "change": N_("Was refused a change"), "look": N_("Was refused a look"), "sign_in": N_("Did not come in"),
}  # fmt: skip
#: Prefix of an id → where it is looked at, and what it is called.
PLACES: Mapping[str, tuple[str, str]] = {
    "prf": ("/profiles/", N_("Profile")), "cnv": ("/inbox/", N_("Conversation")), "ord": ("/orders/", N_("Order")),
    "usr": ("/settings/people/", N_("Colleague")), "chn": ("/settings/channels/", N_("Channel")),
    "brd": ("/broadcasts/", N_("Broadcast")), "jrn": ("/journeys/", N_("Journey")),
    "seg": ("/segments/", N_("Segment")), "tpl": ("/templates/", N_("Template")),
    "enr": ("/journeys/runs/", N_("Run")), "snp": ("/snippets/", N_("Snippet")), "ofr": ("/offers/", N_("Offer")),
    "hrs": ("/settings/hours/", N_("Business hours")), "slp": ("/settings/sla/", N_("SLA")),
    "tea": ("/settings/teams/", N_("Team")), "whk": ("/settings/webhooks/", N_("Webhooks")),
    "bot": ("/settings/bots/", N_("Bot")), "cnr": ("", N_("Canned reply")), "mac": ("", N_("Macro")),
    "arl": ("", N_("Rule")), "viw": ("", N_("View")), "tsk": ("", N_("Task")), "msg": ("", N_("Message")),
    "fil": ("", N_("File")), "exp": ("", N_("Export")), "idn": ("", N_("Address")), "nte": ("", N_("Note")),
}  # fmt: skip
COLUMNS = ("at", "kind", "what", "by", "name", "by_kind", "session", "address", "outcome", "about", "changed")


def sentence_of(row: Document) -> str:
    """An English msgid: what kind of act it was, and whether it was let through."""
    return (REFUSED_WORDS if row["outcome"] >= 400 else KIND_WORDS)[row["kind"]]


def area_words(area: str) -> str:
    """An English msgid for a part of the house; its path where it has no name."""
    return AREAS.get(area) or AREAS.get(area.partition("/")[0]) or area


def as_csv(rows: Sequence[Document], names: Mapping[str, str]) -> str:
    """A table with a head. Texts that a spreadsheet would take for a formula are guarded."""
    held = io.StringIO()
    writer = csv.writer(held)
    writer.writerow(COLUMNS)
    for row in rows:
        by = row["by"] or ""
        texts = {**row, "at": iso(row["at"]), "by": by, "name": names.get(by, ""), "session": row["session"] or ""}
        texts |= {name: " ".join(row[name]) for name in ("about", "changed")}
        writer.writerow([guarded(str(texts[name])) for name in COLUMNS])
    return held.getvalue()
