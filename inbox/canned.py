"""Canned replies: what is written again and again, under a shortcut, with files; one's own, a team's, or for all.

Their blanks (`{{ profile.first_name }}`) are filled in by `campaigns.canned`; what could not be filled stays in the
text as it is written, and no answer goes out with it (`unfilled`). The text may also come from an address of one's own
each time it is chosen (`url`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from base.clock import Clock
from base.errors import Conflict, FieldError, NotFound, WrongInput
from base.ids import is_id, new_id
from base.mongo import Database, Document, DuplicateKeyError, Session
from channels.store import ChannelStore
from inbox.drafts import FILES_MAX
from inbox.store.canned import CannedStore
from inbox.store.files import BlobGone, FileStore
from inbox.store.teams import TeamStore

#: How often a change is tried again because somebody else saved at the same moment.
ROUNDS = 5
#: As many as a list can show, of one person and of all.
OWN_MAX, SHARED_MAX = 200, 500
TEXT_MAX = 20_000
#: What was taken away can be put back for so long.
KEPT = timedelta(days=30)
#: What a blank may name.
NAMESPACES = ("profile", "order", "agent", "conversation")
_BLANK = re.compile(r"\{\{-?\s*(?:" + "|".join(NAMESPACES) + r")\b[^{}]*\}\}", re.IGNORECASE)
_FILE_FIELDS = ("name", "media_type", "size_bytes", "sha256", "grid_id")
MISSING = "There is no such canned reply."

Scope = Literal["everybody", "team", "me"]
SHORTCUT_MAX = 40
Shortcut = Annotated[str, StringConstraints(min_length=1, max_length=SHORTCUT_MAX, pattern=r"^[^\s/]+$")]


class CannedInput(BaseModel):
    """A canned reply as it is written. Without channels it is for all of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shortcut: Shortcut = Field(description="What is typed after `/` to find it.")
    title: str = Field("", max_length=120)
    text: str = Field("", max_length=TEXT_MAX, description="With blanks such as `{{ profile.first_name }}`.")
    file_ids: tuple[Annotated[str, StringConstraints(pattern="^fil_[0-9a-z]{26}$")], ...] = Field(
        (), max_length=FILES_MAX, description="Uploads of the caller's, or files it has already."
    )
    url: str | None = Field(
        None, max_length=2000, pattern=r"^https?://[^\s]+$",
        description="In place of a text: it is asked for the text, signed, each time.",
    )
    scope: Scope = Field("everybody", description="`team`: who is in it; `me`: nobody else sees it.")
    team_id: str | None = Field(None, pattern="^tea_[0-9a-z]{26}$", description="With scope `team`: which.")
    channel_ids: tuple[Annotated[str, StringConstraints(pattern="^chn_[0-9a-z]{26}$")], ...] = Field(
        (), max_length=200, description="Offered on these channels only."
    )

    @model_validator(mode="after")
    def _says_something(self) -> CannedInput:
        if not (self.text.strip() or self.file_ids or self.url):
            raise ValueError("write something, or add a file")
        if self.url and self.text.strip():
            raise ValueError("the text comes from the address: write none, or take the address away")
        if self.scope == "team" and self.team_id is None:
            raise ValueError("say of which team")
        return self

    @property
    def named_team(self) -> str | None:
        """The team that is to have it."""
        return self.team_id if self.scope == "team" else None


@dataclass(frozen=True)
class CannedReply:
    """A canned reply as it stands; without an owner it is everybody's, else a team's or a person's."""

    id: str
    shortcut: str
    title: str
    text: str
    url: str | None
    file_ids: tuple[str, ...]
    owner_id: str | None
    channel_ids: tuple[str, ...]
    uses: int
    used_at: datetime | None
    stands: bool
    rev: int
    created_at: datetime
    updated_at: datetime

    @property
    def scope(self) -> Scope:
        """Who sees it."""
        if self.owner_id is None:
            return "everybody"
        return "team" if self.team_id else "me"

    @property
    def team_id(self) -> str | None:
        """Whose it is, when a team's."""
        return self.owner_id if self.owner_id and is_id(self.owner_id, "tea") else None


