"""Coming in: throttle, same answer for unknown people, fixation, reuse after sign-out, forgery, roles, links."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace

import pytest
from aiohttp import ClientSession, CookieJar, web
from argon2 import PasswordHasher

from base.clock import now
from base.errors import Conflict, NotFound, Refused, TooMany, WrongInput
from base.mongo import Database
from desk import accounts as accounts_module
from desk.accounts import Accounts
from desk.auth import (
    ACCOUNTS,
    RUNTIME,
    Principal,
    client_of,
    csrf_of,
    local_path,
    principal_of,
    public,
    require,
    set_session_cookie,
)
from desk.middleware import MIDDLEWARES, harden
from desk.store import IDEMPOTENCY_SILENT, DeskStore

GOOD = "correct horse battery"
WRITTEN = web.AppKey("written", list)
QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


@pytest.fixture
async def accounts(mongo_url, fresh_shaped_database):
    database = Database(mongo_url, fresh_shaped_database)
    yield Accounts(DeskStore(database, now), now, QUICK)
    database.close()


@pytest.fixture
async def anna(accounts):
    secret = await accounts.first_administrator_link()
    _, user = await accounts.follow_link(secret, GOOD, email="Anna@Example.org", name="Anna", agent="t", address="::1")
    return user


@pytest.fixture
async def deputy(accounts):
    """Another administrator, so that Anna may go."""
    user, link = await accounts.invite("deputy@example.org", "Deputy", "admin")
    await accounts.follow_link(link, GOOD, agent="t", address="::1")
    return user


async def _sign_in(accounts, email="anna@example.org", password=GOOD, address="10.0.0.1"):
    return await accounts.sign_in(email, password, agent="test", address=address)


async def test_the_first_administrator_comes_in_once(accounts):
    void, secret = await accounts.first_administrator_link(), await accounts.first_administrator_link()
    with pytest.raises(NotFound):
        await accounts.open_link(void)
    with pytest.raises(WrongInput):
        await accounts.follow_link(secret, "short", email="a@b.c", agent="t", address="x")
    followed = [accounts.follow_link(secret, GOOD, email=f"{i}@b.c", agent="t", address="x") for i in range(4)]
    results = await asyncio.gather(*followed, return_exceptions=True)
    assert sum(isinstance(result, tuple) for result in results) == 1
    assert sum(isinstance(result, NotFound) for result in results) == 3
    assert await accounts.first_administrator_link() is None
    (user,) = await accounts.store.users()
    assert (user.role, user.has_password) == ("admin", True)


async def test_an_invitation_works_once_and_signs_out_everywhere_else(accounts, anna):
    session, _ = await _sign_in(accounts)
    assert (await accounts.store.session_user(session)).id == anna.id
    link = await accounts.password_link(anna.id)
    new_session, _ = await accounts.follow_link(link, "another long password", agent="t", address="x")
    assert await accounts.store.session_user(session) is None
    assert await accounts.store.session_user(new_session) is not None
    with pytest.raises(NotFound):
        await accounts.open_link(link)
    with pytest.raises(Refused):
        await _sign_in(accounts)
    with pytest.raises(Conflict):
        await accounts.invite("ANNA@example.org", "Twin", "agent")


@pytest.mark.parametrize("change", [{"role": "agent"}, {"active": False}, {"channels": ["chn_1"]}], ids=str)
async def test_the_last_administrator_stays(accounts, anna, change):
    await accounts.invite("never-came@example.org", "Never", "admin")  # has no password, so could not help
    with pytest.raises(Conflict) as caught:
        await accounts.store.change_user(anna.id, change)
    assert caught.value.code == "last_administrator"
    kept = await accounts.store.user(anna.id)
    assert kept.role == "admin" and kept.active and kept.channels is None
    await accounts.store.change_user(anna.id, {"name": "Anna B", "theme": "dark"})


async def test_of_two_who_take_each_others_rights_one_stays(accounts, anna, deputy):
    for _ in range(5):
        tries = [accounts.store.change_user(each.id, {"role": "viewer"}) for each in (anna, deputy)]
        done = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(isinstance(each, Conflict) for each in done) == 1, done
        for each in (anna, deputy):
            await accounts.store.change_user(each.id, {"role": "admin"})


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaa", "Password123", "x" * 300, "example.org"])
async def test_weak_passwords_are_refused_and_the_link_stays(accounts, password):
    secret = await accounts.first_administrator_link()
    with pytest.raises(WrongInput):
        await accounts.follow_link(secret, password, email="anna@example.org", agent="t", address="x")
    assert (await accounts.open_link(secret)).user is None


async def test_known_and_unknown_accounts_get_the_same_words(accounts, anna):
    await accounts.store.add_user("new@example.org", "No password yet", "agent")
    await accounts.store.add_user("gone@example.org", "Gone", "agent")
    said = set()
    for email in ("anna@example.org", "nobody@example.org", "new@example.org", "gone@example.org", "", "\x00"):
        with pytest.raises(Refused) as refused:
            await _sign_in(accounts, email, "wrong")
        said.add((str(refused.value), refused.value.code))
    assert len(said) == 1


async def test_an_unknown_account_costs_a_hash_too(accounts, anna, monkeypatch):
    verified = []
    real = accounts._verify
    monkeypatch.setattr(accounts, "_verify", lambda *args: verified.append(1) or real(*args))
    for email in ("anna@example.org", "nobody@example.org"):
        with pytest.raises(Refused):
            await _sign_in(accounts, email, "wrong")
    assert len(verified) == 2


@pytest.mark.parametrize("email", ["anna@example.org", "nobody@example.org"])
async def test_an_account_is_throttled_from_all_addresses(accounts, anna, email):
    for i in range(accounts_module.TRIES_PER_ACCOUNT):
        with pytest.raises(Refused):
            await _sign_in(accounts, email, "wrong", f"10.0.0.{i}")
    with pytest.raises(TooMany) as stopped:
        await _sign_in(accounts, email.upper(), GOOD, "10.1.1.1")
    assert stopped.value.retry_after_s > 60


async def test_an_address_is_throttled_over_all_accounts_also_when_it_asks_at_once(accounts, anna):
    tries = [_sign_in(accounts, f"{i}@example.org", "wrong") for i in range(60)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(type(result) is Refused for result in results) == accounts_module.TRIES_PER_ADDRESS
    with pytest.raises(TooMany):
        await _sign_in(accounts)
    assert (await _sign_in(accounts, address="10.9.9.9"))[1].id == anna.id


async def test_success_forgets_the_tries_of_the_account(accounts, anna):
    for _ in range(3):
        for _ in range(5):
            with pytest.raises(Refused):
                await _sign_in(accounts, password="wrong", address="a")
        await _sign_in(accounts, address="b")


async def test_only_hashes_are_stored(accounts, anna):
    session, _ = await _sign_in(accounts)
    token, _ = await accounts.new_token("shop", "agent")
    link = await accounts.password_link(anna.id)
    store = accounts.store
    everything = ""
    for rows in (store._users, store._sessions, store._tokens, store._links, store._throttle):
        everything += repr(await rows.find({}).to_list(None))
    assert not [secret for secret in (session, token, link, GOOD) if secret in everything]


async def test_idempotency_keys(accounts):
    store = accounts.store
    begun = await asyncio.gather(*(store.begin_once("usr_1", "k", "h") for _ in range(6)))
    assert sorted(each.state for each in begun) == ["new"] + ["running"] * 5
    assert (await store.begin_once("usr_1", "k", "other")).state == "other_body"
    assert (await store.begin_once("usr_2", "k", "other")).state == "new"
    await store.finish_once("usr_1", "k", 201, {"Location": "/x"}, b"{}")
    again = await store.begin_once("usr_1", "k", "h")
    assert (again.state, again.status, again.body) == ("done", 201, b"{}")
    await store.drop_once("usr_2", "k")
    assert (await store.begin_once("usr_2", "k", "h")).state == "new"


async def test_the_key_of_a_dead_process_is_taken_over_and_that_of_a_slow_one_is_not(mongo_url, fresh_shaped_database):
    passed = timedelta(0)
    database = Database(mongo_url, fresh_shaped_database)
    store = DeskStore(database, lambda: now() + passed)
    await store.begin_once("usr_1", "k", "h")
    for _ in range(3):
        passed += IDEMPOTENCY_SILENT * 0.9
        await store.alive_once("usr_1", "k")
    assert (await store.begin_once("usr_1", "k", "h")).state == "running"
    passed += IDEMPOTENCY_SILENT
    begun = await asyncio.gather(*(store.begin_once("usr_1", "k", "h") for _ in range(4)))
    assert sorted(each.state for each in begun) == ["new"] + ["running"] * 3
    database.close()


PROXY = ("10.0.0.0/8", "127.0.0.1/32")


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "client"),
    [
        ("203.0.113.9", ["198.51.100.1"], PROXY, "203.0.113.9"),
        ("127.0.0.1", ["198.51.100.1"], (), "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.1"], PROXY, "198.51.100.1"),
        ("127.0.0.1", ["1.2.3.4, 198.51.100.1, 10.1.1.1"], PROXY, "198.51.100.1"),
        ("127.0.0.1", ["1.2.3.4", "198.51.100.1"], PROXY, "198.51.100.1"),
        ("::ffff:127.0.0.1", ["2001:db8::7"], PROXY, "2001:db8::7"),
        ("127.0.0.1", ["<script>"], PROXY, "127.0.0.1"),
        ("127.0.0.1", ["1.2.3.4, unknown"], PROXY, "127.0.0.1"),
        ("unknown", ["1.2.3.4"], PROXY, "unknown"),
    ],
)
def test_only_trusted_proxies_say_who_is_behind_them(peer, forwarded, trusted, client):
    assert client_of(peer, forwarded, trusted) == client


# -- through HTTP ------------------------------------------------------------------------------------------------


async def _open(request):
    secret, _ = await request.app[ACCOUNTS].sign_in(
        "anna@example.org", (await request.post())["password"], agent="t", address="x"
    )
    response = web.Response(text="in")
    set_session_cookie(request, response, secret)
    return response


@require("viewer")
async def _who(request):
    return web.json_response({"id": principal_of(request).id, "csrf": csrf_of(request)})


@require("agent")
async def _answer(request):
    request.app[WRITTEN].append(1)
    return web.Response(text="done")


@pytest.fixture
async def site(accounts, anna, local_server):
    app = web.Application(middlewares=MIDDLEWARES)
    app.on_response_prepare.append(harden)
    app[RUNTIME] = SimpleNamespace(settings=SimpleNamespace(base_url=""))
    app[ACCOUNTS] = accounts
    app[WRITTEN] = []
    app.router.add_post("/open", public(_open))
    for prefix in ("", "/api/v1"):
        app.router.add_get(f"{prefix}/who", _who)
        app.router.add_post(f"{prefix}/answer", _answer)
    return await local_server(app), app


@pytest.fixture
async def browser(site):
    async with ClientSession(site[0], cookie_jar=CookieJar(unsafe=True)) as client:
        assert (await client.post("/open", data={"password": GOOD})).status == 200
        yield client


def _cookie(client):
    (cookie,) = list(client.cookie_jar)
    return cookie


async def test_the_cookie_is_closed_to_scripts_and_other_sites(browser):
    cookie = _cookie(browser)
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")


async def test_over_https_the_cookie_is_bound_to_the_host(site, accounts):
    url, app = site
    app[RUNTIME].settings.base_url = "https://desk.example.org"
    async with ClientSession(url) as client:
        answer = await client.post("/open", data={"password": GOOD})
    header = answer.headers["Set-Cookie"]
    assert header.startswith("__Host-rapport=") and "Secure" in header and "Domain" not in header


async def test_signing_in_rotates_the_session(site, browser, accounts):
    before = _cookie(browser).value
    planted = {"rapport": "planted-by-somebody"}
    async with ClientSession(site[0], cookies=planted) as client:
        answer = await client.post("/open", data={"password": GOOD})
        assert answer.cookies["rapport"].value not in ("planted-by-somebody", before)
    await browser.post("/open", data={"password": GOOD})
    assert _cookie(browser).value != before


@pytest.mark.parametrize("how", ["sign_out", "everywhere", "switched_off"])
async def test_a_closed_session_is_dead_at_once(browser, accounts, anna, deputy, how):
    secret = _cookie(browser).value
    assert (await browser.get("/api/v1/who")).status == 200
    if how == "sign_out":
        await accounts.store.close_session(secret)
    elif how == "everywhere":
        await accounts.store.close_sessions_of(anna.id)
    else:
        await accounts.store.change_user(anna.id, {"active": False})
    answer = await browser.get("/api/v1/who")
    assert answer.status == 401
    assert (await answer.json())["code"] == "unauthenticated"
    page = await browser.get("/who?x=1", allow_redirects=False)
    assert (page.status, page.headers["Location"]) == (303, "/sign-in?next=/who?x%3D1")


async def test_a_changed_role_counts_at_once(browser, accounts, anna, deputy):
    headers = {"X-CSRF-Token": (await (await browser.get("/who")).json())["csrf"]}
    assert (await browser.post("/api/v1/answer", headers=headers)).status == 200
    await accounts.store.change_user(anna.id, {"role": "viewer"})
    assert (await browser.post("/api/v1/answer", headers=headers)).status == 403
    assert (await browser.get("/who")).status == 200


async def test_writes_need_the_token_of_this_session_and_this_site(browser, site):
    token = (await (await browser.get("/who")).json())["csrf"]
    good = {"X-CSRF-Token": token}
    refused = [
        {}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "0" * 40}, {"X-CSRF-Token": "é"},
        {**good, "Origin": "https://evil.example"}, {**good, "Origin": "null"},
        {**good, "Sec-Fetch-Site": "cross-site"}, {**good, "Sec-Fetch-Site": "same-site"},
    ]  # fmt: skip
    for headers in refused:
        for path in ("/answer", "/api/v1/answer"):
            assert (await browser.post(path, headers=headers)).status == 403, headers
    assert site[1][WRITTEN] == []
    assert (await browser.post("/answer", headers={**good, "Origin": site[0]})).status == 200
    assert (await browser.post("/answer", data={"csrf": token})).status == 200
    await browser.post("/open", data={"password": GOOD})
    assert (await browser.post("/answer", headers=good)).status == 403


async def test_tokens_are_for_the_api_alone(site, accounts, anna):
    url, _ = site
    secret, row = await accounts.new_token("shop", "agent", channels=["chn_1"])
    async with ClientSession(url, headers={"Authorization": f"Bearer {secret}"}) as client:
        assert (await (await client.get("/api/v1/who")).json())["id"] == row.id
        assert (await client.post("/api/v1/answer")).status == 200
        assert (await client.get("/who", allow_redirects=False)).status == 303
        assert await accounts.store.revoke_token(row.id)
        assert (await client.get("/api/v1/who")).status == 401


async def test_a_wrong_token_is_not_passed_over_for_the_cookie(browser):
    for value in ("Bearer wrong", "Bearer ", "Bearer " + "x" * 5000):
        assert (await browser.get("/api/v1/who", headers={"Authorization": value})).status == 401


async def test_every_answer_is_hardened(browser):
    for path in ("/who", "/api/v1/who", "/nowhere"):
        headers = (await browser.get(path)).headers
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert (headers["X-Content-Type-Options"], headers["Cache-Control"]) == ("nosniff", "no-store")
        assert headers["X-Request-ID"]


def _principal(role, channels=None):
    return Principal("usr_1", "user", role, channels, "A")


def test_roles_stand_in_for_others():
    may = {role: [r for r in ("admin", "marketer", "agent", "viewer") if _principal(role).may(r)] for role in (
        "admin", "marketer", "agent", "viewer",
    )}  # fmt: skip
    assert may == {
        "admin": ["admin", "marketer", "agent", "viewer"], "marketer": ["marketer", "viewer"],
        "agent": ["agent", "viewer"], "viewer": ["viewer"],
    }  # fmt: skip


def test_channel_scope():
    assert _principal("agent").may_see("chn_1")
    scoped = _principal("agent", frozenset({"chn_1"}))
    assert (scoped.may_see("chn_1"), scoped.may_see("chn_2"), scoped.may_see(None)) == (True, False, True)


@pytest.mark.parametrize("path", ["//evil.example", "/\\evil", "https://evil.example", "", "javascript:x", "/a\nb"])
def test_the_way_back_stays_on_this_site(path):
    assert local_path(path) == "/"
    assert local_path("/inbox?x=1") == "/inbox?x=1"
