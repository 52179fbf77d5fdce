"""The rows of the inbox and the indexes that carry its promises."""

from __future__ import annotations

from base.mongo import Indexes
from inbox.store import (
    acts,
    canned,
    conversations,
    drafts,
    early,
    figures,
    files,
    hours,
    messages,
    ratings,
    sends,
    sla,
    tallies,
    teams,
    views,
    words,
)
from inbox.store.acts import ActStore
from inbox.store.agents import AgentStore, PresenceRuleStore
from inbox.store.answering import AnsweringStore
from inbox.store.canned import CannedStore
from inbox.store.conversations import ConversationRoom, ConversationStore
from inbox.store.drafts import DraftStore
from inbox.store.early import EarlyStore
from inbox.store.figures import FactRoom, FigureStore
from inbox.store.files import FileRoom, FileStore
from inbox.store.hours import HoursStore
from inbox.store.mailings import MailingStore
from inbox.store.messages import MessageStore
from inbox.store.passed_files import PassedFileRoom
from inbox.store.passed_on import MessageRoom
from inbox.store.ratings import RatingFilter, RatingStore
from inbox.store.sends import SendStore
from inbox.store.sla import PolicyStore, WatchStore
from inbox.store.tallies import MarkStore, ViewTallyStore
from inbox.store.teams import TeamStore
from inbox.store.views import ViewStore
from inbox.store.words import WordStore

INDEXES: Indexes = {
    **conversations.INDEXES, **messages.INDEXES, **sends.INDEXES, **early.INDEXES, **files.INDEXES,
    **drafts.INDEXES, **hours.INDEXES, **views.INDEXES, **tallies.INDEXES, **sla.INDEXES, **words.INDEXES,
    **acts.INDEXES, **teams.INDEXES, **ratings.INDEXES, **canned.INDEXES, **figures.INDEXES,
}  # fmt: skip

__all__ = [
    "INDEXES", "ActStore", "AgentStore", "AnsweringStore", "CannedStore", "ConversationRoom", "ConversationStore",
    "DraftStore", "EarlyStore", "FactRoom", "FigureStore", "FileRoom", "FileStore", "HoursStore", "MailingStore",
    "MarkStore", "MessageRoom", "MessageStore", "PassedFileRoom", "PolicyStore", "PresenceRuleStore", "RatingFilter",
    "RatingStore", "SendStore", "TeamStore", "ViewStore", "ViewTallyStore", "WatchStore", "WordStore",
]  # fmt: skip
