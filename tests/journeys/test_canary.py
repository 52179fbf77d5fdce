"""A canary in everything a person leaves behind: after erasure it is in no row, no key, no log, and after `scrub` in no
byte of the data directory.

The words are chance, so no compression takes them apart: that they *are* found before is asserted each time.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from email.message import EmailMessage
from email.utils import parseaddr
from pathlib import Path
from typing import Any

import aiohttp
import aiosmtplib
import pytest
from pymongo import AsyncMongoClient
from redis.asyncio import Redis

from tests.journeys.outside import Outside, eventually
from tests.journeys.talks import OwnSystem, Person
from tests.journeys.tree import Tree, rapport
from tests.journeys.world import Api, _outside

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc"),
]

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#: Lower case, because addresses are folded.
CANARY = "".join(secrets.choice("bcdfghjkmnpqrstvwxz23456789") for _ in range(24))
OTHER = "".join(secrets.choice("bcdfghjkmnpqrstvwxz23456789") for _ in range(24))
SUPPLIER = "pots@supplier.example"
MAIL, SECOND = f"{CANARY}@people.example", f"{CANARY}-2@people.example"


@pytest.fixture
async def tree(tmp_path: Path) -> AsyncIterator[Tree]:
    tree = Tree(tmp_path / "data", settings={"RAPPORT_ALLOW_PRIVATE_ADDRESSES": "127.0.0.0/8"})
    yield tree
    await tree.kill()


@pytest.fixture
async def outside() -> AsyncIterator[Outside]:
    async with AsyncExitStack() as stack:
        yield await _outside(stack)


async def test_the_canary_is_nowhere(tree: Tree, outside: Outside) -> None:
    await tree.start()
    token = (await rapport("token", "add", "test", "--role", "admin", "--data", str(tree.data))).out.strip()
    async with aiohttp.ClientSession(tree.url, timeout=aiohttp.ClientTimeout(total=60)) as session:
        api = Api(session, token)
        shop = await connected(api, outside)
        profile_id = await lived(tree, api, shop, outside)
        supplier = await passed_on(tree, api, outside, profile_id)
        stayed = await who_stays(api, shop)
        assert await rows_with(tree, CANARY) >= {
            "profiles", "identities", "conversations", "messages", "events", "deliveries", "orders", "sends", "merges",
            "consents", "tasks", "idempotency",
        }  # fmt: skip
        assert files_with(tree, CANARY, "mongod"), "the canary must be findable before, or its absence proves nothing"

        await api.call("DELETE", f"/profiles/{profile_id}", status=204)
        assert "idempotency" not in await rows_with(tree, CANARY), "kept answers go at once"

        async def done() -> dict[str, Any] | None:
            (row,) = await api.rows("/erasures")
            return row if row["state"] == "done" else None

        row = await eventually(done, "the erasure to end", within_s=240)
        assert row["erased"]["messages"] >= 4 and row["scrubbed_at"] is None and CANARY not in str(row)

        # A late receipt changes nothing, and the same person writing again is somebody new.
        await shop.tells("message.delivered", id="own-1", to={"id": f"app-{CANARY}"}, message_id="own-1")
        assert await rows_with(tree, CANARY) <= {"deliveries"}  # the receipt itself, which names whom it went to
        (again,) = [row["_id"] for row in await rows(tree, "deliveries") if CANARY.encode() in bytes(row["body"])]
        await forget_the_receipt(tree, again)
        # Nor does the supplier's next answer bring back what it quotes.
        await answered(tree, supplier, "At nine", quoting=f"I am {CANARY} still")
        said = await eventually(lambda: line_saying(api, "At nine"), "the answer after the erasure")
        assert said["text"] == "At nine"
        await eventually(lambda: taken_in(tree), "the mail to be worked off")
        assert await rows_with(tree, CANARY) == set()
        assert not await redis_with(tree, CANARY)
    assert CANARY not in tree.log.read_text(errors="replace")
    await tree.stop()
    left = files_with(tree, CANARY)
    assert left, "a database that deletes rows leaves their bytes: if this is ever empty, say so in docs/privacy.md"
    assert all(path.startswith(("mongod/",)) for path in left), left

    scrubbed = await rapport("scrub", "--data", str(tree.data))
    print(scrubbed.out)  # noqa: T201 - the figures are the point
    assert scrubbed.code == 0 and "1 erasures are complete" in scrubbed.out, scrubbed
    assert files_with(tree, CANARY) == []
    assert files_with(tree, OTHER), "who was not erased is still found by the same search"

    await tree.start()
    async with aiohttp.ClientSession(tree.url, timeout=aiohttp.ClientTimeout(total=60)) as session:
        api = Api(session, token)
        assert (await api.get(f"/profiles/{stayed}"))["name"] == OTHER
        (row,) = await api.rows("/erasures")
        assert row["scrubbed_at"] is not None
        assert await posted_again(shop, session)
        checked = await rapport("check", "--data", str(tree.data))
        assert checked.code == 0, checked
    await tree.stop()


async def connected(api: Api, outside: Outside) -> OwnSystem:
    settings = {"scheme": "standard", "secret": SECRET, "send_url": f"{outside.url}/own/app"}
    made = await api.post("/channels", {"provider": "generic", "name": "App chat", "settings": settings}, status=201)
    return OwnSystem(api.session, made["id"], f"/webhooks/generic/{made['id']}", "app", SECRET)


async def lived(tree: Tree, api: Api, shop: OwnSystem, outside: Outside) -> str:
    """The canary's life: written in and out, by mail with a file, bought, tracked, merged, exported."""
    person = {"id": f"app-{CANARY}", "name": CANARY, "email": MAIL, "verified": True}
    await shop.tells("message.received", id="in-1", text=f"I am {CANARY}", **{"from": person})
    assert await shop.signed(b'{"type": "message.received", "data": [' + MAIL.encode()) in (200, 400)  # no JSON

    async def talk() -> dict[str, Any] | None:
        found = await api.rows(f"/conversations?channel={shop.id}")
        return found[0] if found else None

    first = await eventually(talk, "the conversation")
    profile_id, path = first["profile_id"], f"/conversations/{first['id']}/messages"
    await api.post(path, {"text": f"Dear {CANARY}"})
    await api.post(path, {"text": f"{CANARY} is difficult", "note": True})
    patch = {"attributes": {"secret": CANARY}, "add_tags": [CANARY[:20]]}
    await api.call("PATCH", f"/profiles/{profile_id}", patch)
    identity = first["identity_id"]
    act = {"identity_id": identity, "purpose": "marketing", "granted": True, "source": "api", "proof": CANARY}
    await api.post(f"/profiles/{profile_id}/consents", act)
    await api.post("/tasks", {"text": f"Call {CANARY}", "profile_id": profile_id})
    money = {"amount_minor": 1200, "currency": "EUR"}
    await api.post("/orders", {"external_id": "o-1", "identity": f"{shop.id}:app-{CANARY}", "status": "paid",
                               "total": money, "lines": [{"name": CANARY, "quantity": 1}]})  # fmt: skip
    await api.post("/events", {"event": "wish", "profile_id": profile_id, "properties": {"for": CANARY}})
    await rendered(api, shop, profile_id)
    await tracked(api)
    await mailed(tree, api, outside)
    other = await api.post("/profiles", {"identities": [f"email:{SECOND}"], "name": CANARY}, key="canary-once")
    await api.post(f"/profiles/{profile_id}/merge", {"other_id": other["id"]})

    await eventually(lambda: worked_off(tree), "everything to be worked off", within_s=90)
    made = await api.post(f"/profiles/{profile_id}/export", {"language": "zh_CN"}, status=202)

    async def ready() -> bool:
        exports = await api.rows(f"/profiles/{profile_id}/exports")
        return any(each["id"] == made["id"] and each["state"] == "ready" for each in exports)

    await eventually(ready, "the export", within_s=60)
    return str(profile_id)


