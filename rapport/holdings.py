"""Every room of the house and what it keeps of a person: the one list by which somebody is exported and erased.

A new collection goes into one of the two tables below; `tests/rapport/test_holdings.py` walks a filled database and
fails for one that stands in neither.
"""

from __future__ import annotations

from base.clock import now
from base.mongo import Database, Document
from campaigns.store import CouponRoom
from desk.store import AnswerRoom, AnswerTextRoom, DeskStore
from desk.team.store import AuditRoom
from inbox.store import ConversationRoom, ConversationStore, FactRoom, FileStore, MessageRoom, PassedFileRoom
from inbox.store.early import early_of
from orders.store import OrderStore
from profiles.holdings import Holdings, Room, Traces
from profiles.places import Written
from profiles.store.dossiers import DossierRoom, DossierStore
from profiles.store.exports import ExportRoom, ExportStore
from profiles.store.holdings import Held, MergeRoom, PeopleRoom
from profiles.store.imports import CellRoom
from profiles.store.places import Texts
from profiles.store.profiles import ProfileStore
from profiles.store.sheets import SheetStore
from webhooks.mentions import Mentions

#: Collection → why nothing of a customer stands in it.
IMPERSONAL = {
    "agent_states": "which states colleagues can be in",
    "agents": "which colleagues are there, and what they can take",
    "answering": "how long an answer can be taken back, and who answers what is somebody's",
    "approved_templates": "texts of templates as providers approved them, before anybody's name is put in",
    "blobs.chunks": "bytes of files: they go with the rows of `files` that hold them",
    "blobs.files": "heads of those bytes: hash, size, time",
    "blocked_values": "addresses and numbers that were found to stand for nobody in particular",
    "automation_rules": "what follows by itself from what happens, before anybody's name is put in",
    "broadcast_paces": "how many of a broadcast went in a time",
    "brand": "how letters look",
    "broadcasts": "broadcasts as they are written, and their figures",
    "business_hours": "when a team is there",
    "call_secrets": "what calls of journeys are signed with",
    "canned_replies": "answers that are written again and again, before anybody's name is put in",
    "campaign_figures": "what journeys and broadcasts have come to, as numbers",
    "bots": "programs of our own that answer first",
    "channel_replies": "what channels say by themselves, before anybody's name is put in",
    "calendars": "links of colleagues to what is due",
    "channels": "our own accounts at providers",
    "content_uses": "in which steps and broadcasts a template, a snippet or an offer was sent",
    "consent_groups": "what people can agree to",
    "conversation_acts": "what colleagues changed of which conversations; a filter is forgotten at the end",
    "conversation_act_traces": "state, labels and owner of a conversation before such a change, for a month",
    "counters": "numbers given out",
    "digests": "which runs wait together, by their ids",
    "dossiers.chunks": "bytes of exports: they go with the rows of `dossiers`",
    "dossiers.files": "heads of those bytes: size and time",
    "erasures": "while one is under way it names whom to look for, and forgets it with its last write; then the log",
    "exports": "who took out how many people, and of which list; their files go with any erasure",
    "factors": "second factors of colleagues",
    "fields": "which attributes there are",
    "hits": "which links were called within the last hour, by the id of the message; then they go",
    "imports": "which lists were brought, what their columns are, and what became of how many rows",
    "inbox_days": "what the inbox has come to, as numbers by day, channel and colleague",
    "inbox_facts_due": "which conversations are to be counted anew, by their ids",
    "inbox_facts_past": "how far counting those of before has got, and which hours count",
    "intakes": "how far taking many people into a journey has got",
    "journey_counts": "how many passed a step",
    "journey_migrations": "how far taking people along to a new version has got",
    "journey_versions": "journeys as they were published",
    "journey_drafts": "drafts of journeys, for going back",
    "journeys": "journeys as they are written",
    "links": "ways in for colleagues",
    "macros": "several actions at one click, before anybody's name is put in",
    "offers": "what is offered to whom it is sent",
    "polls": "where asking an account for its news has got to",
    "push_keys": "the keys by which push services know this deployment",
    "push_subscriptions": "browsers of colleagues",
    "rating_rules": "when people are asked how satisfied they are",
    "retention": "for how long each kind is kept, and how many rows went",
    "rule_looks": "conversations that timed rules reckon anew, by their ids",
    "rule_timers": "when a timed rule looks at a conversation, by their ids",
    "segment_builds": "how far the search for members has got",
    "segments_removed": "rules of segments taken away within the last day",
    "segment_edition": "a number that counts up with each change of a segment",
    "segment_tallies": "how many members a segment has",
    "segments": "rules by which people are found",
    "sending_policies": "how often and at what hours anybody is written to",
    "sessions": "colleagues who are signed in",
    "split_winners": "which arm of a split has won, and by what numbers",
    "stopped_steps": "steps of journeys at which too much failed",
    "stream_rules": "after how long without contact people are shown, and which orders",
    "sla_policies": "by when customers are to be answered",
    "sla_rounds": "how far reckoning that anew has got",
    "sla_watch": "when a conversation is to be looked at, by its id",
    "snippet_revisions": "every wording a snippet ever had",
    "snippets": "parts of texts before anybody's name is put in",
    "takings": "how many orders a journey or broadcast has brought, and how much money",
    "tag_changes": "tags that are renamed or joined, and how far that has got",
    "tags": "every tag that was ever given",
    "sheets.chunks": "bytes of lists: brought ones go once they are read, those taken out with any erasure",
    "sheets.files": "heads of those bytes: size and time",
    "template_revisions": "every wording a template ever had",
    "template_fetches": "when approved templates were last asked for",
    "team_rules": "what holds for all colleagues",
    "teams": "who answers together, and how conversations are given out",
    "telling_choices": "what colleagues want to be told, and how",
    "telling_past": "up to when colleagues were told of what is due",
    "telling_turns": "which of many promises a colleague is pushed next, by its id",
    "tellings": "which notifications go out which way, by their ids",
    "templates": "texts before anybody's name is put in",
    "term_lists": "names of stages, roles, relations and reasons",
    "test_addresses": "where colleagues try messages out",
    "throttle": "attempts to sign in",
    "tokens": "programs that may call the API",
    "tracking": "whether links are tracked, and up to when orders were looked at",
    "turns": "who came when to a step, by the id of the run",
    "users": "colleagues",
    "value_settings": "rules of score and tiers, and the rhythm of all orders together",
    "webhook_endpoints": "addresses of our own that are told what happens",
    "views": "by what lists of conversations are narrowed; what stands in a search is somebody's words",
    "view_marks": "what a change does to the counts of views, until it is counted in",
    "view_tallies": "how many conversations are in a view",
    "words_due": "which messages are to be read for the search, by their ids",
    "words_past": "how far reading old messages for the search has got",
    "workers": "processes that are alive",
}


