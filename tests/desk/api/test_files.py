"""Files over HTTP: who may see them, as what they come, in which pieces; uploads, and links without signing in."""

import io
import json
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import ClientResponse, ClientSession, FormData

from base.clock import now
from channels.vocabulary import Address, Attachment, AttachmentKind, MessageReceived, OutboundMessage, SendReceipt
from inbox.file_links import make_link
from inbox.incoming import Arrival
from tests.desk.api.conftest import World, answer_of

API = "/api/v1/files"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 2500
PDF = b"%PDF-1.7\n" + b"x" * 64
EVIL = b"<html><script>fetch('/api/v1/profiles')</script></html>"
SVG = b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"


async def came(world: World, channel_id: str, content: bytes, **fields: Any) -> str:
    """A customer sent this; the id of its file."""
    key = uuid4().hex
    attachment = Attachment(kind=AttachmentKind.FILE, content=content, **fields)
    event = MessageReceived(
        event_id=key, message_id=key, occurred_at=now(), attachments=(attachment,),
        address=Address(channel_id=channel_id, external_id="ext-anna"),
    )  # fmt: skip
    arrivals = [Arrival(channel_id, "generic", event, f"dlv_{key[:26]}")]
    (outcome,) = (await world.runtime.receiver.receive(arrivals)).outcomes
    while await world.runtime.files.fetch(50):
        pass
    (found,) = (await world.runtime.messages.get(outcome.message_id)).attachments
    return found["file_id"]


@pytest.fixture
async def viewer(world: World) -> AsyncIterator[ClientSession]:
    async with world.client("viewer") as client:
        yield client


@pytest.fixture
async def agent(world: World) -> AsyncIterator[ClientSession]:
    async with world.client("agent") as client:
        yield client


def harmless(answer: ClientResponse) -> None:
    """Whatever the bytes are, a browser does nothing with them."""
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and re.search(r"(^|; )sandbox($|;)", policy), policy
    assert "no-" in answer.headers["Cache-Control"] and "private" in answer.headers["Cache-Control"]


# -- handing out ---------------------------------------------------------------------------------------------------


async def test_a_picture_is_shown(world: World, viewer: ClientSession) -> None:
    file_id = await came(world, world.ours.channel, PNG, file_name="Grün 汉.png", media_type="text/html")
    answer = await viewer.get(f"{API}/{file_id}")
    assert (answer.status, answer.content_type, await answer.read()) == (200, "image/png", PNG)
    disposition = answer.headers["Content-Disposition"]
    assert disposition == "inline; filename=\"Gr_n _.png\"; filename*=UTF-8''Gr%C3%BCn%20%E6%B1%89.png"
    assert (answer.headers["Content-Length"], answer.headers["Accept-Ranges"]) == (str(len(PNG)), "bytes")
    harmless(answer)


@pytest.mark.parametrize(
    ("content", "media_type", "name", "ending"),
    [
        (EVIL, "text/html", "page.html", "page.html.bin"),
        (EVIL, "image/png", "photo.png", "photo.png.bin"),
        (EVIL, "application/xhtml+xml", "x.xhtml", "x.xhtml.bin"),
        (SVG, "image/svg+xml", "logo.svg", "logo.svg.bin"),
        (PDF, "application/pdf", "bill.pdf", "bill.pdf"),
        (PDF, "image/jpeg", "bill.jpg", "bill.jpg.pdf"),
        (b"hello", "text/plain", "../../.htaccess", "htaccess.txt"),
        (b"a,b", "text/csv", 'x";\r\nX-Evil: 1; a=".csv', "X-Evil_ 1_ a__.csv"),
        (b"MZ" + b"\x00" * 90, "image/gif", "cat\u202efig.exe", "catfig.exe.bin"),
        (b"x" * 40, "application/javascript", "a" * 400 + ".js", "aaa.bin"),
        (b"%!PS-Adobe", "application/postscript", "a.png.ps", "a.png.ps"),
    ],
)
async def test_everything_else_is_a_download_of_no_type(
    world: World, viewer: ClientSession, content: bytes, media_type: str, name: str, ending: str
) -> None:
    file_id = await came(world, world.ours.channel, content, media_type=media_type, file_name=name)
    answer = await viewer.get(f"{API}/{file_id}")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/octet-stream")
    assert await answer.read() == content and "X-Evil" not in answer.headers
    disposition = answer.headers["Content-Disposition"]
    assert disposition.startswith("attachment; filename=") and len(disposition) < 1000
    shown = re.search(r'filename="([^"]*)"', disposition)
    assert shown is not None and shown[1].endswith(ending), disposition
    harmless(answer)


