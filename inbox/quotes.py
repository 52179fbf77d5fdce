"""What a mail repeats of others' words, and a line without it. Pure.

Repeated is what programs marked as such: the mail as a whole with its history (`mail.full_text`, `mail.html`), lines
that begin with `>`, and what a forward of ours put below its own words. What somebody typed again is their own text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Literal

from base.mongo import Document

#: What a conversation does not keep of its mails any more (its field `forgets`), since somebody in it was erased.
Forgotten = Literal["quotes", "subject"]
ALL: tuple[Forgotten, ...] = ("quotes", "subject")
#: Language → the line under which a forward of ours repeats a mail.
HEADS: Mapping[str, str] = {
    "en": "---------- Forwarded message ----------", "zh": "---------- 转发的邮件 ----------",
}  # fmt: skip
#: Paths of a line that repeat.
QUOTING = ("mail.full_text", "mail.html", "original")
_MANY_BREAKS = re.compile(r"\n{3,}")


def unquoted(text: str | None) -> str | None:
    """Without lines marked as quoted and without what stands under the head of a forward; None when nothing is left."""
    kept: list[str] = []
    for line in (text or "").split("\n"):
        if line.strip() in HEADS.values():
            break
        if not line.lstrip().startswith(">"):
            kept.append(line)
    return _MANY_BREAKS.sub("\n\n", "\n".join(kept)).strip() or None


def repeats(text: str | None) -> bool:
    """Whether a text of a mail holds anything that `unquoted` takes out."""
    lines = (text or "").split("\n")
    return any(line.lstrip().startswith(">") or line.strip() in HEADS.values() for line in lines)


def forget(row: Document, what: Collection[str]) -> bool:
    """Take this out of a line that is about to be kept; whether it is a mail from which something may be missing."""
    mail = row.get("mail")
    if not mail or not what:
        return False
    for name in ("full_text", "html", *(("subject",) if "subject" in what else ())):
        mail.pop(name, None)
    if repeats(row.get("text")):
        row["text"] = unquoted(row["text"])
    return True
