"""Import and export at the desk: the whole way by forms alone, who may, and what a person reads."""

import csv
import io
import re
from typing import Any

import pytest
from aiohttp import FormData

from profiles.edit import ProfilePatch
from profiles.membership import SegmentInput
from profiles.models import IdentityRef
from profiles.resolve import Reference
from tests.desk.conftest import Browser, Desk

pytestmark = pytest.mark.timeout(240)

LIST = b"Name,E-Mail,City,=News\nAnna,anna-list@example.org,Leiden,yes\nBo,nonsense,Delft,no\n"


async def upload(browser: Browser, content: bytes, token: str | None = None, status: int = 303) -> str:
    form = FormData()
    form.add_field("csrf", browser.csrf if token is None else token)
    form.add_field("file", content, filename="people.csv", content_type="text/csv")
    async with browser.client.post("/profiles/imports", data=form, allow_redirects=False) as answer:
        text = await answer.text()
        assert answer.status == status, text[:500]
        return answer.headers.get("Location", text)


async def test_a_list_goes_all_the_way_by_forms_alone(desk: Desk) -> None:
    browser, book = await desk.person("marketer", name="Mara"), desk.runtime.imports
    assert 'data-testid="bring"' in await browser.page("/profiles/imports")
    path = await upload(browser, LIST)
    import_id = path.rpartition("/")[2]
    assert "<progress" in await browser.page(path)
    await book.finish(import_id)
    page = await browser.page(path)
    assert page.count('data-testid="column"') == 4 and '<option value="email" selected>' in page
    fields = {"to:0": "name", "to:1": "email", "to:2": "attributes", "key:2": "city", "type:2": "text",
              "to:3": "consent:marketing:email", "existing": "fill", "tags": "fair, 2026", "region": "nl"}  # fmt: skip
    assert "Say how these people agreed" in await browser.post(f"{path}/mapping", 422, **fields)
    await browser.post(f"{path}/mapping", **fields, evidence="On paper")
    await book.finish(import_id)
    page = await browser.page(path)
    assert 'data-testid="look-created"' in page and "nonsense is no mail address." in page and "Leiden" in page
    await browser.post(f"{path}/run")
    head = await book.finish(import_id)
    assert head["counts"] == {"created": 1, "fault": 1}
    page = await browser.page(path)
    assert 'data-testid="undo"' in page and 'data-testid="errors"' in page
    rows = list(csv.reader(io.StringIO((await browser.page(f"{path}/errors.csv")).lstrip("\ufeff"))))
    assert rows[0][:4] == ["Name", "E-Mail", "City", "'=News"]
    assert rows[1] == ["Bo", "nonsense", "Delft", "no", "3", "E-Mail: nonsense is no mail address."]
    assert "anna-list@example.org" in await browser.page("/profiles?q=anna-list")
    await browser.post(f"{path}/undo")
    assert (await book.finish(import_id))["undo_counts"] == {"erased": 1}
    assert 'data-testid="undone"' in await browser.page(path)
    assert "people.csv" in await browser.page("/profiles/imports")


ABROAD = (
    "name,email,phone,street,city,country,stage\n"
    "Cas,cas-list@example.org,06 12345678,Main St 1,Leiden,Netherlands,lead\n"
    "Dee,dee-list@example.org,030 1234567,,,,lead\n"
    "Eli,eli-list@example.org,,,,,never heard of\n"
)


async def test_the_country_of_numbers_is_asked_for_and_the_preview_says_what_hangs_on_it(desk: Desk) -> None:
    browser, book = await desk.person("marketer", name="Mo"), desk.runtime.imports
    path = await upload(browser, ABROAD.encode())
    import_id = path.rpartition("/")[2]
    await book.finish(import_id)
    page = await browser.page(path)
    assert '<select class="select" id="region"' in page and '<option value="NL">Netherlands</option>' in page
    assert "as this installation is set" in page and "Please choose." in page
    assert '<option value="address.city" selected>' in page
    targets = ("name", "email", "phone", "address.street", "address.city", "address.country", "stage")
    fields = {f"to:{place}": target for place, target in enumerate(targets)}
    await browser.post(f"{path}/mapping", **fields, existing="fill", region="DE")
    await book.finish(import_id)
    page = await browser.page(path)
    assert "1 number has no country and is read as one of Germany." in page
    assert "1 number without a country is read as of the country of its address." in page
    assert "never heard of" in page and "2 new people would begin there" in page
    assert "Main St 1, Leiden, NL" in page and "There is no stage never heard of." in page
    head = await book.get(import_id)
    assert (head["numbers"], head["outlook"]) == ({"asked": 1, "told": 1}, {"created": 2, "fault": 1})
    answer = await browser.page("/profiles/imports")
    assert "people.csv" in answer
    await browser.post(f"{path}/cancel")


