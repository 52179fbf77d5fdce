"""Settings → People, and one's own account: invited, changed, switched off and on, signed out elsewhere."""

import re
from typing import Any

import pytest
from aiohttp import ClientSession, CookieJar

from desk.team.browsers import browser_words
from desk.team.letters import GONE, invitation
from inbox.models import Actor
from inbox.view_filter import ConversationFilter, ViewFilter
from tests.desk.conftest import PASSWORD, Desk
from tests.desk.world import MAIL, channel, wrote

HERE = "/settings/people"


def link_in(page: str) -> str:
    """The path of the link that a page shows once."""
    found = re.search(r'value="http://desk\.example(/welcome/[^"]+)"', page)
    assert found is not None, page[:2000]
    return found[1]


async def signed_in(desk: Desk, email: str, password: str = PASSWORD) -> ClientSession:
    client = ClientSession(desk.url, cookie_jar=CookieJar(unsafe=True))
    async with client.post("/sign-in", data={"email": email, "password": password}, allow_redirects=False) as answer:
        assert answer.status == 303
    return client


async def test_somebody_is_invited_by_a_link_and_comes_in(desk: Desk) -> None:
    admin = await desk.person("admin", name="Ada Admin")
    fields = {"email": "New@people.example", "name": "Nora New", "role": "agent", "reach": "all"}
    shown = await admin.post(HERE, 200, **fields)
    assert "Invited" in await admin.page(HERE)
    path = link_in(shown)
    async with ClientSession(desk.url, cookie_jar=CookieJar(unsafe=True)) as stranger:
        async with stranger.post(path, data={"password": PASSWORD}, allow_redirects=False) as answer:
            assert answer.status == 303
        async with stranger.get("/inbox") as answer:
            assert answer.status == 200
        async with stranger.get(HERE) as answer:
            assert answer.status == 403
    twice = await admin.post(HERE, 422, **fields)
    assert "Somebody with this address is here already." in twice and "new@people.example" in twice.lower()


@pytest.mark.parametrize(
    ("change", "says"),
    [({"email": "nobody"}, "not a mail address"), ({"role": "owner"}, "Choose a role"),
     ({"reach": "some"}, "at least one channel")],
)  # fmt: skip
async def test_a_faulty_invitation_says_what_is_wrong(desk: Desk, change: dict[str, str], says: str) -> None:
    admin = await desk.person("admin", name="Ada Admin")
    before = len(await desk.runtime.users.users())
    page = await admin.post(HERE, 422, **{"email": "x@people.example", "role": "agent", "reach": "all"} | change)
    assert says in page and len(await desk.runtime.users.users()) == before


async def test_rights_are_changed_at_once_and_put_back(desk: Desk) -> None:
    admin, other = await desk.person("admin", name="Ada Admin"), await desk.person("agent", name="Ben Agent")
    channel = await desk.runtime.channels.add("generic", "Shop", {"secret": "whsec_" + "QUFB" * 8})
    where = await admin.post(
        f"{HERE}/{other.user_id}", name="Ben B", role="viewer", reach="some", channels=channel.id, masks="phones"
    )  # fmt: skip
    user = await desk.runtime.users.user(other.user_id)
    assert (user.name, user.role, user.channels) == ("Ben B", "viewer", frozenset({channel.id}))
    assert user.masks == {"phones"}
    undo = dict(re.findall(r'<input type="hidden" name="(name|role|reach)" value="([^"]+)">', await admin.page(where)))
    await admin.post(f"{HERE}/{other.user_id}", **undo)
    user = await desk.runtime.users.user(other.user_id)
    assert (user.name, user.role, user.channels, user.masks) == ("Ben Agent", "agent", None, frozenset())


async def test_nobody_changes_their_own_rights(desk: Desk) -> None:
    admin = await desk.person("admin", name="Ada Admin")
    await admin.post(f"{HERE}/{admin.user_id}", name="Ada A", role="viewer", reach="all")
    user = await desk.runtime.users.user(admin.user_id)
    assert (user.name, user.role) == ("Ada A", "admin")
    assert "your own rights" in await admin.post(f"{HERE}/{admin.user_id}/active", 422, active="off")
    assert (await desk.runtime.users.user(admin.user_id)).active


