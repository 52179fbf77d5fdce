"""The pages of templates without a script: written, composed, looked at, saved, tried, found, taken away, put back."""

import re
from html import unescape
from typing import Any

import pytest

from profiles.custom_fields import FieldInput
from profiles.edit import ProfilePatch
from profiles.models import IdentityRef
from profiles.resolve import Reference
from tests.desk.conftest import Browser, Desk
from tests.desk.world import channel

HERE = "/templates"


@pytest.fixture(scope="module")
async def marketer(desk: Desk) -> Browser:
    (known,) = await desk.runtime.resolver.identify([Reference([IdentityRef(kind="email", value="anna@tpl.example")])])
    await desk.runtime.editor.patch(known.profile_id, ProfilePatch(name="Anna Bos"))
    return await desk.person("marketer", name="Mia Marketer")


def inputs(page: str) -> dict[str, str]:
    """The fields of the editor as a browser would send them."""
    form = page.split('data-testid="editor"', 1)[1].split("</form>", 1)[0]
    found: dict[str, str] = {}
    for tag in re.findall(r"<input\b[^>]*>", form):
        name, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
        if name and not ('type="checkbox"' in tag and " checked" not in tag):
            found[unescape(name[1])] = unescape(value[1]) if value else ""
    for name, body in re.findall(r'<textarea[^>]*name="([^"]*)"[^>]*>(.*?)</textarea>', form, re.DOTALL):
        found[unescape(name)] = unescape(body).removeprefix("\n")
    found.pop("csrf", None)
    return found


def kinds(page: str) -> list[str]:
    return re.findall(r'name="b:\d+:type" value="(\w+)"', page)


async def press(browser: Browser, path: str, act: str, expected: int = 200, **fields: Any) -> str:
    return await browser.post(path, expected, act=act, **fields)


async def test_a_letter_is_composed_saved_and_changed(marketer: Browser, desk: Desk) -> None:
    path = f"{HERE}/new"
    page = await marketer.page(path)
    assert kinds(page) == ["header", "text", "footer"]
    fields = inputs(page) | {"name": "Spring", "subject": "Hi {{ profile.first_name }}", "tags": "promo, tea",
                             "b:0:title": "Spring <teas>", "b:1:text": "Dear {{ profile.name }}"}  # fmt: skip
    page = await press(marketer, path, "add:button", **fields)
    assert kinds(page) == ["header", "text", "button", "footer"], "the footer stays last"
    fields = inputs(page) | {"b:2:label": "Look", "b:2:url": "https://shop.example/"}
    page = await press(marketer, path, "up:2", **fields)
    assert kinds(page) == ["header", "button", "text", "footer"]
    page = await press(marketer, path, "remove:1", **inputs(page))
    assert kinds(page) == ["header", "text", "footer"] and 'data-testid="put-back"' in page
    page = await press(marketer, path, "put_back", **inputs(page))
    page = await press(marketer, path, "move:1:2", **inputs(page))
    assert kinds(page) == ["header", "text", "button", "footer"] and "Spring &lt;teas&gt;" in page
    where = await press(marketer, path, "save", 303, **inputs(page))
    assert where.endswith("?saved")
    page = await marketer.page(where)
    assert "Saved." in page and inputs(page)["b:2:label"] == "Look" and inputs(page)["tags"] == "promo, tea"
    path = where.split("?")[0]
    fields = inputs(page) | {"name": "Spring teas"}
    await press(marketer, path, "save", 303, **fields)
    page = await press(marketer, path, "save", 422, **fields)
    assert "Somebody else has changed this template" in page
    row = await desk.runtime.templates.get(path.rsplit("/", 1)[1])
    assert row["rev"] == 2 and row["name"] == "Spring teas"
    listed = await marketer.page(f"{HERE}?q=spring&kind=email&tag=tea")
    assert "Spring teas" in listed and "Nothing found" in await marketer.page(f"{HERE}?q=nothingofthesort")