async def test_members_of_a_segment_are_exported_from_their_page(desk: Desk) -> None:
    marketer, viewer = await desk.person("marketer", name="Eva"), await desk.person("viewer", name="Vic")
    runtime = desk.runtime
    anna = Reference([IdentityRef(kind="email", value="anna-member@example.org")])
    (known,) = await runtime.resolver.identify([anna])
    await runtime.editor.patch(known.profile_id, ProfilePatch(add_tags=["member-tea"]))
    rule = {"field": "tags", "op": "any_of", "value": ["member-tea"]}
    row = await runtime.segments.create(SegmentInput(name="Tea people", rule=rule))
    await runtime.segment_builder.drain()
    here = f"/segments/{row['_id']}/members"
    assert 'data-testid="export"' in await marketer.page(here)
    assert 'data-testid="export"' not in await viewer.page(here)
    page = await marketer.page(f"/profiles/exports?segment={row['_id']}")
    assert "Tea people" in page and 'name="headings" value="en" checked' in page
    await marketer.post("/profiles/exports", format="csv", segment=row["_id"], headings="en")
    export = (await runtime.exports.page(1)).data[0]
    await runtime.exports.finish(export["_id"])
    text = (await marketer.page(f"/profiles/exports/{export['_id']}/file")).lstrip("\ufeff")
    assert text.startswith("Profile id,Name,E-mail") and "anna-member@example.org" in text and text.count("prf_") == 1


async def test_the_list_of_a_colleague_is_exported_alone(desk: Desk) -> None:
    browser = await desk.person("marketer", name="Olga")
    page = await browser.page("/profiles/exports?owner=me&role=buyer")
    assert 'name="owner_id" value="usr_' in page and "Olga" in page and 'name="role" value="buyer"' in page


async def test_bytes_without_the_token_of_a_form_bring_nothing(desk: Desk) -> None:
    browser = await desk.person("marketer", name="Mia")
    before = len((await desk.runtime.imports.page()).data)
    for kind in ("application/x-www-form-urlencoded", "text/plain", "text/csv"):
        sent = {"data": LIST, "headers": {"Content-Type": kind}, "allow_redirects": False}
        async with browser.client.post("/profiles/imports", **sent) as answer:
            assert answer.status == 403
    await upload(browser, LIST, token="wrong", status=403)
    assert len((await desk.runtime.imports.page()).data) == before


async def test_faults_of_a_file_stand_on_its_page(desk: Desk) -> None:
    browser = await desk.person("marketer", name="Max")
    assert "The file is empty." in await upload(browser, b"", status=422)
    path = await upload(browser, b"%PDF-1.7 nothing")
    await desk.runtime.imports.finish(path.rpartition("/")[2])
    assert "This is a PDF, not a table." in await browser.page(path)
    await upload(browser, LIST, token="wrong", status=403)
    assert "customer_id" in await browser.page("/profiles/imports/template.csv")