def colleagues_words(database: Database) -> tuple[Written, ...]:
    """Where our own people write, so that one of them can see to what still names somebody who was erased. What leads
    to nothing but a list (of `tags` the id would be the words) is told once, without an id."""
    return (
        Texts(database, "segments"),
        Texts(database, "tags", id_of=lambda _: ""),
        Texts(database, "tasks", fields=("text", "result")),
        Texts(database, "notes", fields=("text",), more=("profile_id",), id_of=lambda row: str(row.get("profile_id"))),
        Texts(
            database, "messages", fields=("text",), more=("conversation_id",), where={"direction": "note"},
            id_of=lambda row: str(row["conversation_id"]),
        ),
        Texts(
            database, "drafts", fields=("text",), more=("conversation_id",),
            id_of=lambda row: str(row["conversation_id"]),
        ),
        Texts(database, "templates"),
        Texts(database, "template_revisions", id_of=lambda row: str(row["template_id"])),
        Texts(database, "snippets"),
        Texts(database, "snippet_revisions", id_of=lambda row: str(row["snippet_id"])),
        Texts(database, "offers", fields=("name",)),
        Texts(database, "brand", id_of=lambda _: ""),
        Texts(database, "journeys"),
        Texts(database, "journey_versions", id_of=lambda row: str(row["journey_id"])),
        Texts(database, "consent_groups"),
        Texts(database, "fields"),
        Texts(database, "term_lists", id_of=lambda _: ""),
        Texts(database, "value_settings", id_of=lambda _: ""),
        Texts(database, "blocked_values", fields=("value",), id_of=lambda _: ""),
        Texts(database, "imports", fields=("name",)),
        Texts(database, "exports", fields=("filter",), id_of=lambda _: ""),
        Texts(database, "channels", fields=("name",)),
        Texts(database, "webhook_endpoints", fields=("description",)),
        Texts(database, "business_hours"),
        Texts(database, "views"),
        Texts(database, "canned_replies", fields=("shortcut", "title", "text")),
        Texts(database, "automation_rules", fields=("name", "when", "actions")),
        Texts(database, "macros", fields=("name", "actions")),
        Texts(database, "bots", fields=("name", "person_words")),
        Texts(database, "channel_replies", fields=("written",)),
        Texts(database, "rating_rules", fields=("question",), id_of=lambda _: ""),
        Texts(database, "sla_policies", fields=("name", "reach")),
        Texts(database, "teams", fields=("name",)),
        Texts(database, "agent_states", id_of=lambda _: ""),
    )  # fmt: skip


