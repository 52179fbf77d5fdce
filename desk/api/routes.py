"""All operations of the API in one list, from which the routes and the OpenAPI document are made."""

from __future__ import annotations

from aiohttp import web

from desk.api import (
    answering,
    audit,
    automation_rules,
    beginning,
    blocked_values,
    bots,
    broadcasts,
    business_hours,
    calendar,
    canned_replies,
    channel_replies,
    channels,
    consent_groups,
    conversation_acts,
    conversations,
    deliveries,
    docs,
    drafts,
    enrolments,
    events,
    exports,
    fields,
    files,
    follow_ups,
    health,
    imports,
    journeys,
    lifecycle,
    macros,
    me,
    merges,
    messages,
    notes,
    notifications,
    offers,
    orders,
    people,
    policies,
    presence,
    privacy,
    profile_files,
    profiles,
    ratings,
    reports,
    results,
    search,
    segments,
    sends,
    sla_policies,
    snippets,
    stream,
    tags,
    tasks,
    teams,
    templates,
    today,
    values,
    views,
    webhook_endpoints,
    webhook_secret,
)
from desk.api.contract import Operation

#: In the order in which the document shows them.
RESOURCES = (
    channels, deliveries, profiles, notes, follow_ups, profile_files, merges, lifecycle, fields, tags, segments, values,
    blocked_values, imports, exports, privacy, consent_groups, conversation_acts, conversations, beginning, views,
    search, drafts, canned_replies, macros, automation_rules, messages, files, events, orders, templates, snippets,
    offers, broadcasts, journeys, webhook_secret, webhook_endpoints, enrolments, policies, sends, business_hours,
    sla_policies, results, tasks, teams, presence, ratings, notifications, people, me, audit, answering, stream, health,
    reports, channel_replies, bots, today, calendar,
)  # fmt: skip
OPERATIONS: tuple[Operation, ...] = tuple(each for resource in RESOURCES for each in resource.operations.all)


def routes() -> list[web.AbstractRouteDef]:
    """For the application. `desk.live` serves the stream itself."""
    made = [each.route() for each in OPERATIONS if not each.elsewhere]
    return [*made, *files.routes(), *imports.routes(), *health.routes(), *docs.routes(OPERATIONS)]
