"""Who may what on pages: every route by nobody, by a forged form, by the wrong role, and by somebody limited to another
channel. Afterwards the database is as it was."""

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession

from desk.app import PAGES
from desk.auth import STANDS_FOR
from tests.desk.api.conftest import ROLES, Side, World
from tests.desk.api.test_scope import NOWHERE, SCOPED

#: What the last part of a parameter's name says of the id it stands for.
KINDS = {
    "conversation": "cnv", "message": "msg", "profile": "prf", "task": "tsk", "note": "nte", "file": "fil",
    "identity": "idn", "broadcast": "brd", "run": "enr", "journey": "jrn", "order": "ord", "template": "tpl",
    "snippet": "snp", "offer": "ofr", "channel": "chn", "group": "cgr", "segment": "seg", "field": "fld",
    "hours": "hrs", "endpoint": "whk", "post": "whd", "owner": "tpl", "policy": "slp", "view": "viw", "team": "tea",
    "reply": "cnr", "macro": "mac", "rule": "arl",
}  # fmt: skip
#: Parameters that are a word.
WORDS = {"provider": "generic", "name": "welcome", "rev": "1", "lot": "1", "secret": "x", "token": "x",
         "report": "volume"}  # fmt: skip
#: And those of which nothing stands in the world: an id of that kind which is nobody's.
NOBODYS = {
    "row": "blk", "move": "stl", "change": "tag", "import": "imp", "export": "exp", "dossier": "dos", "erasure": "ers",
    "request": "prq", "suggestion": "sug", "merge": "mrg", "act": "con", "relation": "rel", "intake": "itk",
    "migration": "mig", "delivery": "dlv", "user": "usr", "notification": "ntf", "bot": "bot",
}  # fmt: skip
#: Forms with which the request would succeed, were it allowed, where the page reads the form before it looks further.
FORMS: dict[str, dict[str, str]] = {"POST /profiles/{profile_id}/merge": {"other": "prf_" + NOWHERE}}
#: Pages of what no side has: here no message is a mail, and no channel one for mail.
ELSEWHERE = {
    "GET /inbox/{conversation_id}/mails/{message_id}", "GET /settings/channels/{channel_id}/deliverability",
    "GET /inbox/{conversation_id}/messages/{message_id}/forward",
}  # fmt: skip
PARAMETER = re.compile(r"\{(\w+)(?::([^{}]*(?:\{\d+(?:,\d+)?\}[^{}]*)*))?\}")


@dataclass(frozen=True)
class Route:
    """One route of a page."""

    method: str
    pattern: str
    roles: frozenset[str]

    def __str__(self) -> str:
        return f"{self.method} {self.pattern}"

    def path(self, side: Side) -> str:
        """With the ids of a side."""
        return PARAMETER.sub(lambda found: self._value(found, side), self.pattern)

    def concerns(self) -> bool:
        """True when its path names something that belongs to a channel or a person."""
        return any(_kind(name) in SCOPED for name, _ in PARAMETER.findall(self.pattern))

    def _value(self, found: re.Match[str], side: Side) -> str:
        name, choices = found.groups()
        if choices and "|" in choices:
            return choices.split("|")[0]
        if name in ("what", "place"):
            return choices
        kind = _kind(name)
        bare = name.removesuffix("_id")
        return side.known()[kind] if kind else WORDS.get(bare) or f"{NOBODYS[bare]}_{NOWHERE}"


def _kind(name: str) -> str | None:
    return KINDS.get(name.removesuffix("_id"))


def _routes() -> Iterator[Route]:
    for page in PAGES:
        for route in page.routes:
            yield Route(route.method, route.path, getattr(route.handler, "roles", frozenset()))


ROUTES = list(_routes())
GUARDED = [each for each in ROUTES if each.roles]


@dataclass
class Visitor:
    """A browser in which somebody has signed in."""

    client: ClientSession
    csrf: str

    async def ask(self, route: Route, path: str, **headers: str) -> ClientResponse:
        """The route with the form it takes; redirects are not followed."""
        if route.method == "GET":
            return await self.client.get(path, headers=headers, allow_redirects=False)
        form = {"csrf": self.csrf, **FORMS.get(str(route), {})}
        return await self.client.post(path, data=form, headers=headers, allow_redirects=False)


@pytest.fixture(scope="module")
async def visitors(world: World) -> AsyncIterator[dict[str, Visitor]]:
    """Somebody of each role, and one of each limited to the channel of `ours`."""
    found = {}
    for role in ROLES:
        for name, channels in ((role, None), (f"scoped:{role}", [world.ours.channel])):
            found[name] = await _visitor(world, name, role, channels)
    yield found
    for visitor in found.values():
        await visitor.client.close()


