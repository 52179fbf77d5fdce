"""What people do with the app: buttons and menus, and slash commands. Pure.

https://docs.slack.dev/reference/interaction-payloads, …/interactivity/implementing-slash-commands
(by way of channels.md, read 2026-11-28).
"""

from __future__ import annotations

from typing import Any

from channels.providers.slack.objects import Frame, group_of, message_id, person_of, slack_id
from channels.reading import Json, identifier, items, mapping, text
from channels.vocabulary import AnyEvent, MessageReceived, Postback

#: How the ids of our own link buttons begin: Slack tells that one was opened, which is no answer.
LINK_ACTION = "rapport-link"
_CHOSEN = (
    "value", "selected_user", "selected_channel", "selected_conversation", "selected_date", "selected_time",
    "selected_date_time",
)  # fmt: skip
_PAYLOAD_LIMIT = 3000


def actions(frame: Frame, payload: Json) -> list[AnyEvent]:
    """`block_actions`, and `interactive_message` of the older form: every action is an answer of its own."""
    found = [_action(frame, payload, mapping(each), place) for place, each in enumerate(items(payload.get("actions")))]
    return found or [frame.unknown(str(payload.get("type")), "without an action")]


def command(frame: Frame, payload: Json) -> list[AnyEvent]:
    """A slash command, as the message it is: `/order 1001`."""
    user, place = payload.get("user_id"), payload.get("channel_id")
    address, said = frame.address(user, payload.get("user_name")), text(payload.get("command"))
    trigger = slack_id(payload.get("trigger_id")) or frame.key
    if address is None or said is None:
        return [frame.unknown("slash_command", "without a sender or a command")]
    return [
        MessageReceived(
            event_id=f"command:{trigger}",
            occurred_at=frame.received_at,
            address=address,
            person=person_of({}, payload.get("user_name")),
            raw=frame.raw,
            message_id=f"{slack_id(place) or address.external_id}:command-{trigger}",
            text=f"{said} {text(payload.get('text')) or ''}".strip(),
            group_id=group_of(place, _kind(payload.get("channel_name"))),
            extra={"command": said[:200]},
        )
    ]


def _action(frame: Frame, payload: Json, action: Json, place: int) -> AnyEvent:
    kind, user, channel = str(payload.get("type"))[:100], mapping(payload.get("user")), mapping(payload.get("channel"))
    container, message = mapping(payload.get("container")), mapping(payload.get("message"))
    where = slack_id(channel.get("id")) or slack_id(container.get("channel_id"))
    address, answer = frame.address(user.get("id"), user.get("username") or user.get("name")), _answer(action)
    if address is None or answer is None:
        return frame.unknown(f"{kind}.{place}", "without a sender or a choice")
    if (text(action.get("action_id")) or "").startswith(LINK_ACTION):
        return frame.unknown(f"{kind}.{place}", "a link was opened")
    stamp = slack_id(action.get("action_ts")) or slack_id(payload.get("action_ts")) or frame.key
    about = container.get("message_ts") or message.get("ts") or payload.get("message_ts")
    known_id = f"{where or address.external_id}:action-{stamp}-{place}"
    return MessageReceived(
        event_id=known_id,
        occurred_at=frame.time(action.get("action_ts"), payload.get("action_ts")),
        address=address,
        person=person_of({}, user.get("name") or user.get("username")),
        raw=frame.raw,
        message_id=known_id,
        text=answer.title,
        reply_to=message_id(where, about),
        postback=answer,
        group_id=group_of(where, _kind(channel.get("name"))),
    )


def _answer(action: Json) -> Postback | None:
    """What was chosen; a button without a value by its own id."""
    options = [mapping(each) for each in items(action.get("selected_options"))]
    options += [option] if (option := mapping(action.get("selected_option"))) else []
    chosen = [value for each in options if (value := text(each.get("value")))]
    value = ",".join(chosen) or next((found for name in _CHOSEN if (found := identifier(action.get(name)))), None)
    payload = value or text(action.get("action_id")) or text(action.get("name"))
    if payload is None:
        return None
    titles = [title for each in options if (title := _label(each.get("text")))]
    title = ", ".join(titles) or (_label(action.get("text")) if action.get("type") == "button" else value)
    return Postback(payload=payload[:_PAYLOAD_LIMIT], title=title or payload[:200])


def _label(value: Any) -> str | None:
    return text(value) or text(mapping(value).get("text"))


def _kind(channel_name: Any) -> str | None:
    return "directmessage" if channel_name == "directmessage" else None
