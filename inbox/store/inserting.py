"""Inserting many rows inside a transaction."""

from __future__ import annotations

from collections.abc import Sequence

from base.mongo import BulkWriteError, Collection, Document, DuplicateKeyError, Session, duplicates_only


async def insert_all(collection: Collection, rows: Sequence[Document], session: Session) -> None:
    """All or, with the transaction, none. The driver's bulk error becomes the `DuplicateKeyError` it stands for; a
    write conflict goes through as it is, so that the transaction runs again."""
    if not rows:
        return
    try:
        await collection.insert_many(rows, session=session)
    except BulkWriteError as error:
        duplicates_only(error)
        raise DuplicateKeyError(str(error.details["writeErrors"][0].get("keyPattern")), 11000) from None
