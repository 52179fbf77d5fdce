"""The second factor: codes work once, a password alone opens nothing, lost phones, roles that ask for it."""

import asyncio
import re
from base64 import b32encode
from datetime import UTC, datetime
from typing import Any

import pyotp
import pytest
from aiohttp import ClientSession, CookieJar
from hypothesis import given
from hypothesis import strategies as st

from base.errors import TooMany, WrongInput
from desk.accounts import TRIES_PER_CODE
from desk.team.two_factor import RECOVERY_CODES, STEP_S, code_print, new_codes, step_of
from tests.desk.conftest import PASSWORD, Browser, Desk

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
AT = datetime(2026, 11, 28, 12, 0, 10, tzinfo=UTC)


def code_at(secret: str, steps: int = 0, at: datetime | None = None) -> str:
    """The code an app shows, so many steps from a time."""
    seconds = (at.timestamp() if at else datetime.now(UTC).timestamp()) + steps * STEP_S
    return pyotp.TOTP(secret).at(int(seconds))


# -- pure ------------------------------------------------------------------------------------------------------------


def test_the_code_of_the_standard() -> None:
    """RFC 6238, appendix B: SHA-1, the last six of eight digits."""
    secret = pyotp.TOTP(b32encode(b"12345678901234567890").decode()).secret
    for seconds, code in ((59, "287082"), (1111111109, "081804"), (20000000000, "353130")):
        at = datetime.fromtimestamp(seconds, UTC)
        assert step_of(secret, code, at, -1) == seconds // STEP_S


@given(st.integers(-5, 5), st.integers(-3, 3))
def test_a_code_counts_near_its_time_and_after_what_was_used(steps: int, used: int) -> None:
    now_step = int(AT.timestamp()) // STEP_S
    found = step_of(SECRET, code_at(SECRET, steps, AT), AT, now_step + used)
    assert found == (now_step + steps if abs(steps) <= 1 and steps > used else None)


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "１２３４５６", "12 34 56 78", "0" * 40])
def test_what_is_no_code_is_none(code: str) -> None:
    assert step_of(SECRET, code, AT, 0) is None


def test_spaces_in_a_code_do_no_harm() -> None:
    code = code_at(SECRET, 0, AT)
    assert step_of(SECRET, f"{code[:3]} {code[3:]}", AT, 0) is not None


def test_recovery_codes_are_ten_and_read_however_written() -> None:
    codes = new_codes()
    assert len(set(codes)) == RECOVERY_CODES and all(re.fullmatch(r"([a-z0-9]{4}-){3}[a-z0-9]{4}", x) for x in codes)
    assert code_print(codes[0]) == code_print(f" {codes[0].upper().replace('-', ' ')} ") != code_print(codes[1])


# -- on the desk -----------------------------------------------------------------------------------------------------


async def enrolled(desk: Desk, browser: Browser) -> tuple[str, list[str]]:
    """Somebody with a second factor; (secret, recovery codes)."""
    await browser.post("/account/two-factor", act="begin", password=PASSWORD)
    page = await browser.page("/account")
    found = re.search(r'data-testid="secret">(\w+)<', page)
    assert found is not None and "<svg" in page
    page = await browser.post("/account/two-factor", 200, act="confirm", code=code_at(found[1]))
    codes = re.findall(r"<li>((?:[a-z0-9]{4}-){3}[a-z0-9]{4})</li>", page)
    assert len(codes) == RECOVERY_CODES
    return found[1], codes


class Door:
    """Somebody outside with a mail address and a password."""

    def __init__(self, desk: Desk, email: str) -> None:
        self.client = ClientSession(desk.url, cookie_jar=CookieJar(unsafe=True))
        self.email = email

    async def password(self, next_path: str = "/inbox") -> str:
        fields = {"email": self.email, "password": PASSWORD, "next": next_path}
        async with self.client.post("/sign-in", data=fields, allow_redirects=False) as answer:
            assert answer.status == 303
            return answer.headers["Location"]

    async def code(self, code: str) -> tuple[int, str]:
        async with self.client.post(
            "/sign-in/code", data={"code": code, "next": "/inbox"}, allow_redirects=False
        ) as answer:
            return answer.status, answer.headers.get("Location") or await answer.text()

    async def status(self, path: str = "/inbox") -> int:
        async with self.client.get(path, allow_redirects=False) as answer:
            return answer.status


async def at_the_door(desk: Desk, browser: Browser) -> Door:
    user = await desk.runtime.users.user(browser.user_id)
    return Door(desk, user.email)


