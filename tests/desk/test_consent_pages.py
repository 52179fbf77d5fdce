"""What customers reach from a message, what marketers set up, what agents record: through HTTP on the real stores."""

import re

import pytest
from aiohttp import ClientSession

from channels.vocabulary import Address, Person
from profiles.consent import ConsentAct
from profiles.consent_groups import GroupInput
from profiles.consent_links import ConsentLink
from profiles.edit import ProfilePatch
from profiles.models import IdentityRef
from profiles.resolve import Reference, Sighting
from tests.desk.world import channel, wrote

#: What a provider of mail posts (RFC 8058), in both packings.
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture(scope="module")
async def shop(desk):
    return await channel(desk.runtime, name="Shop account")


@pytest.fixture(scope="module")
async def groups(desk):
    make = desk.runtime.consent.groups.create
    words = {"zh_CN": {"name": "新闻通讯", "wording": "同意每月接收。"}}
    return [
        await make(
            GroupInput(key="news", name="Newsletter", wording="Yes, monthly.", default="opt_out", locales=words)
        ),
        await make(GroupInput(key="drops", name="New teas", default="opt_in", double_opt_in=True)),
    ]


@pytest.fixture
async def stranger(desk):
    """A browser that nobody is signed in with."""
    async with ClientSession(desk.url) as client:
        yield client


async def somebody(desk, email, locale=None):
    (known,) = await desk.runtime.resolver.identify([Reference([IdentityRef(kind="email", value=email)])])
    if locale:
        await desk.runtime.editor.patch(known.profile_id, ProfilePatch(locale=locale), source="api", by="test")
    return known


def path(desk, kind, who, purpose="", about=None):
    link = ConsentLink(kind, who.identity_id, purpose, about)
    return desk.runtime.consent_links.url(link).removeprefix("http://desk.example")


async def allowed(desk, who, purpose):
    pair = (who.identity_id, purpose)
    return (await desk.runtime.consent.allowed([pair]))[pair].ok


async def page_of(client, where, status=200):
    async with client.get(where) as answer:
        text = await answer.text()
        assert answer.status == status, text[:500]
        return text, answer.headers


async def posted(client, where, status=303, **fields):
    async with client.post(where, data=fields, allow_redirects=False) as answer:
        assert answer.status == status, (await answer.text())[:500]
        assert "Set-Cookie" not in answer.headers
        return answer.headers.get("Location", "")


async def test_looking_changes_nothing_and_the_page_is_sealed_off(desk, groups, stranger):
    who = await somebody(desk, "looker@example.com")
    for where in (path(desk, "unsubscribe", who, "news"), path(desk, "preferences", who)):
        for _ in range(3):
            text, headers = await page_of(stranger, where)
        async with stranger.head(where) as answer:
            assert answer.status == 200
        policy = headers["Content-Security-Policy"]
        assert "script-src" not in policy and "default-src 'none'" in policy and "unsafe" not in policy
        assert "Set-Cookie" not in headers and headers["X-Robots-Tag"] == "noindex, nofollow"
        assert headers["Referrer-Policy"] == "no-referrer" and headers["Cache-Control"] == "no-store"
        assert "<script" not in text and "looker@" not in text and "l•••@example.com" in text
    assert await allowed(desk, who, "news") and await desk.runtime.consent.ledger(who.profile_id) == []


@pytest.mark.parametrize("packing", ["form", "multipart"])
async def test_one_click_of_a_mail_provider(desk, groups, stranger, packing):
    who = await somebody(desk, f"{packing}@example.com")
    send = "snd_" + "1" * 26
    where = path(desk, "unsubscribe", who, "news", send)
    for _ in range(3):
        given = {"data": ONE_CLICK}
        if packing == "multipart":
            body = '--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n'
            given = {"data": body, "headers": {"Content-Type": "multipart/form-data; boundary=x"}}
        headers = {"Origin": "https://mail.example", "Sec-Fetch-Site": "cross-site", **given.pop("headers", {})}
        async with stranger.post(where, headers=headers, allow_redirects=False, **given) as answer:
            assert (answer.status, await answer.text()) == (200, "Unsubscribed.\n")
    (act,) = await desk.runtime.consent.ledger(who.profile_id)
    assert (act["granted"], act["source"], act["purpose"], act["proof"]) == (False, "unsubscribe_link", "news", send)
    assert not await allowed(desk, who, "news") and await allowed(desk, who, "marketing")


