"""Addresses that are told what happens here: made, changed, tried out, switched off; what they got, and once more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Protocol
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from base.clock import Clock
from base.errors import Conflict, FieldError, NotFound, WrongInput
from base.http import INSIDE, AddressGuard
from base.ids import new_id
from base.mongo import Document
from base.pages import Page
from base.queue import Bell
from base.secret_box import SecretBox
from base.signing_secrets import SigningSecrets
from webhooks.outgoing.names import TEST, fault_in
from webhooks.outgoing.store import EndpointStore, PostStore

#: More are more than anybody looks after; each is asked at every event.
ENDPOINTS_MAX = 50
_NEEDS = "is a web address such as https://example.com/hook, without names, passwords or # in it"


def _web_address(value: str) -> str:
    try:
        parts = urlsplit(value)
        named = parts.hostname and parts.port != 0
    except ValueError:
        named = None
    if not named or parts.scheme not in ("http", "https") or parts.username is not None or parts.fragment:
        raise ValueError(_NEEDS)
    if any(letter.isspace() or not letter.isprintable() for letter in value):
        raise ValueError(_NEEDS)
    return value


def _names(value: list[str]) -> list[str]:
    faults = [fault for name in value if (fault := fault_in(name)) is not None]
    if faults:
        raise ValueError("; ".join(faults)[:400])
    return list(dict.fromkeys(value))


EventName = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f$][^\x00-\x1f]*$", max_length=100)]
EventNames = Annotated[list[EventName], Field(min_length=1, max_length=200), AfterValidator(_names)]
Url = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_web_address)]
ChannelIds = Annotated[
    list[Annotated[str, StringConstraints(pattern=r"^chn_[0-9a-z]{26}$")]], Field(min_length=1, max_length=200)
]
Description = Annotated[str, StringConstraints(max_length=200, strip_whitespace=True)]


class EndpointInput(BaseModel):
    """A new endpoint. `events`: names, `order.*` for all of a family, `*` for everything. `channels`: only what
    concerns these channels; null: everything."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Url
    events: EventNames
    channels: ChannelIds | None = None
    description: Description = ""