async def csrf_of(door: Door) -> str:
    """The token of a page of theirs."""
    async with door.client.get("/account") as answer:
        return (await answer.text()).split('name="csrf" content="', 1)[1].split('"', 1)[0]


async def test_a_stolen_password_alone_opens_nothing(desk: Desk) -> None:
    anna = await desk.person("admin", name="Anna Admin")
    secret, _ = await enrolled(desk, anna)
    thief = await at_the_door(desk, anna)
    assert await thief.password() == "/sign-in/code?next=%2Finbox"
    cookies = {each.key: each.value for each in thief.client.cookie_jar}
    for route in {each.resource.canonical for each in desk.app.router.routes() if each.method == "GET"}:
        if route.startswith(("/inbox", "/profiles", "/settings", "/api/v1", "/account", "/today")) and "{" not in route:
            async with thief.client.get(route, allow_redirects=False) as answer:
                public = route in ("/api/v1/openapi.json",)
                assert public or answer.status in (303, 401), (route, answer.status)
    link = await desk.runtime.accounts.password_link(anna.user_id)
    async with thief.client.post(f"/welcome/{link}", data={"password": PASSWORD}, allow_redirects=False) as answer:
        assert answer.headers["Location"].startswith("/sign-in/code")
    assert await thief.status() == 303
    assert (await thief.code(code_at(secret, 1))) == (303, "/inbox")
    assert await thief.status() == 200
    again = {each.key: each.value for each in thief.client.cookie_jar}
    assert cookies != again
    async with ClientSession(desk.url, cookies=cookies) as old, old.get("/inbox", allow_redirects=False) as answer:
        assert answer.status == 303
    await thief.client.close()


async def test_a_code_works_once(desk: Desk) -> None:
    anna = await desk.person("agent", name="Anna Agent")
    secret, codes = await enrolled(desk, anna)
    code = code_at(secret, 1)
    factors = desk.runtime.two_factor
    passed = await asyncio.gather(*(factors.passes(anna.user_id, code) for _ in range(6)))
    assert passed.count(True) == 1
    assert not await factors.passes(anna.user_id, code_at(secret, -1))
    passed = await asyncio.gather(*(factors.passes(anna.user_id, codes[0].upper()) for _ in range(6)))
    assert passed.count(True) == 1 and (await factors.of(anna.user_id)).codes_left == RECOVERY_CODES - 1


async def test_codes_are_not_guessed(desk: Desk) -> None:
    anna = await desk.person("agent", name="Anna Agent")
    secret, codes = await enrolled(desk, anna)
    thief = await at_the_door(desk, anna)
    await thief.password()
    for _ in range(TRIES_PER_CODE):
        status, page = await thief.code("000000")
        assert status == 422 and "not right" in page
    for right in (code_at(secret, 1), codes[0]):
        status, page = await thief.code(right)
        assert status == 429
    assert await thief.status() == 303
    await thief.client.close()


async def test_only_sealed_and_hashed_secrets_are_stored(desk: Desk) -> None:
    anna = await desk.person("agent", name="Anna Agent")
    secret, codes = await enrolled(desk, anna)
    row = await desk.runtime.db.collection("factors").find_one({"_id": anna.user_id})
    assert secret not in str(row) and codes[0] not in str(row) and codes[0].replace("-", "") not in str(row)


async def test_switching_it_on_ends_the_other_sessions(desk: Desk) -> None:
    anna = await desk.person("agent", name="Anna Agent")
    elsewhere = await at_the_door(desk, anna)
    assert await elsewhere.password() == "/inbox"
    await enrolled(desk, anna)
    assert await elsewhere.status() == 303
    await anna.page("/inbox")
    await elsewhere.client.close()


async def test_it_is_begun_by_the_password_and_ended_by_a_code(desk: Desk) -> None:
    anna = await desk.person("agent", name="Anna Agent")
    await anna.post("/account/two-factor", 422, act="begin", password="wrong")
    await anna.post("/account/two-factor", act="begin", password=PASSWORD)
    await anna.post("/account/two-factor", 422, act="confirm", code="000000")
    await anna.post("/account/two-factor", act="cancel")
    assert 'data-testid="qr"' not in await anna.page("/account")
    assert await desk.runtime.db.collection("factors").find_one({"_id": anna.user_id}) is None
    secret, codes = await enrolled(desk, anna)
    await anna.post("/account/two-factor", 422, act="begin", password=PASSWORD)
    await anna.post("/account/two-factor", 422, act="remove", code="000000")
    await anna.post("/account/two-factor", act="move", code=codes[1])
    moved = re.search(r'data-testid="secret">(\w+)<', await anna.page("/account"))
    assert moved is not None and moved[1] != secret
    assert await desk.runtime.two_factor.passes(anna.user_id, code_at(secret, 1))  # the old one holds until then
    await anna.post("/account/two-factor", 200, act="confirm", code=code_at(moved[1]))
    assert not await desk.runtime.two_factor.passes(anna.user_id, codes[2])
    await anna.post("/account/two-factor", act="remove", code=code_at(moved[1], 1))
    assert await desk.runtime.two_factor.of(anna.user_id) is None