async def test_a_body_that_cannot_be_read_is_a_no_all_the_same(desk, stranger):
    who = await somebody(desk, "garbled@example.com")
    where = path(desk, "unsubscribe", who, "marketing")
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    async with stranger.post(where, data=b"\xff\xfe no form", headers=headers, allow_redirects=False) as answer:
        assert answer.status == 303
    assert not await allowed(desk, who, "marketing")


async def test_a_person_unsubscribes_says_why_and_takes_it_back(desk, groups, stranger):
    who = await somebody(desk, "anna@example.com")
    where = path(desk, "unsubscribe", who, "news")
    assert "Unsubscribe?" in (await page_of(stranger, where))[0]
    back = await posted(stranger, where + "?lang=zh_CN", no="1", reason="too_many")
    text, _ = await page_of(stranger, back)
    assert "lang=zh_CN" in back and 'data-testid="unsubscribed"' in text and not await allowed(desk, who, "news")
    assert (await desk.runtime.consent.ledger(who.profile_id))[0]["reason"] == "too_many"
    await posted(stranger, where, again="1")
    assert await allowed(desk, who, "news")
    await posted(stranger, where, all="1", reason="<script>")
    assert not await allowed(desk, who, "news") and not await allowed(desk, who, "marketing")
    await posted(stranger, where, again="1")
    assert await allowed(desk, who, "news") and await allowed(desk, who, "marketing")


async def test_a_link_that_is_none_opens_nothing_and_guessing_is_slowed_down(desk, groups, stranger):
    who = await somebody(desk, "guessed@example.com")
    right = path(desk, "unsubscribe", who, "news")
    for wrong in (
        "/u/AAAA",
        right[:-8] + "AAAAAAAA",
        right.replace("/u/", "/p/"),
        "/confirm/" + "x" * 80,
        "/u/" + "y" * 400,
    ):
        text, headers = await page_of(stranger, wrong, 404)
        assert "This link leads nowhere" in text and headers["X-Robots-Tag"]
    await posted(stranger, "/p/AAAA", 404)
    async with stranger.post("/u/AAAA", data=ONE_CLICK) as answer:
        assert answer.status == 200  # there is nobody to write to: that is what was asked for
    statuses = []
    for n in range(70):
        async with stranger.get(f"/u/guess{n}") as answer:
            statuses.append(answer.status)
    assert statuses[-1] == 429 and statuses[0] == 404
    async with stranger.post(right, data=ONE_CLICK) as answer:
        assert answer.status == 200  # a link that is right works from wherever
    assert not await allowed(desk, who, "news")


async def test_an_erased_person_leaves_a_page_behind(desk, stranger):
    who = await somebody(desk, "gone@example.com")
    where = path(desk, "unsubscribe", who, "marketing")
    await desk.runtime.privacy.erasures.at_once(who.profile_id, by="usr_tester")
    async with stranger.get(where) as answer:
        assert answer.status in (404, 429)
    async with stranger.post(where, data=ONE_CLICK) as answer:
        assert answer.status == 200


async def on_two_channels(desk, shop, number):
    """A customer with a mailbox and WhatsApp; the identities of both."""
    person = Person(phone=f"+{number}", email=f"p{number}@example.com")
    at = desk.runtime.clock()
    sighting = Sighting(Address(channel_id=shop.id, external_id=number), "whatsapp", at, person, inbound=True)
    (phone,) = await desk.runtime.resolver.resolve([sighting])
    mail = await somebody(desk, f"p{number}@example.com")
    assert mail.profile_id == phone.profile_id
    return mail, phone


def switches(text):
    """Value → whether it is on, of those that can be moved."""
    boxes = re.findall(r'<input type="checkbox" name="on" value="([^"]+)"([^>]*)>', text)
    return {value: "checked" in rest for value, rest in boxes if "disabled" not in rest}