async def test_pieces_and_what_the_browser_has_already(world: World, viewer: ClientSession) -> None:
    path = f"{API}/{await came(world, world.ours.channel, PNG)}"
    tag = (await viewer.get(path)).headers["ETag"]
    size = len(PNG)
    for asked, first, last in (
        ("bytes=0-0", 0, 0), ("bytes=5-9", 5, 9), (f"bytes={size - 3}-", size - 3, size - 1),
        ("bytes=-4", size - 4, size - 1), ("bytes=0-99999999", 0, size - 1),
        ("bytes=524286-524290", 524286, 524290), (f"bytes=-{size * 2}", 0, size - 1),
    ):  # fmt: skip
        answer = await viewer.get(path, headers={"Range": asked})
        assert (answer.status, answer.headers["Content-Range"]) == (206, f"bytes {first}-{last}/{size}"), asked
        assert await answer.read() == PNG[first : last + 1] and answer.content_type == "image/png"
        harmless(answer)
    for beyond in (f"bytes={size}-", "bytes=-0", "bytes=999999999-"):
        answer = await viewer.get(path, headers={"Range": beyond})
        assert (answer.status, answer.headers["Content-Range"], await answer.read()) == (416, f"bytes */{size}", b"")
    for passed_over in (
        "bytes=0-1,5-6",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "items=0-1",
        "bytes=9-5",
        "bytes=0-" + "9" * 40,
    ):
        answer = await viewer.get(path, headers={"Range": passed_over})
        assert (answer.status, len(await answer.read())) == (200, size), passed_over
    assert (await viewer.get(path, headers={"Range": "bytes=0-1", "If-Range": tag})).status == 206
    assert (await viewer.get(path, headers={"Range": "bytes=0-1", "If-Range": '"other"'})).status == 200
    again = await viewer.get(path, headers={"If-None-Match": f'"x", W/{tag}'})
    assert (again.status, await again.read()) == (304, b"")


async def test_only_who_sees_the_channel_sees_the_file(world: World) -> None:
    ours = f"{API}/{await came(world, world.ours.channel, PNG)}"
    foreign = f"{API}/{await came(world, world.foreign.channel, PNG)}"
    before = await world.digest()
    async with world.client("scoped:agent") as client:
        assert (await client.get(ours)).status == 200
        denied = await client.get(foreign)
        missing = await client.get(f"{API}/fil_{'0' * 26}")
        bodies = [await answer_of(each) for each in (denied, missing)]
        assert [each.status for each in (denied, missing)] == [404, 404]
        assert [each.pop("request_id") != "" for each in bodies] == [True, True] and bodies[0] == bodies[1]
    async with world.client(None) as client:
        assert (await client.get(ours)).status == 401
    async with world.client("viewer") as client:
        for odd in ("fil_x", "../files/x", "msg_" + "0" * 26, "fil_" + "A" * 26):
            assert (await client.get(f"{API}/{odd}")).status == 404
    assert await world.digest() == before


async def test_what_is_not_here_is_404_with_a_code(world: World, viewer: ClientSession) -> None:
    file_id = await came(world, world.ours.channel, PNG)
    rows = world.runtime.db.handle["files"]
    for state in ("wanted", "failed"):
        await rows.update_one({"_id": file_id}, {"$set": {"state": state}})
        answer = await viewer.get(f"{API}/{file_id}")
        assert (answer.status, (await answer_of(answer))["code"]) == (404, "file_not_here")
    await rows.update_one({"_id": file_id}, {"$set": {"state": "stored"}})
    row = await rows.find_one({"_id": file_id})
    await world.runtime.messages.remove_files([row["message_id"]])
    assert (await viewer.get(f"{API}/{file_id}")).status == 404