async def _visitor(world: World, name: str, role: Any, channels: list[str] | None) -> Visitor:
    accounts = world.runtime.accounts
    _, link = await accounts.invite(f"{name.replace(':', '-')}@pages.example.org", name, role, channels)
    secret, _ = await accounts.follow_link(link, "correct horse battery", agent="test", address="::1")
    client = ClientSession(world.url, cookies={"rapport": secret})
    async with client.get("/account") as answer:
        csrf = (await answer.text()).split('name="csrf" content="', 1)[1].split('"', 1)[0]
    return Visitor(client, csrf)


def test_every_parameter_is_known() -> None:
    unknown = {
        name
        for route in ROUTES
        for name, choices in PARAMETER.findall(route.pattern)
        if not _kind(name) and name not in ("what", "place") and "|" not in choices
        and name.removesuffix("_id") not in {*WORDS, *NOBODYS}
    }  # fmt: skip
    assert not unknown, "say in KINDS, WORDS or NOBODYS what stands for these"


async def test_nobody_sees_or_changes_anything(world: World) -> None:
    before = await world.digest()
    async with ClientSession(world.url) as client:
        for route in GUARDED:
            answer = await client.request(route.method, route.path(world.ours), data={}, allow_redirects=False)
            assert answer.status == 303, (str(route), answer.status)
            assert answer.headers["Location"].startswith("/sign-in"), str(route)
            assert "Anna" not in await answer.text(), str(route)
    assert await world.digest() == before


async def test_a_forged_form_changes_nothing(world: World, visitors: dict[str, Visitor]) -> None:
    before, admin = await world.digest(), visitors["admin"]
    forged = Visitor(admin.client, "0" * len(admin.csrf))
    for route in GUARDED:
        if route.method == "POST":
            path = route.path(world.ours)
            answer = await forged.ask(route, path)
            assert answer.status == 403, (str(route), await answer.text())
            answer = await admin.ask(route, path, **{"Sec-Fetch-Site": "cross-site"})
            assert answer.status == 403, (str(route), await answer.text())
    assert await world.digest() == before


@pytest.mark.parametrize("role", ROLES)
async def test_the_wrong_role_sees_and_changes_nothing(world: World, visitors: dict[str, Visitor], role: str) -> None:
    before, refused = await world.digest(), 0
    for route in GUARDED:
        if STANDS_FOR[role].isdisjoint(route.roles):
            answer = await visitors[role].ask(route, route.path(world.ours))
            assert answer.status == 403, (str(route), answer.status)
            refused += 1
    assert await world.digest() == before
    assert (refused == 0) == (role == "admin")


@pytest.mark.parametrize("role", ROLES)
async def test_what_is_on_another_channel_is_not_there(world: World, visitors: dict[str, Visitor], role: str) -> None:
    before, wrong = await world.digest(), []
    for route in GUARDED:
        if route.concerns() and not STANDS_FOR[role].isdisjoint(route.roles):
            answer = await visitors[f"scoped:{role}"].ask(route, route.path(world.foreign))
            text = await answer.text()
            told = 404
            if answer.status == 403:  # who may do it nowhere learns nothing by it
                told = (await visitors[f"scoped:{role}"].ask(route, route.path(world.ours))).status
            if answer.status != told or "boris" in text.lower():
                wrong.append((str(route), answer.status))
    assert not wrong
    assert await world.digest() == before


async def test_what_is_ones_own_is_there(world: World, visitors: dict[str, Visitor]) -> None:
    """So that the refusals above are none of wrong paths."""
    wrong = []
    for route in GUARDED:
        if route.method == "GET" and route.concerns() and NOWHERE not in route.path(world.ours):
            for name, refusals in (("admin", ()), ("scoped:admin", (403,))):
                answer = await visitors[name].ask(route, route.path(world.ours))
                if answer.status >= 400 and answer.status not in refusals and str(route) not in ELSEWHERE:
                    wrong.append((name, str(route), answer.status))
    assert not wrong


async def test_no_page_shows_anything_of_others(world: World, visitors: dict[str, Visitor]) -> None:
    hidden = [world.foreign.id_for(prefix) for prefix in SCOPED] + [world.foreign.identity, "boris", "Boris"]
    shown = 0
    for route in GUARDED:
        if route.method == "GET":
            answer = await visitors["scoped:admin"].ask(route, route.path(world.ours))
            text = await answer.text() if answer.content_type.startswith(("text/", "application/json")) else ""
            assert answer.status < 500, (str(route), text[:300])
            assert not [each for each in hidden if each in text], (str(route), answer.status)
            shown += answer.status == 200
    assert shown > 60