class EndpointPatch(BaseModel):
    """What may be changed; fields left out stay. `state` `on` also puts back what had been switched off by itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Url | None = None
    events: EventNames | None = None
    channels: ChannelIds | None = None
    description: Description | None = None
    state: Literal["on", "off"] | None = None


class Ringer(Protocol):
    """Wakes workers."""

    async def ring(self, *bells: Bell) -> None: ...


class Endpoints:
    """The use cases. Whoever calls has checked who may."""

    def __init__(
        self, store: EndpointStore, posts: PostStore, box: SecretBox, guard: AddressGuard, doorbell: Ringer,
        clock: Clock,
    ) -> None:  # fmt: skip
        self._store = store
        self._posts = posts
        self._secrets = SigningSecrets(box, clock)
        self._guard = guard
        self._doorbell = doorbell
        self._clock = clock

    async def create(
        self, wanted: EndpointInput, by: str | None, endpoint_id: str | None = None
    ) -> tuple[Document, str]:  # fmt: skip
        """A new one and its secret, which is shown this once. `endpoint_id`: chosen by who may ask twice.

        Raises `WrongInput` for an address inside the house, `Conflict` for an id that is there or one too many.
        """
        self._refuse_inside(wanted.url)
        if len(await self._store.all()) >= ENDPOINTS_MAX:
            raise Conflict("There are as many endpoints as there may be. Remove one first.", code="too_many")
        made = endpoint_id or new_id("whk")
        secret, sealed = self._secrets.new(made)
        fields = {**wanted.model_dump(), "host": host_of(wanted.url), "secret": sealed, "created_by": by}
        row = await self._store.add(made, fields)
        if row is None:
            raise Conflict("This endpoint has been made already.", code="exists")
        return row, secret

    async def get(self, endpoint_id: str) -> Document:
        """One. Raises `NotFound`."""
        row = await self._store.get(endpoint_id)
        if row is None:
            raise NotFound("There is no such endpoint.")
        return row

    async def known(self, endpoint_id: str) -> Document:
        """One, also if it was removed. Raises `NotFound`."""
        row = await self._store.known(endpoint_id)
        if row is None:
            raise NotFound("There is no such endpoint.")
        return row

    async def all(self) -> list[Document]:
        """The newest first."""
        return await self._store.all()

    async def change(self, endpoint_id: str, given: Mapping[str, Any]) -> Document:
        """Change what is given. What waits goes to the new address. Raises `NotFound`, `WrongInput`."""
        before = await self.get(endpoint_id)
        for name in ("url", "events", "description", "state"):
            if name in given and given[name] is None:
                raise WrongInput("The endpoint cannot be without this.", [FieldError(name, "cannot be empty")])
        fields = dict(given)
        if "url" in given:
            self._refuse_inside(given["url"])
            fields["host"] = host_of(given["url"])
        if given.get("state") == "on" and before["state"] != "on":
            fields |= {"failing_since": None, "last_failed_at": None}
        narrowed = "channels" in given and given["channels"] != before["channels"]
        if narrowed:
            fields["scoped_at"] = self._clock()
        gone = ("disabled_at", "disabled_why", "untold") if "state" in given else ()
        row = await self._store.change(endpoint_id, fields, gone=gone)
        if row is None:
            raise NotFound("There is no such endpoint.")
        if narrowed:
            await self._posts.write_anew(endpoint_id)
        if row["host"] != before["host"]:
            await self._posts.move(endpoint_id, row["host"])
        return row

    async def remove(self, endpoint_id: str) -> None:
        """Take it away; `restore` puts it back. What was still to go there does not go. Raises `NotFound`."""
        if not await self._store.remove(endpoint_id):
            raise NotFound("There is no such endpoint.")

    async def restore(self, endpoint_id: str) -> Document:
        """Undo that. Raises `NotFound`."""
        await self._store.restore(endpoint_id)
        return await self.get(endpoint_id)

    async def exchange(self, endpoint_id: str) -> str:
        """A new secret from now on, shown this once; for a day the former one signs too. Raises `NotFound`,
        `Conflict` for two at once."""
        before = await self.get(endpoint_id)
        secret, fields = self._secrets.exchanged(before)
        if await self._store.change(endpoint_id, fields, rev=before["rev"]) is None:
            raise Conflict("The endpoint was changed just now. Look at it again.", code="contended")
        return secret

    async def test(self, endpoint_id: str) -> Document:
        """Post something that happened to nobody, also while it is off; the post. Raises `NotFound`."""
        row, event_id = await self.get(endpoint_id), new_id("evt")
        post = {
            "key": f"{endpoint_id}:{event_id}", "endpoint_id": endpoint_id, "event_id": event_id, "event": TEST,
            "profile_id": None, "channel_id": None, "host": row["host"], "test": True,
        }  # fmt: skip
        (kept,) = await self._posts.plan([post])
        await self._doorbell.ring("hook")
        return kept

    async def deliveries(
        self, endpoint_id: str, *, limited: bool = False, state: str | None = None, limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[Document]:  # fmt: skip
        """What it got and what it is to get, the newest first. `limited`: for who sees some channels only, without what
        it got while it was told of other ones. Raises `NotFound`, `WrongInput` for a foreign cursor."""
        since = (await self.get(endpoint_id)).get("scoped_at") if limited else None
        return await self._posts.page(endpoint_id, since=since, state=state, limit=limit, cursor=cursor)

    async def delivery(self, endpoint_id: str, post_id: str, *, limited: bool = False) -> Document:
        """One post; `limited` as above. Raises `NotFound`."""
        endpoint = await self.get(endpoint_id)
        row = await self._posts.get(endpoint_id, post_id)
        if row is None or (limited and _is_of_before(row, endpoint)):
            raise NotFound("There is no such delivery; they are kept for 30 days.")
        return row

    async def redeliver(self, endpoint_id: str, post_id: str, *, limited: bool = False) -> Document:
        """Post it again under the same id, with the same words unless its channels have changed since. Raises
        `NotFound`, `Conflict` while it is off."""
        before = await self.delivery(endpoint_id, post_id, limited=limited)
        endpoint = await self.get(endpoint_id)
        self._refuse_off(endpoint)
        row = await self._posts.again(endpoint_id, post_id, anew=_is_of_before(before, endpoint))
        if row is None:
            raise NotFound("There is no such delivery; they are kept for 30 days.")
        await self._doorbell.ring("hook")
        return row

    async def redeliver_failed(self, endpoint_id: str, since: datetime | None = None) -> int:
        """The same for all that failed, for after a fault that was mended; how many. Raises as above."""
        endpoint = await self.get(endpoint_id)
        self._refuse_off(endpoint)
        count = await self._posts.all_again(endpoint_id, since, endpoint.get("scoped_at"))
        await self._doorbell.ring("hook")
        return count

    async def failed(self, endpoint_id: str) -> int:
        """How many posts failed for good."""
        return await self._posts.failed(endpoint_id)

    async def oldest_due(self) -> datetime | None:
        """When the post that waits longest is due."""
        return await self._posts.oldest_due()

    def secrets_of(self, row: Document) -> Sequence[str]:
        """What its posts are signed with: the newest first, for a day after an exchange two."""
        return self._secrets.of(row)

    def _refuse_inside(self, url: str) -> None:
        """An address by its number is judged at once; what a name leads to is judged at each call."""
        if self._guard.refuses(host_of(url)):
            raise WrongInput("This address cannot be called.", [FieldError("url", INSIDE)], code="refused_address")

    def _refuse_off(self, row: Document) -> None:
        if row["state"] != "on":
            raise Conflict("This endpoint is switched off. Switch it on first.", code="switched_off")


def host_of(url: str) -> str:
    """Whom a post asks, for places side by side."""
    return (urlsplit(url).hostname or "").lower()


def _is_of_before(post: Document, endpoint: Document) -> bool:
    """Planned while the endpoint was told of other channels: it may say what is not for it now."""
    return "scoped_at" in endpoint and post["created_at"] < endpoint["scoped_at"]
