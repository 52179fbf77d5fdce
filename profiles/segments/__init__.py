"""The rule language of segments, triggers, branches and filters: parsed once, asked in MongoDB or in memory."""

from profiles.segments.memory import EventFacts, Facts, ListedEvents, NoEvents, matches, matches_event
from profiles.segments.mongo import finds_no_tombstone, to_filter
from profiles.segments.outlook import outlook, tells_time
from profiles.segments.rules import (
    Rule,
    event_names,
    is_profiling,
    parse,
    parse_where,
    segments_of,
    uses_events,
    with_segments,
)

__all__ = [
    "EventFacts", "Facts", "ListedEvents", "NoEvents", "Rule", "event_names", "finds_no_tombstone", "is_profiling",
    "matches", "matches_event", "outlook", "parse", "parse_where", "segments_of", "tells_time", "to_filter",
    "uses_events", "with_segments",
]  # fmt: skip
