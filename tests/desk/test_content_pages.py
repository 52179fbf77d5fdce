"""Snippets, offers and revisions on pages without a script: written, looked at, used, given out, put back."""

import re

import pytest
from aiohttp import FormData

from base.clock import now
from base.ids import new_id
from campaigns.library.offers import OfferInput
from campaigns.library.snippets import SnippetInput
from campaigns.store import Place, UseStore
from campaigns.tracking.settings import TrackingSettings
from campaigns.wording.parts import offer_use, snippet_use
from inbox.models import Send, Source
from profiles.edit import ProfilePatch
from profiles.models import IdentityRef
from profiles.resolve import Reference
from tests.desk.conftest import Browser, Desk
from tests.desk.test_template_pages import inputs, press
from tests.desk.world import channel, wrote


@pytest.fixture(scope="module")
async def marketer(desk: Desk) -> Browser:
    return await desk.person("marketer", name="Mia Marketer")


async def customer(desk: Desk, name: str, locale: str | None = None) -> str:
    mail = f"{new_id('evt')}@content.example"
    (known,) = await desk.runtime.resolver.identify([Reference([IdentityRef(kind="email", value=mail)])])
    given = {"name": name, **({"locale": locale} if locale else {})}
    await desk.runtime.editor.patch(known.profile_id, ProfilePatch.model_validate(given))
    return str(known.profile_id)


def id_at(where: str) -> str:
    return where.rsplit("/", 1)[1].split("?")[0]


def words(text: str, locale: str = "", html: str = "", number: int = 0) -> dict[str, str]:
    return {f"w.{number}:text": text, f"w.{number}:html": html, f"w.{number}:locale": locale}


async def test_a_snippet_is_written_looked_at_used_taken_away_and_put_back(marketer: Browser, desk: Desk) -> None:
    await customer(desk, "Wei Zhang", "zh_CN")
    assert "No snippet yet" in await marketer.page("/snippets")
    path = "/snippets/new"
    page = await marketer.post(path, 200, act="language", name="Opening hours", **words("9 to 17"))
    assert 'name="w.1:locale"' in page and "9 to 17" in page
    both = {**words("9 to 17 {{ profile.first_name }}"), **words("九点到五点", "zh_CN", number=1)}
    page = await marketer.post(path, 200, act="preview", name="Opening hours", who="Wei", **both)
    assert "九点到五点</div>" in page and "In 简体中文" in page
    page = await marketer.post(path, 422, act="save", name="Opening hours", **both, **words("x", number=2))
    assert "Say which language this is." in page and "九点到五点" in page
    where = await marketer.post(path, act="save", name="Opening hours", **both)
    page = await marketer.page(where)
    assert "{% include &#39;opening_hours&#39; %}" in page and "Nowhere yet." in page
    again = await marketer.post(path, act="save", name="Opening hours", **words("more"))
    assert (await desk.runtime.snippets.get(id_at(again)))["key"] == "opening_hours_2"
    taken = await marketer.post(path, 422, act="save", name="x", key="opening_hours", **words("more"))
    assert "take another one" in taken
    fields = inputs(await marketer.page("/templates/new?kind=chat"))
    used = {**fields, "name": "Uses it", "body": "{% include 'opening_hours' %}"}
    template = await press(marketer, "/templates/new?kind=chat", "save", 303, **used)
    here = f"/snippets/{id_at(where)}"
    page = await marketer.post(f"{here}/remove", 409)
    assert "Take it out there first." in page and "Uses it" in page and f'href="/templates/{id_at(template)}"' in page
    gone = f"/snippets/{id_at(again)}"
    listed = await marketer.page(await marketer.post(f"{gone}/remove"))
    assert 'data-testid="undo"' in listed and gone not in listed.split("<table")[1]
    await marketer.post(f"{gone}/restore")
    assert gone in await marketer.page("/snippets")


async def test_a_second_window_is_told_and_a_snippet_in_itself_refused(marketer: Browser, desk: Desk) -> None:
    made = await desk.runtime.snippets.create(SnippetInput(key="sig", name="Signature", text="Yours"), None)
    here = f"/snippets/{made['_id']}"
    await marketer.post(here, act="save", name="Signature", rev="1", **words("Your team"))
    stale = await marketer.post(here, 422, act="save", name="Signature", rev="1", **words("Mine"))
    assert "Somebody else has changed this snippet meanwhile." in stale and "Mine" in stale
    page = await marketer.post(here, 422, act="save", name="Signature", rev="2", **words("{% include 'sig' %}"))
    assert "it would contain itself" in page


