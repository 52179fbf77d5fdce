"""Secrets that posts of a row are signed with: sealed, exchanged for new ones, and for a day the former signs too."""

from __future__ import annotations

from datetime import timedelta

from base.clock import Clock
from base.mongo import Document
from base.secret_box import SecretBox
from base.signing import new_standard_secret

#: For so long after an exchange the former secret signs too, so that receivers can follow.
BOTH_FOR = timedelta(hours=24)


class SigningSecrets:
    """Rows keep `{_id, secret, former?, exchanged_at?}`, sealed for this row alone."""

    def __init__(self, box: SecretBox, clock: Clock) -> None:
        self._box = box
        self._clock = clock

    def new(self, row_id: str) -> tuple[str, str]:
        """A fresh one, as it is shown once, and as it is kept."""
        secret = new_standard_secret()
        return secret, self._box.seal(secret, _context(row_id))

    def exchanged(self, row: Document) -> tuple[str, Document]:
        """A fresh one, and the fields of a row that takes it in place of what it has."""
        secret, sealed = self.new(row["_id"])
        return secret, {"secret": sealed, "former": row["secret"], "exchanged_at": self._clock()}

    def of(self, row: Document) -> list[str]:
        """What is signed with: the newest first, for a day after an exchange two."""
        found = [self._box.open(row["secret"], _context(row["_id"]))]
        if row.get("former") and self._clock() < row["exchanged_at"] + BOTH_FOR:
            found.append(self._box.open(row["former"], _context(row["_id"])))
        return found


def _context(row_id: str) -> str:
    return f"{row_id}:secret"