async def test_bytes_lost_half_way_are_no_whole_file(world: World, viewer: ClientSession) -> None:
    content = PNG + b"lost"
    file_id = await came(world, world.ours.channel, content)
    row = await world.runtime.db.handle["files"].find_one({"_id": file_id})
    await world.runtime.db.handle["blobs.chunks"].delete_one({"files_id": row["grid_id"], "n": 1})
    with pytest.raises(Exception, match=r"payload|disconnect|transfer|reset"):
        await (await viewer.get(f"{API}/{file_id}")).read()
    await world.runtime.db.handle["blobs.chunks"].delete_many({"files_id": row["grid_id"]})
    assert (await viewer.get(f"{API}/{file_id}")).status == 404, "nothing was sent yet: an honest answer"
    await world.runtime.messages.remove_files([row["message_id"]])


# -- bringing ------------------------------------------------------------------------------------------------------


async def uploaded(client: ClientSession, content: bytes, name: str = "a.png", **headers: str) -> Any:
    answer = await client.post(API, data=content, headers={"X-File-Name": name, **headers})
    assert answer.status == 201, await answer.text()
    return await answer_of(answer)


async def test_a_file_is_brought_raw_or_in_a_form_and_sent(world: World, agent: ClientSession) -> None:
    raw = await uploaded(agent, PNG, "Pl%C3%A4ne%2F..%2Fa.png")
    assert (raw["name"], raw["media_type"], raw["size_bytes"]) == ("a.png", "image/png", len(PNG))
    form = FormData(quote_fields=False)  # as browsers do
    form.add_field("note", "not a file")
    form.add_field("file", PDF, filename="Fünf.pdf", content_type="text/html")
    answer = await agent.post(API, data=form)
    brought = await answer_of(answer)
    assert (answer.status, answer.headers["Location"]) == (201, f"{API}/{brought['id']}")
    assert (brought["name"], brought["media_type"]) == ("Fünf.pdf", "application/pdf")
    assert await (await agent.get(f"{API}/{raw['id']}")).read() == PNG
    body = {"text": "See", "attachments": [{"file_id": raw["id"], "caption": "Plan"}, {"file_id": brought["id"]}]}
    answer = await agent.post(f"/api/v1/conversations/{world.ours.conversation}/messages", json=body)
    message = await answer_of(answer)
    assert answer.status == 201, message
    first, second = message["attachments"]
    assert (first["kind"], first["name"], first["state"], first["caption"]) == ("image", "a.png", "stored", "Plan")
    assert (second["kind"], second["media_type"]) == ("file", "application/pdf")
    async with world.client("scoped:viewer") as colleague:
        assert await (await colleague.get(f"{API}/{first['file_id']}")).read() == PNG
        assert (await colleague.get(f"{API}/{raw['id']}")).status == 404, "the upload itself is its bringer's"


async def test_whose_files_may_be_sent(world: World, agent: ClientSession) -> None:
    foreign = await came(world, world.foreign.channel, PNG)
    async with world.client("admin") as client:
        of_somebody = (await uploaded(client, PDF))["id"]
    path = f"/api/v1/conversations/{world.ours.conversation}/messages"
    for refused in (foreign, of_somebody, f"fil_{'0' * 26}"):
        answer = await agent.post(path, json={"attachments": [{"file_id": refused}]})
        problem = await answer_of(answer)
        assert (answer.status, problem["errors"][0]["path"]) == (422, "attachments[0].file_id")
    nothing = await answer_of(await agent.post(path, json={"attachments": [{"nothing": 1}]}))
    assert {each["path"] for each in nothing["errors"]} == {"attachments[0].kind", "attachments[0].nothing"}
    for odd in ("x", {"$ne": 1}, ["fil_x"], 7, None):
        assert (await agent.post(path, json={"attachments": [{"file_id": odd}]})).status == 422