def all_holdings(database: Database, orders: OrderStore, desk: DeskStore, mentions: Mentions) -> Holdings:
    """In the order in which they are emptied: what could still act first; what others are found by after them."""
    dossiers = DossierStore(database)
    rooms: tuple[Room, ...] = (
        Held(database, "planned_entries"),
        Held(database, "enrolments"),
        Held(database, "enrolment_log"),
        Held(database, "webhook_calls"),
        Held(database, "webhook_posts"),
        Held(database, "rule_runs"),
        Held(database, "notifications"),
        Held(database, "tracked_links"),
        Held(database, "late_reminders"),
        Held(database, "credits"),
        Held(database, "sends"),
        Held(database, "send_slots", _slots),
        Held(database, "broadcast_waves", _samples),
        Held(database, "tasks"),
        Held(database, "stream_marks"),
        Held(database, "stream_people", _slots),
        CouponRoom(database),
        PassedFileRoom(database, FileStore(database), now),  # found by the messages
        Held(database, "drafts"),
        Held(database, "ratings"),
        Held(database, "automatic_replies"),
        Held(database, "bot_posts"),
        MessageRoom(database, now, mentions.forget),
        Held(database, "message_words"),  # after them: words are kept only of what is there
        ConversationRoom(database, ConversationStore(database, now)),
        FactRoom(database, now),  # after them: no facts are made of what is gone
        Held(database, "early_orders", orders.early_of),  # found by the orders
        Held(database, "orders"),
        Held(database, "receipts_early", early_of),
        Held(database, "changes_early", early_of),
        Held(database, "import_rows", _import_rows),
        ExportRoom(ExportStore(database), SheetStore(database)),
        Held(database, "consents"),
        Held(database, "stage_log"),
        Held(database, "relations", _relations),
        Held(database, "notes"),
        Held(database, "tag_moves", _tag_moves),
        MergeRoom(database, "merges", _merges),
        Held(database, "suggestions", _pairs),
        Held(database, "privacy_requests", _requests),
        Held(database, "events"),
        Held(database, "feed", _notices),
        AuditRoom(database),
        AnswerRoom(desk),
        DossierRoom(dossiers),
        Held(database, "identities"),
        PeopleRoom(database, ProfileStore(database)),
        CellRoom(database),
        AnswerTextRoom(desk),  # these three are read whole: nobody waits for them
        mentions,
    )
    return Holdings(rooms, IMPERSONAL)


def _merges(traces: Traces) -> Document:
    """Each holds what both were."""
    ids = {"$in": list(traces.profile_ids)}
    return {"$or": [{"survivor_id": ids}, {"other_id": ids}]}


def _relations(traces: Traces) -> Document:
    """What they are to others, and others to them: a relation is two rows."""
    ids = {"$in": list(traces.profile_ids)}
    return {"$or": [{"profile_id": ids}, {"other_id": ids}]}


def _slots(traces: Traces) -> Document:
    """One row per person, under the person's id."""
    return {"_id": {"$in": list(traces.profile_ids)}}


def _samples(traces: Traces) -> Document:
    """A review shows some people of each kind; without one of them it is made anew."""
    return {"profile_ids": {"$in": list(traces.profile_ids)}}


def _tag_moves(traces: Traces) -> Document:
    return {"person_id": {"$in": list(traces.profile_ids)}}


def _import_rows(traces: Traces) -> Document:
    """Rows that became this person, and rows of lists that wait with their addresses."""
    return {"$or": [{"profile_id": {"$in": list(traces.profile_ids)}}, {"keys": {"$in": list(traces.keys)}}]}


def _pairs(traces: Traces) -> Document:
    return {"profile_ids": {"$in": list(traces.profile_ids)}}


def _requests(traces: Traces) -> Document:
    return {"$or": [{"keys": {"$in": list(traces.keys)}}, {"profile_id": {"$in": list(traces.profile_ids)}}]}


def _notices(traces: Traces) -> Document:
    """What open pages are told: it holds ids alone, for three days."""
    return {"data.profile_id": {"$in": list(traces.profile_ids)}}
