"""Who did and saw what: writes, looks at customers, comings in; names of fields, no values; people are forgotten."""

import csv
import io
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from base.clock import now
from base.ids import new_id
from desk.api.routes import OPERATIONS
from desk.app import PAGES
from desk.team.audit import BROUGHT_BY_PROGRAMS, CHANGES_NOTHING, SIGN_INS, area_of, ids_in, kind_of
from desk.team.audit_words import area_words, as_csv
from desk.team.store import AuditRoom
from inbox.hours.models import HoursInput
from profiles.holdings import Traces
from tests.desk.conftest import PASSWORD, Desk
from tests.desk.world import channel, wrote

PERSON, TALK = "prf_" + "0" * 26, "cnv_" + "0" * 26


async def rows_of(desk: Desk, **wanted: Any) -> list[dict[str, Any]]:
    await desk.runtime.audit.idle()
    found = await desk.runtime.audit.page(limit=200, **wanted)
    return list(found.data)


# -- pure ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "kind"),
    [(("POST", "tags.change", "user", (), 303, ""), "change"),
     (("DELETE", "revoke_token", "token", (), 403, ""), "change"),
     (("GET", "get_profile", "user", (PERSON,), 200, ""), "look"),
     (("GET", "get_profile", "user", (PERSON,), 403, ""), "look"),
     (("GET", "get_profile", "user", (PERSON,), 404, ""), None),
     (("GET", "list_profiles", "user", (), 200, ""), None),
     (("GET", "list_profiles", "user", (), 200, "tea"), None),
     (("GET", "list_profiles", "user", (), 200, "mei@tan.example"), "look"),
     (("GET", "list_profiles", "user", (), 200, "+31 6 1234 5678"), "look"),
     (("GET", "get_segment", "user", ("seg_" + "0" * 26,), 200, ""), None),
     (("POST", "composing.typing", "user", (TALK,), 204, ""), None),
     (("POST", "track_events", "token", (), 202, ""), None), (("POST", "track_events", "user", (), 202, ""), "change"),
     (("POST", "entrance.sign_in", None, (), 303, ""), "sign_in"),
     (("POST", "entrance.sign_in", None, (), 403, ""), "sign_in"),
     (("POST", "entrance.sign_in", None, (), 429, ""), None),
     (("POST", "unsubscribe.act", None, (), 200, ""), None)],
)  # fmt: skip
def test_what_is_told_of(asked: tuple[Any, ...], kind: str | None) -> None:
    assert kind_of(*asked) == kind


def test_ids_and_areas_are_read_from_paths() -> None:
    assert ids_in([f"/profiles/{PERSON}/x?{TALK}", PERSON, "xyz_" + "0" * 26]) == (PERSON, TALK)
    assert [area_of(path) for path in ("/api/v1/profiles/x", "/settings/people/x", "/inbox", "/")] == [
        "profiles", "settings/people", "inbox", "",
    ]  # fmt: skip


def test_a_table_holds_no_formula() -> None:
    row = {"at": now(), "kind": "change", "what": "=cmd()", "by": None, "by_kind": "user", "session": None,
           "address": "@x", "outcome": 200, "about": [], "changed": ["=1+1", "b"]}  # fmt: skip
    (_, found) = csv.reader(io.StringIO(as_csv([row], {})))
    assert not [each for each in found if each.startswith(("=", "@", "+"))] and "'=1+1 b" in found


def page_routes() -> Iterator[Any]:
    """Every route of every page."""
    for page in PAGES:
        yield from page.routes


def test_what_is_left_out_is_there() -> None:
    """A name that no handler has any more would let something through unseen."""
    pages = {f"{each.handler.__module__.rpartition('.')[2]}.{each.handler.__name__}" for each in page_routes()}
    known = pages | {each.name for each in OPERATIONS}
    assert known >= CHANGES_NOTHING | BROUGHT_BY_PROGRAMS
    assert {each for each in SIGN_INS if "oidc" not in each} <= known


def test_parts_of_the_house_have_names_or_say_their_path() -> None:
    assert area_words("settings/people") == "People" and area_words("profiles/x") == "Profiles"
    assert area_words("something-new") == "something-new"


# -- on the desk -----------------------------------------------------------------------------------------------------


async def test_a_change_on_a_page_is_told_of_without_its_values(desk: Desk) -> None:
    admin, other = await desk.person("admin", name="Ada Admin"), await desk.person("agent", name="Ben Agent")
    await admin.post(f"/settings/people/{other.user_id}", name="Benjamin Secret", role="viewer", reach="all")
    (row, *_) = await rows_of(desk, by=admin.user_id, kind="change")
    assert (row["what"], row["area"], row["outcome"]) == ("people.save", "settings/people", 303)
    assert row["about"] == [other.user_id] and row["changed"] == ["name", "reach", "role"]
    assert row["session"].startswith("ses_") and row["address"] and "Benjamin" not in str(row)


async def test_a_refusal_is_told_of(desk: Desk) -> None:
    viewer = await desk.person("viewer", name="Vera Viewer")
    await viewer.post("/profiles/tags", 403, tag="x", what="delete")
    (row, *_) = await rows_of(desk, by=viewer.user_id, kind="change")
    assert (row["what"], row["outcome"]) == ("tags.change", 403)


