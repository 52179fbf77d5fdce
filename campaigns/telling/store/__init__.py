"""Rows of telling: what somebody is told, which way it goes, what they have chosen, and where their browsers are."""

from campaigns.telling.store.choices import ChoiceStore
from campaigns.telling.store.notifications import NotificationStore
from campaigns.telling.store.tellings import TellingStore

__all__ = ["ChoiceStore", "NotificationStore", "TellingStore"]
