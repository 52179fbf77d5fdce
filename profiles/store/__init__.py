"""Everything of a person that is kept: profiles, identities, events, consents, suggestions, merges."""

from profiles.store.blocked import BlockedStore
from profiles.store.consents import ConsentStore
from profiles.store.events import EventStore
from profiles.store.identities import IdentityStore
from profiles.store.merges import MergeStore
from profiles.store.notes import NoteStore
from profiles.store.profiles import ProfileFilter, ProfileStore
from profiles.store.suggestions import SuggestionStore

__all__ = [
    "BlockedStore", "ConsentStore", "EventStore", "IdentityStore", "MergeStore", "NoteStore", "ProfileFilter",
    "ProfileStore",
    "SuggestionStore",
]  # fmt: skip
