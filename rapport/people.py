"""Customers: who they are, what they allow, what happened to them, what they are worth, where they belong."""

from __future__ import annotations

from dataclasses import dataclass

from desk.store import DeskStore
from profiles.appraisal import Appraisal
from profiles.blocking import Blocking
from profiles.consent import Consent
from profiles.consent_links import ConsentLinks
from profiles.custom_fields import CustomFields
from profiles.edit import ProfileEditor
from profiles.events import EventStore
from profiles.follow_up import FollowUps
from profiles.lookups import Lookups
from profiles.membership import SegmentAppraiser, SegmentBuilder, Segments
from profiles.notes import WITH_TEXT as NOTES_WITH_TEXT
from profiles.notes import Notes
from profiles.profiling import Profiling
from profiles.relations import Relations
from profiles.resolve import Resolver
from profiles.store import BlockedStore, ConsentStore, MergeStore, NoteStore, ProfileStore
from profiles.store.imports import ImportStore
from profiles.store.relations import RelationStore
from profiles.store.segments import MemberStore, SegmentStore
from profiles.store.stage_log import StageLogStore
from profiles.store.tags import TagStore
from profiles.store.value_settings import ValueSettingsStore
from profiles.tags import TagSpace
from profiles.terms import Terms
from profiles.timeline import Timeline
from profiles.track import Tracker
from profiles.uses import ScoreUses, SegmentUses, StageUses, Uses
from profiles.valuing import Valuing, appraisers
from rapport.plumbing import Plumbing


@dataclass(frozen=True)
class People:
    """Customers: who they are, what they allow, what happened to them."""

    profiles: ProfileStore
    events: EventStore
    resolver: Resolver
    consent: Consent
    consent_links: ConsentLinks
    editor: ProfileEditor
    timeline: Timeline
    tracker: Tracker
    lookups: Lookups
    appraisal: Appraisal
    segments: Segments
    segment_rows: SegmentStore
    segment_members: MemberStore
    segment_builder: SegmentBuilder
    valuing: Valuing
    profiling: Profiling
    merges: MergeStore
    consents: ConsentStore
    blocking: Blocking
    users: DeskStore
    terms: Terms
    fields: CustomFields
    stage_log: StageLogStore
    relations: Relations
    relation_rows: RelationStore
    tags: TagSpace
    notes: Notes
    note_rows: NoteStore
    follow_ups: FollowUps
    import_rows: ImportStore
    uses: Uses


def open_people(plumbing: Plumbing) -> People:
    db, clock = plumbing.db, plumbing.clock
    profiles, events, consents = ProfileStore(db, clock), EventStore(db, clock), ConsentStore(db)
    users = DeskStore(db, clock)
    blocking = Blocking(
        BlockedStore(db), profiles, clock, staff=users.addresses, region=plumbing.settings.default_region
    )
    registry, merges, notes = plumbing.registry, MergeStore(db), NoteStore(db)
    timeline = Timeline(events, profiles)
    timeline.join("note_id", NOTES_WITH_TEXT, notes.words)
    values, zone = ValueSettingsStore(db), plumbing.settings.time_zone
    segments, members = SegmentStore(db, clock), MemberStore(db)
    terms, stage_log, relation_rows = Terms(db, clock), StageLogStore(db), RelationStore(db)
    tag_rows = TagStore(db)
    uses = Uses(SegmentUses(segments), ScoreUses(values), StageUses(terms))
    resolver = Resolver(
        profiles, events, clock, region=plumbing.settings.default_region, blocking=blocking,
        looked_up=registry.looking_up(), providers=plumbing.channels.providers_of,
    )  # fmt: skip
    editor = ProfileEditor(profiles, events, resolver, db, clock, terms)
    return People(
        profiles=profiles,
        events=events,
        resolver=resolver,
        consent=Consent(profiles, consents, events, db, clock),
        consent_links=ConsentLinks([plumbing.box.signing_key], plumbing.settings.base_url),
        editor=editor,
        timeline=timeline,
        tracker=Tracker(profiles, resolver, events, clock),
        terms=terms,
        fields=CustomFields(db, clock, terms.forget),
        stage_log=stage_log,
        relations=Relations(db, relation_rows, profiles, events, terms, clock),
        relation_rows=relation_rows,
        tags=TagSpace(tag_rows, editor, profiles.appraisals, uses, plumbing.feed, clock),
        # asked in this order, each on what the former ones found
        appraisal=Appraisal(
            db,
            profiles,
            events,
            clock,
            (*appraisers(values, tag_rows, zone), SegmentAppraiser(segments, tag_rows)),
            busy=merges.busy,
        ),
        segments=Segments(db, segments, members, profiles, clock, uses),
        segment_rows=segments,
        segment_members=members,
        segment_builder=SegmentBuilder(db, segments, members, profiles, clock),
        valuing=Valuing(values, profiles, events, tag_rows, clock, zone=zone),
        profiling=Profiling(profiles, consents, events, db, clock),
        merges=merges,
        consents=consents,
        blocking=blocking,
        users=users,
        import_rows=ImportStore(db),
        lookups=Lookups(profiles.identity_rows, plumbing.channels, registry, resolver, clock),
        notes=Notes(db, notes, profiles, events, clock),
        note_rows=notes,
        follow_ups=FollowUps(db, profiles, events, clock),
        uses=uses,
    )
