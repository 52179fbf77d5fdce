"""The rows of an import that were not taken, as a CSV in the reader's language: mended, it can be brought again."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from aiohttp import web

from base.mongo import Document
from desk.auth import Principal
from desk.i18n import N_, Formats
from desk.render import formats_of
from profiles.sheets.cells import guarded

#: Code of a fault → sentence.
REASONS: Mapping[str, str] = {
    "no_identity": N_("Nothing in this row says who it is."),
    "bad_email": N_("%(value)s is no mail address."),
    "bad_phone": N_("%(value)s is no phone number. Is the country missing?"),
    "shortened": N_("A spreadsheet has shortened %(value)s; its last digits are lost. Format the column as text."),
    "bad_customer_id": N_("%(value)s stands for nobody."),
    "bad_profile_id": N_("%(value)s is no id of a profile."),
    "bad_channel_id": N_("%(value)s stands for nobody."),
    "bad_number": N_("%(value)s is no number."),
    "bad_date": N_("%(value)s is no date such as 2026-11-28."),
    "bad_boolean": N_("%(value)s is neither yes nor no."),
    "bad_locale": N_("%(value)s is no language such as en or zh-CN."),
    "bad_time_zone": N_("%(value)s is no time zone such as Europe/Berlin."),
    "bad_location": N_("%(value)s is no latitude and longitude."),
    "bad_word": N_("%(value)s cannot be a stage or tier."),
    "bad_country": N_("%(value)s is no country. Write its name, or two letters such as DE."),
    "unknown_stage": N_("There is no stage %(value)s. Add it in the settings, or write another."),
    "unknown_owner": N_("%(value)s is no colleague."),
    "bad_consent": N_("%(value)s is neither yes nor no."),
    "no_address": N_("There is an answer about %(value)s and no address it would be for."),
    "too_long": N_("This is too long: %(value)s"),
    "ragged": N_("The row has more cells than the table has columns: %(value)s"),
    "two_people": N_("The row speaks for two people at once. Merge them, or take one address out."),
    "other_customer": N_("This person has another customer id than %(value)s."),
    "unknown_profile": N_("There is no profile %(value)s (any more)."),
    "too_many_attributes": N_("A profile holds at most 200 attributes."),
    "failed": N_("This row could not be written: %(value)s"),
}


def sentence_of(reason: Mapping[str, str], formats: Formats) -> str:
    """Why a row was not taken, for a person."""
    known = REASONS.get(reason.get("code", ""), REASONS["failed"])
    said = formats.text(known, {"value": reason.get("value", "")[:80]})
    return f"{reason['column']}: {said}" if reason.get("column") else said


async def refused_answer(
    request: web.Request, runtime: Any, head: Document, principal: Principal
) -> web.StreamResponse:  # fmt: skip
    """Stream it."""
    formats = formats_of(request, principal)
    name = quote(f"{head['name'].rpartition('.')[0] or head['name']}-errors.csv", safe="")
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/csv; charset=utf-8", "Cache-Control": "private, no-store",
            "Content-Disposition": f"attachment; filename=\"errors.csv\"; filename*=UTF-8''{name}",
        }
    )  # fmt: skip
    await response.prepare(request)
    header = [*(guarded(name) for name in head["columns"]), formats.text(N_("Row")), formats.text(N_("Reason"))]
    await response.write(b"\xef\xbb\xbf" + _line(header))
    width = len(head["columns"])
    async for cells, reason, number in runtime.imports.refused(head["_id"]):
        padded = [*cells, *[""] * (width - len(cells))][:width]
        said = guarded(sentence_of(reason, formats))  # it may begin with the name of a column
        await response.write(_line([*(guarded(cell) for cell in padded), str(number), said]))
    await response.write_eof()
    return response


def _line(cells: list[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue().encode("utf-8", "replace")
