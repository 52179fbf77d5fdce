"""Journeys and what carries them."""

from __future__ import annotations

from dataclasses import dataclass

from campaigns.effects import Effects
from campaigns.entering import Entrance
from campaigns.facts import FactReader
from campaigns.journeys import Journeys
from campaigns.lifecycle import Lifecycle
from campaigns.live import LiveJourneys
from campaigns.naming import JourneyUses
from campaigns.reminders import Reminders
from campaigns.render import Renderer
from campaigns.sending import JourneySource, PersonalLinks
from campaigns.steps import Walker
from campaigns.store import EnrolmentStore, JourneyStore, TaskStore, TemplateStore
from campaigns.tasks import Tasks
from campaigns.templates import Templates
from campaigns.triggers import Reactor
from inbox.opting import Confirmations
from inbox.room import Inbox
from orders.store import OrderStore
from rapport.people import People
from rapport.plumbing import Plumbing


@dataclass(frozen=True)
class Campaigns:
    """Journeys and what carries them."""

    journeys: Journeys
    templates: Templates
    tasks: Tasks
    reactor: Reactor
    walker: Walker
    enrolments: EnrolmentStore
    renderer: Renderer
    task_rows: TaskStore
    reminders: Reminders


def open_campaigns(plumbing: Plumbing, people: People, orders: OrderStore, inbox: Inbox) -> Campaigns:
    db, clock, doorbell = plumbing.db, plumbing.clock, plumbing.doorbell
    zone = plumbing.settings.time_zone
    heads, runs = JourneyStore(db, clock), EnrolmentStore(db, clock)
    task_rows, template_rows = TaskStore(db, clock), TemplateStore(db, clock)
    live, renderer = LiveJourneys(heads, people.terms), Renderer(project_zone=zone)
    people.uses.join(JourneyUses(heads, runs))
    facts = FactReader(
        people.profiles, people.events, orders, inbox.conversations, plumbing.channels, plumbing.registry, clock,
        project_zone=zone, segments=people.segment_rows,
    )  # fmt: skip
    tasks = Tasks(db, task_rows, people.events, people.profiles, doorbell, clock)
    effects = Effects(inbox.outbox, tasks, people.editor, people.consent, people.profiles)
    entrance = Entrance(runs, clock)
    source = JourneySource(
        heads, runs, live, facts, template_rows, people.profiles, plumbing.channels, plumbing.registry, renderer,
        doorbell, clock, links=PersonalLinks(people.consent_links),
    )  # fmt: skip
    inbox.delivery.register("journey", source)
    confirmations = Confirmations(
        people.profiles, people.consent, inbox.outbox, plumbing.channels, plumbing.registry, people.consent_links
    )
    lifecycle = Lifecycle(people.terms, people.editor, people.profiles, tasks, plumbing.feed)
    reminders = Reminders(tasks, people.merges)
    listeners = [people.appraisal.hear, confirmations.ask, lifecycle.hear, reminders.tell]
    return Campaigns(
        journeys=Journeys(heads, runs, live, entrance, facts, template_rows, doorbell, clock, people.terms),
        templates=Templates(template_rows, renderer, facts),
        tasks=tasks,
        reactor=Reactor(people.events, runs, live, entrance, facts, doorbell, clock, listeners=listeners),
        walker=Walker(runs, live, facts, inbox.sends, task_rows, effects, doorbell, clock),
        enrolments=runs,
        renderer=renderer,
        task_rows=task_rows,
        reminders=reminders,
    )
