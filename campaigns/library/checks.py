"""What is wrong, doubtful or merely worth a thought about a message before it is sent to many. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from selectolax.lexbor import LexborHTMLParser

from campaigns.contents import Kind, Rendered
from campaigns.wording.parts import texts_of
from channels.capabilities import Capabilities

Level = Literal["error", "warning", "hint"]
#: Gmail cuts a message off above so many bytes of HTML, and what is cut off is often the way out.
CLIPPED_BYTES = 102 * 1024
#: Above this share of it one is told that it gets close.
CLOSE_SHARE = 0.85
SUBJECT_MAX = 78
#: A letter with fewer readable characters beside its pictures says nothing where pictures are off.
WORDS_MIN = 60
#: Words that filters for unwanted mail count against a message. In Chinese there are no capitals, but the same words.
TRAPS = (
    "100% free", "act now", "buy now", "cash bonus", "click here", "congratulations", "dear friend", "double your",
    "earn money", "extra income", "free gift", "free money", "guaranteed", "limited time", "lowest price", "make money",
    "no obligation", "no risk", "once in a lifetime", "order now", "risk-free", "urgent", "winner",
    "you have been selected",
    "点击领取", "恭喜您中奖", "中奖", "免费领取", "立即购买", "最后机会", "百分百", "稳赚", "赚钱", "发财", "代开发票",
    "零风险", "无风险", "绝对优惠", "秒杀价", "全网最低",
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One of them. `message` is an English msgid, `values` are filled into it; `part` and `line` say where."""

    level: Level
    code: str
    message: str
    part: str = ""
    line: int | None = None
    values: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """In English."""
        return self.message % self.values


def N_(text: str) -> str:
    """Marks a sentence for the catalogue."""
    return text


def findings(
    kind: Kind, content: Mapping[str, Any], rendered: Rendered, able: Sequence[tuple[str, Capabilities]] = (),
    *, sample_links: Iterable[str] = (),
) -> list[Finding]:  # fmt: skip
    """About one rendered message. `able`: the channels it may go to, by name."""
    found = [
        Finding("hint", "empty", N_("Empty for this person: %(name)s. Give a fallback with | default('…')."),
                values={"name": name})
        for name in rendered.warnings
    ]  # fmt: skip
    found += _links(rendered, set(sample_links))
    found += _traps(rendered)
    if kind == "email":
        found += _mail(content, rendered)
    else:
        found += _chat(rendered, able)
    return found + incomplete_locales(content)


# -- links -----------------------------------------------------------------------------------------------------------


def links_of(rendered: Rendered) -> list[str]:
    """Every address the message leads to, once, in order."""
    found: dict[str, None] = {}
    if rendered.html:
        for node in LexborHTMLParser(rendered.html).css("a[href]"):
            found[(node.attributes.get("href") or "").strip()] = None
    for each in rendered.buttons:
        if each.url:
            found[each.url.strip()] = None
    if not rendered.html:
        for each in re.findall(r"https?://[^\s<>\"']+[^\s<>\"'.,;:!?)]", rendered.text):
            found[each] = None
    return list(found)


def _links(rendered: Rendered, samples: set[str]) -> list[Finding]:
    made = []
    for each in links_of(rendered):
        if each in samples or each.lower().startswith(("mailto:", "tel:")):
            continue
        values = {"link": each[:200]}
        if each in ("", "#"):
            made.append(Finding("error", "link_empty", N_("A link leads nowhere.")))
        elif not _is_web(each):
            made.append(Finding("error", "link_broken", N_("This is no web address: %(link)s"), values=values))
        elif each.lower().startswith("http://"):
            made.append(
                Finding("warning", "link_http", N_("This link is not encrypted (http): %(link)s"), values=values)
            )
    return made


def _is_web(link: str) -> bool:
    try:
        parts = urlsplit(link)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        return False
    return (
        parts.scheme in ("http", "https") and ("." in host or host == "localhost") and not re.search(r"[\s{}<>]", link)
    )


# -- e-mail ----------------------------------------------------------------------------------------------------------


def _mail(content: Mapping[str, Any], rendered: Rendered) -> list[Finding]:
    made = []
    size = len((rendered.html or "").encode())
    values: dict[str, str | int] = {"kb": round(size / 1024)}
    if size > CLIPPED_BYTES:
        text = N_("It has %(kb)s kB: Gmail cuts messages off at 102 kB, and with them the way out.")
        made.append(Finding("error", "too_large", text, values=values))
    elif size > CLIPPED_BYTES * CLOSE_SHARE:
        made.append(Finding("warning", "large", N_("It has %(kb)s kB; at 102 kB Gmail cuts it off."), values=values))
    if not has_way_out(content):
        text = N_("There is no way out: marketing needs a footer block or {{ unsubscribe_url }}.")
        made.append(Finding("warning", "no_unsubscribe", text))
    if rendered.subject and len(rendered.subject) > SUBJECT_MAX:
        made.append(
            Finding("hint", "long_subject", N_("A subject of this length is cut off in most lists."), "subject")
        )
    return made + _pictures(rendered)


