"""One's own account, for who is signed in: programs have none."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from base.errors import FieldError, NotFound, WrongInput
from desk.api.contract import Call, Operations, not_there
from desk.api.shapes import Name, PageQuery, Patch, Time, View, page, sliced
from desk.auth import SESSION
from desk.i18n import LANGUAGES, ZONES
from desk.store import Role, SignedIn, User, fingerprint, session_id

operations = Operations("own account")


class MePatch(Patch):
    """What to change of oneself."""

    name: Name = ""
    language: str | None = Field(None, max_length=10)
    time_zone: str | None = Field(None, max_length=60)


class MeView(View):
    """Who is asking. A program has no mail address, language and time zone."""

    id: str
    kind: str
    name: str
    role: Role
    channels: list[str] | None
    email: str | None
    language: str | None
    time_zone: str | None


class SessionView(View):
    """A place where one is signed in."""

    id: str
    created_at: Time
    last_seen_at: Time
    expires_at: Time
    agent: str
    address: str
    current: bool


@operations("GET", "/me", roles=["viewer"], returns=MeView)
async def get_me(call: Call) -> Any:
    """Who is asking, a person or a program."""
    return _view(call, call.principal.user)


@operations("PATCH", "/me", roles=["viewer"], body=MePatch, returns=MeView)
async def change_me(call: Call) -> Any:
    """Change one's own name, language and time zone."""
    user, given = _person(call), call.body.given()
    if given.get("language") is not None and given["language"] not in LANGUAGES:
        raise WrongInput("We do not speak that.", [FieldError("language", f"is one of {', '.join(LANGUAGES)}")])
    if given.get("time_zone") is not None and given["time_zone"] not in ZONES:
        raise WrongInput("There is no such zone.", [FieldError("time_zone", "is a zone such as Europe/Amsterdam")])
    return _view(call, await call.accounts.store.change_user(user.id, given))


@operations("GET", "/me/sessions", roles=["viewer"], query=PageQuery, returns=list[SessionView])
async def list_my_sessions(call: Call) -> Any:
    """List where one is signed in, the last used first."""
    sessions = await call.accounts.store.sessions_of(_person(call).id)
    shown, following = sliced(sessions, lambda each: each.id, call.query)
    return page([_session_view(call, each) for each in shown], following)


@operations("DELETE", "/me/sessions/{id:ses}", roles=["viewer"])
async def close_my_session(call: Call) -> None:
    """End one of one's own sessions, at once."""
    if not await call.accounts.store.close_session_named(_person(call).id, call.path["id"]):
        raise not_there()


def _person(call: Call) -> User:
    if call.principal.user is None:
        raise NotFound("A program has no account of its own.")
    return call.principal.user


def _view(call: Call, user: User | None) -> MeView:
    who = call.principal
    return MeView(
        id=who.id, kind=who.kind, name=user.name if user else who.name, role=who.role,
        channels=None if who.channels is None else sorted(who.channels), email=user.email if user else None,
        language=user.language if user else None, time_zone=user.time_zone if user else None,
    )  # fmt: skip


def _session_view(call: Call, session: SignedIn) -> SessionView:
    this = session_id(fingerprint(call.request.get(SESSION, "")))
    return SessionView(**vars(session), current=session.id == this)
