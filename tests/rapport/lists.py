"""A house whose people come and go as lists; a worker of its own that a test can kill."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import SecretStr

from base.secret_box import SecretBox
from base.settings import Settings
from profiles.imports.mapping import ImportMapping
from rapport.runtime import Runtime, open_runtime

BY = "usr_" + "0" * 26


@dataclass
class Lists:
    """The runtime, and short ways to import and export."""

    runtime: Runtime
    folder: Path

    async def brought(self, content: bytes | str, name: str = "people.csv") -> dict[str, Any]:
        """A file that waits for its mapping."""
        path = self.folder / "brought"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        head = await self.runtime.imports.bring(path, name, BY, "Ada")
        return await self.runtime.imports.finish(head["_id"])

    async def looked(
        self, content: bytes | str, columns: Sequence[str] | None = None, **options: Any
    ) -> dict[str, Any]:
        """A file whose outlook is known. `columns`: targets; left out, as guessed."""
        head = await self.brought(content)
        assert head["state"] == "mapping", head.get("fault")
        chosen = [{"to": each} for each in columns] if columns is not None else head["mapping"]["columns"]
        mapping = ImportMapping.model_validate({"columns": chosen, "options": {"region": "DE", **options}})
        await self.runtime.imports.map(head["_id"], mapping)
        return await self.runtime.imports.finish(head["_id"])

    async def imported(self, content: bytes | str, columns: Sequence[str] | None = None, **more: Any) -> dict[str, Any]:
        """A file that was carried out."""
        head = await self.looked(content, columns, **more)
        assert head["state"] == "ready", head
        await self.runtime.imports.run(head["_id"])
        return await self.runtime.imports.finish(head["_id"])

    async def undone(self, head: dict[str, Any]) -> dict[str, Any]:
        await self.runtime.imports.undo(head["_id"], BY)
        return await self.runtime.imports.finish(head["_id"])

    async def exported(self, kind: Any, headings: Any = "keys", **wanted: Any) -> bytes:
        row = await self.runtime.exports.begin(kind, wanted, BY, "Ada", headings=headings)
        row = await self.runtime.exports.finish(row["_id"])
        assert row["state"] == "done", row
        _, pieces = await self.runtime.exports.file(row["_id"])
        return b"".join([piece async for piece in pieces])

    async def rows(self, room: str, /, **wanted: Any) -> list[dict[str, Any]]:
        return list(await self.runtime.db.collection(room).find(wanted).sort("_id", 1).to_list(None))

    async def person(self, **wanted: Any) -> dict[str, Any]:
        (row,) = await self.rows("profiles", **wanted)
        return row

    async def refused(self, head: dict[str, Any]) -> list[tuple[int, str]]:
        return [(number, reason["code"]) async for _, reason, number in self.runtime.imports.refused(head["_id"])]

    async def state(self) -> dict[str, Any]:
        """People, identities and consents without the marks of having been written."""
        marks = {"rev", "updated_at", "appraise_at", "last_seen_at", "stage_since"}
        return {
            name: [{key: value for key, value in row.items() if key not in marks} for row in await self.rows(name)]
            for name in ("profiles", "identities", "consents")
        }

    async def due(self) -> None:
        """Whoever held a lease has died."""
        past = {"$dateSubtract": {"startDate": "$$NOW", "unit": "second", "amount": 1}}
        await self.runtime.db.collection("imports").update_many({}, [{"$set": {"due_at": past}}])

    async def empty(self) -> None:
        for name in ("profiles", "identities", "consents", "consent_groups", "events", "suggestions", "imports",
                     "import_rows", "exports", "tags", "messages", "conversations"):  # fmt: skip
            await self.runtime.db.collection(name).delete_many({})


@asynccontextmanager
async def opened(mongo_url: str, redis_url: str, name: str, folder: Path) -> AsyncIterator[Lists]:
    """On a database in shape."""
    runtime = await open_runtime(settings_for(mongo_url, redis_url, name, f"test_lists_{uuid4().hex[:12]}"))
    try:
        yield Lists(runtime, folder)
    finally:
        await runtime.close()


def settings_for(mongo_url: str, redis_url: str, name: str, prefix: str) -> Settings:
    return Settings(
        mongo_url=SecretStr(mongo_url), redis_url=SecretStr(redis_url), database=name, queue_prefix=prefix,
        base_url="http://rapport.test", secret_keys=(SecretStr(SecretBox.new_key()),), default_region="DE",
        _env_file=None,
    )  # fmt: skip


async def carry_on(mongo_url: str, redis_url: str, name: str, prefix: str) -> None:
    """What a worker does, alone in its process, until it is killed."""
    runtime = await open_runtime(settings_for(mongo_url, redis_url, name, prefix))
    while True:
        await runtime.imports.drain()
        await asyncio.sleep(0.01)


if __name__ == "__main__":
    asyncio.run(carry_on(*sys.argv[1:5]))