async def taken_in(tree: Tree) -> bool:
    return all(row["state"] != "pending" for row in await rows(tree, "deliveries"))


async def worked_off(tree: Tree) -> bool:
    merges = await rows(tree, "merges")
    sends = [row for row in await rows(tree, "sends") if row["state"] in ("planned", "handed")]
    files = [row for row in await rows(tree, "files") if row["state"] == "stored"]
    return bool(files) and await taken_in(tree) and not sends and all(row["state"] != "moving" for row in merges)


async def passed_on(tree: Tree, api: Api, outside: Outside, profile_id: str) -> EmailMessage:
    """Their mail is forwarded to a supplier, who answers with a quote and the file; the mail the supplier got."""
    (line,) = [row for row in await rows(tree, "messages") if row.get("mail") and row["profile_id"] == profile_id]
    path = f"/messages/{line['_id']}/forward"
    await api.post(path, {"to": SUPPLIER, "text": "Is it on its way?"}, status=201)
    got = (await eventually(lambda: outside.mails_to(SUPPLIER), "the forwarded mail"))[0]
    assert CANARY in str(got.as_string())
    assert [each.get_filename() for each in got.iter_attachments()] == [f"{CANARY}.txt"]
    await answered(tree, got, "Tomorrow", quoting=f"Please find {CANARY} inside.", file=f"file of {CANARY}")
    await eventually(lambda: line_saying(api, "Tomorrow"), "the supplier's answer")
    await eventually(lambda: worked_off(tree), "the answer to be worked off")
    held = [row for row in await rows(tree, "files") if row.get("name") == f"{CANARY}.txt"]
    assert len(held) == 3, "theirs, the forwarded one, and the one that came back"
    return got