async def test_revisions_of_a_snippet_are_shown_and_put_back(marketer: Browser, desk: Desk) -> None:
    given = SnippetInput(key="rev", name="Sign", text="Kind regards")
    made = await desk.runtime.snippets.create(given, marketer.user_id)
    here = f"/snippets/{made['_id']}"
    await desk.runtime.snippets.change(made["_id"], {"text": "Warm regards"}, marketer.user_id)
    page = await marketer.page(f"{here}/revisions")
    assert "As it was first written" in page and "Mia Marketer" in page and page.count('data-testid="revision-') == 2
    page = await marketer.page(f"{here}/revisions/2")
    assert "<del>Kind</del><ins>Warm</ins> regards" in page and 'data-testid="restore"' not in page
    page = await marketer.page(f"{here}/revisions/1")
    assert "<del>Warm</del><ins>Kind</ins> regards" in page
    where = await marketer.post(f"{here}/revisions/1/restore")
    page = await marketer.page(where)
    assert "The words of revision 1 are back." in page and f'action="{here}/revisions/2/restore"' in page
    assert (await desk.runtime.snippets.get(made["_id"]))["content"]["text"] == "Kind regards"
    await marketer.post(f"{here}/revisions/2/restore")
    row = await desk.runtime.snippets.get(made["_id"])
    assert (row["content"]["text"], row["rev"]) == ("Warm regards", 4)
    await marketer.page(f"{here}/revisions/99", 404)
    await marketer.page(f"/snippets/{new_id('snp')}/revisions", 404)


async def test_revisions_of_a_template(marketer: Browser, desk: Desk) -> None:
    path = "/templates/new"
    page = await marketer.page(path)
    fields = inputs(page) | {"name": "Spring", "subject": "First", "b:1:text": "Dear you"}
    where = (await press(marketer, path, "save", 303, **fields)).split("?")[0]
    fields = inputs(await marketer.page(where)) | {"subject": "Second"}
    await press(marketer, where, "save", 303, **fields)
    assert "Subject" in await marketer.page(f"{where}/revisions")
    page = await marketer.page(f"{where}/revisions/1")
    assert "<del>Second</del><ins>First</ins>" in page and f'src="{where}/revisions/1/letter"' in page
    async with marketer.client.get(f"{where}/revisions/1/letter") as answer:
        assert "Dear you" in await answer.text() and answer.headers["Content-Security-Policy"].endswith("sandbox")
    back = await marketer.post(f"{where}/revisions/1/restore")
    page = await marketer.page(back)
    assert inputs(page)["subject"] == "First" and 'data-testid="undo"' in page
    viewer = await desk.person("viewer", name="Vic Viewer")
    assert 'data-testid="restore"' not in await viewer.page(f"{where}/revisions/1")
    await viewer.post(f"{where}/revisions/1/restore", 403)


async def test_an_earlier_wording_that_cannot_be_used_any_more_says_why(marketer: Browser, desk: Desk) -> None:
    made = await desk.runtime.offers.create(OfferInput(key="gone", name="Gone", pattern="G-######"), None)
    fields = inputs(await marketer.page("/templates/new?kind=chat"))
    given = {**fields, "name": "T", "body": "{{ coupon('gone') }}"}
    where = (await press(marketer, "/templates/new?kind=chat", "save", 303, **given)).split("?")[0]
    await press(marketer, where, "save", 303, **(inputs(await marketer.page(where)) | {"body": "Nothing"}))
    await desk.runtime.offers.delete(made["_id"])
    assert "there is no offer called gone" in await marketer.post(f"{where}/revisions/1/restore", 422)


async def sent_to(desk: Desk, key: str, *people: str) -> None:
    sends = [
        Send(id=new_id("snd"), send_key=new_id("evt"), send_class="marketing", source=Source("broadcast"),
             profile_id=each, identity_id="idn", channel_id="chn", content={}, state="planned", planned_at=now())
        for each in people
    ]  # fmt: skip
    await desk.runtime.offers.for_sends({each.id: (each, {key}) for each in sends}, now())


