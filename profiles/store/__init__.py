"""Everything of a person that is kept: profiles, identities, events, consents, suggestions."""

from profiles.store.consents import ConsentStore
from profiles.store.events import EventStore
from profiles.store.identities import IdentityStore
from profiles.store.profiles import ProfileFilter, ProfileStore
from profiles.store.suggestions import SuggestionStore

__all__ = [
    "ConsentStore", "EventStore", "IdentityStore", "ProfileFilter", "ProfileStore", "SuggestionStore",
]  # fmt: skip
