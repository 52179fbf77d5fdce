"""Somebody else was quicker: what says so, and how long to wait before it is tried again."""

from __future__ import annotations

import asyncio
import random

from base.mongo import BulkWriteError, DuplicateKeyError, OperationFailure


class Contended(Exception):
    """Somebody changed these rows in between. Raised inside a transaction, which is then given up."""


#: What `is_clash` judges.
CLASHES = (DuplicateKeyError, BulkWriteError, OperationFailure, Contended)


def is_clash(error: Exception) -> bool:
    """Whether somebody else was quicker: a unique key, a changed row, a write conflict."""
    if isinstance(error, Contended | DuplicateKeyError):
        return True
    if isinstance(error, BulkWriteError):
        return all(fault["code"] == 11000 for fault in error.details.get("writeErrors", [])) or _is_transient(error)
    return isinstance(error, OperationFailure) and _is_transient(error)


async def rest_after(attempt: int) -> None:
    """Longer each time and by chance, else the same two meet again. `attempt` from 0."""
    await asyncio.sleep(random.uniform(0, 0.02 * 2 ** min(attempt, 5)))


def _is_transient(error: OperationFailure) -> bool:
    return error.has_error_label("TransientTransactionError") or error.code in (112, 251)
