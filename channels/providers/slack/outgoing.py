"""Carries out a plan: files up, then the text, in the conversation and the thread they belong to.

https://docs.slack.dev/messaging/working-with-files (by way of channels.md, read 2026-11-28).
"""

from __future__ import annotations

from channels.failures import CONSEQUENCES, Failure, SendFailed
from channels.providers.slack.api import SlackApi
from channels.providers.slack.compose import Plan, Thread, is_person
from channels.providers.slack.objects import message_id, slack_id
from channels.reading import Json, items, mapping, text

#: A file's name and its bytes.
Files = list[tuple[str, bytes]]


async def carry_out(api: SlackApi, plan: Plan, files: Files) -> tuple[str, ...]:
    """The ids of what was sent: `conversation:ts` of a text, the file's own id of a file. Raises `SendFailed`."""
    place: Json = {"thread_ts": await _root(api, plan.thread)} if plan.thread else {}
    sent = await _share(api, plan, files, place) if files else []
    if plan.post is not None:
        try:
            answer = await api.do("chat.postMessage", {"channel": plan.target, **place, **plan.post})
        except SendFailed as failed:
            raise _halfway(failed, len(sent) > 0, plan.parts) from None
        sent.append(message_id(answer.get("channel"), answer.get("ts")) or plan.target)
    return tuple(sent)


async def _root(api: SlackApi, thread: Thread) -> str:
    """The message the thread hangs on: Slack takes no answer of a thread for one. Itself, where Slack does not tell."""
    try:
        found = await api.ask("conversations.replies", channel=thread.conversation, ts=thread.ts, limit="1")
    except SendFailed:
        return thread.ts
    first = mapping(next(iter(items(found.get("messages"))), None))
    return text(first.get("thread_ts")) or thread.ts


async def _share(api: SlackApi, plan: Plan, files: Files, place: Json) -> list[str]:
    """Nothing is seen before the last call, so everything until then may be tried again."""
    conversation = await _conversation(api, plan.target)
    held = [{"id": await _upload(api, name, content), "title": name} for name, content in files]
    comment: Json = {"initial_comment": plan.comment} if plan.comment else {}
    body = {"files": held, "channel_id": conversation, **place, **comment}
    await api.do("files.completeUploadExternal", body)
    return [each["id"] for each in held]


async def _conversation(api: SlackApi, target: str) -> str:
    """Files can't be sent to a user, only into the direct messages with one."""
    if not is_person(target):
        return target
    found = await api.do("conversations.open", {"users": target}, repeatable=True)
    opened = slack_id(mapping(found.get("channel")).get("id"))
    if opened is None:
        raise SendFailed(Failure.TEMPORARY, "Slack opened no conversation with this person.")
    return opened


async def _upload(api: SlackApi, name: str, content: bytes) -> str:
    found = await api.ask("files.getUploadURLExternal", filename=name, length=str(len(content)))
    url, file_id = text(found.get("upload_url")), slack_id(found.get("file_id"))
    if url is None or file_id is None:
        raise SendFailed(Failure.TEMPORARY, "Slack named no address for the file.")
    await api.upload(url, content)
    return file_id


def _halfway(failed: SendFailed, files_are_out: bool, parts: int) -> SendFailed:
    """A message of which a part is out must not be repeated as a whole: what could be retried becomes uncertain."""
    if not files_are_out or not CONSEQUENCES[failed.failure].retry:
        return failed
    detail = f"1 of {parts} parts was sent, then: {failed}"
    return SendFailed(Failure.UNCERTAIN, detail, provider_code=failed.provider_code)
