"""Everything held on a person, handed out: as JSON at once, or as a file with a page to read and all files in it.

The file is a duty: who asks gets a row, a worker makes it, and after some days it is forgotten.
"""

from __future__ import annotations

import json
import logging
import re
import tempfile
import unicodedata
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import IO, Any
from zoneinfo import ZoneInfo

from base.clock import Clock
from base.duty import MAX_CRASHES
from base.errors import NotFound, TooLarge
from base.feed import Feed, Notice
from base.ids import new_id
from base.mongo import UNAVAILABLE, Document
from profiles import dossier_page as page
from profiles.dossier_rows import Names, Reader, entry
from profiles.holdings import Holdings, Room, Traces
from profiles.models import iso_ms
from profiles.store.dossiers import KEPT, DossierStore

log = logging.getLogger(__name__)

#: More than this is not answered at once: ask for a file.
AT_ONCE_MAX = 20_000
#: Held in memory; what is larger goes to a file of its own, which nobody can open and which dies with the process.
IN_MEMORY_BYTES = 8_000_000
TRY_AGAIN = timedelta(seconds=30)

PIECE_BYTES = 1_000_000
#: The room of which the bytes are in the zip, too.
FILES = "files"

#: (id, name, its bytes in pieces) of each file of a person.
Attached = Callable[[Traces], AsyncIterator[tuple[str, str, AsyncIterator[bytes]]]]
#: What the ids of the house are called in a language.
NamesOf = Callable[[str], Awaitable[Names]]
#: Somebody's language (locale) and time zone, as far as they are known.
Ways = Callable[[str], Awaitable[tuple[str | None, str | None]]]


class Dossiers:
    """Makes them."""

    def __init__(
        self, store: DossierStore, holdings: Holdings, traces: Callable[[str], Awaitable[Traces]], attached: Attached,
        feed: Feed, clock: Clock, *, effort: Callable[[Traces], Awaitable[int]], names: NamesOf, ways: Ways,
        time_zone: str = "UTC",
    ) -> None:  # fmt: skip
        """`effort`: how many rows have to be read that may be nobody's. `time_zone`: for whom none is known."""
        self._names = names
        self._ways = ways
        self._time_zone = time_zone
        self._store = store
        self._holdings = holdings
        self._traces = traces
        self._attached = attached
        self._feed = feed
        self._clock = clock
        self._effort = effort

    async def at_once(self, profile_id: str, *, by: str) -> Document:
        """All rows by room, as JSON values; noted as an export. Raises `NotFound`, `TooLarge` for a file's worth."""
        traces = await self._traces(profile_id)
        counts = await self._holdings.counts(traces)
        if sum(counts.values()) + await self._effort(traces) > AT_ONCE_MAX:
            raise TooLarge("This is too much for one answer: ask for a file (POST to the same address).")
        rooms = {room.name: [row async for row in room.rows(traces)] for room in self._holdings.rooms}
        counts = {name: len(rows) for name, rows in rooms.items() if rows}
        now = self._clock()
        await self._store.add(self._row(traces, by, "api", "en") | {"state": "shown", "counts": counts})
        kept = {name: rows for name, rows in rooms.items() if rows}
        return {"profile_id": traces.profile_ids[0], "made_at": iso_ms(now), "rooms": kept}

    async def ask(self, profile_id: str, *, by: str, source: str = "desk", language: str | None = None) -> Document:
        """A file is wanted; its row. Without a `language` the page speaks the person's own, where we know it. Raises
        `NotFound`."""
        traces = await self._traces(profile_id)
        locale, zone = await self._ways(traces.profile_ids[0])
        row = self._row(traces, by, source, language or language_of(locale)) | {"zone": zone or self._time_zone}
        await self._store.add(row)
        return row

    async def get(self, dossier_id: str) -> Document:
        """One row. Raises `NotFound`."""
        row = await self._store.get(dossier_id)
        if row is None:
            raise NotFound("There is no such export.")
        return row

    async def of_profile(self, profile_id: str) -> list[Document]:
        """Those of a person, newest first. Raises `NotFound`."""
        return await self._store.of_profile(list((await self._traces(profile_id)).profile_ids))

    async def read(self, row: Document) -> AsyncIterator[bytes]:
        """The file in pieces. Raises `NotFound` when it is not there (any more), also half-way."""
        if row["state"] != "ready":
            raise NotFound("This export is not there (any more).")
        try:
            async for piece in self._store.read(row):
                yield piece
        except KeyError:
            raise NotFound("This export is not there any more.") from None

    async def drain(self, limit: int = 2) -> int:
        """Make those that are wanted, forget those that are old. A chore, safe to be done by several at once."""
        await self._store.tidy(self._clock())
        rows = await self._store.claim(self._clock(), limit)
        for row in rows:
            await self._make(row)
        return len(rows)

    def _row(self, traces: Traces, by: str, source: str, language: str) -> Document:
        now = self._clock()
        return {
            "_id": new_id("dos"), "state": "wanted", "profile_id": traces.profile_ids[0], "asked_by": by,
            "asked_at": now, "source": source, "language": language, "due_at": now, "attempts": 0, "fence": 0,
        }  # fmt: skip

    async def _make(self, row: Document) -> None:
        if row["attempts"] > MAX_CRASHES:
            await self._store.settle(row, {"state": "failed", "reason": "It could not be made."})
            return
        try:
            traces = await self._traces(row["profile_id"])
            with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as file:
                counts = await self._write(file, traces, row)
                size = file.tell()
                file.seek(0)
                grid_id = await self._store.keep(f"{row['_id']}.zip", file)
        except NotFound:
            await self._store.settle(row, {"state": "failed", "reason": "There is no such profile any more."})
            return
        except UNAVAILABLE:
            raise
        except Exception:
            log.exception("an export could not be made", extra={"dossier": row["_id"]})
            await self._store.again(row, self._clock() + TRY_AGAIN)
            return
        now = self._clock()
        ended = {"state": "ready", "grid_id": grid_id, "size_bytes": size, "counts": counts, "made_at": now,
                 "expires_at": now + KEPT}  # fmt: skip
        if not await self._store.settle(row, ended):
            await self._store.forget(grid_id)
        await self._feed.append([Notice("dossier.updated", {"dossier_id": row["_id"]})])

    async def _write(self, file: Any, traces: Traces, row: Document) -> dict[str, int]:
        """Each room is read once: its rows go to the data and, by a detour, to the page."""
        made_at, counts, told = iso_ms(self._clock()), {}, _Told({}, {})
        files: dict[str, str] = {}
        reader = Reader(row["language"], row.get("zone", "UTC"), await self._names(row["language"]), files)
        with (
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as pack,
            tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as text,
        ):
            with pack.open("data.json", "w", force_zip64=True) as data:
                _say(data, f'{{"profile_id": {json.dumps(traces.profile_ids[0])}, "made_at": "{made_at}", "rooms": {{')
                for number, room in enumerate(self._holdings.rooms):
                    _say(data, f'{", " if number else ""}"{room.name}": [')
                    if count := await self._room(room, traces, reader, files, data, text, told):
                        counts[room.name] = count
                    _say(data, "]")
                _say(data, f'}}, "files": {json.dumps(files, ensure_ascii=False)}}}')
            with pack.open("index.html", "w", force_zip64=True) as shown:
                _page(shown, reader, made_at, counts, told, text)
            async for file_id, name, pieces in self._attached(traces):
                inside_name = files.get(file_id) or _file_name(len(files) + 1, name)
                files[file_id] = inside_name
                with pack.open(f"files/{inside_name}", "w", force_zip64=True) as inside:
                    async for piece in pieces:
                        inside.write(piece)
        return counts

    async def _room(
        self, room: Room, traces: Traces, reader: Reader, files: dict[str, str], data: IO[bytes], text: Any,
        told: _Told,
    ) -> int:  # fmt: skip
        count, shown, begin = 0, 0, text.tell()
        async for row in room.rows(traces):
            _say(data, ("," if count else "") + "\n" + json.dumps(row, ensure_ascii=False))
            count += 1
            if room.name == FILES and row.get("state") == "stored":
                files[str(row["id"])] = _file_name(len(files) + 1, str(row.get("name") or "file"))
            if room.name in page.ORDER and (said := entry(reader, room.name, row)):
                _say(text, said)
                shown += 1
        if shown:
            told.places[room.name], told.counts[room.name] = (begin, text.tell()), shown
        return count