async def test_who_is_switched_off_hands_over_and_is_out(desk: Desk) -> None:
    admin, leaver = await desk.person("admin", name="Ada Admin"), await desk.person("agent", name="Leo Leaver")
    taker = await desk.person("agent", name="Tia Taker")
    shop = await channel(desk.runtime)
    talks = [await wrote(desk.runtime, shop, f"4917000000{number}") for number in range(3)]
    for talk in talks:
        await desk.runtime.desk_actions.assign(talk.id, leaver.user_id, Actor(admin.user_id, "Ada"))
    where = await admin.post(f"{HERE}/{leaver.user_id}/active", active="off", to=taker.user_id)
    assert "3 conversations were handed over" in await admin.page(where)
    held = await desk.runtime.conversations.page(ConversationFilter(ViewFilter(assignee=(taker.user_id,))))
    assert {each.id for each in held.data} == {each.id for each in talks}
    async with leaver.client.get("/inbox", allow_redirects=False) as answer:
        assert answer.status == 303
    await admin.post(f"{HERE}/{leaver.user_id}/link", 409, by="")
    assert "may come in again" in await admin.page(await admin.post(f"{HERE}/{leaver.user_id}/active", active="on"))
    assert (await desk.runtime.users.user(leaver.user_id)).active


async def test_a_letter_that_does_not_go_leaves_the_link_to_be_passed_on(desk: Desk) -> None:
    admin, other = await desk.person("admin", name="Ada Admin"), await desk.person("agent", name="Ben Agent")
    page = await admin.post(f"{HERE}/{other.user_id}/link", 200, by="chn_" + "0" * 26)
    assert GONE in page and link_in(page)


async def test_a_letter_goes_through_a_mail_channel_and_stands_in_no_ledger(desk: Desk, monkeypatch: Any) -> None:
    sent = []
    adapter = desk.runtime.registry.get("email")

    async def send(account: Any, message: Any) -> None:
        sent.append(message)

    monkeypatch.setattr(adapter, "send", send)
    channel = await desk.runtime.channels.add("email", "Letters", MAIL)
    admin = await desk.person("admin", name="Ada Admin")
    where = await admin.post(
        HERE, email="mail@people.example", name="Mia", role="viewer", reach="all", by=channel.id
    )  # fmt: skip
    assert "on its way to mail@people.example" in await admin.page(where)
    (message,) = sent
    assert message.to.external_id == "mail@people.example" and "http://desk.example/welcome/" in message.text
    secret = message.text.split("/welcome/")[1].split()[0]
    assert await desk.runtime.db.collection("sends").count_documents({}) == 0
    assert secret not in await admin.page(where)


def test_the_letter_is_written_in_the_language_of_who_gets_it() -> None:
    english = invitation("", "a@b.example", "http://x/welcome/1", "Ada", "", "en")
    assert english.subject == "Your way into Rapport" and "Hello a@b.example" in english.text
    assert "http://x/welcome/1" in invitation("梅", "a@b.example", "http://x/welcome/1", "Ada", "茶", "zh_CN").text


@pytest.mark.parametrize("path", [HERE, "{one}"])
async def test_only_administrators_of_everything_see_people(desk: Desk, path: str) -> None:
    admin = await desk.person("admin", name="Ada Admin")
    path = path.format(one=f"{HERE}/{admin.user_id}")
    for role, channels in (("marketer", None), ("agent", None), ("admin", ["chn_" + "0" * 26])):
        limited = await desk.person(role, channels, name="Lena Limited")
        await limited.page(path, 403)
        await limited.post(path, 403, name="Taken over", role="admin", reach="all", email="x@y.example")
    assert (await desk.runtime.users.user(admin.user_id)).name == "Ada Admin"
    await admin.page(f"{HERE}/usr_{'0' * 26}", 404)


# -- one's own account -----------------------------------------------------------------------------------------------


async def test_sessions_are_listed_and_ended(desk: Desk) -> None:
    anna = await desk.person("viewer", name="Anna Viewer")
    email = (await desk.runtime.users.user(anna.user_id)).email
    phone = await signed_in(desk, email)
    laptop = await signed_in(desk, email)
    page = await anna.page("/account")
    assert page.count('data-testid="session"') >= 3 and page.count("this one") == 1
    names = re.findall(r'name="session" value="(ses_\w+)"', page)
    for name in names[:-1]:
        await anna.post("/account/sessions/close", session=name)
    left = []
    for client in (phone, laptop):
        async with client.get("/inbox", allow_redirects=False) as answer:
            left.append(answer.status)
    await anna.post("/account/sessions/close", session="others")
    for client in (phone, laptop):
        async with client.get("/inbox", allow_redirects=False) as answer:
            assert answer.status == 303
        await client.close()
    assert (await anna.page("/account")).count('data-testid="session"') == 1