async def test_only_marketers_import_and_agents_export_where_they_may(desk: Desk) -> None:
    agent, scoped = await desk.person("agent", name="Alf"), await desk.person("marketer", ["chn_" + "0" * 26], "Sam")
    for browser in (agent, scoped):
        for path in ("/profiles/imports", "/profiles/exports"):
            await browser.page(path, 403)
        await upload(browser, LIST, status=403)
        page = await browser.page("/profiles")
        assert "/profiles/imports" not in page and "/profiles/exports" not in page
    marketer = await desk.person("marketer", name="Mo")
    anna = Reference([IdentityRef(kind="email", value="anna-tea@example.org")])
    (known,) = await desk.runtime.resolver.identify([anna])
    await desk.runtime.editor.patch(known.profile_id, ProfilePatch(add_tags=["tea"]))
    assert "/profiles/exports?tag=none" not in await marketer.page("/profiles?tag=none")
    page = await marketer.page("/profiles?tag=tea&q=anna-tea")
    assert "/profiles/exports?q=anna-tea&amp;tag=tea" in page and 'href="/profiles/imports"' in page


async def test_an_export_is_asked_for_and_fetched(desk: Desk) -> None:
    browser = await desk.person("marketer", name="Eve")
    assert 'name="tag" value="tea"' in await browser.page("/profiles/exports?tag=tea")
    await browser.post("/profiles/exports", format="csv", tag="nobody-has-this")
    await browser.post("/profiles/exports", 422, format="exe")
    row = (await desk.runtime.exports.page(1)).data[0]
    await desk.runtime.exports.finish(row["_id"])
    page = await browser.page("/profiles/exports")
    link = re.search(r'href="(/profiles/exports/exp_\w+/file)"', page)
    assert link is not None and "nobody-has-this" in page
    assert (await browser.page(link[1])).lstrip("\ufeff").startswith("id,name,email")


async def test_the_api_goes_the_same_way(desk: Desk) -> None:
    secret, _ = await desk.runtime.accounts.new_token("lists", "marketer")
    low, _ = await desk.runtime.accounts.new_token("agent", "agent")
    browser = await desk.person("agent", name="Zed")

    async def call(
        method: str, path: str, body: Any = None, status: int = 200, token: str = secret, **headers: str
    ) -> Any:  # fmt: skip
        kind = {"data": body} if isinstance(body, bytes) else {"json": body}
        every = {"Authorization": f"Bearer {token}", **headers}
        async with browser.client.request(method, f"/api/v1{path}", headers=every, **kind) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json() if answer.content_type == "application/json" else await answer.text()

    await call("POST", "/imports", LIST, 403, low)
    made = await call("POST", "/imports", LIST, 201, **{"X-File-Name": "list.csv", "Idempotency-Key": "k1"})
    again = await call("POST", "/imports", LIST, 201, **{"X-File-Name": "list.csv", "Idempotency-Key": "k1"})
    assert made["id"] == again["id"] and made["state"] == "reading"
    path = f"/imports/{made['id']}"
    await call("POST", f"{path}/run", None, 409)
    await desk.runtime.imports.finish(made["id"])
    found = await call("GET", path)
    assert found["state"] == "mapping" and found["columns"] == ["Name", "E-Mail", "City", "=News"]
    await call("PUT", f"{path}/mapping", {"columns": [{"to": "email"}]}, 422)
    options = {"tags": ["api"], "evidence": "By phone"}
    await call("PUT", f"{path}/mapping", {"columns": found["mapping"]["columns"], "options": options})
    await desk.runtime.imports.finish(made["id"])
    looks = (await call("GET", f"{path}/preview?outcome=created"))["data"]
    assert looks[0]["changes"]["name"] == {"from": "", "to": "Anna"} and looks[0]["row"] == 2
    await call("POST", f"{path}/run")
    await desk.runtime.imports.finish(made["id"])
    assert (await call("GET", path))["counts"] == {"created": 1, "fault": 1}
    assert "no mail address" in await call("GET", f"{path}/errors")
    export = await call("POST", "/exports", {"format": "jsonl", "filter": {"tag": "api"}}, 201)
    await desk.runtime.exports.finish(export["id"])
    assert '"Anna"' in await call("GET", f"/exports/{export['id']}/file")
    assert (await call("GET", "/exports"))["data"][0]["count"] == 1
    await call("GET", "/exports", None, 403, low)
    await call("POST", f"{path}/undo")
    await desk.runtime.imports.finish(made["id"])
    assert (await call("GET", path))["state"] == "undone"
    assert [each["id"] for each in (await call("GET", "/imports"))["data"]].count(made["id"]) == 1
