"""Files that go out: what an agent chose becomes a file of the message, and at the hand-over its bytes or a link.

Between the two only ids travel: sends stay small, and a file is read when its message is handed over, not before.
"""

from __future__ import annotations

from collections.abc import Sequence

from base.clock import Clock
from base.errors import FieldError, WrongInput
from base.ids import is_id
from base.mongo import UNAVAILABLE, Document
from channels.adapter import Account
from channels.capabilities import Capabilities
from channels.failures import Failure, SendFailed
from channels.vocabulary import Attachment, AttachmentKind, OutboundMessage
from inbox.attached import INLINE_MAX_BYTES, Home, outbound
from inbox.file_links import make_link
from inbox.models import Actor, ChosenFile, ReplyInput
from inbox.store.files import FileStore
from inbox.store.teams import TeamStore


class Enclosures:
    """Between a reply and its hand-over."""

    def __init__(
        self, store: FileStore, teams: TeamStore, clock: Clock, *, link_keys: Sequence[str | bytes] = ()
    ) -> None:  # fmt: skip
        """`link_keys` sign links for providers that fetch files themselves, newest first."""
        self._store = store
        self._teams = teams
        self._clock = clock
        self._link_keys = tuple(link_keys)

    async def given(
        self, line: Document, reply: ReplyInput, agent: Actor, able: Capabilities | None
    ) -> tuple[ReplyInput, list[Document]]:
        """The reply with its files as the send carries them, and their rows, to be inserted with the line.

        Fills in what the line shows. A file is the agent's to choose when the agent brought it, when a canned reply
        has it that the agent sees, or when it came or went on the same channel. Raises `WrongInput` with the path of
        any other.
        """
        if not reply.attachments:
            return reply, []
        home = Home(line["_id"], line["channel_id"])
        chosen = await self._chosen(reply.attachments, line["channel_id"], agent)
        sent, line["attachments"], rows = outbound(home, chosen, able, self._clock())
        return reply.model_copy(update={"attachments": tuple(sent)}), rows

    async def _chosen(
        self, attachments: Sequence[Attachment | ChosenFile], channel_id: str, agent: Actor
    ) -> list[tuple[Attachment, Document | None]]:
        kept = await self._store.rows([each.file_id for each in attachments if isinstance(each, ChosenFile)])
        of_teams = any(is_id(str(row.get("owner_id")), "tea") for row in kept.values())
        teams = await self._teams.of_member(agent.user_id) if of_teams and agent.user_id else []
        pairs: list[tuple[Attachment, Document | None]] = []
        faults: list[FieldError] = []
        for position, each in enumerate(attachments):
            if isinstance(each, Attachment):
                pairs.append((each, None))
                continue
            row = kept.get(each.file_id)
            if row is None or not _may_choose(row, channel_id, agent, teams):
                faults.append(FieldError(f"attachments[{position}].file_id", "names no file that you may send here"))
            pairs.append((Attachment(kind=AttachmentKind.FILE, caption=each.caption), row))
        if sum(len(each.content or b"") for each, _ in pairs) > INLINE_MAX_BYTES:
            faults.append(FieldError("attachments", "are too large to come along: upload them first"))
        if faults:
            raise WrongInput("These files cannot be sent.", faults)
        return pairs

    async def filled(self, message: OutboundMessage, account: Account, able: Capabilities) -> OutboundMessage:
        """The message with bytes in its kept files, or links where the channel takes nothing else.

        Raises `SendFailed`: content rejected when a file is gone, temporary when our store does not answer.
        """
        ids = [file_id for each in message.attachments if (file_id := _file_id(each))]
        if not ids:
            return message
        try:
            rows = await self._store.rows(ids)
            files = [await self._filled(each, rows, account, able) for each in message.attachments]
        except UNAVAILABLE as error:
            raise SendFailed(Failure.TEMPORARY, f"Our own files do not answer ({type(error).__name__}).") from None
        return message.model_copy(update={"attachments": tuple(files)})

    async def _filled(
        self, file: Attachment, rows: dict[str, Document], account: Account, able: Capabilities
    ) -> Attachment:
        file_id = _file_id(file)
        if file_id is None:
            return file
        row = rows.get(file_id, {"state": "erased"})
        if row["state"] not in ("stored", "wanted"):
            raise SendFailed(Failure.CONTENT_REJECTED, f"The file {file.file_name or file_id} is not kept any more.")
        extra = {name: value for name, value in file.extra.items() if name != "file_id"}
        if able.files_by_link:
            return file.model_copy(update={"url": self._link(file_id, account), "extra": extra})
        try:
            content = b"".join([piece async for piece in self._store.read(row)])
        except KeyError:
            raise SendFailed(Failure.CONTENT_REJECTED, f"The file {row['name']} is not kept any more.") from None
        return file.model_copy(update={"content": content, "size_bytes": len(content), "extra": extra})

    def _link(self, file_id: str, account: Account) -> str:
        if not self._link_keys:
            raise SendFailed(Failure.NOT_SUPPORTED, "Without a key no link to a file can be made.")
        return f"{account.base_url}/f/{make_link(self._link_keys[0], file_id, self._clock())}"


def _file_id(file: Attachment) -> str | None:
    file_id = file.extra.get("file_id")
    return file_id if isinstance(file_id, str) else None


def _may_choose(row: Document, channel_id: str, agent: Actor, team_ids: Sequence[str]) -> bool:
    if row["state"] != "stored":
        return False
    brought = row["source"] == "upload" and agent.user_id is not None and row.get("created_by") == agent.user_id
    canned = row["source"] == "canned" and row["owner_id"] in (None, agent.user_id, *team_ids)
    return brought or canned or row.get("channel_id") == channel_id