class CannedReplies:
    """The use cases. What is somebody else's own, or another team's, is not there; `all_teams`: but for who looks after
    all of them."""

    def __init__(
        self, database: Database, store: CannedStore, files: FileStore, channels: ChannelStore, teams: TeamStore,
        clock: Clock,
    ) -> None:  # fmt: skip
        self._database = database
        self._store = store
        self._files = files
        self._channels = channels
        self._teams = teams
        self._clock = clock

    async def seen_by(self, user_id: str, *, all_teams: bool = False) -> list[CannedReply]:
        """Everybody's, one's teams' and one's own, by shortcut."""
        teams = None if all_teams else await self._teams.of_member(user_id)
        return [_reply(row) for row in await self._store.seen_by(user_id, teams)]

    async def get(self, reply_id: str, user_id: str, *, all_teams: bool = False) -> CannedReply:
        """One that this person sees. Raises `NotFound`."""
        found = await self.known(reply_id, user_id, all_teams=all_teams)
        if not found.stands:
            raise NotFound(MISSING)
        return found

    async def known(self, reply_id: str, user_id: str, *, all_teams: bool = False) -> CannedReply:
        """The same, also when it was taken away. Raises `NotFound`."""
        row = await self._store.get(reply_id) if is_id(reply_id, "cnr") else None
        found = _reply(row) if row is not None else None
        if found is None or found.owner_id not in (None, user_id, found.team_id):
            raise NotFound(MISSING)
        if found.team_id and not all_teams and found.team_id not in await self._teams.of_member(user_id):
            raise NotFound(MISSING)
        return found

    async def create(self, wanted: CannedInput, user_id: str) -> CannedReply:
        """A new one, with copies of its files. Raises `Conflict` when the shortcut is taken or there are too many,
        `WrongInput` for files and channels that are not there."""
        owner_id = await self._owner(wanted, user_id)
        await self._require_room(owner_id)
        await self._know_channels(wanted.channel_ids)
        return await self._tried(lambda: self._created(new_id("cnr"), wanted, owner_id, user_id))

    async def change(
        self, reply_id: str, user_id: str, given: Mapping[str, Any], *, all_teams: bool = False
    ) -> CannedReply:  # fmt: skip
        """Replace the parts given. What is no longer shared is its changer's own; files that are left out are uploads
        of the changer's again. Raises `NotFound`, `Conflict`, `WrongInput`."""
        return await self._tried(lambda: self._changed(reply_id, user_id, given, all_teams))

    async def _tried(self, attempt: Callable[[], Awaitable[Document | None]]) -> CannedReply:
        for _ in range(ROUNDS):
            try:
                row = await attempt()
            except DuplicateKeyError:
                raise _taken() from None
            except BlobGone:
                continue
            if row is not None:
                return _reply(row)
        raise Conflict("This canned reply is being changed too often just now.", code="contended")

    async def _created(self, reply_id: str, wanted: CannedInput, owner_id: str | None, user_id: str) -> Document:
        kept, copies = await self._files_of(reply_id, owner_id, wanted.file_ids, (), user_id)
        fields = {**_fields(wanted, owner_id, kept), "created_by": user_id}

        async def work(session: Session) -> Document:
            await self._files.insert(copies, session)
            return await self._store.add(reply_id, fields, session)

        made: Document = await self._database.in_transaction(work)
        return made

    async def _changed(
        self, reply_id: str, user_id: str, given: Mapping[str, Any], all_teams: bool
    ) -> Document | None:  # fmt: skip
        """The row afterwards; None when somebody else was quicker."""
        known = await self.get(reply_id, user_id, all_teams=all_teams)
        wanted = _checked({**_written(known), **given})
        owner_id = await self._owner(wanted, user_id)
        if owner_id != known.owner_id:
            await self._require_room(owner_id)
        await self._know_channels(set(wanted.channel_ids) - set(known.channel_ids))
        kept, copies = await self._files_of(reply_id, owner_id, wanted.file_ids, known.file_ids, user_id)
        left = [each for each in known.file_ids if each not in kept]
        fields, now = _fields(wanted, owner_id, kept), self._clock()

        async def work(session: Session) -> Document | None:
            row = await self._store.change(reply_id, known.rev, fields, session)
            if row is not None:
                await self._files.insert(copies, session)
                await self._files.give_up(left, user_id, now, session)
                await self._files.own(kept, owner_id, session)
            return row

        row: Document | None = await self._database.in_transaction(work)
        return row

    async def remove(self, reply_id: str, user_id: str, *, all_teams: bool = False) -> None:
        """Take one away; for 30 days it can be put back. Raises `NotFound`."""
        await self.get(reply_id, user_id, all_teams=all_teams)
        await self._store.remove(reply_id)

    async def restore(self, reply_id: str, user_id: str, *, all_teams: bool = False) -> CannedReply:
        """Put one back; nothing is done to one that stands. Raises `NotFound`, `Conflict`."""
        await self.known(reply_id, user_id, all_teams=all_teams)
        try:
            await self._store.restore(reply_id)
        except DuplicateKeyError:
            raise _taken() from None
        return await self.get(reply_id, user_id, all_teams=all_teams)

    async def tidy(self) -> int:
        """Forget what was taken away long ago, with its files; how many. A chore, safe to be done by several at once.
        A file that stands in somebody's draft is there for another week."""
        now = self._clock()
        old = await self._store.removed_before(now - KEPT)
        for row in old:

            async def work(session: Session, row: Document = row) -> None:
                if await self._store.forget(row["_id"], session):
                    await self._files.give_up(row["file_ids"], row["created_by"], now, session)

            await self._database.in_transaction(work)
        return len(old)

    async def _owner(self, wanted: CannedInput, user_id: str) -> str | None:
        """Whose it will be; None: everybody's. Raises `WrongInput` for a team that is not there."""
        team_id = wanted.named_team
        if team_id is None:
            return None if wanted.scope == "everybody" else user_id
        if await self._teams.get(team_id) is None:
            raise WrongInput("There is no such team.", [FieldError("team_id", "is no team here")])
        return team_id

    async def _require_room(self, owner_id: str | None) -> None:
        if await self._store.count(owner_id) >= (SHARED_MAX if owner_id is None else OWN_MAX):
            raise Conflict("There are too many canned replies already; take one away first.", code="too_many")

    async def _know_channels(self, channel_ids: Iterable[str]) -> None:
        for each in channel_ids:
            if await self._channels.get(each) is None:
                raise WrongInput("There is no such channel.", [FieldError("channel_ids", f"{each} is no channel here")])

    async def _files_of(
        self, reply_id: str, owner_id: str | None, wanted: Sequence[str], held: Sequence[str], user_id: str
    ) -> tuple[list[str], list[Document]]:  # fmt: skip
        """The ids under which the reply holds these files, and the rows that are new."""
        rows = await self._files.rows([each for each in wanted if each not in held])
        kept: list[str] = []
        copies: list[Document] = []
        for place, file_id in enumerate(dict.fromkeys(wanted)):
            if file_id in held:
                kept.append(file_id)
                continue
            row = rows.get(file_id)
            if row is None or row["state"] != "stored" or row["source"] != "upload" or row["created_by"] != user_id:
                fault = FieldError(f"file_ids.{place}", "names no file that you have uploaded")
                raise WrongInput("These files cannot be kept.", [fault])
            copy = {name: row[name] for name in _FILE_FIELDS} | {
                "_id": new_id("fil"), "source": "canned", "state": "stored", "canned_id": reply_id,
                "owner_id": owner_id, "copied_from": file_id, "created_by": user_id, "created_at": self._clock(),
            }  # fmt: skip
            copies.append(copy)
            kept.append(copy["_id"])
        return kept, copies


