"""What one profile is after two were joined, and after they were parted again. Pure: documents in, fields out.

A field goes by the rank of its source, then by its time; what a person chooses counts as edited by that person. Lists
are united, empty fields filled, and what did not stay is set aside, not lost. Counters are never added: orders,
consents and reach are counted anew from what the survivor then holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from base.errors import FieldError, WrongInput
from profiles.models import ATTRIBUTES_MAX, SOURCE_RANK, STAGE_FIRST, Identity
from profiles.scoring import manual_points
from profiles.survivorship import CONTACTS_MAX, HANDLES_MAX, RANKED, STAMPED, tokens_of

Document = dict[str, Any]
Side = Literal["this", "other"]

#: Fields of which one value stays.
SINGLE = (*RANKED, "location", "address", "owner_id", "stage", "tier", "score")
#: United: field → most entries, and what makes two of them one.
UNITED: Mapping[str, int] = {
    "emails": CONTACTS_MAX,
    "phones": CONTACTS_MAX,
    "handles": HANDLES_MAX,
    "tags": 100,
    "roles": 20,
}
#: Made anew from what the person then holds, or the machinery's own.
REMADE = frozenset({
    "orders", "consents", "reachable_on", "segments", "rfm", "traits", "tier_by_rule", "search", "rev", "updated_at",
})  # fmt: skip
#: What goes with one that stays: since when, who gave it, why it is what it is.
_WITH: Mapping[str, tuple[str, ...]] = {
    "stage": ("stage_since",), "score": ("manual_points", "score_parts", "score_told", "score_gifts"),
    "tier": ("tier_source", "tier_since"),
}  # fmt: skip
_ALONG = frozenset(each for more in _WITH.values() for each in more)
#: Of this very document, and never another's.
_OWN = frozenset(
    {"_id", "dice", "merged_into", "unannounced", "sources", "attributes", "appraise_at", "appraise_by", *_ALONG,
     *REMADE}
)  # fmt: skip
_TIMES = ("created_at", "last_seen_at", "first_touch", "last_touch")
#: Ruled by a room of its own: of two the earlier one stays, the other becomes a task (`campaigns.reminders`).
_FOLLOW_UP = "next_follow_up"

#: The most identities of a kind, and merges, that one profile may come to have.
KINDS_MAX: Mapping[str, int] = {"customer_id": 1, "email": 5, "phone": 5}
PER_CHANNEL_MAX, IDENTITIES_MAX, MERGES_MAX = 2, 50, 20
OBJECTIONS: Mapping[str, str] = {
    "being_erased": "One of them is being erased.",
    "different_customers": "They have different customer numbers.",
    "too_many_emails": "Together they would have more than five e-mail addresses.",
    "too_many_phones": "Together they would have more than five phone numbers.",
    "too_many_on_a_channel": "Together they would have more than two identities on one channel.",
    "too_many_identities": "Together they would have more than fifty identities.",
    "too_many_merges": "Too many people have been merged into this one already.",
}
_KIND_CODES = {"customer_id": "different_customers", "email": "too_many_emails", "phone": "too_many_phones"}


@dataclass(frozen=True)
class Difference:
    """One field in which the two differ, and which of them stays (`both`: united)."""

    field: str
    this: Any
    other: Any
    stays: Literal["this", "other", "both"]
    #: Whether a person may choose.
    free: bool = True


@dataclass(frozen=True)
class Joined:
    """`fields`: what changes on the survivor. `set_aside`: values of either that did not stay."""

    fields: Document
    set_aside: Document
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Parted:
    """`fields` to set and `gone` to take away. `kept`: fields somebody changed since, with what they were before."""

    fields: Document
    gone: tuple[str, ...] = ()
    kept: Document = field(default_factory=dict)


def objections(this: Sequence[Identity], other: Sequence[Identity], merges: int) -> list[str]:
    """Codes of what speaks against making these one person: rules that hold whoever asks."""
    both = [*this, *other]
    kinds: Counter[str] = Counter(each.kind for each in both)
    channels = Counter((each.channel_id) for each in both if each.kind == "channel")
    found = [_KIND_CODES[kind] for kind, most in KINDS_MAX.items() if kinds[kind] > most and _both(kind, this, other)]
    ours = {each.channel_id for each in this} & {each.channel_id for each in other}
    if any(count > PER_CHANNEL_MAX and channel in ours for channel, count in channels.items()):
        found.append("too_many_on_a_channel")
    if len(both) > IDENTITIES_MAX:
        found.append("too_many_identities")
    return [*found, "too_many_merges"] if merges >= MERGES_MAX else found


def _both(kind: str, this: Sequence[Identity], other: Sequence[Identity]) -> bool:
    """Who has too many by themselves is not kept from a person who brings none."""
    return any(each.kind == kind for each in this) and any(each.kind == kind for each in other)


def joined(
    this: Mapping[str, Any], other: Mapping[str, Any], choices: Mapping[str, Side], at: datetime,
    answered: Mapping[str, datetime],
) -> Joined:  # fmt: skip
    """The survivor `this` after `other` was joined to it. `choices`: field (or `attributes.city`) → whose value stays;
    `answered`: profile → when one of us last wrote to it. Raises `WrongInput` for a choice that is none."""
    _require_choices(choices, this, other)
    after = dict(this)
    aside: Document = {}
    differences: list[Difference] = []
    sources = dict(this.get("sources") or {})
    for name in SINGLE:
        mine, theirs = this.get(name), other.get(name)
        if _same(mine, theirs):
            continue
        side = choices.get(name) or _default(name, this, other, answered)
        if side == "other":
            after[name] = theirs
            _stamp(name, sources, other)
        if name in choices and name in STAMPED:
            sources[name] = {"rank": SOURCE_RANK["person"], "at": at}
        lost = mine if side == "other" else theirs
        if not _empty(name, lost):
            aside[name] = lost
        differences.append(Difference(name, mine, theirs, side))
    for name in _WITH:
        if after.get(name) != this.get(name):
            after |= _along(name, this, other)
    attributes = _attributes(this, other, choices, aside, differences)
    if attributes != (this.get("attributes") or {}):
        after["attributes"] = attributes
    _unite(after, this, other, differences)
    after |= _times(this, other) | _filled(this, other)
    first = earlier(this.get(_FOLLOW_UP), other.get(_FOLLOW_UP))
    if first is not None:
        after[_FOLLOW_UP] = first
    after["sources"] = sources
    after["search"] = tokens_of(after)
    fields = {name: value for name, value in after.items() if name not in this or this[name] != value}
    return Joined(fields, aside, tuple(differences))


def _along(name: str, this: Mapping[str, Any], other: Mapping[str, Any]) -> Document:
    """What comes with a value that is the other's; nothing that neither of them has."""
    known = [each for each in _WITH[name] if each in this or each in other]
    if name != "score":
        return {each: other.get(each) for each in known}
    told = other.get("score_told", other.get("score"))
    parts = list(other.get("score_parts") or ())
    made: Document = {"manual_points": manual_points(other), "score_parts": parts, "score_told": told}
    if this.get("score_gifts") or other.get("score_gifts"):
        made["score_gifts"] = list(other.get("score_gifts") or ())
    return made if known else {}


