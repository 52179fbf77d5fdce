"""Files: never in the way of their message, kept once, shown as what they are, gone when they are to be gone."""

import asyncio
import contextlib
import inspect
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from base.errors import WrongInput
from base.http import AddressGuard, HttpClient
from channels.capabilities import Capabilities, MediaLimit
from channels.failures import Failure, SendFailed
from channels.providers.generic.adapter import GenericAdapter
from channels.registry import Registry
from channels.vocabulary import Attachment, AttachmentKind, MessageDeleted
from inbox import file_policy
from inbox.attached import FILE_MAX_BYTES
from inbox.file_links import make_link, read_link
from inbox.file_types import NEUTRAL, SHOWN, kind_of, safe_name, type_of
from inbox.files import IN_FLIGHT, Files
from inbox.models import Actor, ChosenFile, Message, ReplyInput
from tests.conftest import LocalServer
from tests.inbox.conftest import AGENT, REPLY_KEY, House

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 64
PDF = b"%PDF-1.7\n" + b"x" * 64
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
Media = Callable[[Attachment], Any]


def provider(house: House, media: Media, name: str = "scripted") -> list[Attachment]:
    """Let the provider give out what `media` says: bytes, an error to raise, or something to wait for."""
    asked: list[Attachment] = []

    async def fetch(account: Any, attachment: Attachment, *, max_bytes: int) -> tuple[bytes, str]:
        asked.append(attachment)
        answer = media(attachment)
        if isinstance(answer, Awaitable):
            answer = await answer
        if isinstance(answer, BaseException):
            raise answer
        return answer if isinstance(answer, tuple) else (answer, "application/x-claimed")

    house.adapter(name).media = fetch  # type: ignore[method-assign]
    return asked


def picture(media_id: str = "f1", **fields: Any) -> Attachment:
    return Attachment(kind=AttachmentKind.IMAGE, **{"media_id": media_id, "file_name": "photo.png", **fields})


async def arrived(house: House, *attachments: Attachment, message_id: str = "m1", channel_id: str | None = None) -> Any:
    """The row of a message that came with these."""
    channel_id = channel_id or await house.channel()
    arrival = house.arrival(channel_id, "anna", message_id, attachments=attachments)
    (outcome,) = (await house.inbox.receiver.receive([arrival])).outcomes
    return await row_of(house, outcome.message_id)


async def row_of(house: House, message_id: str | None) -> Any:
    return (await house.inbox.messages.many([message_id or ""]))[message_id or ""]


async def file_rows(house: House) -> list[dict[str, Any]]:
    return await house.database.collection("files").find({}).sort("_id", 1).to_list(None)


async def blobs(house: House) -> tuple[int, int]:
    """Contents kept, and the pieces they lie in."""
    heads = await house.database.collection("blobs.files").count_documents({})
    return heads, await house.database.collection("blobs.chunks").count_documents({})


async def content_of(house: House, file_id: str) -> bytes:
    return b"".join([piece async for piece in house.inbox.files.read(file_id)])


async def hurry(house: House) -> None:
    """Back-off and leases are over."""
    due = {"due_at": {"$exists": True}}
    await house.database.collection("files").update_many(due, {"$set": {"due_at": LONG_AGO}})


