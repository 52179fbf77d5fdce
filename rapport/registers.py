"""What reaches into every room: merging, lists of people, privacy."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from campaigns.automation.store import RunStore
from campaigns.reminders import Reminders
from campaigns.store import RunBelongings
from campaigns.store.journeys import JourneyStore
from inbox.room import Inbox
from inbox.store import FileRoom, FileStore
from orders.record import OrderBook
from orders.store import OrderStore
from profiles.consent_groups import ConsentGroups
from profiles.dossier import Dossiers
from profiles.erasure import Erasures
from profiles.exports.book import Exports
from profiles.holdings import Traces
from profiles.imports.book import Imports
from profiles.imports.carrying import Carrier
from profiles.imports.undoing import Undoer
from profiles.merge import Merger
from profiles.normalise import folded
from profiles.places import places_of
from profiles.privacy import Privacy
from profiles.privacy_requests import PrivacyRequests
from profiles.store.consent_groups import ConsentGroupStore
from profiles.store.dossiers import DossierStore
from profiles.store.erasures import ErasureStore
from profiles.store.exports import ExportStore
from profiles.store.privacy_requests import RequestStore
from profiles.store.sheets import SheetStore
from profiles.store.tags import TagStore
from rapport.bots import BotRoom
from rapport.campaigning import Campaigns
from rapport.holdings import all_holdings, colleagues_words
from rapport.hooking import Hooks
from rapport.naming import Naming
from rapport.people import People
from rapport.plumbing import Plumbing
from rapport.replying import SaidByItself
from rapport.streaming import Watch
from rapport.telling import Telling
from webhooks.journal import Journal
from webhooks.mentions import Mentions


def open_lists(plumbing: Plumbing, people: People, merger: Merger, privacy: Privacy) -> tuple[Imports, Exports]:
    """People who come and go as lists."""
    db, clock, profiles = plumbing.db, plumbing.clock, people.profiles
    rows, sheets = people.import_rows, SheetStore(db)

    async def known_by() -> dict[str, str]:
        users = await people.users.users()
        return {folded(name): each.id for each in users for name in (each.name, each.id, each.email) if name}

    erase = partial(privacy.erasures.at_once, by="import")
    carrier = Carrier(
        db, rows, profiles, people.resolver, people.consent, people.events, clock, people.terms,
        erased=privacy.erasures.named_since, erase=erase,
    )  # fmt: skip
    undoer = Undoer(
        db, rows, profiles, people.consent, people.consents, people.events, TagStore(db), clock,
        erase=erase, elsewhere=merger.elsewhere,
    )  # fmt: skip
    imports = Imports(
        rows, sheets, profiles, carrier, undoer, plumbing.feed, plumbing.doorbell, clock, known_by, people.terms,
        region=plumbing.settings.default_region,
    )  # fmt: skip
    exports = Exports(
        ExportStore(db), sheets, profiles, plumbing.feed, clock, people.users.addresses, people.terms,
        people.segments.key,
    )  # fmt: skip
    return imports, exports


def open_merger(
    plumbing: Plumbing, people: People, orders: OrderBook, order_store: OrderStore, inbox: Inbox, campaigns: Campaigns,
    hooks: Hooks, rule_runs: RunStore, telling: Telling, said: SaidByItself, watch: Watch, bot_room: BotRoom,
) -> Merger:  # fmt: skip
    """Every room that keeps something of a person says here how it follows when two turn out to be one."""
    movers = (
        people.profiles.identity_rows.belongings,
        inbox.conversations.belongings,
        inbox.messages.belongings,
        inbox.messages.words_of.belongings,
        inbox.sends.belongings,
        inbox.drafts.belongings,
        inbox.ratings.belongings,
        inbox.figures.belongings,
        campaigns.slots.belongings,
        order_store.belongings,
        RunBelongings(plumbing.db, campaigns.enrolments, plumbing.clock),
        campaigns.planned.belongings,
        campaigns.task_rows.belongings,
        campaigns.call_rows.belongings,
        campaigns.offer_rows.belongings,
        campaigns.tracking.rows.belongings,
        campaigns.tracking.credits.belongings,
        campaigns.tracking.credits.late_belongings,
        people.consents.belongings,
        people.stage_log.belongings,
        people.relation_rows.belongings,
        people.note_rows.belongings,
        inbox.messages.files.belongings,
        people.events.belongings,
        people.import_rows.belongings,
        hooks.posts.belongings,
        rule_runs.belongings,
        telling.notifications.belongings,
        said.rows.belongings,
        watch.marks.belongings,
        watch.people.belongings,
        bot_room.posts.belongings,
    )

    async def reach(profile_id: str) -> None:
        await people.profiles.refresh_reach([profile_id])

    async def due(profile_id: str) -> None:
        await people.profiles.appraisals.due([profile_id])

    return Merger(
        plumbing.db, people.profiles, people.merges, people.events, plumbing.feed, plumbing.clock, movers=movers,
        recounts=(orders.recount, people.consent.summarise, reach, due, campaigns.tracking.crediting.recount),
        answered=inbox.conversations.last_answered,
    )  # fmt: skip


def open_privacy(
    plumbing: Plumbing, people: People, orders: OrderStore, journal: Journal, reminders: Reminders
) -> Privacy:
    """Everything held on a person, by the one list of rooms (`rapport.holdings`)."""
    db, clock, feed = plumbing.db, plumbing.clock, plumbing.feed
    mentions = Mentions(journal, plumbing.registry, plumbing.channels)
    holdings = all_holdings(db, orders, people.users, mentions)

    async def merging(traces: Traces, asked_at: datetime) -> str | None:
        return "merges" if await people.merges.under_way(traces.profile_ids) else None

    async def being_read(traces: Traces, at: datetime) -> str | None:
        return "imports" if await people.import_rows.reading(at) else None

    erasures = Erasures(
        people.profiles, ErasureStore(db), holdings, feed, clock, key=plumbing.box.signing_key,
        waits=[merging, mentions.waits, being_read], late_waits=[being_read],
        look=partial(places_of, colleagues_words(db)), remind=reminders.erased,
    )  # fmt: skip

    async def ways(profile_id: str) -> tuple[str | None, str | None]:
        person = await people.profiles.get(profile_id)
        return (person.locale, person.time_zone) if person is not None else (None, None)

    groups = ConsentGroups(ConsentGroupStore(db), clock)
    naming = Naming(people, plumbing.channels, JourneyStore(db, clock), groups, plumbing.settings.business_name)
    attached = FileRoom(FileStore(db)).contents
    return Privacy(
        erasures=erasures,
        dossiers=Dossiers(
            DossierStore(db),
            holdings,
            erasures.traces,
            attached,
            feed,
            clock,
            effort=mentions.effort,
            names=naming.names,
            ways=ways,
            time_zone=plumbing.settings.time_zone,
        ),
        holdings=holdings,
        requests=PrivacyRequests(RequestStore(db), people.profiles.identity_rows, feed, clock),
    )
