"""What happens on the page itself, in public: comments, reactions, posts, mentions, and filled lead forms.

https://developers.facebook.com/docs/graph-api/webhooks/reference/page (by the platform facts file, read 2026-11-28).
None of it is a message: each becomes an event of its own on the person's timeline.
"""

from __future__ import annotations

from typing import Any

from channels.providers.meta.keys import event_key
from channels.providers.meta.messaging.compose import COMMENT
from channels.providers.meta.messaging.items import Change, named
from channels.reading import Json, identifier, instant, text
from channels.vocabulary import AnyEvent, Tracked

BY_THE_PAGE = "by the page itself"

#: (item, verb) → the event's name. What is missing is kept and named, not used.
_FEED = {
    ("comment", "add"): "comment.received",
    ("comment", "edit"): "comment.edited",
    ("comment", "edited"): "comment.edited",
    ("comment", "remove"): "comment.deleted",
    ("comment", "delete"): "comment.deleted",
    ("comment", "hide"): "comment.hidden",
    ("comment", "unhide"): "comment.shown",
    **{(item, "add"): "post.reacted" for item in ("reaction", "like")},
    **{(item, "edit"): "post.reacted" for item in ("reaction", "like")},
    **{(item, "remove"): "post.reaction_removed" for item in ("reaction", "like")},
    **{(item, "add"): "post.received" for item in ("post", "status", "photo", "video", "share", "note")},
    **{(item, "edited"): "post.edited" for item in ("post", "status", "photo", "video")},
    **{(item, "remove"): "post.deleted" for item in ("post", "status", "photo", "video")},
}
_KEPT = (
    "item", "verb", "comment_id", "post_id", "parent_id", "reaction_type", "link", "photo", "video", "photo_id",
    "video_id",
)  # fmt: skip


def feed(change: Change) -> AnyEvent:
    """One thing that happened to a post or below it."""
    item, verb = text(change.value.get("item")) or "item", text(change.value.get("verb")) or "add"
    name = _FEED.get((item, verb))
    author, _ = change.author()
    if change.is_by_us(author):
        return change.unknown(BY_THE_PAGE, f"feed.{item}")
    if name is None:
        return change.unknown(topic=f"feed.{item}.{verb}")
    return _tracked(change, name)


def mention(change: Change) -> AnyEvent:
    """The page was named in somebody's post or comment."""
    author, _ = change.author()
    if change.is_by_us(author):
        return change.unknown(BY_THE_PAGE)
    removed = text(change.value.get("verb")) in ("remove", "delete")
    return _tracked(change, "mention.deleted" if removed else "mention.received")


def lead(change: Change) -> AnyEvent:
    """A lead form was sent off. Its answers have to be fetched; nobody says yet who it was."""
    lead_id = identifier(change.value.get("leadgen_id"))
    if lead_id is None:
        return change.unknown("names no lead")
    named_ids = ("leadgen_id", "form_id", "ad_id", "adgroup_id", "page_id")
    properties = {key: value for key in named_ids if (value := identifier(change.value.get(key)))}
    return Tracked(
        event_id=event_key(lead_id),
        occurred_at=instant(change.value.get("created_time")) or change.at,
        name="lead.received",
        properties=properties,
        raw=change.value,
    )


def _tracked(change: Change, name: str) -> AnyEvent:
    value = change.value
    author, shown_name = change.author()
    at = instant(value.get("created_time")) or change.at
    target = identifier(value.get("comment_id")) or identifier(value.get("post_id"))
    verb, reaction = text(value.get("verb")), text(value.get("reaction_type"))
    return Tracked(
        event_id=event_key(name, target, author, verb, reaction, at.isoformat()),
        occurred_at=at,
        address=change.address(author),
        person=named(shown_name),
        name=name,
        properties=_properties(value, name),
        raw=value,
    )


def _properties(value: Json, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {key: each for key in _KEPT if (each := identifier(value.get(key)))}
    message, comment = text(value.get("message")), identifier(value.get("comment_id"))
    if message:
        found["text"] = message
    if comment and name == "comment.received":
        found["reply_to"] = f"{COMMENT}{comment}"
    return found


CHANGES = {"feed": feed, "mention": mention, "mentions": mention, "leadgen": lead}
#: Fields a page may be subscribed to that tell us nothing about a person.
ELSEWHERE = frozenset({"ratings", "name", "picture", "location", "live_videos", "videos", "hours", "about", "website"})
