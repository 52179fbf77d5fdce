"""What channels say by themselves."""

from __future__ import annotations

from dataclasses import dataclass

from campaigns.automation.replies.answering import KIND, AutomaticReplies
from campaigns.automation.replies.book import ChannelReplyBook
from campaigns.automation.replies.store import AutomaticReplyStore, ChannelReplyStore
from campaigns.automation.replies.writing import ReplyWords
from campaigns.render import Renderer
from campaigns.store import SnippetStore
from inbox.room import Inbox
from inbox.sources import WrittenByHand
from rapport.people import People
from rapport.plumbing import Plumbing


@dataclass(frozen=True)
class SaidByItself:
    """What channels say by itself, and who says it."""

    book: ChannelReplyBook
    replies: AutomaticReplies
    rows: AutomaticReplyStore
    renderer: Renderer


def open_replies(plumbing: Plumbing, people: People, inbox: Inbox) -> SaidByItself:
    """Nothing is read or written here."""
    db, clock, zone = plumbing.db, plumbing.clock, plumbing.settings.time_zone
    renderer = Renderer(project_zone=zone, shelf=SnippetStore(db, clock))
    words, rows = ReplyWords(renderer), AutomaticReplyStore(db)
    book = ChannelReplyBook(
        ChannelReplyStore(db, clock), words, inbox.business_hours, inbox.teams, clock, zone=zone
    )  # fmt: skip
    replies = AutomaticReplies(
        book, rows, words, inbox.teams, inbox.conversations, inbox.messages, people.profiles, inbox.outbox,
        inbox.actions, people.events, plumbing.doorbell, clock,
    )  # fmt: skip
    inbox.delivery.register(KIND, WrittenByHand())
    return SaidByItself(book, replies, rows, renderer)
