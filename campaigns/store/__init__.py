"""Everything campaigns keep: journeys and their versions, runs and their log, templates, tasks."""

from base.mongo import Indexes
from campaigns.store import enrolments, journeys, tasks, templates
from campaigns.store.belongings import RunBelongings
from campaigns.store.enrolments import EnrolmentStore
from campaigns.store.journeys import JourneyStore
from campaigns.store.tasks import TaskStore
from campaigns.store.templates import TemplateStore

INDEXES: Indexes = {**journeys.INDEXES, **enrolments.INDEXES, **templates.INDEXES, **tasks.INDEXES}

__all__ = ["INDEXES", "EnrolmentStore", "JourneyStore", "RunBelongings", "TaskStore", "TemplateStore"]