def _require_choices(choices: Mapping[str, Side], this: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    foreign = (name for name in choices if not _is_choice(name, this, other))
    wrong = [FieldError(f"fields.{name}", "is nothing that can be chosen here") for name in foreign]
    if wrong:
        raise WrongInput("Some of these fields cannot be chosen.", wrong)


def _default(name: str, this: Mapping[str, Any], other: Mapping[str, Any], answered: Mapping[str, datetime]) -> Side:
    mine, theirs = this.get(name), other.get(name)
    if _empty(name, mine) or _empty(name, theirs):
        return "other" if _empty(name, mine) else "this"
    if name in STAMPED:
        return "other" if _strength(name, other) < _strength(name, this) else "this"
    if name == "score":
        return "other" if (theirs or 0) > (mine or 0) else "this"
    if name == "owner_id":  # whoever of them was last in touch with the person
        first, second = answered.get(this["_id"]), answered.get(other["_id"])
        return "other" if second is not None and (first is None or second > first) else "this"
    return "this"


def _strength(name: str, profile: Mapping[str, Any]) -> tuple[int, float]:
    """Sorts the stronger and newer first."""
    stamp = (profile.get("sources") or {}).get(name)
    return (stamp["rank"], -stamp["at"].timestamp()) if stamp else (max(SOURCE_RANK.values()) + 1, 0.0)


def _stamp(name: str, sources: Document, other: Mapping[str, Any]) -> None:
    if name not in STAMPED:
        return
    stamp = (other.get("sources") or {}).get(name)
    if stamp is None:
        sources.pop(name, None)
    else:
        sources[name] = stamp


def _attributes(
    this: Mapping[str, Any], other: Mapping[str, Any], choices: Mapping[str, Side], aside: Document,
    differences: list[Difference],
) -> Document:  # fmt: skip
    mine, theirs = this.get("attributes") or {}, other.get("attributes") or {}
    after = dict(mine)
    for key, value in theirs.items():
        path = f"attributes.{key}"
        if key in mine and mine[key] == value:
            continue
        side: Side = choices.get(path) or ("this" if key in mine else "other")
        if side == "other" and key not in after and len(after) >= ATTRIBUTES_MAX:
            side = "this"
        if side == "other":
            after[key] = value
        lost = mine.get(key) if side == "other" else value
        if lost is not None:
            aside[path] = lost
        differences.append(Difference(path, mine.get(key), value, side, key in mine))
    return after


def _unite(after: Document, this: Mapping[str, Any], other: Mapping[str, Any], found: list[Difference]) -> None:
    for name, most in UNITED.items():
        mine, theirs = this.get(name) or [], other.get(name) or []
        both = united(mine, theirs)[:most]
        if both != mine:
            after[name] = both
            found.append(Difference(name, mine, theirs, "both", False))


def united(mine: Sequence[Any], theirs: Sequence[Any]) -> list[Any]:
    """Both lists without doubles. Addresses are the same by their value: proved once is proved; one is primary."""
    result = {_token(each): each for each in mine}
    for each in theirs:
        known = result.get(_token(each))
        if known is None:
            result[_token(each)] = {**each, "primary": not result} if isinstance(each, Mapping) else each
        elif isinstance(each, Mapping) and each.get("verified") and not known.get("verified"):
            result[_token(each)] = {**known, "verified": True}
    return list(result.values())


def _token(entry: Any) -> Any:
    return entry.get("value") if isinstance(entry, Mapping) else entry


def earlier(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Of two people's follow-ups the one that stands when they are one person."""
    both = [each for each in (one, other) if each]
    return min(both, key=lambda each: each["at"]) if both else None


def left_over(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The one that does not stand then, and must not be forgotten."""
    both = [each for each in (one, other) if each]
    return max(both, key=lambda each: each["at"]) if len(both) == 2 else None


def _times(this: Mapping[str, Any], other: Mapping[str, Any]) -> Document:
    """Known since the earlier, seen at the later; the first touch of both, and the last that tells something."""
    seen = [each["last_seen_at"] for each in (this, other) if each.get("last_seen_at")]
    first = [each["first_touch"] for each in (this, other) if each.get("first_touch")]
    last = [each["last_touch"] for each in (this, other) if each.get("last_touch")]
    result: Document = {"created_at": min(this["created_at"], other["created_at"])}
    if seen:
        result["last_seen_at"] = max(seen)
    if first:
        result["first_touch"] = min(first, key=lambda touch: touch["at"])
    if last:
        result["last_touch"] = max(last, key=lambda touch: (bool(touch.get("told")), touch["at"]))
    return result


def _filled(this: Mapping[str, Any], other: Mapping[str, Any]) -> Document:
    """Whatever else a room keeps on the profile: theirs where ours is empty."""
    known = {*SINGLE, *UNITED, *_OWN, *_TIMES, _FOLLOW_UP}
    blank: tuple[Any, ...] = (None, "", [], {})
    return {
        name: value
        for name, value in other.items()
        if name not in known and this.get(name) in blank and value not in blank
    }


def _same(one: Any, other: Any) -> bool:
    return bool(one == other)


def _empty(name: str, value: Any) -> bool:
    return value in (None, "") or (name == "stage" and value == STAGE_FIRST) or (name == "score" and value == 0)


def parted(now: Mapping[str, Any], before: Mapping[str, Any], changed: Mapping[str, Any]) -> Parted:
    """The survivor without what a merge gave it. `before` it, `changed` by it, `now`: as it stands.

    What nobody touched since is as it was; of lists and attributes what the merge brought goes and what came since
    stays; any other field that was edited since is kept.
    """
    fields: Document = {}
    gone: list[str] = []
    kept: Document = {}
    for name, then in changed.items():
        if name in REMADE:
            continue
        if now.get(name) == then or _appraised(name, now, before, changed):
            if name in before:
                fields[name] = before[name]
            else:
                gone.append(name)
        elif isinstance(then, list) and isinstance(now.get(name), list):
            fields[name] = _without(now[name], before.get(name) or [], then)
        elif name in ("attributes", "sources"):
            fields[name], edited = _keys_parted(now.get(name) or {}, before.get(name) or {}, then)
            kept |= {f"{name}.{key}": value for key, value in edited.items() if name == "attributes"}
        elif name not in _TIMES:
            kept[name] = before.get(name)
    if "stage" in kept and "stage_since" in fields:
        del fields["stage_since"]
    after = {**now, **fields}
    fields["search"] = tokens_of(after)
    return Parted(fields, tuple(gone), {name: value for name, value in kept.items() if name not in _ALONG})


def _appraised(name: str, now: Mapping[str, Any], before: Mapping[str, Any], changed: Mapping[str, Any]) -> bool:
    """Whether rules and nobody else changed the field since: they look at both people again."""
    if name in ("score", *_WITH["score"]):
        given = changed.get("manual_points", before.get("manual_points"))
        gifts = {each["id"] for each in changed.get("score_gifts", before.get("score_gifts")) or ()}
        added = {each["id"] for each in now.get("score_gifts") or ()} - gifts
        return "score_parts" in now and now.get("manual_points") == given and not added
    return name in ("tier", *_WITH["tier"]) and now.get("tier_source") == "rule"


@dataclass(frozen=True)
class Layer:
    """One merge into a survivor: the survivor before it, who was joined, by which choices, and what that changed."""

    before: Document
    other: Document
    choices: Mapping[str, Side]
    changed: Document
    at: datetime


@dataclass(frozen=True)
class Taken:
    """One merge taken out from under later ones: the survivor without it, and the later ones as they would have been
    without it (the part of `Joined` that is kept of each)."""

    survivor: Parted
    later: tuple[tuple[Document, Joined], ...] = ()


def taken_out(
    now: Mapping[str, Any], layer: Layer, later: Sequence[Layer], answered: Mapping[str, datetime]
) -> Taken:  # fmt: skip
    """The survivor without what `layer` gave it, as if the `later` merges, oldest first, had come upon it so."""
    was, had = {**layer.before, **layer.changed}, dict(layer.before)
    rest: list[tuple[Document, Joined]] = []
    for each in later:
        before = _applied(each.before, parted(each.before, had, _unlike(was, had)))
        choices = {name: side for name, side in each.choices.items() if _is_choice(name, before, each.other)}
        plan = joined(before, each.other, choices, each.at, answered)
        rest.append((before, plan))
        was, had = {**each.before, **each.changed}, {**before, **plan.fields}
    return Taken(parted(now, had, _unlike(was, had)), tuple(rest))


def _unlike(was: Mapping[str, Any], had: Mapping[str, Any]) -> Document:
    return {name: was.get(name) for name in {*was, *had} if was.get(name) != had.get(name)}


def _applied(row: Mapping[str, Any], back: Parted) -> Document:
    return {name: value for name, value in {**row, **back.fields}.items() if name not in back.gone}


def _is_choice(name: str, this: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    head, _, key = name.partition(".")
    return name in SINGLE or (head == "attributes" and any(key in (each.get(head) or {}) for each in (this, other)))


def _without(now: Sequence[Any], before: Sequence[Any], then: Sequence[Any]) -> list[Any]:
    """What the merge added is gone; what it only changed is as it was, unless changed again."""
    old, given = {_token(each): each for each in before}, {_token(each): each for each in then}
    result = []
    for each in now:
        token = _token(each)
        if token in given and token not in old:
            continue
        result.append(old[token] if token in old and given.get(token) == each else each)
    return result


def _keys_parted(
    now: Mapping[str, Any], before: Mapping[str, Any], then: Mapping[str, Any]
) -> tuple[Document, Document]:
    result, edited = dict(now), {}
    for key in {*then, *before}:
        if before.get(key) == then.get(key):
            continue
        if now.get(key) != then.get(key):
            edited[key] = before.get(key)
        elif key in before:
            result[key] = before[key]
        else:
            result.pop(key, None)
    return result, edited