async def answered(tree: Tree, got: EmailMessage, text: str, *, quoting: str, file: str = "") -> None:
    """The supplier answers a mail of ours, as programs do."""
    mail = EmailMessage()
    mail["From"], mail["To"] = SUPPLIER, got["Reply-To"]
    mail["Message-ID"], mail["Subject"] = f"<{secrets.token_hex(8)}@supplier.example>", f"Re: {got['Subject']}"
    mail["In-Reply-To"] = mail["References"] = got["Message-ID"]
    mail.set_content(f"{text}\n\nOn Mon, 23 Nov 2026 at 10:00, Care wrote:\n> {quoting}\n")
    if file:
        mail.add_attachment(file.encode(), maintype="text", subtype="plain", filename=f"{CANARY}.txt")
    to = parseaddr(got["Reply-To"])[1]
    await aiosmtplib.send(mail, hostname="127.0.0.1", port=tree.mail_port, sender=SUPPLIER, recipients=[to],
                          start_tls=False, timeout=60)  # fmt: skip


async def line_saying(api: Api, text: str) -> dict[str, Any] | None:
    talks = [talk["id"] for talk in await api.rows("/conversations")]
    lines = [line for each in talks for line in await api.rows(f"/conversations/{each}/messages")]
    return next((line for line in lines if line["text"] == text), None)


async def rendered(api: Api, shop: OwnSystem, profile_id: str) -> None:
    """A journey writes to the person by name."""
    template = await api.post("/templates", {"name": "Hello", "kind": "chat", "body": "Hello {{ profile.name }}"})
    shown = await api.post(f"/templates/{template['id']}/render", {"profile_id": profile_id})
    assert CANARY in str(shown)
    send = {"id": "s", "type": "send", "channels": ["generic"], "template_id": template["id"],
            "next": None, "if_skipped": "continue", "if_failed": "continue"}  # fmt: skip
    draft = {"name": "Hello", "trigger": {"type": "api"}, "class": "transactional", "steps": [send]}
    journey = await api.post("/journeys", draft)
    await api.post(f"/journeys/{journey['id']}/publish", {})
    await api.post(f"/journeys/{journey['id']}/enrolments", {"profile_id": profile_id})


