"""The menus of areas: every page is in one, none twice, and nobody is offered what they may not open."""

import re

from aiohttp.test_utils import make_mocked_request

from desk.auth import Principal
from desk.sections import CONTENT, PROFILES, SETTINGS, Entry, Section, content_sections, profile_sections, settings_menu
from tests.desk.conftest import Desk

ALL: list[Section] = [*PROFILES, *CONTENT, *(each for _, sections in SETTINGS for each in sections)]


def paths(menu: list[tuple[str, list[Entry]]]) -> set[str]:
    return {each.path for _, entries in menu for each in entries}


async def test_every_page_of_the_settings_is_in_the_menu_with_the_roles_of_its_route(desk: Desk) -> None:
    for each in ALL:
        route = await desk.app.router.resolve(make_mocked_request("GET", each.path))
        roles = getattr(route.handler, "roles", None) or {"viewer"}  # what is public is everybody's
        assert roles == frozenset(each.roles), each.path
    own = [each.path for _, sections in SETTINGS for each in sections]
    assert len(own) == len(set(own)) and len(PROFILES) == len({each.path for each in PROFILES})
    pages = {each.resource.canonical for each in desk.app.router.routes() if each.method == "GET" and each.resource}
    assert {each for each in pages if re.fullmatch(r"/settings/[a-z-]+", each)} <= set(own)


def test_nobody_is_offered_what_they_may_not_open() -> None:
    admin, agent = (Principal("usr_1", "user", role, None, "A") for role in ("admin", "agent"))
    limited = Principal("usr_1", "user", "admin", frozenset({"chn_1"}), "A")
    whole = paths(settings_menu(admin, "/settings/channels"))
    hidden = {"/settings/privacy", "/settings/retention", "/settings/tests", "/settings/calls", "/settings/people",
              "/settings/bots", "/settings/audit"}  # fmt: skip
    assert whole - paths(settings_menu(limited, "/")) == hidden
    assert whole - paths(settings_menu(agent, "/")) == hidden | {"/settings/tracking", "/settings/webhooks"}
    for exports in (True, False):
        shown = {each.path for each in profile_sections(agent, "/profiles", agents_export=exports)}
        assert ("/profiles/exports" in shown) is exports and "/profiles/imports" not in shown
    assert len(profile_sections(admin, "/profiles", agents_export=False)) == len(PROFILES)


def test_the_menu_says_where_one_is() -> None:
    admin = Principal("usr_1", "user", "admin", None, "A")

    def here(path: str) -> list[str]:
        return [each.path for _, entries in settings_menu(admin, path) for each in entries if each.current]

    assert here("/settings/channels/chn_1/deliveries") == here("/settings/channels") == ["/settings/channels"]
    content = content_sections(admin, "/snippets/snp_1")
    assert [each.path for each in content if each.current] == ["/snippets"] and len(content) == len(CONTENT)
    strip = profile_sections(admin, "/profiles/board", agents_export=False)
    assert [each.path for each in strip if each.current] == ["/profiles/board"]
    assert [each.path for each in profile_sections(admin, "/profiles", agents_export=False) if each.current] == [
        "/profiles"
    ]


async def test_what_the_menus_offer_opens_for_each_role(desk: Desk) -> None:
    for role in ("viewer", "agent", "marketer", "admin"):
        person = await desk.person(role, name=role.capitalize())
        for start, mark in (
            ("/settings/channels", "settings-menu"), ("/profiles", "profile-sections"),
            ("/templates", "content-sections"),
        ):
            menu = (await person.page(start)).split(f'data-testid="{mark}"', 1)[1].split("</nav>", 1)[0]
            assert menu.count('aria-current="page"') == 1
            for path in re.findall(r'href="([^"]+)"', menu):
                await person.page(path)