async def test_what_is_no_upload(world: World, agent: ClientSession) -> None:
    assert (await agent.post(API, data=b"")).status == 422
    form = FormData()
    form.add_field("file", "just text")
    empty = FormData()
    empty.add_field("file", b"", filename="a.png")
    for wrong in (form, empty):
        assert (await agent.post(API, data=wrong)).status == 422
    broken = {"Content-Type": "multipart/form-data; boundary=x"}
    for body in (b"--x\r\n", b"nothing", b"--x\r\nContent-Disposition: form-data; filename=a\r\n\r\nabc"):
        assert (await agent.post(API, data=body, headers=broken)).status in (201, 422), body
    assert (await agent.post(API, data=b"x", headers={"Content-Type": "multipart/form-data"})).status == 422
    for role, status in (("viewer", 403), ("scoped:viewer", 403), (None, 401)):
        async with world.client(role) as client:
            assert (await client.post(API, data=PNG)).status == status


async def test_uploads_are_bounded_also_in_pieces_and_packed(agent: ClientSession) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b"\x00" * 1_000_000

    assert (await agent.post(API, data=io.BytesIO(b"\x00" * 25_200_000))).status == 413
    answer = await agent.post(API, data=pieces())
    assert (answer.status, (await answer_of(answer))["code"]) == (413, "too_large")
    form = FormData()
    form.add_field("file", io.BytesIO(b"\x00" * 25_000_001), filename="a.bin")
    assert (await agent.post(API, data=form)).status == 413


async def test_the_same_key_brings_one_file(agent: ClientSession) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    first, again = await uploaded(agent, PNG, **key), await uploaded(agent, PNG, **key)
    assert first == again
    other = await agent.post(API, data=PDF, headers={"X-File-Name": "a.png", **key})
    assert (other.status, (await answer_of(other))["code"]) == (422, "idempotency_key_reused")


# -- links ---------------------------------------------------------------------------------------------------------


async def test_a_link_opens_its_file_without_signing_in_and_never_as_a_page(world: World) -> None:
    key, channel_id = world.runtime.box.signing_key, world.ours.channel
    pdf, page, picture = [await came(world, channel_id, each) for each in (PDF, EVIL, PNG)]
    async with world.client(None) as stranger:
        for file_id, content, media_type in (
            (pdf, PDF, "application/pdf"), (page, EVIL, "application/octet-stream"), (picture, PNG, "image/png"),
        ):  # fmt: skip
            path = f"/f/{make_link(key, file_id, now())}"
            answer = await stranger.get(path)
            assert (answer.status, answer.content_type, await answer.read()) == (200, media_type, content)
            assert answer.headers["Content-Disposition"].startswith("attachment;")
            harmless(answer)
            head = await stranger.head(path)
            assert (head.status, head.headers["Content-Length"], await head.read()) == (200, str(len(content)), b"")
        for wrong in ("x", "a.b.c.d", make_link(b"another key", pdf, now()), make_link(key, "fil_" + "0" * 26, now())):
            assert (await stranger.get(f"/f/{wrong}")).status == 404


async def test_a_provider_that_takes_bytes_gets_them(world: World, agent: ClientSession) -> None:
    """The generic channel carries the file itself in its signed body."""
    taken: list[OutboundMessage] = []

    async def send(account: Any, message: OutboundMessage) -> SendReceipt:
        taken.append(message)
        return SendReceipt(message_ids=(uuid4().hex,))

    adapter = world.runtime.registry.get("generic")
    file = await uploaded(agent, PNG)
    body = {"attachments": [{"file_id": file["id"]}]}
    answer = await agent.post(f"/api/v1/conversations/{world.ours.conversation}/messages", json=body)
    assert answer.status == 201
    adapter.send = send
    try:
        await world.runtime.delivery.deliver(50)
    finally:
        del adapter.send
    assert PNG in [each.content for message in taken for each in message.attachments]
    assert not [each for message in taken for each in message.attachments if each.url or each.extra]


async def test_the_document_tells_of_both(viewer: ClientSession) -> None:
    document = json.loads(await (await viewer.get("/api/openapi.json")).text())
    assert set(document["paths"]) >= {"/api/v1/files", "/api/v1/files/{id}"}
    assert "201" in document["paths"]["/api/v1/files"]["post"]["responses"]
