"""What somebody has begun to write and not sent: one draft per person, conversation and kind of line. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from base.mongo import Document
from inbox.models import CANNED_MAX, CannedId

Mode = Literal["reply", "note"]
TEXT_MAX = 150_000
FILES_MAX = 20


@dataclass(frozen=True)
class DraftKey:
    """Whose it is, and where."""

    conversation_id: str
    user_id: str
    mode: Mode = "reply"

    @property
    def id(self) -> str:
        """The id of its row."""
        return f"{self.conversation_id}:{self.user_id}:{self.mode}"


class DraftInput(BaseModel):
    """What is kept of it. `subject` and `cc` are for mail only."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = Field("", max_length=TEXT_MAX)
    file_ids: tuple[str, ...] = Field((), max_length=FILES_MAX, description="Files that were uploaded for it.")
    reply_to: str | None = Field(None, max_length=60, description="The message that it quotes.")
    subject: str | None = Field(None, max_length=500)
    cc: tuple[str, ...] = Field((), max_length=50)
    canned_ids: tuple[CannedId, ...] = Field((), max_length=CANNED_MAX, description="Canned replies it is made of.")

    @property
    def empty(self) -> bool:
        """Nothing is worth keeping: a quote alone says nothing."""
        return not (self.text.strip() or self.file_ids or (self.subject or "").strip() or self.cc)


@dataclass(frozen=True)
class Draft:
    """A draft as it is kept. `rev` counts its versions: who saves names the one that was seen."""

    written: DraftInput
    rev: int
    updated_at: datetime


def draft_of(row: Document) -> Draft:
    """The row as a value."""
    written = DraftInput(
        text=row.get("text") or "", file_ids=tuple(row.get("file_ids", ())), reply_to=row.get("reply_to"),
        subject=row.get("subject"), cc=tuple(row.get("cc", ())), canned_ids=tuple(row.get("canned_ids", ())),
    )  # fmt: skip
    return Draft(written, row["rev"], row["updated_at"])


def taken_back(line: Document) -> DraftInput:
    """A reply that did not go out, as a draft again. Files keep the ids under which the message holds them."""
    mail = line.get("mail") or {}
    files = (each.get("file_id") for each in line.get("attachments", ()))
    return DraftInput(
        text=(line.get("text") or "")[:TEXT_MAX], file_ids=tuple(each for each in files if each)[:FILES_MAX],
        reply_to=line.get("reply_to"), subject=mail.get("subject") or None, cc=tuple(mail.get("cc", ())),
        canned_ids=tuple(line.get("canned_ids", ())),
    )  # fmt: skip


def joined(first: DraftInput, second: DraftInput) -> DraftInput:
    """Both, so that neither is lost: what came back stands before what was begun meanwhile."""
    texts = [each.text for each in (first, second) if each.text.strip()]
    return DraftInput(
        text="\n\n".join(texts)[:TEXT_MAX],
        file_ids=tuple(dict.fromkeys((*first.file_ids, *second.file_ids)))[:FILES_MAX],
        reply_to=first.reply_to or second.reply_to,
        subject=first.subject or second.subject,
        cc=tuple(dict.fromkeys((*first.cc, *second.cc)))[:50],
        canned_ids=tuple(dict.fromkeys((*first.canned_ids, *second.canned_ids)))[:CANNED_MAX],
    )
