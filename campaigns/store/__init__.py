"""Everything campaigns keep: journeys and their versions, runs and their log, templates, snippets, offers, tasks."""

from base.mongo import Indexes
from campaigns.store import (
    calls,
    digests,
    enrolments,
    intakes,
    journeys,
    migrations,
    offers,
    planned,
    snippets,
    tasks,
    templates,
    turns,
    uses,
    winners,
)
from campaigns.store.belongings import RunBelongings
from campaigns.store.calls import CallStore
from campaigns.store.digests import DigestStore
from campaigns.store.enrolments import EnrolmentStore
from campaigns.store.intakes import IntakeStore
from campaigns.store.journeys import JourneyStore
from campaigns.store.migrations import MigrationStore
from campaigns.store.offers import CouponRoom, OfferStore
from campaigns.store.planned import PlannedStore
from campaigns.store.snippets import SnippetStore
from campaigns.store.tasks import TaskStore
from campaigns.store.templates import TemplateStore
from campaigns.store.turns import TurnStore
from campaigns.store.uses import Place, UseStore
from campaigns.store.winners import WinnerStore

INDEXES: Indexes = {
    **journeys.INDEXES, **enrolments.INDEXES, **planned.INDEXES, **intakes.INDEXES, **templates.INDEXES,
    **tasks.INDEXES, **turns.INDEXES, **digests.INDEXES, **calls.INDEXES, **winners.INDEXES, **snippets.INDEXES,
    **offers.INDEXES, **migrations.INDEXES, **uses.INDEXES,
}  # fmt: skip

__all__ = [
    "INDEXES", "CallStore", "CouponRoom", "DigestStore", "EnrolmentStore", "IntakeStore", "JourneyStore",
    "MigrationStore", "OfferStore", "Place", "PlannedStore", "RunBelongings", "SnippetStore", "TaskStore",
    "TemplateStore", "TurnStore", "UseStore", "WinnerStore",
]  # fmt: skip