def has_way_out(content: Mapping[str, Any]) -> bool:
    """Whether some wording leads out of the mailing."""
    wordings = [content, *(content.get("locales") or {}).values()]
    footers = any(each["type"] == "footer" for own in wordings for each in own.get("blocks") or ())
    return footers or any("unsubscribe_url" in text for text in texts_of(content))


def _pictures(rendered: Rendered) -> list[Finding]:
    if not rendered.html:
        return []
    pictures = LexborHTMLParser(rendered.html).css("img")
    made = [
        Finding("warning", "no_alt", N_("A picture has no alternative text: %(link)s"),
                values={"link": (each.attributes.get("src") or "")[:200]})
        for each in pictures
        if not (each.attributes.get("alt") or "").strip() and each.attributes.get("width") != "1"
    ]  # fmt: skip
    if pictures and len(re.sub(r"\s+|https?://\S+", "", rendered.text)) < WORDS_MIN:
        text = N_("It is almost nothing but pictures: many see none, and filters distrust it.")
        made.append(Finding("warning", "image_only", text))
    return made


# -- words -----------------------------------------------------------------------------------------------------------


def _traps(rendered: Rendered) -> list[Finding]:
    made = []
    everything = f"{rendered.subject or ''}\n{rendered.text}".lower()
    for each in TRAPS:
        if re.search(rf"(?<![a-z]){re.escape(each)}(?![a-z])", everything):
            text = N_("“%(word)s” is a word that spam filters look for.")
            made.append(Finding("hint", "spam_word", text, values={"word": each}))
    for part, text in (("subject", rendered.subject or ""), ("body", rendered.text)):
        if shouts(text):
            made.append(Finding("hint", "capitals", N_("Much of it is written in CAPITALS."), part))
    if len(re.findall(r"[!！]", rendered.subject or "")) > 1:
        made.append(Finding("hint", "exclamation", N_("More than one exclamation mark in the subject."), "subject"))
    return made


def shouts(text: str) -> bool:
    """Whether most of its longer words are in capitals."""
    words = re.findall(r"[A-Za-z]{4,}", re.sub(r"https?://\S+", "", text))
    loud = [each for each in words if each.isupper()]
    return len(loud) >= 2 and len(loud) * 2 > len(words)


# -- chats -----------------------------------------------------------------------------------------------------------


def _chat(rendered: Rendered, able: Sequence[tuple[str, Capabilities]]) -> list[Finding]:
    made = []
    for name, each in able:
        length = each.length_of(rendered.text)
        if length > each.text_limit:
            text = N_("%(channel)s takes %(limit)s characters; this has %(length)s.")
            values: dict[str, str | int] = {"channel": name, "limit": each.text_limit, "length": length}
            made.append(Finding("error", "text_too_long", text, "text", values=values))
        if rendered.buttons and not each.shows(rendered.buttons):
            text = N_("%(channel)s cannot show these buttons: they are written out below the text.")
            made.append(Finding("warning", "buttons", text, "buttons", values={"channel": name}))
        for button in rendered.buttons:
            if each.buttons and len(button.title) > each.button_title_limit:
                text = N_("On %(channel)s the label “%(label)s” is too long (%(limit)s characters).")
                limits: dict[str, str | int] = {
                    "channel": name, "label": button.title, "limit": each.button_title_limit,
                }  # fmt: skip
                made.append(Finding("warning", "button_title", text, "buttons", values=limits))
    return made


def incomplete_locales(content: Mapping[str, Any]) -> list[Finding]:
    """Languages that lack what the main wording has."""
    made = []
    for name, own in (content.get("locales") or {}).items():
        lacking = [part for part in ("subject", "buttons", "whatsapp") if content.get(part) and not own.get(part)]
        if any(content.get(part) for part in ("body", "blocks", "text")) and not any(
            own.get(part) for part in ("body", "blocks", "text")
        ):
            lacking.insert(0, "body")
        for part in lacking:
            text = N_("In %(locale)s this part is missing and is sent in the main language: %(part)s")
            made.append(Finding("warning", "locale", text, f"locales.{name}", values={"locale": name, "part": part}))
    return made