async def test_an_offer_with_a_list_is_filled_given_and_runs_low(marketer: Browser, desk: Desk) -> None:
    await marketer.page("/offers")
    page = await marketer.post("/offers/new", 422, name="Tea", source="list", expires_at="soon")
    assert 'id="fault-expires_at"' in page
    where = await marketer.post("/offers/new", name="Spring", source="list", when_none="blank", warn_below="3")
    here = where.split("?")[0]
    row = await desk.runtime.offers.get(id_at(where))
    assert (row["key"], row["warn_below"], row["when_none"]) == ("spring", 3, "blank")
    page = await marketer.post(f"{here}/codes", 200, codes="Code\nA-1\nA-2\nA-2\n A-3 \nA-4")
    assert "4 codes are laid in." in page and "more than once" in page and 'class="mono">A-2</span>' in page
    page = await marketer.post(f"{here}/codes", 200, codes="A-1\nA-5")
    assert "stood in the list already" in page
    undo = re.search(r'action="([^"]+/take-out)"', page)
    assert undo is not None
    await marketer.post(undo[1])
    assert await desk.runtime.offers.tally(row["_id"]) == (4, 0)
    page = await marketer.post(f"{here}/codes", 422, codes="A-6\n" + "x" * 101)
    assert "A code is one short line." in page and "A-6" in page
    assert (await desk.runtime.offers.tally(row["_id"]))[0] == 4
    await marketer.post(f"{here}/codes", 422, codes=" \n")
    assert 'data-testid="low"' not in await marketer.page(here)
    ida, ben = await customer(desk, "Ida"), await customer(desk, "Ben")
    await sent_to(desk, "spring", ida, ben)
    page = await marketer.page(here)
    assert "Only 2 codes are left." in page and "Ida" in page and "Ben" in page
    assert "Few left" in await marketer.page("/offers")


async def file(browser: Browser, path: str, raw: bytes, expected: int) -> str:
    form = FormData()
    form.add_field("csrf", browser.csrf)
    form.add_field("file", raw, filename="codes.csv")
    async with browser.client.post(path, data=form) as answer:
        text = await answer.text()
        assert answer.status == expected, text[:500]
        return text


async def test_codes_come_in_a_file_of_either_encoding(marketer: Browser, desk: Desk) -> None:
    where = (await marketer.post("/offers/new", name="File", source="list", when_none="skip")).split("?")[0]
    page = await file(marketer, f"{where}/codes/file", "优惠码,备注\n春-1,甲\n春-2,乙\n".encode("gb18030"), 200)
    assert "2 codes are laid in." in page
    page = await file(marketer, f"{where}/codes/file", "春-2\n春-3\n".encode(), 200)
    assert "1 code is laid in." in page and "春-2" in page
    assert "is no text" in await file(marketer, f"{where}/codes/file", b"PK\x03\x04\x00\x00\xff\xfe", 422)
    scoped = await desk.person("marketer", [new_id("chn")], "Sam Scoped")
    await file(scoped, f"{where}/codes/file", b"X", 403)


async def test_an_offer_by_pattern_is_changed_ends_and_is_taken_away(marketer: Browser, desk: Desk) -> None:
    page = await marketer.post("/offers/new", 422, name="Weak", source="generated", pattern="A-##")
    assert "six or more # signs" in page
    where = (await marketer.post("/offers/new", name="秋茶", source="generated", pattern="TEA-########")).split("?")[0]
    row = await desk.runtime.offers.get(id_at(where))
    assert row["key"] == "offer_1" and re.search(r"Such as TEA-[A-Z2-9]{8}", await marketer.page(where))
    await marketer.post(where, name="秋茶 2", pattern="T-########", expires_at="2026-01-01T00:00", when_none="skip")
    page = await marketer.page("/offers")
    assert "秋茶 2" in page and "Ended" in page
    step = {"id": "s", "type": "send", "content": {"text": "{{ coupon('offer_1') }}"}}
    run = await desk.runtime.journeys.create({"name": "Autumn", "trigger": {"type": "api"}, "steps": [step]})
    page = await marketer.post(f"{where}/remove", 409)
    assert "It is used in what stands below" in page and f'<a href="/journeys/{run["_id"]}">Autumn</a>' in page
    await desk.runtime.journeys.set_status(run["_id"], "archived")
    gone = await marketer.post(f"{where}/remove")
    assert 'data-testid="undo"' in await marketer.page(gone)
    await marketer.post(f"{where}/restore")
    assert "秋茶 2" in await marketer.page("/offers")


