"""What people write in public below posts, reels and live videos, and where they name the account.

https://developers.facebook.com/docs/graph-api/webhooks/reference/instagram (read 2026-11-28). None of it is a message:
each becomes an event of its own on the person's timeline.
"""

from __future__ import annotations

from typing import Any

from channels.providers.meta.keys import event_key
from channels.providers.meta.messaging.compose import COMMENT
from channels.providers.meta.messaging.items import Change, named
from channels.reading import Json, identifier, mapping, text
from channels.vocabulary import AnyEvent, Tracked

BY_THE_ACCOUNT = "by the account itself"


def comment(change: Change) -> AnyEvent:
    """A comment; its author is missing in old deliveries."""
    value = change.value
    comment_id = identifier(value.get("id")) or identifier(value.get("comment_id"))
    author, username = change.author()
    own = identifier(mapping(value.get("from")).get("self_ig_scoped_id"))
    if comment_id is None:
        return change.unknown("names no comment")
    if change.is_by_us(author) or change.is_by_us(own):
        return change.unknown(BY_THE_ACCOUNT)
    return Tracked(
        event_id=event_key(comment_id),
        occurred_at=change.at,
        address=change.address(author, f"@{username}" if username else None),
        person=named(f"@{username}" if username else None),
        name="comment.received",
        properties={**_about(value, comment_id), **({"live": True} if change.field == "live_comments" else {})},
        raw=value,
    )


def mention(change: Change) -> AnyEvent:
    """The account was named in a comment or a caption; only ids are told, and nobody's."""
    ids = {key: found for key in ("comment_id", "media_id") if (found := identifier(change.value.get(key)))}
    if not ids:
        return change.unknown("names neither a comment nor a post")
    key = event_key("mention", *ids.values())
    return Tracked(
        event_id=key, occurred_at=change.at, name="mention.received", properties=ids, raw=change.value
    )  # fmt: skip


def _about(value: Json, comment_id: str) -> dict[str, Any]:
    media = mapping(value.get("media"))
    found = {
        "comment_id": comment_id,
        "text": text(value.get("text")),
        "parent_id": identifier(value.get("parent_id")),
        "media_id": identifier(media.get("id")),
        "media_product_type": text(media.get("media_product_type")),
        "ad_id": identifier(media.get("ad_id")),
        "ad_title": text(media.get("ad_title")),
        "reply_to": f"{COMMENT}{comment_id}",
    }
    return {key: each for key, each in found.items() if each}


CHANGES = {"comments": comment, "live_comments": comment, "mentions": mention}
#: Numbers about a story that is over.
ELSEWHERE = frozenset({"story_insights", "business_data"})