def shown(row: Any, position: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = row["attachments"][position]
    return found


# -- fetching ------------------------------------------------------------------------------------------------------


async def test_a_file_is_fetched_kept_and_shown(house: House) -> None:
    asked = provider(house, lambda _: PNG)
    row = await arrived(house, picture(url="https://cdn.example/x?token=secret", caption="Look", width=20))
    file_id = shown(row)["file_id"]
    expected = {"kind": "image", "file_id": file_id, "state": "wanted", "name": "photo.png", "file_name": "photo.png"}
    assert shown(row) == {**expected, "caption": "Look", "width": 20}, "no address, no provider's id"
    before = await house.feed.position()
    assert await house.inbox.files.fetch(10) == 1
    assert (asked[0].media_id, asked[0].url, asked[0].caption) == ("f1", "https://cdn.example/x?token=secret", "Look")
    after = await row_of(house, row["_id"])
    assert shown(after) == {
        **shown(row), "state": "stored", "media_type": "image/png", "size_bytes": len(PNG),
    }  # fmt: skip
    assert {**after, "attachments": None} == {**row, "attachments": None}
    assert await content_of(house, file_id) == PNG
    (notice,) = await house.feed.after(before)
    assert (notice["type"], notice["channel_id"]) == ("message.updated", row["channel_id"])
    assert notice["data"]["message_id"] == row["_id"] and notice["data"]["conversation_id"] == row["conversation_id"]
    (kept,) = await file_rows(house)
    assert "secret" not in str(kept) and not {"attachment", "due_at", "lease", "content"} & set(kept)
    assert await house.inbox.files.fetch(10) == 0


async def test_the_workers_are_called_when_there_is_something_to_fetch(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung: list[str] = []

    async def ring(*bells: str) -> None:
        rung.extend(bells)

    monkeypatch.setattr(house.doorbell, "ring", ring)
    row = await arrived(house)
    assert "react" in rung and "fetch" not in rung
    await arrived(house, picture(), message_id="m2", channel_id=row["channel_id"])
    assert rung.count("fetch") == 1


async def test_bytes_that_came_along_are_put_away_and_readable_at_once(house: House) -> None:
    asked = provider(house, lambda _: PNG)
    mail = [Attachment(kind=AttachmentKind.FILE, file_name="a.pdf", content=PDF), picture()]
    row = await arrived(house, *mail)
    assert len(str(row)) < 4000 and shown(row)["size_bytes"] == len(PDF)
    assert await content_of(house, shown(row)["file_id"]) == PDF, "before the drain has come"
    assert await house.inbox.messages.content(row["_id"], 0) == PDF
    assert await house.inbox.messages.content(row["_id"], 1) is None
    assert await house.inbox.files.fetch(10) == 2
    after = await row_of(house, row["_id"])
    assert [shown(after, i)["media_type"] for i in (0, 1)] == ["application/pdf", "image/png"]
    assert [each.media_id for each in asked] == ["f1"], "what came along is not asked for"
    assert await house.inbox.messages.content(row["_id"], 0) == PDF
    assert all("content" not in each for each in await file_rows(house))


async def test_a_message_that_comes_twice_has_its_files_once(house: House) -> None:
    provider(house, lambda _: PNG)
    row = await arrived(house, picture("a"), picture("b"))
    await arrived(house, picture("a"), picture("b"), channel_id=row["channel_id"])
    assert [each["position"] for each in await file_rows(house)] == [0, 1]


async def test_the_bytes_say_what_it_is(house: House) -> None:
    provider(house, lambda each: (PDF if each.media_id == "pdf" else b"<svg onload='x()'/>", "image/png"))
    row = await arrived(house, picture("pdf", media_type="image/png"), picture("svg", media_type="image/svg+xml"))
    assert shown(row)["media_type"] == "image/png", "a claim, until the bytes are here"
    await house.inbox.files.fetch(10)
    after = await row_of(house, row["_id"])
    assert (shown(after)["media_type"], shown(after)["name"]) == ("application/pdf", "photo.png.pdf")
    assert (shown(after, 1)["media_type"], shown(after, 1)["name"]) == (NEUTRAL, "photo.png.bin")


async def test_what_is_too_large_is_not_kept(house: House) -> None:
    asked = provider(house, lambda _: b"\x00" * (FILE_MAX_BYTES + 1))
    huge = Attachment(kind=AttachmentKind.VIDEO, media_id="a", size_bytes=FILE_MAX_BYTES + 1)
    row = await arrived(house, huge, picture("b"))
    assert (shown(row)["state"], shown(row)["reason"]["code"]) == ("failed", "too_large")
    assert await house.inbox.files.fetch(10) == 1
    after = await row_of(house, row["_id"])
    assert (shown(after, 1)["state"], shown(after, 1)["reason"]["code"]) == ("failed", "too_large")
    assert "25 MB" in shown(after, 1)["reason"]["sentence"]
    assert [each.media_id for each in asked] == ["b"] and await blobs(house) == (0, 0)


async def test_too_much_for_one_message_is_said(house: House) -> None:
    parts = [Attachment(kind=AttachmentKind.FILE, content=bytes([65 + i]) * 5_000_000) for i in range(3)]
    row = await arrived(house, *parts)
    assert [shown(row, i)["state"] for i in range(3)] == ["wanted", "wanted", "failed"]
    assert await house.inbox.files.fetch(10) == 2


async def test_what_is_gone_fails_at_once_with_a_reason_and_the_message_stays(house: House) -> None:
    asked = provider(house, lambda _: SendFailed(Failure.CONTENT_REJECTED, "Not found.", provider_code="404"))
    row = await arrived(house, picture())
    assert await house.inbox.files.fetch(10) == 1
    after = await row_of(house, row["_id"])
    assert (after["text"], shown(after)["state"], shown(after)["name"]) == ("Hi", "failed", "photo.png")
    sentence = "The provider does not give this file out, or not one that we may take."
    assert shown(after)["reason"] == {"code": "content_rejected", "sentence": sentence, "detail": "404 Not found."}
    await hurry(house)
    assert await house.inbox.files.fetch(10) == 0 and len(asked) == 1
    (kept,) = await file_rows(house)
    assert kept["attachment"]["media_id"] == "f1", "a person may have it asked for again"


async def test_a_passing_fault_is_tried_again(house: House) -> None:
    answers: list[Any] = [
        SendFailed(Failure.TEMPORARY, "503"),
        SendFailed(Failure.RATE_LIMITED, retry_after_s=900),
        PNG,
    ]
    provider(house, lambda _: answers.pop(0))
    row = await arrived(house, picture())
    for code, least_s in (("temporary", 10), ("rate_limited", 890)):
        await house.inbox.files.fetch(10)
        waiting = shown(await row_of(house, row["_id"]))
        assert (waiting["state"], waiting["reason"]["code"]) == ("wanted", code)
        (kept,) = await file_rows(house)
        assert kept["due_at"] - house.clock() > timedelta(seconds=least_s)
        assert await house.inbox.files.fetch(10) == 0, "not before its time"
        await hurry(house)
    await house.inbox.files.fetch(10)
    after = shown(await row_of(house, row["_id"]))
    assert after["state"] == "stored" and "reason" not in after


async def test_six_tries_and_then_a_sentence(house: House) -> None:
    asked = provider(house, lambda _: SendFailed(Failure.ACCOUNT_PROBLEM, "token expired"))
    row = await arrived(house, picture())
    for _ in range(9):
        await house.inbox.files.fetch(10)
        await hurry(house)
    after = shown(await row_of(house, row["_id"]))
    assert len(asked) == file_policy.MAX_TRIES
    assert (after["state"], after["reason"]["code"], after["reason"]["detail"]) == (
        "failed", "account_problem", "token expired",
    )  # fmt: skip
    channel = await house.channels.get(row["channel_id"])
    assert channel is not None and channel.state == "connected", "files do not stop an account"


@pytest.mark.parametrize(
    ("fault", "state", "code"),
    [
        (ZeroDivisionError("a bug"), "wanted", "unknown"),
        (NotImplementedError(), "failed", "not_supported"),
        (SendFailed(Failure.UNCERTAIN), "wanted", "uncertain"),
    ],
)
async def test_faults_of_an_adapter_concern_its_file_alone(
    house: House, fault: Exception, state: str, code: str
) -> None:
    provider(house, lambda each: fault if each.media_id == "bad" else PNG)
    row = await arrived(house, picture("bad"), picture("good"))
    assert await house.inbox.files.fetch(10) == 2
    after = await row_of(house, row["_id"])
    assert (shown(after)["state"], shown(after)["reason"]["code"], shown(after, 1)["state"]) == (state, code, "stored")


async def test_a_removed_channel_ends_it(house: House) -> None:
    row = await arrived(house, picture())
    await house.channels.remove(row["channel_id"])
    await house.inbox.files.fetch(10)
    assert shown(await row_of(house, row["_id"]))["reason"]["code"] == "channel_gone"


async def test_a_silent_provider_holds_up_nobody_and_is_given_up(house: House) -> None:
    provider(house, lambda _: asyncio.sleep(60))
    provider(house, lambda _: PNG, "keyed")
    silent, quick = await house.channel(), await house.channel("keyed")
    await arrived(house, *(picture(f"s{i}") for i in range(20)), channel_id=silent)
    arrivals = [
        house.arrival(quick, "bob", f"q{i}", provider="keyed", attachments=(picture(f"q{i}"),)) for i in range(9)
    ]
    await house.inbox.receiver.receive(arrivals)
    files = Files(
        house.inbox.messages.files, house.channels, house.registry, house.feed, house.clock, fetch_timeout_s=1.5
    )
    work = asyncio.create_task(files.fetch(15))
    async with asyncio.timeout(20):
        while await house.database.collection("files").count_documents({"state": "stored"}) < 9:
            assert not work.done() or work.result()
            await asyncio.sleep(0.05)
    assert await work == 15
    rows = [each for each in await file_rows(house) if each["channel_id"] == silent]
    tried = [each for each in rows if each["tries"]]
    assert len(tried) == 6 and {each["reason"]["code"] for each in tried} == {"temporary"}


async def test_many_workers_fetch_each_file_once(house: House, second_house: House) -> None:
    running, most = 0, 0

    async def slowly() -> bytes:
        nonlocal running, most
        running, most = running + 1, max(most, running + 1)
        await asyncio.sleep(0.02)
        running -= 1
        return PNG

    asked = provider(house, lambda _: slowly())
    await arrived(house, *(picture(f"f{i}") for i in range(20)))
    counts = await asyncio.gather(*(each.inbox.files.fetch(50) for each in (house, second_house, house)))
    assert sum(counts) == 20 == len(asked) == len({each.media_id for each in asked}) and most <= 3 * IN_FLIGHT
    assert {each["state"] for each in await file_rows(house)} == {"stored"}
    assert await content_of(house, (await file_rows(house))[0]["_id"]) == PNG


async def test_over_real_http_and_never_into_the_house(house: House, local_server: LocalServer) -> None:
    """S11: private addresses are not dialled, redirects not followed, and an endless answer is cut."""
    hits: Counter[str] = Counter()

    async def answer(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        hits[name] += 1
        if name == "endless":
            response = web.StreamResponse()
            await response.prepare(request)
            with contextlib.suppress(ConnectionError):
                while True:
                    await response.write(b"\x00" * 1_000_000)
            return response
        if name == "elsewhere":
            raise web.HTTPFound("/good")
        if name == "passing" and hits[name] == 1:
            return web.Response(status=503)
        return web.Response(body=PNG) if name in ("good", "passing") else web.Response(status=404)

    app = web.Application()
    app.router.add_get("/{name}", answer)
    base = await local_server(app)
    names = ("good", "gone", "elsewhere", "endless", "passing")
    row = await arrived(house, *(picture(url=f"{base}/{each}") for each in names))
    inside = [f"{base}/good", "http://localhost:1/x", "http://169.254.169.254/latest", "http://[::1]/"]
    secret = await arrived(house, *(picture(url=each) for each in inside), message_id="m2")
    for allowed, wanted in ((("127.0.0.0/8",), row), ((), secret)):
        http = HttpClient(AddressGuard(allowed))
        registry = Registry(http, {"scripted": GenericAdapter})
        files = Files(house.inbox.messages.files, house.channels, registry, house.feed, house.clock)
        rows = house.database.collection("files")
        await rows.update_many({"message_id": {"$ne": wanted["_id"]}, "state": "wanted"}, {"$set": {"state": "held"}})
        await rows.update_many({"message_id": wanted["_id"], "state": "held"}, {"$set": {"state": "wanted"}})
        await files.fetch(20)
        await hurry(house)
        before = dict(hits)
        await files.fetch(20)
        await http.close()
    after = await row_of(house, row["_id"])
    states = {each: shown(after, i)["state"] for i, each in enumerate(names)}
    assert states == {
        "good": "stored",
        "gone": "failed",
        "elsewhere": "failed",
        "endless": "failed",
        "passing": "stored",
    }
    assert hits == {"good": 1, "gone": 1, "elsewhere": 1, "endless": 1, "passing": 2} == before
    failed = [shown(await row_of(house, secret["_id"]), i) for i in range(len(inside))]
    assert {(each["state"], each["reason"]["code"]) for each in failed} == {("failed", "content_rejected")}


# -- crashes -------------------------------------------------------------------------------------------------------


class Died(Exception):
    """kill -9, as far as one task can tell."""


async def test_a_crash_between_bytes_and_row_shows_nothing_and_is_repaired(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider(house, lambda _: PNG)
    row = await arrived(house, picture())
    store, file_id = house.inbox.messages.files, shown(row)["file_id"]

    async def dies(*_: Any) -> None:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(store, "record", dies)
        with pytest.raises(Died):
            await house.inbox.files.fetch(10)
    assert await blobs(house) == (1, 1)
    assert shown(await row_of(house, row["_id"])) == shown(row)
    file = await house.inbox.files.get(file_id)
    assert file is not None and file.state == "wanted"
    assert await house.inbox.files.fetch(10) == 0, "leased"
    await hurry(house)
    assert await house.inbox.files.fetch(10) == 1
    assert await content_of(house, file_id) == PNG and await blobs(house) == (1, 1), "the same bytes, taken up again"


@contextlib.contextmanager
def dying_at(house: House, step: int) -> Iterator[list[str]]:
    """From the n-th call of a store on, nothing is carried out any more. Gives the names of the calls."""
    store, made = house.inbox.messages.files, list[str]()
    things = (store, store.duties, store._bucket, house.channels, house.feed)

    def guarded(name: str, call: Any) -> Any:
        async def one(*args: Any, **kwargs: Any) -> Any:
            for moment in ("before", "after"):
                made.append(f"{moment} {name}")
                if len(made) >= step:
                    raise asyncio.CancelledError(made[-1])
                if moment == "before":
                    result = await call(*args, **kwargs)
            return result

        return one

    with pytest.MonkeyPatch.context() as patch:
        for thing in things:
            for name, call in inspect.getmembers(thing, inspect.iscoroutinefunction):
                if name in ("claim", "account", "blob", "put", "record", "append", "erase", "erase_files", "delete"):
                    patch.setattr(thing, name, guarded(name, call))
        yield made


@pytest.mark.slow
async def test_a_worker_that_dies_at_any_step_leaves_a_file_that_is_fetched(house: House) -> None:
    contents = {"a": PNG, "b": PDF}
    provider(house, lambda each: contents[str(each.media_id)])
    channel_id, step, names, rows = await house.channel(), 1, list[str](), []
    while len(names) >= step - 1:  # until one run comes to its end alive
        row = await arrived(house, picture("a"), picture("b"), message_id=f"m{step}", channel_id=channel_id)
        for content in (PNG, PDF):  # new bytes each time, so that each step is really taken
            contents["ab"[content is PDF]] = content + str(step).encode()
        with dying_at(house, step) as names, contextlib.suppress(asyncio.CancelledError):
            await house.inbox.files.fetch(10)
        await hurry(house)
        await house.inbox.files.fetch(10)
        after = await row_of(house, row["_id"])
        for i, content in enumerate((PNG, PDF)):
            assert shown(after, i)["state"] == "stored", names[-1:]
            assert await content_of(house, shown(after, i)["file_id"]) == content + str(step).encode()
        rows.append(row)
        step += 1
    assert step > 12, "every step was died at"
    await house.database.collection("blobs.files").update_many({}, {"$set": {"uploadDate": LONG_AGO}})
    await house.inbox.files.tidy()
    assert (await blobs(house))[0] == 2 * len(rows), "one content each, and nothing that nobody holds"


@pytest.mark.slow
async def test_an_erasure_that_dies_at_any_step_is_finished_by_the_next(house: House) -> None:
    provider(house, lambda _: PNG)
    channel_id, step, names = await house.channel(), 1, list[str]()
    while len(names) >= step - 1:  # until one run comes to its end alive
        row = await arrived(house, picture("a"), picture("b"), message_id=f"m{step}", channel_id=channel_id)
        await house.inbox.files.fetch(10)
        with dying_at(house, step) as names, contextlib.suppress(asyncio.CancelledError):
            await house.inbox.messages.files.erase([row["_id"]])
        await house.inbox.messages.files.erase([row["_id"]])
        assert [await house.inbox.files.get(shown(row, i)["file_id"]) for i in (0, 1)] == [None, None]
        await house.database.collection("blobs.files").update_many({}, {"$set": {"uploadDate": LONG_AGO}})
        await house.inbox.files.tidy()
        assert await blobs(house) == (0, 0), names[-1:]
        step += 1
    assert step > 4


async def test_bytes_nobody_came_back_for_are_tidied_away(house: House) -> None:
    store = house.inbox.messages.files
    await store.blob("sha-of-nobody", PNG)
    assert await house.inbox.files.tidy() == 0, "somebody may be about to hold them"
    old = {"$set": {"uploadDate": LONG_AGO}}
    provider(house, lambda _: PDF)
    await arrived(house, picture())
    await house.inbox.files.fetch(10)
    await house.database.collection("blobs.files").update_many({}, old)
    assert await house.inbox.files.tidy() == 1 and await blobs(house) == (1, 1)
    assert await house.inbox.files.tidy() == 0


async def test_a_worker_that_slept_beyond_its_lease_changes_nothing(house: House) -> None:
    awake = asyncio.Event()

    async def sleeper() -> bytes:
        await awake.wait()
        return PDF

    answers: list[Any] = [sleeper(), PNG]
    provider(house, lambda _: answers.pop(0))
    row = await arrived(house, picture())
    first = asyncio.create_task(house.inbox.files.fetch(1))
    while len(answers) == 2:
        await asyncio.sleep(0.01)
    await hurry(house)
    assert await house.inbox.files.fetch(1) == 1
    awake.set()
    await first
    after = shown(await row_of(house, row["_id"]))
    assert after["media_type"] == "image/png" and await content_of(house, after["file_id"]) == PNG


async def test_what_kills_its_workers_is_set_aside(house: House) -> None:
    row = await arrived(house, picture())
    await house.database.collection("files").update_many({}, {"$set": {"attempts": 8}})
    await house.inbox.files.fetch(10)
    assert shown(await row_of(house, row["_id"]))["reason"]["code"] == "crashed"


# -- the same bytes, and no bytes any more -------------------------------------------------------------------------


async def test_the_same_file_twice_is_kept_once_until_the_last_holder_is_gone(house: House) -> None:
    provider(house, lambda _: PNG)
    channel_id = await house.channel()
    one = await arrived(house, picture(), channel_id=channel_id)
    await house.inbox.files.fetch(10)
    two = await arrived(house, picture(), message_id="m2", channel_id=channel_id)
    await house.inbox.files.fetch(10)
    ids = [shown(each)["file_id"] for each in (one, two)]
    assert await blobs(house) == (1, 1)
    assert [await content_of(house, each) for each in ids] == [PNG, PNG]
    assert await house.inbox.messages.files.erase([one["_id"]]) == 1
    assert await house.inbox.files.get(ids[0]) is None and await content_of(house, ids[1]) == PNG
    assert await house.inbox.messages.files.erase([one["_id"], two["_id"]]) == 1
    assert await blobs(house) == (0, 0)


async def test_sharing_and_letting_go_at_the_same_time_leaves_nobody_without_bytes(house: House) -> None:
    """Who stores bytes that are there, and who erases their last holder, must not pass each other."""
    provider(house, lambda _: PNG)
    channel_id, last = await house.channel(), None
    for i in range(12):
        row = await arrived(house, picture(), message_id=f"m{i}", channel_id=channel_id)
        erase = [last["_id"]] if last else []
        await asyncio.gather(house.inbox.files.fetch(10), house.inbox.messages.files.erase(erase))
        assert await content_of(house, shown(row)["file_id"]) == PNG
        last = row
    assert (await blobs(house))[0] == 1


async def test_a_message_taken_back_takes_its_files_along(house: House) -> None:
    provider(house, lambda _: PNG)
    row = await arrived(house, picture(), Attachment(kind=AttachmentKind.FILE, content=PDF))
    await house.inbox.files.fetch(10)
    event = MessageDeleted(event_id="d1", occurred_at=house.clock(), message_id="m1")
    await house.inbox.receiver.receive([house.event(row["channel_id"], event)])
    assert "attachments" not in await row_of(house, row["_id"])
    assert [await house.inbox.files.get(shown(row, i)["file_id"]) for i in (0, 1)] == [None, None]
    assert await blobs(house) == (0, 0)
    assert all(not {"name", "sha256", "grid_id"} & set(each) for each in await file_rows(house))


async def test_a_message_taken_back_while_its_file_is_on_the_way(house: House) -> None:
    asked, go = asyncio.Event(), asyncio.Event()

    async def waits() -> bytes:
        asked.set()
        await go.wait()
        return PNG

    provider(house, lambda _: waits())
    row = await arrived(house, picture())
    work = asyncio.create_task(house.inbox.files.fetch(10))
    await asked.wait()
    event = MessageDeleted(event_id="d1", occurred_at=house.clock(), message_id="m1")
    await house.inbox.receiver.receive([house.event(row["channel_id"], event)])
    go.set()
    await work
    assert "attachments" not in await row_of(house, row["_id"])
    assert await house.inbox.files.get(shown(row)["file_id"]) is None
    await house.database.collection("blobs.files").update_many({}, {"$set": {"uploadDate": LONG_AGO}})
    await house.inbox.files.tidy()
    assert await blobs(house) == (0, 0)


# -- files that go out ---------------------------------------------------------------------------------------------


def takes_files(house: House, *kinds: AttachmentKind, **fields: Any) -> None:
    media = tuple(MediaLimit(kind=kind, max_bytes=1_000_000) for kind in kinds or AttachmentKind)
    house.adapter().capabilities = house.adapter().capabilities.model_copy(  # type: ignore[misc]
        update={"media": media, **fields}
    )


async def sent(house: House, channel_id: str, *attachments: Any, key: str = "k", **fields: Any) -> Message:
    conversation = await house.conversation(channel_id, "anna")
    reply = ReplyInput(attachments=attachments, **fields)
    return await house.inbox.outbox.reply(conversation.id, AGENT, reply, key)


async def test_an_uploaded_file_goes_out_as_bytes_and_belongs_to_its_message(house: House) -> None:
    takes_files(house)
    upload = await house.inbox.files.upload(PNG, "../Plan\u202e.PNG", "text/html", AGENT.id or "")
    assert (upload.name, upload.media_type, upload.channel_id) == ("Plan.PNG", "image/png", None)
    channel_id = await house.channel()
    message = await sent(house, channel_id, ChosenFile(file_id=upload.id, caption="The plan"))
    (line,) = message.attachments
    assert line["file_id"] != upload.id and (line["state"], line["kind"], line["caption"]) == (
        "stored",
        "image",
        "The plan",
    )
    own = await house.inbox.files.get(line["file_id"])
    assert own is not None and (own.channel_id, own.message_id, own.name) == (channel_id, message.id, "Plan.PNG")
    (send,) = await house.inbox.sends.raw({})
    assert len(str(send["content"])) < 500
    await house.database.collection("files").update_one({"_id": upload.id}, {"$set": {"created_at": LONG_AGO}})
    assert await house.inbox.files.tidy() == 1, "the upload is forgotten; the message's file stays"
    await house.inbox.delivery.deliver(10)
    (call,) = house.adapter().calls
    (given,) = call.attachments
    assert (given.content, given.media_type, given.file_name, given.caption) == (
        PNG,
        "image/png",
        "Plan.PNG",
        "The plan",
    )
    assert (given.kind, given.url, given.extra) == (AttachmentKind.IMAGE, None, {})


async def test_the_same_key_is_the_same_reply_with_the_same_files(house: House) -> None:
    takes_files(house)
    upload = await house.inbox.files.upload(PNG, "a.png", None, AGENT.id or "")
    channel_id = await house.channel()
    first = await sent(house, channel_id, ChosenFile(file_id=upload.id))
    second = await sent(house, channel_id, ChosenFile(file_id=upload.id))
    assert first == second and len(await file_rows(house)) == 2


async def test_a_note_keeps_files_and_bytes_that_come_along_are_put_away(house: House) -> None:
    upload = await house.inbox.files.upload(PDF, "a.pdf", None, AGENT.id or "")
    inside = Attachment(kind=AttachmentKind.IMAGE, file_name="b.png", content=PNG)
    message = await sent(house, await house.channel(), ChosenFile(file_id=upload.id), inside, note=True, text="See")
    assert [each["state"] for each in message.attachments] == ["stored", "wanted"]
    await house.inbox.files.fetch(10)
    row = await row_of(house, message.id)
    assert [shown(row, i)["media_type"] for i in (0, 1)] == ["application/pdf", "image/png"]


async def test_only_files_of_the_agent_or_the_channel_may_be_sent(house: House) -> None:
    takes_files(house)
    provider(house, lambda _: PNG)
    ours, other = await house.channel(), await house.channel()
    foreign = shown(await arrived(house, picture(), channel_id=other))["file_id"]
    known = shown(await arrived(house, picture(), message_id="m2", channel_id=ours))["file_id"]
    on_its_way = shown(await arrived(house, picture("later"), message_id="m3", channel_id=ours))["file_id"]
    await house.database.collection("files").update_one({"_id": on_its_way}, {"$unset": {"due_at": ""}})
    await house.inbox.files.fetch(10)
    of_somebody = (await house.inbox.files.upload(PDF, "x.pdf", None, "usr_somebody_else")).id
    before = await file_rows(house)
    for refused in (foreign, of_somebody, on_its_way, "fil_" + "0" * 26):
        with pytest.raises(WrongInput) as caught:
            await sent(house, ours, ChosenFile(file_id=refused), key=refused)
        assert [each.path for each in caught.value.errors] == ["attachments[0].file_id"]
    forged = Attachment(kind=AttachmentKind.FILE, url="https://x.example/a.pdf", extra={"file_id": of_somebody})
    await sent(house, ours, forged, key="forged")
    assert await file_rows(house) == before
    await house.inbox.delivery.deliver(10)
    assert house.adapter().calls[0].attachments[0].content is None
    await sent(house, ours, ChosenFile(file_id=known), key="known")
    await house.inbox.delivery.deliver(10)
    assert house.adapter().calls[1].attachments[0].content == PNG


async def test_a_channel_that_fetches_gets_a_link_to_exactly_that_file(house: House) -> None:
    takes_files(house, files_by_link=True)
    upload = await house.inbox.files.upload(PNG, "a.png", None, AGENT.id or "")
    message = await sent(house, await house.channel(), ChosenFile(file_id=upload.id))
    await house.inbox.delivery.deliver(10)
    (given,) = house.adapter().calls[0].attachments
    assert given.content is None and given.url is not None and given.url.startswith("http://test/f/")
    token = given.url.rpartition("/")[2]
    found = await house.inbox.files.linked(token)
    assert found is not None and found.id == message.attachments[0]["file_id"]
    house.clock.ahead = timedelta(hours=25)
    assert await house.inbox.files.linked(token) is None


async def test_a_file_that_is_gone_is_no_reason_to_send_the_rest(house: House) -> None:
    takes_files(house)
    upload = await house.inbox.files.upload(PNG, "a.png", None, AGENT.id or "")
    message = await sent(house, await house.channel(), ChosenFile(file_id=upload.id), text="As agreed")
    await house.inbox.messages.files.erase([message.id])
    await house.inbox.delivery.deliver(10)
    (send,) = await house.inbox.sends.raw({})
    assert (send["state"], send["reason"]["code"]) == ("failed", "content_rejected")
    assert house.adapter().calls == []


async def test_a_file_too_large_for_the_channel_is_refused_with_a_sentence(house: House) -> None:
    takes_files(house, AttachmentKind.IMAGE)
    upload = await house.inbox.files.upload(PNG + b"\x00" * 1_000_000, "a.png", None, AGENT.id or "")
    with pytest.raises(WrongInput, match="takes 1000000"):
        await sent(house, await house.channel(), ChosenFile(file_id=upload.id))


# -- pure ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claimed", "media_type", "expected"),
    [
        ("../../etc/passwd", NEUTRAL, "passwd.bin"),
        ("..\\..\\boot.ini", "text/plain", "boot.ini"),
        ("a/b\\c.png", "image/png", "c.png"),
        (".htaccess", NEUTRAL, "htaccess.bin"),
        ("bill.pdf.exe", NEUTRAL, "bill.pdf.exe.bin"),
        ("bill.exe", "application/pdf", "bill.exe.pdf"),
        ("cv\u202efdp.exe", NEUTRAL, "cvfdp.exe.bin"),
        ("zero\u200b\ufeffwidth.png", "image/png", "zerowidth.png"),
        ("a\x00b\r\nSet-Cookie: x.csv", "text/csv", "abSet-Cookie_ x.csv"),
        ('"><script>.png', "image/png", "___script_.png"),
        ("CON", "text/plain", "_CON.txt"),
        ("nul.txt", "text/plain", "_nul.txt"),
        ("...", "image/jpeg", "file.jpg"),
        (None, "image/jpeg", "file.jpg"),
        ("", None, "file"),
        ("Ünïcödé 汉字.docx", "application/zip", "Ünïcödé 汉字.docx"),
        ("scan.JPG", "image/jpeg", "scan.JPG"),
        ("page.html", NEUTRAL, "page.html.bin"),
        ("logo.svg", NEUTRAL, "logo.svg.bin"),
        ("\ud800broken.txt", "text/plain", "broken.txt"),
    ],
)
def test_names(claimed: str | None, media_type: str | None, expected: str) -> None:
    assert safe_name(claimed, media_type) == expected


def test_names_of_any_kind_are_short_and_plain() -> None:
    rng = random.Random(7)
    signs = "ab./\\\x00\x1f\u202e\u200b汉😀<>:\"|?* ~%'\ud800"
    for _ in range(3000):
        claimed = "".join(rng.choices(signs, k=rng.choice((0, 1, 5, 40, 400))))
        name = safe_name(claimed, rng.choice((None, NEUTRAL, "image/png", "text/plain")))
        assert 0 < len(name.encode()) <= 190 and not set(name) & set('\x00\x1f\u202e\u200b/\\<>:"|?*\ud800')
        assert not name.startswith(".") and name.strip(" .") == name


@pytest.mark.parametrize(
    ("content", "told", "name", "expected"),
    [
        (PNG, "text/html", "x.html", "image/png"),
        (b"<html><script>x()</script>", "image/png", "x.png", NEUTRAL),
        (b"\xef\xbb\xbf  <?xml version='1.0'?><svg/>", "text/plain", "x.txt", NEUTRAL),
        (b"<!doctype html>", "text/plain", "notes.txt", NEUTRAL),
        (b"MZ\x90\x00" + b"\x00" * 60, "application/pdf", "x.pdf", NEUTRAL),
        (b"a;b;c", "application/octet-stream", "x.csv", "text/csv"),
        (b"hello", "text/plain; charset=utf-8", None, "text/plain"),
        (b"hello", "text/html", "x.html", NEUTRAL),
        (b"hello", "image/png", "x.png", NEUTRAL),
        (b"alert(1)", "text/javascript", "x.js", NEUTRAL),
        (b"BMW brochure", None, "x.txt", "text/plain"),
        (b"GIF89a=1;alert(1)//" + b" " * 40, "text/javascript", "x.js", "image/gif"),
        (b"", "text/plain", "x.txt", "text/plain"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", None, None, "audio/wav"),
        (b"\x00" * 30, "audio/mpeg", "x.mp3", NEUTRAL),
    ],
)
def test_types(content: bytes, told: str | None, name: str | None, expected: str) -> None:
    assert type_of(content, told, name) == expected


def test_what_is_shown_has_no_scripts() -> None:
    assert not [each for each in SHOWN if each.partition("/")[0] not in ("image", "audio", "video")]
    assert not {"image/svg+xml", "image/bmp", "application/pdf", "text/html"} & SHOWN


def test_a_file_goes_out_as_what_the_channel_takes() -> None:
    def limit(kind: AttachmentKind, *types: str) -> MediaLimit:
        return MediaLimit(kind=kind, max_bytes=1000, media_types=types)

    able = Capabilities(text_limit=1, media=(limit(AttachmentKind.IMAGE, "image/jpeg"), limit(AttachmentKind.FILE)))
    assert kind_of("image/jpeg", 10, able) is AttachmentKind.IMAGE
    assert kind_of("image/webp", 10, able) is kind_of("image/jpeg", 2000, able) is AttachmentKind.FILE
    assert kind_of("image/vnd.dwg", 10, None) is AttachmentKind.FILE
    assert kind_of("video/mp4", 10, Capabilities(text_limit=1)) is AttachmentKind.VIDEO


def test_when_a_file_is_asked_for_again() -> None:
    now, rng = datetime(2026, 11, 22, tzinfo=UTC), random.Random(1)
    for failure in Failure:
        again = file_policy.again_at(SendFailed(failure), 1, now, now, rng)
        assert (again is not None) == (
            failure.value in {"rate_limited", "temporary", "uncertain", "account_problem", "unknown"}
        )
    waits, at = [], now
    for tries in range(1, file_policy.MAX_TRIES):
        again = file_policy.again_at(SendFailed(Failure.TEMPORARY), tries, now, at, rng)
        assert again is not None
        waits.append((again - at).total_seconds())
        at = again
    assert waits == sorted(waits) and timedelta(hours=12) < at - now <= file_policy.TRIED_FOR
    assert file_policy.again_at(SendFailed(Failure.TEMPORARY), 6, now, at, rng) is None
    long = file_policy.again_at(SendFailed(Failure.RATE_LIMITED, retry_after_s=9e9), 1, now, now, rng)
    assert long == now + file_policy.TRIED_FOR
    late = now + timedelta(days=3)
    assert file_policy.again_at(SendFailed(Failure.TEMPORARY), 1, late, late, rng) is not None, "we were away, not they"


def test_a_link_opens_one_file_for_a_while() -> None:
    now, file_id = datetime(2026, 11, 22, tzinfo=UTC), "fil_" + "a" * 26
    token = make_link(REPLY_KEY, file_id, now)
    assert token != make_link(REPLY_KEY, file_id, now)
    assert read_link(["new", REPLY_KEY], token, now) == file_id
    assert read_link([REPLY_KEY], token, now + timedelta(hours=24, seconds=1)) is None
    assert read_link(["other"], token, now) is read_link([], token, now) is None
    for place in range(len(token)):
        changed = token[:place] + ("b" if token[place] != "b" else "c") + token[place + 1 :]
        assert read_link([REPLY_KEY], changed, now) is None
    for junk in ("", ".", "...", "a.b.c.d", token + "\n", token * 5, "é" * 20, "\ud800", token.upper()):
        assert read_link([REPLY_KEY], junk, now) is None


def test_the_actor_of_a_program_without_id_brought_nothing() -> None:
    from inbox.enclosures import _may_choose

    upload = {"state": "stored", "source": "upload"}
    assert not _may_choose(upload, "chn_1", Actor(None), ())
    assert not _may_choose({**upload, "created_by": None}, "chn_1", Actor(None), ())