async def test_nobody_ends_a_session_of_somebody_else(desk: Desk) -> None:
    anna, boris = await desk.person("admin", name="Anna A"), await desk.person("agent", name="Boris B")
    (theirs, *_) = await desk.runtime.users.sessions_of(boris.user_id)
    await anna.post("/account/sessions/close", session=theirs.id)
    async with anna.client.delete(
        f"/api/v1/me/sessions/{theirs.id}", headers={"X-CSRF-Token": anna.csrf}
    ) as answer:  # fmt: skip
        assert answer.status == 404
    for odd in ("ses_", "", "ses_" + "z" * 26, "$ne"):
        await anna.post("/account/sessions/close", session=odd)
    await boris.page("/inbox")
    assert len(await desk.runtime.users.sessions_of(boris.user_id)) >= 1


async def test_a_password_is_changed_by_who_knows_it(desk: Desk) -> None:
    anna = await desk.person("viewer", name="Anna Viewer")
    email = (await desk.runtime.users.user(anna.user_id)).email
    elsewhere = await signed_in(desk, email)
    assert "not your password" in await anna.post("/account/password", 422, old="wrong", new="another long password")
    assert "too easy" in await anna.post("/account/password", 422, old=PASSWORD, new="aaaaaaaaaaaa")
    await anna.post("/account/password", old=PASSWORD, new="another long password")
    await anna.page("/account")
    async with elsewhere.get("/inbox", allow_redirects=False) as answer:
        assert answer.status == 303
    await elsewhere.close()
    await (await signed_in(desk, email, "another long password")).close()


async def test_name_language_and_zone_are_ones_own(desk: Desk) -> None:
    anna = await desk.person("viewer", name="Anna Viewer")
    assert "no time zone" in await anna.post("/account", 422, name="Anna", time_zone="Mars/Olympus")
    assert "Write a name" in await anna.post("/account", 422, name=" ", time_zone="")
    await anna.post("/account", name="Anna V", time_zone="Asia/Shanghai", language="zh_CN")
    user = await desk.runtime.users.user(anna.user_id)
    assert (user.name, user.time_zone, user.language, user.role) == ("Anna V", "Asia/Shanghai", "zh_CN", "viewer")


async def test_the_api_tells_who_one_is(desk: Desk) -> None:
    anna = await desk.person("viewer", name="Anna Viewer")
    headers = {"X-CSRF-Token": anna.csrf}
    async with anna.client.patch("/api/v1/me", json={"name": "Anna W"}, headers=headers) as answer:
        assert (await answer.json())["name"] == "Anna W"
    async with anna.client.patch("/api/v1/me", json={"role": "admin"}, headers=headers) as answer:
        assert answer.status == 422
    async with anna.client.get("/api/v1/me/sessions") as answer:
        rows = (await answer.json())["data"]
        assert [each["current"] for each in rows].count(True) == 1
    secret = await desk.runtime.accounts.issue_token("Program", "viewer")
    async with ClientSession(desk.url, headers={"Authorization": f"Bearer {secret}"}) as program:
        async with program.get("/api/v1/me") as answer:
            assert (await answer.json())["kind"] == "token"
        for method, path in (("PATCH", "/me"), ("GET", "/me/sessions")):
            body = {"json": {"name": "x"}} if method == "PATCH" else {}
            async with program.request(method, "/api/v1" + path, **body) as answer:
                assert answer.status == 404


@pytest.mark.parametrize(
    ("agent", "words"),
    [("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox · Linux"),
     ("Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Mobile/15E148 Safari/604.1",
      "Safari · iPhone"),
     ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0", "Edge · Windows"),
     ("<script>", "<script>"), ("", "")],
)  # fmt: skip
def test_a_browser_is_called_by_its_name(agent: str, words: str) -> None:
    assert browser_words(agent) == words