async def test_the_preference_centre_per_group_and_channel(desk, shop, groups, stranger):
    mail, phone = await on_two_channels(desk, shop, "491701234501")
    where = path(desk, "preferences", mail)
    text, _ = await page_of(stranger, where)
    found = switches(text)
    news = {f"{each.identity_id}:news": True for each in (mail, phone)}
    assert found == {**news, f"{mail.identity_id}:drops": False} and "•••4501" in text and "4917012345" not in text
    shown = list(found)
    fields = [("shown", each) for each in shown] + [("was", each) for each in news]
    fields += [
        ("on", f"{mail.identity_id}:news"),
        ("on", f"{mail.identity_id}:drops"),
        ("on", f"{phone.identity_id}:drops"),
    ]
    async with stranger.post(where, data=fields, allow_redirects=False) as answer:
        assert answer.status == 303
    assert await allowed(desk, mail, "news") and not await allowed(desk, phone, "news")
    assert await allowed(desk, mail, "drops"), "who holds the mail need not confirm it by mail"
    assert not await allowed(desk, phone, "drops"), "a mail must not sign up a telephone"
    assert len(await desk.runtime.consent.ledger(mail.profile_id)) == 2


async def test_what_was_not_moved_stays_as_somebody_else_left_it(desk, groups, stranger):
    who = await somebody(desk, "two-tabs@example.com")
    value = f"{who.identity_id}:news"
    await desk.runtime.consent.act(ConsentAct(who.identity_id, "news", False, "keyword"))
    fields = {"shown": value, "was": value, "on": value}
    await posted(stranger, path(desk, "preferences", who), **fields)
    assert not await allowed(desk, who, "news")


async def test_a_pause_of_everything_and_its_end(desk, shop, groups, stranger):
    mail, phone = await on_two_channels(desk, shop, "491701234502")
    where = path(desk, "preferences", mail)
    await posted(stranger, where, pause="1", pause_for="30", reason="too_many")
    assert not await allowed(desk, mail, "news") and not await allowed(desk, phone, "marketing")
    text, _ = await page_of(stranger, where)
    assert 'data-testid="paused"' in text
    assert all(act["until"] for act in await desk.runtime.consent.ledger(mail.profile_id))
    await posted(stranger, where, resume="1")
    assert await allowed(desk, mail, "news") and await allowed(desk, phone, "marketing")
    await posted(stranger, where, pause="1", pause_for="0")
    await posted(stranger, where, resume="1")
    assert await allowed(desk, mail, "marketing") and not await allowed(desk, phone, "marketing")


async def test_it_speaks_the_customers_language_and_switches(desk, groups, stranger):
    who = await somebody(desk, "mei@example.com", "zh-TW")
    where = path(desk, "preferences", who)
    text, _ = await page_of(stranger, where)
    assert 'lang="zh-CN"' in text and "新闻通讯" in text and "同意每月接收。" in text
    text, _ = await page_of(stranger, where + "?lang=en")
    assert '<html lang="en"' in text and "Newsletter" in text and "What you get from us" in text


async def test_a_confirmation_is_a_post(desk, groups, stranger):
    who = await somebody(desk, "confirm@example.com")
    await desk.runtime.consent.act(ConsentAct(who.identity_id, "drops", True, "form"))
    (asked,) = await desk.runtime.consent.ledger(who.profile_id)
    where = path(desk, "confirm", who, "drops", asked["_id"])
    assert 'data-testid="confirm"' in (await page_of(stranger, where))[0] and not await allowed(desk, who, "drops")
    for _ in range(2):
        await posted(stranger, where)
    assert 'data-testid="confirmed"' in (await page_of(stranger, where))[0] and await allowed(desk, who, "drops")
    await desk.runtime.consent.act(ConsentAct(who.identity_id, "drops", False, "keyword"))
    await posted(stranger, where)
    assert not await allowed(desk, who, "drops"), "an old link lifts no later no"