def fold(text: str) -> str:
    """What makes two shortcuts the same, and how words are looked for."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def looked_for(replies: Sequence[CannedReply], q: str) -> list[CannedReply]:
    """Those with all these words: by shortcut first, then title, then text; of alike ones what is used more. Pure."""
    words = fold(q).split()
    if not words:
        return list(replies)
    found: list[tuple[int, int, int, CannedReply]] = []
    for place, each in enumerate(replies):
        shortcut, title, text = fold(each.shortcut), fold(each.title), fold(each.text)
        if all(word in f"{shortcut} {title} {text}" for word in words):
            rank = 0 if shortcut.startswith(words[0]) else 1 if words[0] in f"{shortcut} {title}" else 2
            found.append((rank, -each.uses, place, each))
    return [each for *_, each in sorted(found, key=lambda one: one[:3])]


def for_channels(replies: Iterable[CannedReply], channel_ids: Iterable[str]) -> list[CannedReply]:
    """Those that are offered on one of these channels. Pure."""
    wanted = set(channel_ids)
    return [each for each in replies if not each.channel_ids or not wanted.isdisjoint(each.channel_ids)]


def unfilled(text: str | None) -> list[str]:
    """The blanks of canned replies that still stand in a text, each once. Pure."""
    return list(dict.fromkeys(_BLANK.findall(text or "")))


def _fields(wanted: CannedInput, owner_id: str | None, kept: Sequence[str]) -> Document:
    return {
        "shortcut": wanted.shortcut, "folded": fold(wanted.shortcut), "title": wanted.title.strip(),
        "text": wanted.text, "url": wanted.url, "file_ids": list(kept), "owner_id": owner_id,
        "channel_ids": list(dict.fromkeys(wanted.channel_ids)),
    }  # fmt: skip


def _written(reply: CannedReply) -> dict[str, Any]:
    return {name: getattr(reply, name) for name in CannedInput.model_fields}


def _reply(row: Document) -> CannedReply:
    return CannedReply(
        row["_id"], row["shortcut"], row["title"], row["text"], row.get("url"), tuple(row["file_ids"]), row["owner_id"],
        tuple(row["channel_ids"]), row["uses"], row["used_at"], row["stands"], row["rev"], row["created_at"],
        row["updated_at"],
    )  # fmt: skip


def _checked(fields: Mapping[str, Any]) -> CannedInput:
    try:
        return CannedInput.model_validate(fields)
    except ValidationError as error:
        faults = [FieldError(".".join(map(str, each["loc"])) or "text", each["msg"]) for each in error.errors()]
        raise WrongInput("The canned reply has faults.", faults) from None


def _taken() -> Conflict:
    return Conflict("There is a canned reply with this shortcut already.", code="name_taken")
