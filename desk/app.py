"""The application of the desk: pages, static files, the stream and the API under one roof.

`build(runtime)` needs of the runtime: settings, clock, db, users, bus, feed, channels, registry, profiles, events,
consent, orders, order_store, conversations, messages, sends, outbox, desk_actions, journeys, templates, tasks.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from aiohttp import web

from desk import live
from desk.accounts import Accounts
from desk.api import routes as api
from desk.api.notifications import unread_by
from desk.api.scope import sees_person
from desk.assets import Assets
from desk.keys import ACCOUNTS, RUNTIME
from desk.middleware import ERROR_PAGE, MIDDLEWARES, harden
from desk.pages import (
    account,
    acting,
    answering,
    approved,
    audit,
    automation,
    begin,
    blocked,
    board,
    bots,
    brand,
    broadcast_wizard,
    broadcasts,
    builder,
    calendar,
    call_settings,
    canned,
    channels,
    composing,
    consent,
    consent_groups,
    deliverability,
    deliveries,
    entrance,
    exports,
    fields,
    forward,
    hours,
    imports,
    inbox,
    inbox_views,
    installing,
    intakes,
    journeys,
    lifecycle,
    link_settings,
    links,
    macros,
    merging,
    merging_talks,
    notifications,
    offers,
    orders,
    parting,
    people,
    policies,
    preferences,
    presence,
    privacy,
    profile_edit,
    profile_files,
    profile_follow_up,
    profile_notes,
    profiles,
    rate,
    ratings,
    replies,
    reports,
    retention,
    revisions,
    score,
    search,
    segments,
    sent_mail,
    sla,
    snippets,
    stream_rules,
    tags,
    tasks,
    teams,
    template_editor,
    templates,
    term_lists,
    tester_settings,
    tiers,
    today,
    tracking,
    unsubscribe,
    value_panel,
    webhooks_out,
)
from desk.pages.errors import error_page
from desk.render import RENDERER, UNREAD, Renderer, Unread
from desk.today_figure import TODAY_FIGURES, TodayFigures
from desk.tracking import door as tracking_door
from desk.whispers import WHISPERS, Whispers, whispering
from desk.widget import door

#: Forms and JSON; files sent by agents come with their own limit later.
MAX_BODY_BYTES = 2_000_000
PAGES = (
    entrance, today, search, composing, forward, acting, merging_talks, inbox_views, begin, inbox, board, tags, imports,
    exports, profiles, profile_edit, profile_notes, profile_follow_up, profile_files, lifecycle, value_panel, privacy,
    merging, parting, consent, segments, broadcasts, broadcast_wizard, journeys, intakes, builder, orders, templates,
    revisions, template_editor, snippets, offers, channels, deliverability, deliveries, approved, tracking,
    consent_groups, blocked, score, tiers, term_lists, fields, policies, retention, unsubscribe, preferences, sent_mail,
    brand, links, link_settings, tester_settings, call_settings, people, account, audit, webhooks_out, answering, hours,
    sla, teams, presence, rate, ratings, canned, macros, automation, notifications, installing, reports, replies, bots,
    tasks, stream_rules, calendar,
)  # fmt: skip


def build(runtime: Any) -> web.Application:
    """Everything a browser or a program may ask for, on one application."""
    app = web.Application(middlewares=MIDDLEWARES, client_max_size=MAX_BODY_BYTES)
    equip(app, runtime)
    return app


def equip(app: web.Application, runtime: Any) -> None:
    """Add the desk to an application that has `MIDDLEWARES`."""
    assets = Assets()
    app[RUNTIME] = runtime
    app[ACCOUNTS] = getattr(runtime, "accounts", None) or Accounts(runtime.users, runtime.clock)
    app[RENDERER] = Renderer(assets)
    app[ERROR_PAGE] = error_page
    app[live.TAIL] = live.Tail(runtime.feed, runtime.bus)
    sees: live.SeesPerson = partial(sees_person, runtime)
    app[live.SEES_PERSON] = sees
    app[live.SEEN] = runtime.agents.seen
    unread: Unread = partial(unread_by, runtime)
    app[UNREAD] = unread
    app[TODAY_FIGURES] = TodayFigures()
    app[WHISPERS] = Whispers(runtime.bus)
    app[WHISPERS].listeners.add(app[live.TAIL].whisper)
    app.on_response_prepare.append(harden)
    app.cleanup_ctx.append(live.tailing)
    app.cleanup_ctx.append(whispering)
    door.equip(app, runtime)
    tracking_door.equip(app)
    app.on_shutdown.append(live.close_streams)
    app.add_routes(assets.routes)
    app.add_routes(live.routes)
    for each in PAGES:
        app.add_routes(each.routes)
    app.add_routes(door.routes())
    app.add_routes(tracking_door.routes())
    app.add_routes(api.routes())
