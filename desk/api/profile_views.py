"""How customers, their identities, consents and timeline look to people and programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from desk.api.shapes import Money, Time, View
from profiles.models import Identity, IdentityKind, Profile, Strength
from profiles.rfm import Spell
from profiles.timeline import Entry


class SuppressionView(View):
    """Why nothing may be sent to this address any more."""

    reason: str
    at: Time


class ShutOutStateView(View):
    """That somebody of ours wants to hear no more of them, since when, and who."""

    at: Time
    by: str | None


class IdentityView(View):
    """One way by which the person is known and reached."""

    id: str
    kind: IdentityKind
    value: str | None
    channel_id: str | None
    provider: str | None
    external_id: str | None
    handle: str | None
    display_name: str | None
    avatar_url: str | None
    strength: Strength
    verified: bool
    reachable: bool
    left_at: Time | None
    suppressed: SuppressionView | None
    last_inbound_at: Time | None
    first_seen_at: Time
    last_seen_at: Time | None


class ContactView(View):
    """An e-mail address or phone number. `value` is normalised, `raw` as it was written."""

    value: str
    verified: bool
    primary: bool
    source: str
    raw: str | None


class OrdersView(View):
    """What stands, and what was paid less refunds."""

    count: int
    revenue: list[Money]
    first_at: Time | None
    last_at: Time | None


class ConsentStateView(View):
    """What is effective at one address for one purpose."""

    address: str
    channel: str
    purpose: str
    #: `granted`, `denied`, or `pending`: a yes that waits for its confirmation.
    state: str
    at: Time
    #: When a denial that is a pause ends.
    until: Time | None


class PostalAddressView(View):
    """Where post goes. `street` may have lines; `country` is two letters."""

    street: str | None
    postal_code: str | None
    city: str | None
    region: str | None
    country: str | None


class PlaceView(View):
    """Degrees."""

    latitude: float
    longitude: float


class ScorePartView(View):
    """What one rule gives to the score; `manual`: what people and journeys added, `gift-…`: what they added for the
    reason in `name`, as long as `until` says."""

    rule_id: str
    name: str
    points: int
    until: Time | None = None


class RfmView(View):
    """Recency, frequency and money from 1 to 5, their total and code."""

    r: int
    f: int
    m: int
    total: int
    code: str


class TierSpellView(View):
    """A time in which the person had this tier."""

    tier: str | None
    was: str | None
    at: Time
    until: Time | None
    #: `rule`, or `person` where somebody gave it (`by`).
    source: str
    by: str | None
    #: The marks that led to it.
    code: str | None


class FollowUpView(View):
    """What is to be done next with the person. `assignee_id` null: whoever takes it."""

    id: str
    at: Time
    text: str
    assignee_id: str | None
    by: str | None
    set_at: Time | None


class ProfileView(View):
    """One customer. `merged_from`: the id that was asked for, when it has been merged into this one."""

    id: str
    name: str | None
    display_name: str
    emails: list[ContactView]
    phones: list[ContactView]
    handles: list[str]
    avatar_url: str | None
    tags: list[str]
    roles: list[str]
    stage: str
    stage_since: Time | None
    tier: str | None
    #: `rule`, or `person`: somebody gave it, and it stands until it is released.
    tier_source: str | None
    tier_since: Time | None
    score: int
    #: Their sum, held between 0 and 100, is the score.
    score_parts: list[ScorePartView]
    rfm: RfmView | None
    traits: dict[str, Any]
    locale: str | None
    time_zone: str | None
    location: PlaceView | None
    address: PostalAddressView | None
    owner_id: str | None
    attributes: dict[str, Any]
    orders: OrdersView
    consents: list[ConsentStateView]
    reachable_on: list[str]
    first_touch: dict[str, Any] | None
    last_touch: dict[str, Any] | None
    next_follow_up: FollowUpView | None
    created_at: Time
    updated_at: Time
    last_seen_at: Time | None
    #: Nothing is concluded from what this person does: no score, no traits, no tracked events.
    profiling_off: bool
    shut_out: ShutOutStateView | None
    merged_from: str | None


class ProfileDetail(ProfileView):
    """One customer with all identities the caller may see."""

    identities: list[IdentityView]
    #: The tier of today first.
    tier_history: list[TierSpellView]


class EntryView(View):
    """Something that happened. `refs` are ids of what it is about; `text` what was said, theirs and ours; `by` who of
    us did it (a person, a token or `journey:…`) and `by_name` what they are called; `gone`: it was taken back."""

    id: str
    at: Time
    kind: str
    name: str
    properties: dict[str, Any]
    refs: dict[str, str]
    text: str | None
    by: str | None
    by_name: str | None
    gone: bool


class ConsentActView(View):
    """Somebody said yes or no. Acts are added, never changed."""

    id: str
    identity_id: str | None
    address: str = Field(validation_alias="address_key")
    channel: str | None
    purpose: str
    granted: bool
    source: str
    by_person: bool
    proof: str | None
    wording: str | None
    wording_version: int | None = None
    by: str | None
    at: Time
    #: A yes that waits for its confirmation, as groups with a double opt-in ask for.
    pending: bool = False
    #: A denial that is a pause ends then.
    until: Time | None = None
    reason: str | None = None
    #: The act it takes back.
    retracts: str | None = None


def profile_view(profile: Profile) -> ProfileView:
    """Without identities."""
    return ProfileView.model_validate(_shown(profile))


def profile_detail(profile: Profile, identities: Sequence[Identity], tiers: Sequence[Spell]) -> ProfileDetail:
    """With these identities and the tiers they had."""
    return ProfileDetail.model_validate({
        **_shown(profile), "identities": [identity_view(each) for each in identities],
        "tier_history": [TierSpellView.model_validate(each) for each in tiers],
    })  # fmt: skip


def identity_view(identity: Identity) -> IdentityView:
    """One identity."""
    return IdentityView.model_validate(identity)


def entry_view(entry: Entry, names: Mapping[str, str]) -> EntryView:
    """One entry of the timeline; `names` of those who did it."""
    shown = {name: getattr(entry, name) for name in EntryView.model_fields if name != "by_name"}
    return EntryView(**shown, by_name=names.get(entry.by or ""))


def _shown(profile: Profile) -> dict[str, Any]:
    plain = {name: getattr(profile, name) for name in ProfileView.model_fields}
    revenue = [Money(amount_minor=amount, currency=code) for code, amount in sorted(profile.orders.revenue.items())]
    summary = profile.orders
    place = profile.location
    return {
        **plain,
        "orders": OrdersView(
            count=summary.count, revenue=revenue, first_at=summary.first_at, last_at=summary.last_at
        ),
        "location": PlaceView(latitude=place.coordinates[1], longitude=place.coordinates[0]) if place else None,
        "consents": [
            {"address": each.address_key, "channel": each.channel, "purpose": each.purpose, "state": each.state,
             "at": each.at, "until": each.until}
            for each in profile.consents
        ],
    }  # fmt: skip
