"""Puts tracked addresses in place of those in a rendered message: HTML, plain text and buttons. Pure.

Only the addresses change: the markup around them stays byte for byte. Left alone are the ways out, the preference
centre and everything else below our own address, whatever is no `http(s)`, and what carries `data-untracked`.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from urllib.parse import quote, urlsplit

from campaigns.utm import Utm
from channels.vocabulary import OutboundMessage

#: Gives the address to put in place of another; the same one where it is to stay.
Swap = Callable[[str], str]
_TAG = re.compile(r"<(?:a|area)\b[^>]*>", re.IGNORECASE)
_HREF = re.compile(r"""(\shref\s*=\s*)("([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_URL = re.compile(r"https?://[^\s<>\"']+", re.IGNORECASE)
_TRAILING = ".,;:!?…，。；：！？、"
_PAIRS = {")": "(", "]": "[", "}": "{", "）": "（", "】": "【", "」": "「", "》": "《"}
#: An address with one of these is signed as a whole: one parameter more, and it opens nothing.
_SIGNED = frozenset(
    {"signature", "sig", "x-amz-signature", "x-goog-signature", "hmac", "hash", "token_hmac", "policy", "expires"}
)
ADDRESS_MAX = 8000


def rewritten(message: OutboundMessage, swap: Swap) -> OutboundMessage:
    """The message with every web address of its body through `swap`."""
    change: dict[str, object] = {"text": _in_text(message.text, swap) if message.text else message.text}
    if message.buttons:
        change["buttons"] = tuple(
            each.model_copy(update={"url": swap(each.url)}) if each.url else each for each in message.buttons
        )
    if message.mail is not None and message.mail.html:
        change["mail"] = message.mail.model_copy(update={"html": _in_html(message.mail.html, swap)})
    return message.model_copy(update=change)


def addresses_in(message: OutboundMessage) -> list[str]:
    """Every web address of its body, once each, in the order in which they stand."""
    found: dict[str, None] = {}

    def note(url: str) -> str:
        found[url] = None
        return url

    rewritten(message, note)
    return list(found)


def with_pixel(message: OutboundMessage, pixel: str, honeypot: str) -> OutboundMessage:
    """The mail with a picture that tells it was opened, and a link that only machines follow; either may be empty."""
    if message.mail is None or not message.mail.html:
        return message
    more = ""
    if honeypot:
        hidden = 'style="display:none" tabindex="-1" aria-hidden="true"'
        more += f'<a href="{html.escape(honeypot)}" {hidden}></a>'
    if pixel:
        more += f'<img src="{html.escape(pixel)}" width="1" height="1" alt="" style="border:0">'
    body = message.mail.html
    end = body.lower().rfind("</body>")
    whole = body + more if end < 0 else body[:end] + more + body[end:]
    return message.model_copy(update={"mail": message.mail.model_copy(update={"html": whole})})


def is_trackable(url: str, base_url: str) -> bool:
    """Whether it leads out of the house and may pass through it."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    if parts.scheme.lower() not in ("http", "https") or not host or len(url) > ADDRESS_MAX or parts.username:
        return False
    own = base_url.lower()
    return not (own and (url.lower() == own or url.lower().startswith((own + "/", own + "?", own + "#"))))


def with_utm(url: str, utm: Utm, names: Mapping[str, str]) -> str:
    """The address with what it lacks of the pattern. Query and fragment stay as they were written; a signed address
    stays altogether. `names`: what `{campaign}` and the others stand for."""
    head, hash_, fragment = url.partition("#")
    path, question, query = head.partition("?")
    own = {part.partition("=")[0].casefold() for part in query.split("&") if part}
    if own & _SIGNED or any(each.startswith(("x-amz-", "x-goog-")) for each in own):
        return url
    more = []
    for name, pattern in utm.model_dump().items():
        value = pattern.format_map(names) if pattern else ""
        if value and f"utm_{name}" not in own:
            more.append(f"utm_{name}={quote(value, safe='-._~')}")
    if not more:
        return url
    between = "" if not question or not query or query.endswith("&") else "&"
    return f"{path}?{query}{between}{'&'.join(more)}{hash_}{fragment}"


def names_for(campaign: str, channel_kind: str, step: str | None, source_id: str) -> dict[str, str]:
    """What stands for `{campaign}`, `{channel}`, `{step}` and `{id}`."""
    return {
        "campaign": plain_name(campaign), "channel": channel_kind, "step": plain_name(step or ""), "id": source_id,
    }  # fmt: skip


def targets_of(message: OutboundMessage, utm: Utm, names: Mapping[str, str], base_url: str) -> dict[str, str]:
    """Each address of a message that leads out of the house → where it leads in the end."""
    return {
        url: with_utm(url, utm, names) for url in addresses_in(message) if is_trackable(url, base_url)
    }  # fmt: skip


def plain_name(text: str) -> str:
    """As it stands in a statistic: small letters, words joined by `-`."""
    return re.sub(r"[\W_]+", "-", text.casefold()).strip("-")[:80]


def _in_html(source: str, swap: Swap) -> str:
    def in_tag(tag: re.Match[str]) -> str:
        if "data-untracked" in tag[0].lower():
            return tag[0]
        return _HREF.sub(lambda found: _swapped_href(found, swap), tag[0], count=1)

    return _TAG.sub(in_tag, source)


def _swapped_href(found: re.Match[str], swap: Swap) -> str:
    written = next(each for each in found.groups()[2:] if each is not None)
    url = html.unescape(written).strip()
    if not url.lower().startswith(("http://", "https://")):
        return found[0]
    other = swap(url)
    return found[0] if other == url else f'{found[1]}"{html.escape(other)}"'


def _in_text(text: str, swap: Swap) -> str:
    def in_place(found: re.Match[str]) -> str:
        url = _without_trailing(found[0])
        return swap(url) + found[0][len(url) :]

    return _URL.sub(in_place, text)


def _without_trailing(url: str) -> str:
    """Without the full stop or bracket of the sentence around it."""
    while url:
        last = url[-1]
        lonely = last in _PAIRS and url.count(last) > url.count(_PAIRS[last])
        if last not in _TRAILING and not lonely:
            break
        url = url[:-1]
    return url
