"""The rule language of segments, triggers, branches and filters: parsed once, asked in MongoDB or in memory."""

from profiles.segments.memory import EventFacts, Facts, ListedEvents, NoEvents, matches, matches_event
from profiles.segments.mongo import to_filter
from profiles.segments.rules import Rule, event_names, parse, parse_where, uses_events

__all__ = [
    "EventFacts", "Facts", "ListedEvents", "NoEvents", "Rule", "event_names", "matches", "matches_event", "parse",
    "parse_where", "to_filter", "uses_events",
]  # fmt: skip