async def test_a_language_has_words_of_its_own(marketer: Browser, desk: Desk) -> None:
    path = f"{HERE}/new?kind=chat"
    fields = inputs(await marketer.page(path)) | {"name": "Hello", "body": "Hello", "button:0:title": "Yes"}
    page = await press(marketer, path, "add_language", **fields, new_lang="zh_CN")
    assert inputs(page)["lang"] == "zh_CN" and inputs(page)["body"] == "Hello"
    page = await press(marketer, path, "lang:", **(inputs(page) | {"body": "您好"}))
    assert inputs(page)["body"] == "Hello"
    where = await press(marketer, path, "save", 303, **inputs(page))
    row = await desk.runtime.templates.get(where.split("/")[2].split("?")[0])
    assert (row["content"]["body"], row["content"]["locales"]["zh_CN"]["body"]) == ("Hello", "您好")
    assert row["content"]["buttons"] == [{"title": "Yes", "payload": None, "url": None}]


async def test_the_letter_is_drawn_where_nothing_runs(marketer: Browser) -> None:
    page = await marketer.page(f"{HERE}/new")
    fields = inputs(page) | {"name": "x", "subject": "s", "as": "anna@tpl.example",
                             "b:1:text": "Hi {{ profile.name }}\n<script>alert(1)</script>"}  # fmt: skip
    page = await press(marketer, f"{HERE}/new", "preview", **fields)
    assert "As Anna Bos gets it." in page and 'sandbox data-testid="letter"' in page and "Hi Anna Bos" in page
    async with marketer.client.post(f"{HERE}/letter", data={**fields, "csrf": marketer.csrf, "dark": "1"}) as answer:
        text = await answer.text()
        policy = answer.headers["Content-Security-Policy"]
    assert "Hi Anna Bos" in text and "<script" not in text and "@media all" in text
    assert policy.startswith("default-src 'none'") and policy.endswith("sandbox") and "script-src" not in policy
    assert "X-Frame-Options" not in answer.headers


async def test_a_letter_is_seen_before_it_has_a_subject_and_its_faults_are_told_in_words(desk: Desk) -> None:
    marketer = await desk.person("marketer", name="Lin")
    await marketer.post("/preferences", language="zh_CN", back="/templates")
    fields = inputs(await marketer.page(f"{HERE}/new")) | {"subject": "", "csrf": marketer.csrf}
    async with marketer.client.post(f"{HERE}/letter", data={**fields, "b:1:text": "Spring"}) as answer:
        assert "Spring" in await answer.text()
    bare = {name: value for name, value in fields.items() if not name.startswith("b:")}
    async with marketer.client.post(f"{HERE}/letter", data=bare) as answer:
        text = await answer.text()
    assert "请撰写正文。" in text and "give a text" not in text


async def test_fields_of_ones_own_are_offered_and_are_no_fault_where_they_are_empty(
    marketer: Browser, desk: Desk
) -> None:
    """A field that is defined exists, whoever is looked at: only a slip of the keyboard is a fault."""
    day = {"key": "renewal", "labels": {"en": "Renewal", "zh_CN": "续约日"}, "type": "date"}
    odd = {"key": "tea-size", "labels": {"en": "Size of tea"}}
    for each in (day, odd):
        await desk.runtime.fields.create(FieldInput.model_validate(each))
    path = f"{HERE}/new?kind=chat"
    page = await marketer.page(path)
    date, size = "{{ profile.attributes.renewal | date }}", "{{ profile.attributes['tea-size'] | default('') }}"
    assert f">{date}<" in unescape(page) and f">{size}<" in unescape(page)
    fields = inputs(page) | {"name": "Renewal", "body": f"Until {date} {size}!"}
    for more in ({}, {"as": "anna@tpl.example"}):
        page = await press(marketer, f"{HERE}/new", "preview", **(fields | more))
        assert "There is nothing called" not in page and "Until" in page
    page = await press(marketer, f"{HERE}/new", "preview", **(fields | {"body": "a\n{{ profile.attributes.renwal }}"}))
    assert "Line 2: There is nothing called “renwal”." in page
    reader = await desk.person("marketer", name="Lin")
    await reader.post("/preferences", language="zh_CN", back="/templates")
    assert "续约日" in await reader.page(path)