async def test_a_role_that_asks_for_it_sets_it_up_at_the_door(desk: Desk) -> None:
    admin, viewer = await desk.person("admin", name="Ada Admin"), await desk.person("viewer", name="Vera Viewer")
    await admin.post("/settings/people/rules/two-factor", roles="viewer")
    try:
        async with viewer.client.get("/inbox", allow_redirects=False) as answer:
            assert answer.status == 303
        door = await at_the_door(desk, viewer)
        assert (await door.password()).startswith("/sign-in/code")
        async with door.client.get("/sign-in/code?next=//evil.example") as answer:
            page = await answer.text()
        assert "evil.example" not in page
        found = re.search(r'data-testid="secret">(\w+)<', page)
        assert found is not None and await door.status() == 303
        assert (await door.code("000000"))[0] == 422
        status, page = await door.code(code_at(found[1]))
        assert status == 200 and page.count("<li>") >= RECOVERY_CODES
        assert await door.status() == 200
        headers = {"X-CSRF-Token": await csrf_of(door)}
        async with door.client.post("/api/v1/me/two-factor/remove", json={"code": "000000"}, headers=headers) as answer:
            assert (await answer.json())["code"] == "factor_required"
        await door.client.close()
    finally:
        await admin.post("/settings/people/rules/two-factor")


async def test_who_gets_such_a_role_is_signed_out(desk: Desk) -> None:
    admin, other = await desk.person("admin", name="Ada Admin"), await desk.person("viewer", name="Otto Other")
    await admin.post("/settings/people/rules/two-factor", roles="marketer")
    try:
        await admin.post(f"/settings/people/{other.user_id}", name="Otto", role="marketer", reach="all")
        async with other.client.get("/inbox", allow_redirects=False) as answer:
            assert answer.status == 303
    finally:
        await admin.post("/settings/people/rules/two-factor")


async def test_an_administrator_takes_it_off_who_lost_it(desk: Desk) -> None:
    admin, anna = await desk.person("admin", name="Ada Admin"), await desk.person("agent", name="Anna Agent")
    await enrolled(desk, anna)
    path = f"/settings/people/{anna.user_id}"
    assert "Take it off" in await admin.page(path)
    await anna.post(f"{path}/two-factor", 403)
    assert "is signed out everywhere" in await admin.page(await admin.post(f"{path}/two-factor"))
    door = await at_the_door(desk, anna)
    assert await door.password() == "/inbox"
    await door.client.close()


async def test_nobody_waits_at_the_door_without_a_password(desk: Desk) -> None:
    anna = await desk.person("agent", name="Anna Agent")
    for method in ("GET", "POST"):
        async with anna.client.request(method, "/sign-in/code", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/sign-in")


async def test_the_same_by_the_api(desk: Desk) -> None:
    anna = await desk.person("agent", name="Anna Agent")
    headers = {"X-CSRF-Token": anna.csrf}

    async def ask(method: str, path: str, status: int, **body: str) -> Any:
        given = {"json": body} if body else {}
        async with anna.client.request(method, "/api/v1" + path, headers=headers, **given) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json() if answer.content_length else None

    assert (await ask("GET", "/me/two-factor", 200))["on"] is False
    await ask("POST", "/me/two-factor", 422, password="wrong")
    secret = (await ask("POST", "/me/two-factor", 201, password=PASSWORD))["secret"]
    codes = (await ask("POST", "/me/two-factor/confirm", 200, code=code_at(secret)))["recovery_codes"]
    assert (await ask("GET", "/me/two-factor", 200))["recovery_codes_left"] == len(codes)
    await ask("POST", "/me/two-factor/remove", 422, code=code_at(secret))
    await ask("POST", "/me/two-factor/remove", 204, code=codes[3])
    with pytest.raises((WrongInput, TooMany)):
        await desk.runtime.accounts.check_code(await desk.runtime.users.user(anna.user_id), codes[4])