async def tracked(api: Api) -> None:
    key = secrets.token_hex(16)
    settings = {"write_key": key, "trusted": True}
    await api.post("/channels", {"provider": "segment", "name": "Site", "settings": settings}, status=201)
    call = {"userId": f"u-{CANARY}", "traits": {"email": MAIL, "name": CANARY}}
    async with api.session.post(
        "/v1/identify", json=call, headers={"Authorization": aiohttp.encode_basic_auth(key, "")}
    ) as answer:
        assert answer.status == 200, await answer.text()


async def mailed(tree: Tree, api: Api, outside: Outside) -> None:
    """A mail with a file, whose bytes hold the canary as well."""
    settings = {
        "from_address": "care@harbour-tea.example",
        "smtp_host": "127.0.0.1",
        "smtp_port": outside.sink.port,
        "smtp_tls": "none",
    }
    await api.post("/channels", {"provider": "email", "name": "Care", "settings": settings}, status=201)
    mail = EmailMessage()
    mail["From"], mail["To"] = f"{CANARY} <{MAIL}>", "care@harbour-tea.example"
    mail["Message-ID"], mail["Subject"] = f"<{CANARY}@people.example>", f"About {CANARY}"
    mail.set_content(f"Please find {CANARY} inside.")
    mail.add_attachment(f"file of {CANARY}".encode(), maintype="text", subtype="plain", filename=f"{CANARY}.txt")
    await aiosmtplib.send(mail, hostname="127.0.0.1", port=tree.mail_port, sender=MAIL,
                          recipients=["care@harbour-tea.example"], start_tls=False, timeout=60)  # fmt: skip


async def who_stays(api: Api, shop: OwnSystem) -> str:
    """Somebody else, who must still be there."""
    made = await api.post("/profiles", {"identities": [f"email:{OTHER}@people.example"], "name": OTHER})
    return str(made["id"])


async def posted_again(shop: OwnSystem, session: aiohttp.ClientSession) -> bool:
    again = OwnSystem(session, shop.id, shop.path, shop.account, shop.secret)
    await again.says(Person.number(1, "Rosa Haas"), "Hello after all that")
    return True


# -- the search --------------------------------------------------------------------------------------------------------


async def rows(tree: Tree, name: str) -> list[dict[str, Any]]:
    async with AsyncMongoClient[dict[str, Any]](str(tree.servers()["mongo_url"])) as client:
        return await client["rapport"][name].find({}).to_list(None)


async def rows_with(tree: Tree, word: str) -> set[str]:
    """Collections of any database but the server's own in which the word stands, as text or in bytes."""
    found = set()
    async with AsyncMongoClient[dict[str, Any]](str(tree.servers()["mongo_url"])) as client:
        for base in await client.list_database_names():
            if base in ("admin", "local", "config"):
                continue
            for name in await client[base].list_collection_names():
                async for row in client[base][name].find({}):
                    if word in str(row):
                        found.add(name)
    return found


async def redis_with(tree: Tree, word: str) -> list[str]:
    redis = Redis.from_url(str(tree.servers()["redis_url"]))
    try:
        keys = [key async for key in redis.scan_iter(count=1000)]
        return [str(key) for key in keys if word in str(key) or word.encode() in (await redis.dump(key) or b"")]
    finally:
        await redis.aclose()


def files_with(tree: Tree, word: str, below: str = "") -> list[str]:
    """Files of the data directory in which the word stands as raw bytes, in either encoding of text."""
    forms = (word.encode(), word.encode("utf-16-le"))
    found = []
    for path in sorted((tree.data / below).rglob("*")):
        if path.is_file() and not path.is_socket():
            content = path.read_bytes()
            if any(form in content for form in forms):
                found.append(str(path.relative_to(tree.data)))
    return found


async def forget_the_receipt(tree: Tree, delivery_id: str) -> None:
    """As retention does in the end: the body of a delivery that has been worked off goes."""
    async with AsyncMongoClient[dict[str, Any]](str(tree.servers()["mongo_url"])) as client:
        await client["rapport"]["deliveries"].delete_one({"_id": delivery_id})
