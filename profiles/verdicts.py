"""From acts of consent to what is effective, and from that to whether we may write. Pure.

Effective is the last explicit act of the person; staff, imports and programs may record a no but never lift one. A
pause is a no that ends by itself. A yes that waits for its confirmation is none yet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from profiles.models import SHUT_OUT, Identity

#: Acts of these sources are not the person's own.
NOT_THE_PERSON = frozenset({"staff", "import", "api", "journey", "provider_failure"})
#: A yes of these is somebody's word about an address, not the word of who reads it: where a group wants a double
#: opt-in, it has to be confirmed from there.
UNCONFIRMED = frozenset({"form", "staff", "api", "journey"})
#: A denial of this one covers every purpose of the class marketing.
MARKETING = "marketing"
#: Purposes that nobody can be asked to consent to.
SERVICE = frozenset({"service", "transactional"})
#: How long the link of a double opt-in is good for.
CONFIRM_WITHIN = timedelta(days=7)

_SENTENCES = {
    "unknown_identity": "This address is not known any more.",
    "suppressed": "This address is suppressed: {detail}.",
    SHUT_OUT: "This person is shut out.",
    "unreachable": "The person left or blocked this channel.",
    "denied": "The person does not want such messages here.",
    "no_consent": "The person has not agreed to such messages here.",
}


@dataclass(frozen=True)
class Verdict:
    """Whether it may be sent. `reason` is a stable code, `sentence` for a person."""

    ok: bool
    reason: str | None = None
    sentence: str | None = None


@dataclass(frozen=True)
class State:
    """What is effective for one address and purpose. `until`: a pause, after which `before` is effective again."""

    granted: bool
    at: datetime
    until: datetime | None = None
    before: State | None = None


def effective(acts: Iterable[Mapping[str, Any]]) -> State | None:
    """The state after these acts of one address and purpose, given in the order in which they were done.

    A pause stands in it whether it is over or not: see `standing`.
    """
    listed = list(acts)
    taken_back = {act["retracts"] for act in listed if act.get("retracts")}
    state: State | None = None
    for act in listed:
        if act.get("retracts") or act.get("pending") or act.get("_id") in taken_back:
            continue
        state = _after(standing(state, act["at"]), act)
    return state


def _after(state: State | None, act: Mapping[str, Any]) -> State | None:
    denied = state is not None and not state.granted
    if denied and act["granted"] and not act["by_person"]:
        return state
    until = act.get("until")
    if until is None:
        return State(act["granted"], act["at"])
    if denied and state is not None and state.until is None:
        return state  # a plain no does not end because of a pause
    return State(False, act["at"], until, state.before if denied and state is not None else state)


def standing(state: State | None, now: datetime) -> State | None:
    """What is effective now: of a pause that is over, what was before it."""
    if state is not None and state.until is not None and state.until <= now:
        return state.before
    return state


def awaited(acts: Iterable[Mapping[str, Any]], now: datetime) -> Mapping[str, Any] | None:
    """The yes among these acts (in their order) that waits for its confirmation; None when none does any more."""
    found: Mapping[str, Any] | None = None
    for act in acts:
        if act.get("pending"):
            found = act
        elif act["by_person"] or not act["granted"]:
            found = None
    return found if found is not None and now < found["at"] + CONFIRM_WITHIN else None


def judge(
    identity: Identity | None, purpose: str, states: Mapping[str, State], needs_yes: Collection[str] = ()
) -> Verdict:
    """Whether this address may be written to for this purpose. `states`: purpose → what is effective now."""
    if identity is None:
        return _no("unknown_identity")
    if identity.suppressed is not None and identity.suppressed.reason == SHUT_OUT:
        return _no(SHUT_OUT)
    if identity.suppressed is not None:
        return _no("suppressed", identity.suppressed.reason)
    verdict = Verdict(True) if purpose in SERVICE else wanted(purpose, states, needs_yes)
    if verdict.ok and not identity.reachable:
        return _no("unreachable")
    return verdict


def wanted(purpose: str, states: Mapping[str, State], needs_yes: Collection[str] = ()) -> Verdict:
    """The same without the question whether the address works: what the person wants there."""
    own, general = states.get(purpose), states.get(MARKETING)
    if own is not None and not own.granted:
        return _no("denied")
    if general is not None and not general.granted and not (own is not None and own.at > general.at):
        return _no("denied")
    if own is None and (purpose in needs_yes or (general is None and MARKETING in needs_yes)):
        return _no("no_consent")
    return Verdict(True)


def _no(reason: str, detail: str = "") -> Verdict:
    return Verdict(False, reason, _SENTENCES[reason].format(detail=detail))
