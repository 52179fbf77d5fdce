"""What colleagues are told, and how: each person's own. Programs are told nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from base.errors import NotFound
from base.mongo import Document
from campaigns.telling.models import KINDS, Chosen, Kind, Quiet, TellingChoice, Way, Ways
from desk.api.contract import Call, Operations, not_there
from desk.api.scope import Asking, Reader, seen_ids
from desk.api.shapes import Body, PageQuery, Time, View, When, listed, page, sliced
from desk.auth import SESSION, Principal
from desk.store import User, fingerprint, session_id

operations = Operations("notifications")


class NotificationQuery(PageQuery):
    """Narrows the list."""

    unread: bool | None = None


class NotificationView(View):
    """One thing one is told. `about`: the id of the conversation, person or task it leads to; `by`: who brought it
    about."""

    id: str = Field(validation_alias="_id")
    kind: Kind
    about: str
    conversation_id: str | None
    profile_id: str | None
    by: str | None
    at: Time
    read_at: Time | None = None


class UnreadView(View):
    """How many things are new. `read_at`: names what was read just now, to be taken back."""

    unread: int
    read_at: Time | None = None


class UnreadBody(Body):
    """What is to be new again."""

    read_at: When = Field(description="The `read_at` that reading all of it answered.")


class TellingBody(Body):
    """What one is told, and how. Kinds that are not named are told as usual; one without any way is not told at all."""

    kinds: dict[Kind, Ways] = Field(default_factory=dict, description="Kind → ways.")
    mail_after_min: int = Field(15, ge=0, le=1440, description="Minutes unread before a mail tells of it.")
    quiet: Quiet = Field(default_factory=Quiet, description="When nothing but the desk itself tells, by one's clock.")
    paused_until: When | None = Field(None, description="Quiet until then.")
    hook_url: str | None = Field(
        None, max_length=2000, description="Where the way `hook` posts, e.g. of Slack. Left out: stays; null: goes."
    )


class TellingView(View):
    """What one is told, and how. `hook_host`: where the address of one's own is; itself it is not shown."""

    kinds: dict[Kind, list[Way]]
    mail_after_min: int
    quiet: Quiet
    paused_until: Time | None
    hook_host: str | None


@operations("GET", "/notifications", roles=["viewer"], query=NotificationQuery, returns=list[NotificationView])
async def list_notifications(call: Call) -> Any:
    """List what one was told in the last 60 days, the newest first."""
    found = await call.runtime.notifications.page(
        _me(call).id, unread=call.query.unread, limit=call.query.limit, cursor=call.query.cursor
    )
    return listed(found, [NotificationView.model_validate(row) for row in await seen_notices(call, found.data)])


@operations("GET", "/notifications/unread", roles=["viewer"], returns=UnreadView)
async def count_notifications(call: Call) -> Any:
    """How many things are new: all that is about one conversation counts as one."""
    _me(call)
    return UnreadView(unread=await unread_count(call))


@operations("POST", "/notifications/{id:ntf}/read", roles=["viewer"], returns=UnreadView)
async def read_notification(call: Call) -> Any:
    """Mark one as read, with all that is about the same conversation, person or task."""
    row = await call.runtime.notifications.get(_me(call).id, call.path["id"])
    if not await seen_notices(call, [row]):
        raise not_there()
    await call.runtime.notifications.read(call.principal.id, row)
    return UnreadView(unread=await unread_count(call))


@operations("POST", "/notifications/read-all", roles=["viewer"], returns=UnreadView)
async def read_all_notifications(call: Call) -> Any:
    """Mark all as read."""
    _count, at = await call.runtime.notifications.read_all(_me(call).id)
    return UnreadView(unread=await unread_count(call), read_at=at)


@operations("POST", "/notifications/unread", roles=["viewer"], body=UnreadBody, returns=UnreadView)
async def unread_notifications(call: Call) -> Any:
    """Take back that all was marked as read."""
    await call.runtime.notifications.unread_again(_me(call).id, call.body.read_at)
    return UnreadView(unread=await unread_count(call))


@operations("GET", "/me/notification-settings", roles=["viewer"], returns=TellingView)
async def get_notification_settings(call: Call) -> Any:
    """What one is told, and how."""
    return telling_view(await call.runtime.telling_choices.of(_me(call).id))


