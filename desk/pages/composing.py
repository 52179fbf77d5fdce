"""Writing in the inbox: answers and notes, now or later, with files; taken back, moved and sent once more."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web
from multidict import MultiDictProxy

from base.errors import Conflict, NotFound, RapportError, Refused, WrongInput
from base.ids import is_id, new_id
from desk.api.notes import mentions_in
from desk.api.scope import answered_talk, reading
from desk.auth import is_script, principal_of, require
from desk.forms import read_form
from desk.keys import runtime_of
from desk.pages.composer import Fault
from desk.pages.inbox import actor_of, after_act, change_status, conversation_for, instant_in, page_again
from desk.pages.with_files import carrying_files
from desk.problems import problem_of
from desk.render import formats_of
from desk.viewing import Viewing
from desk.whispers import WHISPERS, Whisper
from inbox.drafts import FILES_MAX, Draft, DraftInput, DraftKey, Mode
from inbox.models import CANNED_MAX, ChosenFile, Conversation, Message, ReplyInput

routes = web.RouteTableDef()
#: What a form has beside its files, bytes.
ROOM_BYTES = 1_000_000
#: Addresses of a copy, as they are separated.
_BETWEEN = str.maketrans({"；": ",", "，": ",", ";": ",", "\n": ",", "、": ","})
MODES: Mapping[str, Mode] = {"note": "note", "reply": "reply"}
Form = MultiDictProxy[Any]


@dataclass(frozen=True)
class Written:
    """What a form of the composer says."""

    mode: Mode
    draft: DraftInput
    rev: int
    send_at: datetime | None
    seen_seq: int | None
    anyway: bool

    def reply(self) -> ReplyInput:
        """As it is sent."""
        words, note = self.draft, self.mode == "note"
        return ReplyInput(
            text=words.text.strip() or None, note=note, seen_seq=self.seen_seq, send_anyway=self.anyway,
            attachments=tuple(ChosenFile(file_id=each) for each in words.file_ids),
            reply_to=None if note else words.reply_to, send_at=None if note else self.send_at,
            subject=None if note else words.subject, cc=() if note else words.cc, canned_ids=words.canned_ids,
        )  # fmt: skip


# -- answering -----------------------------------------------------------------------------------------------------


@require("agent")
async def reply(request: web.Request) -> web.StreamResponse:
    """Answer or leave a note. The client key makes a repeated post the same message.

    Without a script a refusal comes back as the page, with the words kept as a draft and the reason above them.
    """
    found, form, runtime = await conversation_for(request), await read_form(request), runtime_of(request)
    by = actor_of(principal_of(request))
    written = written_in(form, await brought_with(request, form), formats_of(request, principal_of(request)).zone)
    key = str(form.get("client_key", ""))[:80] or new_id("msg")
    undo_s = 0 if written.send_at else (await runtime.answering.rules()).undo_s
    try:
        if written.draft.empty:
            raise WrongInput("Write something first.")
        answer = written.reply()
        via = str(form.get("via", "")) or found.merged_from
        talk = found if answer.note else await answered_talk(reading(request), found, answer.reply_to, via)
        called = await mentions_in(reading(request), answer.text or "") if answer.note else []
        await runtime.outbox.reply(
            talk.id, by, answer, key, undo_s=undo_s, clears_draft=True, exactly=True, mentions=called
        )
    except (Refused, Conflict, WrongInput) as error:
        if is_script(request):
            raise
        return await _kept(request, found, written, error)
    if form.get("resolve") and written.mode == "reply":
        await change_status(request, found, "resolved", None)
    return await after_act(request, found)


@routes.post("/inbox/{conversation_id}/reply")
async def post_reply(request: web.Request) -> web.StreamResponse:
    """Files are larger than forms and take longer; only who is signed in may bring them."""
    if request.content_type != "multipart/form-data":
        return await reply(request)
    return await carrying_files(request, reply, ROOM_BYTES)


post_reply.roles = reply.roles  # type: ignore[attr-defined, union-attr]


async def brought_with(request: web.Request, form: Form) -> list[str]:
    """The files that came with the form, uploaded: their ids."""
    files, by = runtime_of(request).files, principal_of(request).id
    chosen = [each for each in form.getall("files", []) if isinstance(each, web.FileField) and each.filename]
    kept = [
        await files.upload(await asyncio.to_thread(each.file.read), each.filename, each.content_type, by)
        for each in chosen[:FILES_MAX]
    ]
    return [each.id for each in kept]


async def _kept(
    request: web.Request, found: Conversation, written: Written, error: RapportError
) -> web.StreamResponse:  # fmt: skip
    runtime, key = runtime_of(request), DraftKey(found.id, principal_of(request).id, written.mode)
    row = await runtime.conversations.row(found.id)
    standing = await runtime.drafts.get(key)
    if row is not None and not written.draft.empty:
        await runtime.drafts.save(key, row, written.draft, standing.rev if standing else 0)
    problem = problem_of(error)
    return await page_again(request, found, Fault(problem.status, problem.code, problem.detail))


# -- second thoughts -----------------------------------------------------------------------------------------------


@routes.post("/inbox/{conversation_id}/messages/{message_id}/undo")
@require("agent")
async def undo(request: web.Request) -> web.StreamResponse:
    """Take an answer back; its words are in the composer again, and the conversation is open as it was."""
    found, runtime = await conversation_for(request), runtime_of(request)
    message = await _line(request, found)
    await runtime.afterthoughts.undo(message.id, actor_of(principal_of(request)))
    if found.status == "resolved" and found.resolved_at and found.resolved_at >= message.received_at:
        await change_status(request, found, "open", None)
    return await after_act(request, found)


@routes.post("/inbox/{conversation_id}/messages/{message_id}/retry")
@require("agent")
async def retry(request: web.Request) -> web.StreamResponse:
    """Send an answer that failed once more."""
    found = await conversation_for(request)
    message = await _line(request, found)
    await runtime_of(request).afterthoughts.retry(message.id, actor_of(principal_of(request)))
    return await after_act(request, found)


@routes.post("/inbox/{conversation_id}/messages/{message_id}/move")
@require("agent")
async def move(request: web.Request) -> web.StreamResponse:
    """Send what was planned at another time; without a time now."""
    found, form = await conversation_for(request), await read_form(request)
    message = await _line(request, found)
    at = time_in(form, formats_of(request, principal_of(request)).zone)
    await runtime_of(request).afterthoughts.move(message.id, at)
    return await after_act(request, found)


async def _line(request: web.Request, found: Conversation) -> Message:
    message_id = request.match_info["message_id"]
    message: Message | None = await runtime_of(request).messages.get(message_id) if is_id(message_id, "msg") else None
    if message is None or message.conversation_id not in found.threads:
        raise NotFound("There is no such message.")
    return message


@routes.post("/inbox/{conversation_id}/messages/{message_id}/reaction")
@require("agent")
async def react(request: web.Request) -> web.StreamResponse:
    """React to a message of theirs; without an emoji ours is taken back."""
    found, form = await conversation_for(request), await read_form(request)
    message = await _line(request, found)
    emoji = str(form.get("emoji", ""))[:40] or None
    await runtime_of(request).reactions.react(message.id, emoji, actor_of(principal_of(request)))
    return await after_act(request, found)


# -- drafts --------------------------------------------------------------------------------------------------------


@routes.post("/inbox/{conversation_id}/draft")
@require("agent")
async def save_draft(request: web.Request) -> web.StreamResponse:
    """Keep what is being written. Answers `{rev}`; 409 when another window was quicker."""
    found, form, runtime = await conversation_for(request), await read_form(request), runtime_of(request)
    written = written_in(form, [], formats_of(request, principal_of(request)).zone)
    row = await runtime.conversations.row(found.id)
    if row is None:
        raise NotFound("There is no such conversation.")
    key = DraftKey(found.id, principal_of(request).id, written.mode)
    draft: Draft | None = await runtime.drafts.save(key, row, written.draft, written.rev)
    return web.json_response({"rev": draft.rev if draft else 0})


# -- what is seen of it --------------------------------------------------------------------------------------------


@routes.post("/inbox/{conversation_id}/typing")
@require("agent")
async def typing(request: web.Request) -> web.StreamResponse:
    """An answer or a note is being written: colleagues see it, of an answer also the customer where the channel shows
    such things."""
    found, principal, runtime = await conversation_for(request), principal_of(request), runtime_of(request)
    note = (await read_form(request)).get("mode") == "note"
    able = runtime.registry.get(found.provider).capabilities.typing and not note
    data = {"who": "agent", "name": principal.name, "to_customer": able}
    whisper = Whisper("typing", found.channel_id, found.id, principal.id, data)
    await request.config_dict[WHISPERS].say(whisper)
    return web.Response(status=204)


@routes.post("/inbox/{conversation_id}/look")
@require("viewer")
async def look(request: web.Request) -> web.StreamResponse:
    """A window shows the conversation, or (`gone`) no more: colleagues see it. Answers who else has it open."""
    found, principal, form = await conversation_for(request), principal_of(request), await read_form(request)
    viewing, window = Viewing(runtime_of(request).bus), str(form.get("window", ""))[:40]
    if form.get("gone"):
        here = not await viewing.leave(found.id, principal.id, window)
    else:
        await viewing.look(found.id, principal.id, window)
        here = True
    data = {"user_id": principal.id, "name": principal.name, "on": here}
    await request.config_dict[WHISPERS].say(Whisper("viewing", found.channel_id, found.id, principal.id, data))
    others = await _named(request, {found.id: await viewing.who(found.id)})
    return web.json_response({"viewers": others.get(found.id, [])})


@routes.get("/inbox/viewers")
@require("viewer")
async def viewers(request: web.Request) -> web.StreamResponse:
    """Who else has these conversations open: `{id: [{id, name}]}`, without those out of scope or open nowhere."""
    ids = [each for each in request.query.get("ids", "").split(",")[:100] if is_id(each, "cnv")]
    rows = await runtime_of(request).conversations.rows(ids)
    seen = [each for each, row in rows.items() if principal_of(request).may_see(row["channel_id"])]
    return web.json_response(await _named(request, await Viewing(runtime_of(request).bus).of_many(seen)))


async def _named(request: web.Request, found: Mapping[str, list[str]]) -> dict[str, list[dict[str, str]]]:
    """With names, and without who asks."""
    me = principal_of(request).id
    names = await runtime_of(request).users.names(sorted({each for people in found.values() for each in people} - {me}))
    others = {
        talk: [{"id": each, "name": names[each]} for each in people if each in names] for talk, people in found.items()
    }
    return {talk: people for talk, people in others.items() if people}


# -- reading forms -------------------------------------------------------------------------------------------------


def written_in(form: Form, brought: Sequence[str], zone: Any) -> Written:
    """What a form of the composer says; `brought`: ids of the files that came with it. Pure.

    Raises `WrongInput` for a time that is none, and for an address of a copy that is none.
    """
    files = [str(each) for each in form.getall("file", []) if is_id(str(each), "fil")]
    canned = [str(each) for each in form.getall("canned", [])]
    quoted, mode = str(form.get("reply_to", "")), MODES.get(str(form.get("mode", "")), "reply")
    words = DraftInput(
        text=str(form.get("text", "")).replace("\r\n", "\n")[:150_000],
        file_ids=tuple(dict.fromkeys((*files, *brought)))[:FILES_MAX],
        reply_to=quoted if is_id(quoted, "msg") else None,
        subject=" ".join(str(form.get("subject", "")).split())[:500] or None,
        cc=addresses_in(str(form.get("cc", ""))),
        canned_ids=tuple(dict.fromkeys(each for each in canned if is_id(each, "cnr")))[:CANNED_MAX],
    )
    seen, rev = str(form.get("seen_seq", "")), str(form.get("rev", ""))
    return Written(
        mode, words, int(rev) if _is_number(rev) else 0, time_in(form, zone),
        int(seen) if _is_number(seen) else None, bool(form.get("send_anyway")),
    )  # fmt: skip


def time_in(form: Form, zone: Any) -> datetime | None:
    """The time that was chosen: one of those offered (`send_at`), or one written down (`send_on`, in the person's zone)
    where the button beside it was pressed (`send_later`). None: now."""
    offered, own = str(form.get("send_at", "")), str(form.get("send_on", ""))
    text = offered or (own if form.get("send_later") else "")
    if form.get("send_later") and not text:
        raise WrongInput("Say when it is to be sent.")
    if not text:
        return None
    return instant_in(text, zone)


def addresses_in(text: str) -> tuple[str, ...]:
    """The mail addresses of a copy. Raises `WrongInput` where one is none."""
    found = [each.strip() for each in text.translate(_BETWEEN).split(",") if each.strip()]
    for each in found:
        name, at, domain = each.rpartition("@")
        if not (at and name and "." in domain) or any(sign.isspace() for sign in each) or len(each) > 320:
            raise WrongInput("One of the addresses of the copy is no mail address.")
    return tuple(dict.fromkeys(found))[:50]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 15
