"""What a message says about hearing from us, as it comes in and as it is kept. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from channels.vocabulary import MessageReceived
from profiles.opt_words import OptWord, opt_word


def word_in(event: MessageReceived) -> OptWord | None:
    """What a message says about it. Not of what we or a machine wrote, nor of what is said in a group."""
    mail = event.mail
    if event.echo or event.group_id is not None or event.forwarded or (mail is not None and mail.automatic):
        return None
    title = event.postback.title if event.postback is not None else None
    return _said(event.text, mail.subject if mail else None, title, pressed=event.postback is not None)


def word_in_line(line: Mapping[str, Any] | None) -> OptWord | None:
    """The same of a kept line, of a conversation with one person."""
    if line is None or line["direction"] != "in" or line.get("forwarded") or line.get("deleted_at"):
        return None
    mail, postback = line.get("mail") or {}, line.get("postback")
    if mail.get("automatic"):
        return None
    title = postback.get("title") if postback else None
    return _said(line.get("text"), mail.get("subject"), title, pressed=postback is not None)


def is_stop(line: Mapping[str, Any] | None) -> bool:
    """Whether this line asks to be sent nothing more."""
    word = word_in_line(line)
    return word is not None and not word.granted


def _said(text: str | None, subject: str | None, title: str | None, *, pressed: bool) -> OptWord | None:
    """A mail without a text speaks by its subject, a pressed button by its title."""
    if subject and not (text or "").strip():
        text = subject
    return opt_word(title or text, pressed=True) if pressed else opt_word(text)