@operations("PUT", "/me/notification-settings", roles=["viewer"], body=TellingBody, returns=TellingView)
async def replace_notification_settings(call: Call) -> Any:
    """Choose what one is told, and how."""
    given: TellingBody = call.body
    choice = TellingChoice(
        kinds=given.kinds, mail_after_min=given.mail_after_min, quiet=given.quiet, paused_until=given.paused_until
    )
    keeps = "hook_url" not in given.model_fields_set
    return telling_view(
        await call.runtime.telling_choices.choose(
            _me(call).id, choice, hook_url=given.hook_url, keeps_hook=keeps
        )
    )  # fmt: skip


async def seen_notices(asking: Asking, rows: Sequence[Document]) -> list[Document]:
    """Those about channels and people that the reader may see, as of today."""
    if asking.principal.channels is None:
        return list(rows)
    on_none = {row["profile_id"] for row in rows if row.get("profile_id") and row.get("channel_id") is None}
    people = await seen_ids(asking, on_none)
    return [
        row
        for row in rows
        if asking.principal.may_see(row.get("channel_id"))
        and (row.get("channel_id") is not None or not row.get("profile_id") or row["profile_id"] in people)
    ]


async def unread_by(runtime: Any, principal: Principal) -> int:
    """How many things are new to this principal."""
    return await unread_count(Reader(principal, runtime))


async def unread_count(asking: Asking) -> int:
    """How many things are new to who asks; a program is told nothing."""
    if asking.principal.user is None:
        return 0
    rows = await seen_notices(asking, await asking.runtime.notifications.unread(asking.principal.id))
    return len({row["about"] for row in rows})


def telling_view(chosen: Chosen) -> TellingView:
    """All kinds with their ways, chosen or usual."""
    choice = chosen.choice
    return TellingView(
        kinds={kind: list(choice.ways(kind)) for kind in KINDS}, mail_after_min=choice.mail_after_min,
        quiet=choice.quiet, paused_until=choice.paused_until, hook_host=chosen.hook_host,
    )  # fmt: skip


def _me(call: Call) -> User:
    if call.principal.user is None:
        raise NotFound("A program is told nothing: sign in as a person.")
    return call.principal.user


# -- browsers --------------------------------------------------------------------------------------------------------


class PushKeyView(View):
    """What a browser needs to subscribe: `applicationServerKey`, URL-safe base64."""

    public_key: str


class BrowserBody(Body):
    """A push subscription as the browser gives it."""

    endpoint: str = Field(min_length=1, max_length=2000)
    p256dh: str = Field(min_length=1, max_length=200)
    auth: str = Field(min_length=1, max_length=100)


class BrowserView(View):
    """A browser of one's own that is pushed to. Its endpoint is not shown: who knows it could write there."""

    id: str = Field(validation_alias="_id")
    agent: str
    created_at: Time
    current: bool = False


@operations("GET", "/push-key", roles=["viewer"], returns=PushKeyView)
async def get_push_key(call: Call) -> Any:
    """The public key of this deployment for web push."""
    return PushKeyView(public_key=await call.runtime.push_keys.public())


@operations("GET", "/me/push", roles=["viewer"], query=PageQuery, returns=list[BrowserView])
async def list_my_browsers(call: Call) -> Any:
    """List one's own browsers that are pushed to."""
    rows = await call.runtime.browsers.of(_me(call).id)
    shown, following = sliced(rows, lambda each: each["_id"], call.query)
    return page([_browser(call, row) for row in shown], following)


@operations("POST", "/me/push", roles=["viewer"], body=BrowserBody, returns=BrowserView, status=201)
async def add_my_browser(call: Call) -> Any:
    """Push to this browser from now on, until its session ends."""
    user, secret = _me(call), call.request.get(SESSION, "")
    agent = call.request.headers.get("User-Agent", "")[:200]
    row = await call.runtime.browsers.keep(
        user.id, session_id(fingerprint(secret)), agent, call.body.model_dump()
    )  # fmt: skip
    return _browser(call, row)


@operations("DELETE", "/me/push/{id:psh}", roles=["viewer"])
async def remove_my_browser(call: Call) -> None:
    """Push to one of one's own browsers no more."""
    if not await call.runtime.browsers.remove([call.path["id"]], _me(call).id):
        raise not_there()


def _browser(call: Call, row: Document) -> BrowserView:
    this = session_id(fingerprint(call.request.get(SESSION, "")))
    return BrowserView.model_validate(row).model_copy(update={"current": row["session_id"] == this})
