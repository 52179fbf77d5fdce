"""Colleagues are told what concerns them: who listens, what goes out, and where it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from campaigns.store.tasks import TaskStore
from campaigns.telling.carrying import Carrier, Teller
from campaigns.telling.choosing import Choices
from campaigns.telling.hooks import HookCarrier
from campaigns.telling.models import Way
from campaigns.telling.noticing import Noticing
from campaigns.telling.reading import Notifications
from campaigns.telling.store import ChoiceStore, NotificationStore, TellingStore
from campaigns.telling.store.browsers import BrowserStore, PushKeyStore
from desk.api.scope import sees_person
from desk.auth import principal_for
from desk.push import Browsers, PushCarrier, PushKeys, contact_of
from desk.store import DeskStore
from desk.team.letters import Letters
from desk.telling import MailCarrier, NoticeWording
from inbox.room import Inbox
from profiles.store import ProfileStore
from rapport.people import People
from rapport.plumbing import Plumbing
from rapport.routing import Routes


@dataclass(frozen=True)
class Telling:
    """Rows, and who writes them."""

    notifications: NotificationStore
    tellings: TellingStore
    choices: Choices
    noticing: Noticing
    reading: Notifications
    browsers: Browsers
    push_keys: PushKeys
    sight: Sight


class Sight:
    """Whom a colleague may see, by what the desk shows them. It is all of a runtime that this asks for."""

    def __init__(self, profiles: ProfileStore, users: DeskStore) -> None:
        self.profiles = profiles
        self._users = users

    async def sees(self, user_id: str, profile_id: str) -> bool:
        """As `campaigns.telling.noticing.Sight`."""
        user = await self._users.user(user_id)
        return user is not None and await sees_person(self, principal_for(user), profile_id)


def open_telling(plumbing: Plumbing, people: People, inbox: Inbox, routes: Routes) -> Telling:
    """What is needed before anything happens."""
    db, clock = plumbing.db, plumbing.clock
    notifications, tellings, progress = NotificationStore(db, clock), TellingStore(db, clock), ChoiceStore(db, clock)
    rows = BrowserStore(db, clock)
    choices, sight = Choices(progress, rows, plumbing.box, plumbing.http.guard), Sight(people.profiles, people.users)
    noticing = Noticing(
        notifications, tellings, progress, choices, people.users, sight, inbox.conversations, routes.teams,
        TaskStore(db, clock), people.profiles, plumbing.feed, plumbing.doorbell, clock,
    )  # fmt: skip
    return Telling(
        notifications, tellings, choices, noticing, Notifications(notifications, plumbing.feed, clock),
        Browsers(rows, choices, people.users, plumbing.http.guard), PushKeys(PushKeyStore(db), plumbing.box), sight,
    )  # fmt: skip


def open_teller(
    plumbing: Plumbing, telling: Telling, people: People, inbox: Inbox, routes: Routes, runtime: Any
) -> Teller:  # fmt: skip
    """What goes out. `runtime`: everything that names are read from."""
    settings, clock, http = plumbing.settings, plumbing.clock, plumbing.http
    base_url, zone = settings.base_url, settings.time_zone
    letters = Letters(plumbing.channels, plumbing.registry)
    carriers: Mapping[Way, Carrier] = {
        "mail": MailCarrier(letters, base_url=base_url, house=settings.business_name),
        "push": PushCarrier(telling.push_keys, telling.browsers, http, clock, contact=contact_of(base_url)),
        "hook": HookCarrier(telling.choices, http, clock, base_url=base_url),
    }  # fmt: skip
    return Teller(
        telling.notifications, telling.tellings, telling.choices, people.users, telling.sight, inbox.conversations,
        routes.agents, NoticeWording(runtime, clock, time_zone=zone), carriers, clock, time_zone=zone,
    )  # fmt: skip