async def test_faults_are_told_and_keep_what_was_written(marketer: Browser) -> None:
    fields = inputs(await marketer.page(f"{HERE}/new"))
    lacking = fields | {"name": "n", "subject": "", "b:1:text": "kept"}
    page = await press(marketer, f"{HERE}/new", "save", 422, **lacking)
    assert "An e-mail needs a subject." in page and inputs(page)["b:1:text"] == "kept"
    broken = fields | {"name": "n", "subject": "s", "b:1:text": "one\n{{ profile.nick }}"}
    page = await press(marketer, f"{HERE}/new", "preview", **broken)
    assert "Line 2: There is nothing called “nick”." in page and "blocks[1]" in page


async def test_a_test_goes_to_oneself(marketer: Browser, desk: Desk) -> None:
    fields = inputs(await marketer.page(f"{HERE}/new")) | {"name": "n", "subject": "Try", "b:1:text": "words"}
    page = await press(marketer, f"{HERE}/new", "test", 422, **fields)
    assert "no mail channel is connected" in page
    await channel(desk.runtime, "email", "Mail")
    page = await press(marketer, f"{HERE}/new", "test", **fields)
    assert "On its way to" in page
    (row,) = await desk.runtime.sends.raw({"source.kind": "test"})
    assert row["content"]["mail"]["subject"] == "[Test] Try" and row["stranger"].endswith("@example.org")


async def test_duplicating_deleting_and_putting_back(marketer: Browser, desk: Desk) -> None:
    fields = inputs(await marketer.page(f"{HERE}/new?kind=chat")) | {"name": "Twice", "body": "x"}
    path = (await press(marketer, f"{HERE}/new?kind=chat", "save", 303, **fields)).split("?")[0]
    copy = await marketer.post(f"{path}/duplicate")
    assert copy != path and "Twice (2)" in await marketer.page(copy)
    where = await marketer.post(f"{copy}/delete")
    assert "Twice (2)" not in await marketer.page(where) and 'data-testid="undo"' in await marketer.page(where)
    await marketer.post(f"{copy}/restore")
    assert "Twice (2)" in await marketer.page(HERE)
    await marketer.page(f"{HERE}/tpl_nothing", 404)


async def test_who_may_only_read_changes_nothing(marketer: Browser, desk: Desk) -> None:
    viewer = await desk.person("viewer", name="Vic Viewer")
    fields = inputs(await marketer.page(f"{HERE}/new?kind=chat")) | {"name": "Seen", "body": "x"}
    path = (await press(marketer, f"{HERE}/new?kind=chat", "save", 303, **fields)).split("?")[0]
    page = await viewer.page(path)
    assert 'data-testid="save"' not in page and 'data-testid="delete"' not in page
    await viewer.post(f"{path}/delete", 403)
    await viewer.page(f"{HERE}/new", 403)


async def test_whatsapp_shows_the_values(marketer: Browser) -> None:
    path = f"{HERE}/new?kind=whatsapp"
    fields = inputs(await marketer.page(path)) | {
        "name": "Ship", "whatsapp:name": "order_shipped", "whatsapp:language": "en", "as": "Anna",
        "whatsapp:body": "{{ profile.name }}\nA-17",
    }  # fmt: skip
    page = await press(marketer, path, "preview", **fields)
    assert "order_shipped" in page and "Anna Bos · A-17" in page


async def test_letters_look_as_the_house_says(marketer: Browser, desk: Desk) -> None:
    path = "/settings/brand"
    assert 'value="#1f5eff"' in await marketer.page(path)
    given = {"name": "Tea & Co", "logo_url": "http://no", "logo_width_px": "100", "accent": "#0b7a75", "font": "serif"}
    page = await marketer.post(path, 422, **given)
    assert "begins with https://" in page and "Tea &amp; Co" in page
    assert await marketer.post(path, **(given | {"logo_url": "", "address": "Main St 1"})) == f"{path}?saved"
    fields = inputs(await marketer.page(f"{HERE}/new")) | {"subject": "s", "b:1:text": "x"}
    async with marketer.client.post(f"{HERE}/letter", data={**fields, "csrf": marketer.csrf}) as answer:
        text = await answer.text()
    assert "Tea &amp; Co" in text and "Main St 1" in text and "Georgia" in text