async def test_who_sees_some_channels_reads_and_meets_no_stranger(marketer: Browser, desk: Desk) -> None:
    scoped = await desk.person("marketer", [new_id("chn")], "Sid Scoped")
    made = await desk.runtime.offers.create(OfferInput(key="scope", name="Scope", pattern="S-######"), None)
    talk = await wrote(desk.runtime, await channel(desk.runtime), "harry", name="Hidden Harry")
    await sent_to(desk, "scope", talk.profile_id)
    assert "Hidden Harry" in await marketer.page(f"/offers/{made['_id']}")
    page = await scoped.page(f"/offers/{made['_id']}")
    assert "Hidden Harry" not in page and 'data-testid="save"' not in page
    for path in ("/offers/new", f"/offers/{made['_id']}", f"/offers/{made['_id']}/remove", "/snippets/new"):
        await scoped.post(path, 403, name="x")
    viewer = await desk.person("viewer", name="Val Viewer")
    for path in ("/offers/new", "/snippets/new"):
        await viewer.page(path, 403)
        await viewer.post(path, 403, name="x")


async def test_tests_may_go_to_whom_an_administrator_allows(desk: Desk, marketer: Browser) -> None:
    admin, here = await desk.person("admin", name="Ada Admin"), "/settings/tests"
    tess = await customer(desk, "Tess Tester")
    assert "Nobody outside the house" in await admin.page(here)
    await admin.post(here, address="Try@Other.example")
    assert await admin.post(here, 422, address="") and "no customer" in await admin.post(here, 200, address="nobody")
    page = await admin.post(here, 200, address="Tess")
    assert f'value="{tess}"' in page
    await admin.post(here, address="Tess", person=tess)
    assert sorted(await desk.runtime.broadcast_tests.allowed()) == [tess, "try@other.example"]
    where = await admin.post(f"{here}/remove", address=tess)
    page = await admin.page(where)
    assert 'data-testid="undo"' in page and "Tess Tester" in page
    assert await desk.runtime.broadcast_tests.allowed() == ["try@other.example"]
    await marketer.page(here, 403)
    await marketer.post(here, 403, address="a@b.example")


async def test_the_secret_of_calls_is_shown_once_exchanged_and_taken_back(desk: Desk, marketer: Browser) -> None:
    admin, here = await desk.person("admin", name="Abe Admin"), "/settings/calls"
    assert "None is made yet" in await admin.page(here)
    first = await desk.runtime.call_secrets.current()
    assert first not in await admin.page(here)
    page = await admin.post(here, 200)
    second = await desk.runtime.call_secrets.current()
    assert second in page and first not in page and second not in await admin.page(here)
    assert await desk.runtime.call_secrets.signing() == [second, first]
    assert "taken_back" in await admin.post(f"{here}/take-back")
    assert await desk.runtime.call_secrets.signing() == [first, second], "whoever took the new one is not cut off"
    await marketer.page(here, 403)
    await marketer.post(here, 403)


async def test_lists_say_what_the_messages_a_content_stood_in_have_come_to(marketer: Browser, desk: Desk) -> None:
    await desk.runtime.snippets.create(SnippetInput(key="foot", name="Footer", text="Bye"), None)
    offer = OfferInput.model_validate({"key": "ten", "name": "Ten", "pattern": "T-########"})
    await desk.runtime.offers.create(offer, None)
    source = new_id("jrn")
    uses = UseStore(desk.runtime.db, now)
    await uses.note((content, Place("journey", source, "hi")) for content in (snippet_use("foot"), offer_use("ten")))
    counts = {"accepted": 200, "opened": 80}
    kept = {"_id": source, "at": now(), "took_ms": 1, "parts": [{"node": "hi", "counts": counts}], "days": []}
    await desk.runtime.db.collection("campaign_figures").insert_one(kept)
    for path in ("/snippets", "/offers"):
        assert "Sent to 200 · 40 % opened · clicks not tracked" in await marketer.page(path), path
    await desk.runtime.tracking_choice.choose(TrackingSettings(links=True), "usr_x")
    for path in ("/snippets", "/offers"):
        assert "Sent to 200 · 40 % opened · 0 % clicked" in await marketer.page(path), "counted, and nobody did"
    await desk.runtime.tracking_choice.choose(TrackingSettings(), "usr_x")
    limited = await desk.person("viewer", channels=["chn_" + "0" * 26], name="Lim Ited")
    assert "Sent to 200" not in await limited.page("/snippets")
