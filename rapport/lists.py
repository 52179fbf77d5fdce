"""Imports and exports from the command line: the work is done here, whether or not a worker runs beside it."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from base.errors import WrongInput
from base.mongo import Document
from desk.refused_rows import REASONS
from profiles.imports.mapping import ImportMapping
from profiles.imports.plan import OUTCOMES
from profiles.sheets.cells import guarded
from profiles.sheets.headings import Headings
from rapport.runtime import Runtime

Say = Callable[..., None]
#: Who did it, on record.
BY = "rapport"
SUFFIXES = {".csv": "csv", ".xlsx": "xlsx", ".jsonl": "jsonl", ".ndjson": "jsonl", ".vcf": "vcf"}
ALL_TAKEN, NONE_TAKEN, SOME_TAKEN = 0, 1, 3


async def import_file(
    runtime: Runtime, file: Path, say: Say, *, mapped: Sequence[str], dry_run: bool, errors: Path | None, **options: Any
) -> int:
    """Read, map, look, and unless it is a dry run carry out; the exit code. Raises `WrongInput`."""
    book = runtime.imports
    head = await book.bring(file, file.name, BY, BY)
    head = await book.finish(head["_id"], _progress(say, "read", "rows"))
    _must(head, "mapping")
    say(f"{head['rows']} rows, {head['kind']}{' ' + head['encoding'] if head['encoding'] else ''}")
    mapping = _mapping(head, mapped, options)
    for name, each in zip(head["columns"], mapping.columns, strict=True):
        say(f"  {name} → {each.to}{' (' + each.type + ')' if each.type != 'text' else ''}")
    await book.map(head["_id"], mapping)
    head = await book.finish(head["_id"], _progress(say, "looked at", "done_rows"))
    _must(head, "ready")
    _tell_seen(head, mapping.options.region or runtime.settings.default_region, say)
    counts, field = head["outlook"], "would be"
    if not dry_run:
        await book.run(head["_id"])
        head = await book.finish(head["_id"], _progress(say, "imported", "done_rows"))
        _must(head, "done")
        counts, field = head["counts"], ""
    for outcome in OUTCOMES:
        if counts.get(outcome):
            say(f"{counts[outcome]:>9} {field + ' ' if field else ''}{outcome}")
    refused = counts.get("fault", 0) + counts.get("conflict", 0)
    if refused:
        await _report(runtime, head, errors, say)
    if dry_run:
        await book.cancel(head["_id"])
    else:
        say(f"{head['_id']} can be taken back on its page until {head['kept_until']:%Y-%m-%d}.")
    if not refused:
        return ALL_TAKEN
    return NONE_TAKEN if refused == head["rows"] else SOME_TAKEN


def _tell_seen(head: Document, region: str, say: Say) -> None:
    """What the look has found that may have to be decided."""
    numbers = head["numbers"]
    if numbers["asked"]:
        say(f"{numbers['asked']} numbers without a country are read as of {region}; --region says another.", err=True)
    if numbers["told"]:
        say(f"{numbers['told']} numbers without a country are read as of the country of their address.")
    for each in head["unknown_stages"]:
        say(f"{each['rows']} rows are not taken: there is no stage {each['stage']!r}.", err=True)
    for each in head["moves"]:
        say(f"Stage {each['stage']}: {each['moving']} would move there, {each['new']} would begin there.")


async def export_file(
    runtime: Runtime, file: Path, kind: str | None, narrowed: Mapping[str, Any], say: Say, headings: Headings = "keys"
) -> int:
    """Write the file; the exit code. Raises `WrongInput` for a name that tells no format."""
    chosen: Any = kind or SUFFIXES.get(file.suffix.lower())
    if chosen is None:
        raise WrongInput("The file's name does not say its format: give --format csv, xlsx, jsonl or vcf.")
    row = await runtime.exports.begin(chosen, narrowed, BY, BY, headings=headings)
    row = await runtime.exports.finish(row["_id"], _progress(say, "written", "count"))
    if row["state"] != "done":
        raise WrongInput(row.get("fault") or "The export was stopped.")
    _, pieces = await runtime.exports.file(row["_id"])
    with file.open("wb") as out:
        async for piece in pieces:
            out.write(piece)
    say(f"{row['count']} people in {file}")
    return ALL_TAKEN


def _progress(say: Say, what: str, field: str) -> Callable[[Document], None]:
    """One line that counts up on a terminal; nothing where the output goes into a file."""
    last = [0]

    def tell(head: Document) -> None:
        count = head.get(field) or 0
        if sys.stderr.isatty() and count != last[0]:
            last[0] = count
            total = head.get("rows") or head.get("total")
            say(f"\r{what}: {count}{f' of {total}' if total else ''}   ", err=True, nl=False)

    return tell


def _must(head: Document, state: str) -> None:
    if head["state"] != state:
        raise WrongInput(head.get("fault") or f"The import is {head['state']}.")


def _mapping(head: Document, mapped: Sequence[str], options: Mapping[str, Any]) -> ImportMapping:
    columns = [dict(each) for each in head["mapping"]["columns"]]
    for pair in mapped:
        name, sign, target = pair.rpartition("=")
        if not sign or name not in head["columns"]:
            raise WrongInput(f"--map {pair}: there is no such column, or no = in it.")
        columns[head["columns"].index(name)] = {"to": target}
    try:
        return ImportMapping.model_validate({"columns": columns, "options": {**options, "tags": list(options["tags"])}})
    except ValueError as error:
        raise WrongInput(str(error)) from error


async def _report(runtime: Runtime, head: Document, path: Path | None, say: Say) -> None:
    """Rows that are not taken: into the file, or the first of them on the screen."""
    shown = 0
    rows: list[list[str]] = []
    async for cells, reason, number in runtime.imports.refused(head["_id"]):
        sentence = REASONS[reason.get("code", "failed")] % {"value": reason.get("value", "")}
        if path is not None:
            padded = [*cells, *[""] * (len(head["columns"]) - len(cells))][: len(head["columns"])]
            rows.append([*(guarded(cell) for cell in padded), str(number), guarded(sentence)])
        elif shown < 10:
            shown += 1
            say(f"  row {number}: {sentence}", err=True)
    if path is not None:
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            header = [*(guarded(name) for name in head["columns"]), "Row", "Reason"]
            csv.writer(file).writerows([header, *rows])
        say(f"Rows that were not taken are in {path}.", err=True)