async def test_groups_in_the_settings(desk):
    person = await desk.person("marketer", name="Mara Marketer")
    where = await person.post(
        "/settings/consent/new", **{"name": "Events", "key": "events", "default": "opt_in", "wording": "Yes.",
                                    "name:zh_CN": "活动"}
    )  # fmt: skip
    assert where == "/settings/consent" and "Events" in await person.page(where)
    group = await desk.runtime.consent.groups.of("events")
    assert group.said("zh_CN").name == "活动"
    await person.post(f"/settings/consent/{group.id}", name="Happenings", default="opt_out")
    faulty = await person.post(f"/settings/consent/{group.id}", 422, name="X", default="opt_out", double_opt_in="1")
    assert "double opt-in makes sense only" in faulty
    assert "Small letters" in await person.post("/settings/consent/new", 422, name="X", key="A b")
    assert "already" in await person.post("/settings/consent/new", 422, name="X", key="events")
    for name in ("Gute Grüße", "Gute Grüße", "活动", "Service"):
        await person.post("/settings/consent/new", name=name)
    made = {each.key: each for each in await desk.runtime.consent.groups.all()}
    assert {"gute_grusse", "gute_grusse_2", "group_1", "service_2"} <= made.keys()
    for key in ("gute_grusse", "gute_grusse_2", "group_1", "service_2"):
        await desk.runtime.consent.groups.archive(made[key].id)
    listed = await person.page(await person.post(f"/settings/consent/{group.id}/remove"))
    assert "Happenings" not in listed and 'data-testid="undo"' in listed
    await person.post(f"/settings/consent/{group.id}/restore")
    assert "Happenings" in await person.page("/settings/consent")
    viewer = await desk.person("viewer", name="Vera Viewer")
    assert 'data-testid="save"' not in await viewer.page(f"/settings/consent/{group.id}")
    await viewer.post(f"/settings/consent/{group.id}", 403, name="Taken over")
    limited = await desk.person("marketer", ["chn_" + "0" * 26], name="Lena Limited")
    await limited.post(f"/settings/consent/{group.id}", 403, name="Taken over")
    await desk.runtime.consent.groups.archive(group.id)


async def test_an_agent_records_a_no_with_its_proof_and_takes_it_back(desk, shop, groups):
    talk = await wrote(desk.runtime, shop, "freeform", "Please leave me alone with your offers")
    person = await desk.person("agent", name="Anna Agent")
    pane = await person.page(f"/inbox/{talk.id}")
    assert 'data-testid="opt-out"' in pane
    fields = {"identity_id": talk.identity_id, "purpose": "marketing", "said": "no", "proof": "Said so",
              "back": f"/inbox/{talk.id}"}  # fmt: skip
    consents = f"/profiles/{talk.profile_id}/consents"
    assert await person.post(consents, **fields) == f"/inbox/{talk.id}"
    pane = await person.page(f"/inbox/{talk.id}")
    assert 'data-testid="undo-opt-out"' in pane and "said no" in pane
    tab = await person.page(f"/profiles/{talk.profile_id}?tab=consent")
    assert "Said so" in tab and "Anna Agent" in tab and 'data-testid="retract"' in tab
    (act,) = await desk.runtime.consent.ledger(talk.profile_id)
    other = await desk.person("agent", name="Boris Agent")
    await other.post(f"{consents}/{act['_id']}/retract", 403)
    await person.post(f"{consents}/{act['_id']}/retract", back=f"/inbox/{talk.id}")
    assert 'data-testid="opt-out"' in await person.page(f"/inbox/{talk.id}")
    await person.post(consents, **{**fields, "purpose": "news", "said": "yes", "wording": "Yes, gladly."})
    assert "Yes, gladly." in await person.page(f"/profiles/{talk.profile_id}?tab=consent")
    await person.post(consents, 422, **{**fields, "identity_id": "idn_" + "0" * 26})
    limited = await desk.person("agent", ["chn_" + "0" * 26], name="Lena Limited")
    await limited.post(consents, 404, **fields)
    await (await desk.person("viewer", name="Vera Viewer")).post(consents, 403, **fields)
