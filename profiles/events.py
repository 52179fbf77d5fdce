"""Events as the floors above use them: what to record, what is kept, and the store."""

from profiles.models import Event, NewEvent
from profiles.store.events import EventStore

__all__ = ["Event", "EventStore", "NewEvent"]