@dataclass(frozen=True)
class _Told:
    """What is on the page so far: room → (begin, end) of its entries, and how many they are."""

    places: dict[str, tuple[int, int]]
    counts: dict[str, int]


def _page(
    shown: IO[bytes], reader: Reader, made_at: str, counts: Mapping[str, int], told: _Told, text: Any
) -> None:  # fmt: skip
    order = [name for name in page.ORDER if name in told.places]
    _say(shown, page.head(reader, made_at, {name: told.counts[name] for name in order}))
    for name in order:
        _say(shown, page.room_head(reader, name))
        begin, end = told.places[name]
        text.seek(begin)
        while begin < end and (piece := text.read(min(PIECE_BYTES, end - begin))):
            shown.write(piece)
            begin += len(piece)
        _say(shown, page.ROOM_END)
    _say(shown, page.technical(reader, {name: count for name, count in counts.items() if name not in page.ORDER}))
    _say(shown, page.END)


def _file_name(number: int, name: str) -> str:
    """Unique in the folder, without an id."""
    plain = name.replace("/", "_").replace("\\", "_").strip(". ") or "file"
    return f"{number:03d}-{plain}"


def file_name(business: str, made_at: datetime, zone: str) -> str:
    """What the zip is called: of whom it comes and of which day. Plain letters, so that any system takes it."""
    letters = unicodedata.normalize("NFKD", business).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", letters).strip("-")[:40]
    day = made_at.astimezone(ZoneInfo(zone)).date().isoformat()
    return f"{slug}-personal-data-{day}.zip" if slug else f"personal-data-{day}.zip"


def language_of(locale: str | None) -> str:
    """The language of a dossier for somebody with this locale."""
    return "zh_CN" if (locale or "").lower().startswith("zh") else "en"


def _say(file: IO[bytes], text: str) -> None:
    file.write(text.encode("utf-8", "replace"))
