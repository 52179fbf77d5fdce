"""On which of the channels, and at which of their addresses, a person is written to; or why on none. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from channels.capabilities import Capabilities
from channels.failures import CONSEQUENCES, Failure
from inbox.models import Reason
from inbox.policy import Open, window
from profiles.consent import Verdict
from profiles.models import Identity

NO_ADDRESS = Reason("no_address", "There is no address of this person on any of the channels.")
_GONE = Reason("channel_gone", "None of the channels is connected.")
#: What stands in the way, the most telling first: a person who said no is told of before one who left.
_CODES: Mapping[str, str] = {
    "denied": "no_consent", "no_consent": "no_consent", "suppressed": "suppressed", "shut_out": "shut_out",
    "unreachable": "left",
}  # fmt: skip
_RANK = {"no_consent": 3, "shut_out": 2, "suppressed": 2, "left": 1, "no_address": 0}


@dataclass(frozen=True)
class Road:
    """A connected account as a broadcast sees it."""

    channel_id: str
    is_mail: bool
    capabilities: Capabilities


@dataclass(frozen=True)
class Way:
    """Where somebody is written to."""

    channel_id: str
    identity_id: str


def addresses(road: Road, identities: Sequence[Identity]) -> Iterator[Identity]:
    """The person's addresses on this account, those by which they wrote to it first."""
    yield from (each for each in identities if each.channel_id == road.channel_id)
    if road.is_mail:
        yield from (each for each in identities if each.kind == "email" and each.channel_id is None)


def way_of(
    roads: Sequence[Road], identities: Sequence[Identity], purpose: str, verdicts: Mapping[tuple[str, str], Verdict],
    at: datetime, *, has_approved: bool,
) -> Way | Reason:  # fmt: skip
    """The first channel on which the person may be written to and will be then; failing that one whose reply window
    they would have to open again; else what stands in the way."""
    closed: Way | None = None
    reason = NO_ADDRESS if roads else _GONE
    for road in roads:
        for each in addresses(road, identities):
            verdict = verdicts.get((each.id, purpose))
            if verdict is None or not verdict.ok:
                reason = _more_telling(reason, verdict)
                continue
            way = Way(road.channel_id, each.id)
            if _open(road, each, at, has_approved):
                return way
            closed = closed or way
    return closed or reason


def _open(road: Road, identity: Identity, at: datetime, has_approved: bool) -> bool:
    able = road.capabilities
    if has_approved and able.template_outside_window:
        return True
    return isinstance(window(able, identity, at, automatic=True), Open)


def _more_telling(known: Reason, verdict: Verdict | None) -> Reason:
    code = _CODES.get((verdict.reason if verdict else None) or "", "no_consent")
    if _RANK.get(code, 0) <= _RANK.get(known.code, -1):
        return known
    if code == "left":
        return Reason(code, CONSEQUENCES[Failure.RECIPIENT_BLOCKED].sentence)
    sentence = verdict.sentence if verdict else None
    return Reason(code, sentence or "This person wants no such messages.")
