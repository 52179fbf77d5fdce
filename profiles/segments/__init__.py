"""The rule language of segments, triggers, branches and filters: parsed once, asked in MongoDB or in memory."""

from profiles.segments.memory import EventFacts, Facts, ListedEvents, NoEvents, matches, matches_event
from profiles.segments.mongo import finds_no_tombstone, to_filter
from profiles.segments.outlook import outlook, tells_time
from profiles.segments.rules import (
    Needs,
    Rule,
    event_names,
    event_needs,
    is_profiling,
    joint_needs,
    parse,
    parse_where,
    segments_of,
    uses_events,
    with_segments,
)
from profiles.segments.tag_names import TagNames, todays, with_tags

__all__ = [
    "EventFacts", "Facts", "ListedEvents", "Needs", "NoEvents", "Rule", "TagNames", "event_names", "event_needs",
    "finds_no_tombstone", "is_profiling", "joint_needs", "matches", "matches_event", "outlook", "parse",
    "parse_where", "segments_of", "tells_time", "to_filter", "todays", "uses_events", "with_segments", "with_tags",
]  # fmt: skip