async def test_a_look_at_a_customer_is_told_of_once(desk: Desk) -> None:
    talk = await wrote(desk.runtime, await channel(desk.runtime), "4915550000001")
    anna = await desk.person("agent", name="Anna Agent")
    for _ in range(3):
        await anna.page(f"/inbox/{talk.id}")
        await anna.page(f"/profiles/{talk.profile_id}")
    await anna.page("/profiles?q=4915550000001")
    looks = await rows_of(desk, by=anna.user_id, kind="look")
    assert sorted(each["what"] for each in looks) == [
        "inbox.conversation",
        "profiles.profiles",
        "profiles.profile",
    ] or (len(looks) == 3)
    assert all(each["profile_ids"] == [talk.profile_id] for each in looks if each["about"])
    assert "4915550000001" not in str(looks)
    assert len(await rows_of(desk, about=talk.profile_id)) >= 1


async def test_coming_in_is_told_of_and_failing_too(desk: Desk) -> None:
    anna = await desk.person("agent", name="Anna Agent")
    email = (await desk.runtime.users.user(anna.user_id)).email
    came = await rows_of(desk, by=anna.user_id, kind="sign_in")
    assert [each["what"] for each in came] == ["entrance.sign_in"]
    async with anna.client.post("/sign-in", data={"email": email, "password": "wrong"}) as answer:
        assert answer.status == 403
    (row, *_) = await rows_of(desk, kind="sign_in")
    assert (row["by"], row["outcome"]) == (None, 403) and email not in str(row) and PASSWORD not in str(row)


async def test_a_person_who_is_erased_is_forgotten_here(desk: Desk) -> None:
    talk = await wrote(desk.runtime, await channel(desk.runtime), "4915550000002")
    anna = await desk.person("agent", name="Anna Agent")
    await anna.page(f"/profiles/{talk.profile_id}")
    await anna.post(f"/inbox/{talk.id}/reply", text="Hello", key=new_id("msg"))
    room, traces = AuditRoom(desk.runtime.db), Traces((talk.profile_id,))
    await desk.runtime.audit.idle()
    before = len(await rows_of(desk, by=anna.user_id))
    assert await room.count(traces) >= 2
    async for row in room.rows(traces):
        assert set(row) == {"id", "at", "kind", "what"}
    assert await room.erase(traces) >= 2 and await room.count(traces) == 0
    left = await rows_of(desk, by=anna.user_id)
    assert len(left) == before and talk.profile_id not in str(left)


async def test_the_page_is_narrowed_and_taken_out(desk: Desk) -> None:
    admin, anna = await desk.person("admin", name="Ada Admin"), await desk.person("agent", name="Xenia Agent")
    talk = await wrote(desk.runtime, await channel(desk.runtime), "4915550000003", name="Mei Tan")
    await anna.page(f"/profiles/{talk.profile_id}")
    await desk.runtime.audit.idle()
    shown = await admin.page(f"/settings/audit?about=https://desk.example/profiles/{talk.profile_id}")
    assert "Xenia Agent" in shown and "Mei Tan" in shown and "Looked at" in shown
    assert 'data-testid="act"' not in await admin.page(f"/settings/audit?by={anna.user_id}&kind=change")
    assert "Nothing fits" in await admin.page("/settings/audit?until=2020-01-01")
    today = now() + timedelta(days=1)
    assert 'data-testid="act"' in await admin.page(f"/settings/audit?until={today:%Y-%m-%d}&by={anna.user_id}")
    for fault in ("about=somebody", "since=someday"):
        await admin.page(f"/settings/audit?{fault}", 422)
    rows = list(csv.reader(io.StringIO(await admin.page(f"/settings/audit.csv?by={anna.user_id}"))))
    assert len(rows) >= 3 and rows[1][4] == "Xenia Agent"


async def test_what_a_change_was_about_is_said_in_words(desk: Desk) -> None:
    admin, anna = await desk.person("admin", name="Ada Admin"), await desk.person("agent", name="Xenia Agent")
    hours = await desk.runtime.business_hours.create(HoursInput(name="Shop", zone="UTC"))
    await admin.post(f"/settings/people/{anna.user_id}", name="Xenia Agent", role="viewer", reach="all")
    await admin.post(f"/settings/hours/{hours.id}/remove")
    await desk.runtime.audit.idle()
    shown = await admin.page(f"/settings/audit?by={admin.user_id}&kind=change")
    assert f'<a href="/settings/people/{anna.user_id}">Xenia Agent</a>' in shown
    assert f'<a href="/settings/hours/{hours.id}">Business hours</a>' in shown and ">hrs<" not in shown


@pytest.mark.parametrize("path", ["/settings/audit", "/settings/audit.csv", "/api/v1/audit"])
async def test_only_administrators_of_everything_read_it(desk: Desk, path: str) -> None:
    for role, channels in (("marketer", None), ("admin", ["chn_" + "0" * 26])):
        limited = await desk.person(role, channels, name="Lena Limited")
        await limited.page(path, 403)


async def test_the_database_away_does_not_undo_a_change(desk: Desk, monkeypatch: Any) -> None:
    admin = await desk.person("admin", name="Ada Admin")

    async def fails(row: Any) -> None:
        raise RuntimeError("no majority")

    monkeypatch.setattr(desk.runtime.audit._store, "add", fails)
    await admin.post("/account", name="Ada Changed", time_zone="UTC")
    assert (await desk.runtime.users.user(admin.user_id)).name == "Ada Changed"
