"""What a template or a send step says, and how rendered parts become one message of a channel's kind. Pure."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from selectolax.lexbor import LexborHTMLParser

from campaigns.wording.blocks import BLOCKS_MAX, Block
from channels.capabilities import Capabilities
from channels.vocabulary import Address, Button, OutboundMail, OutboundMessage, TemplateCall

Kind = Literal["email", "chat", "whatsapp"]
#: Characters of one source text.
SOURCE_LIMIT = 200_000
#: What a wording is made of.
PARTS = ("subject", "body", "blocks", "text", "buttons", "whatsapp")
Source = Annotated[str, StringConstraints(max_length=SOURCE_LIMIT)]
TagName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40)]
Short = Annotated[str, StringConstraints(max_length=2000)]
LocaleName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,3}$")]


class _Content(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ButtonInput(_Content):
    """A quick reply or a link; all three are templates."""

    title: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    payload: Short | None = None
    url: Short | None = None


class ApprovedTemplate(_Content):
    """A template the platform has approved, its parameters in order, each a template of ours."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=512)]
    language: Annotated[str, StringConstraints(min_length=2, max_length=15)]
    header: tuple[Short, ...] = Field((), max_length=10)
    body: tuple[Short, ...] = Field((), max_length=30)
    buttons: tuple[Short, ...] = Field((), max_length=10)


class Wording(_Content):
    """The words in one language. What a language leaves out is taken from the main wording."""

    subject: Short | None = None
    #: HTML where the template is an e-mail and `body` holds a tag, else plain text.
    body: Source | None = None
    #: An e-mail made of blocks, in place of `body`; both parts are made of them.
    blocks: tuple[Block, ...] | None = Field(None, max_length=BLOCKS_MAX)
    #: Plain part of an e-mail, and what a chat channel gets.
    text: Source | None = None
    buttons: tuple[ButtonInput, ...] | None = Field(None, max_length=20)
    whatsapp: ApprovedTemplate | None = None


class InlineContent(Wording):
    """Content written in the step itself."""

    locales: dict[LocaleName, Wording] = Field(default_factory=dict, max_length=60)

    @model_validator(mode="after")
    def _says_something(self) -> InlineContent:
        if not (self.body or self.text or self.whatsapp or self.blocks):
            raise ValueError("give a text")
        for each in (self, *self.locales.values()):
            if each.body and each.blocks:
                raise ValueError("give either blocks or a body, not both")
        return self


class TemplateInput(InlineContent):
    """A reusable content with a name. `locales` holds further languages; the main wording is the last resort."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=120)]
    kind: Kind = "chat"
    #: Words by which it is found in the library.
    tags: tuple[TagName, ...] = Field((), max_length=20)

    @model_validator(mode="after")
    def _fits_its_kind(self) -> TemplateInput:
        if self.kind == "email" and not self.subject:
            raise ValueError("an e-mail needs a subject")
        if self.kind != "email" and any(each.blocks for each in (self, *self.locales.values())):
            raise ValueError("blocks are for e-mails; give a text")
        if self.kind == "whatsapp" and self.whatsapp is None:
            raise ValueError("name the approved WhatsApp template")
        return self


@dataclass(frozen=True)
class Rendered:
    """The parts after rendering, and what was missing while rendering."""

    subject: str | None = None
    html: str | None = None
    text: str = ""
    buttons: tuple[Button, ...] = ()
    whatsapp: TemplateCall | None = None
    locale: str | None = None
    warnings: tuple[str, ...] = ()


def wording_for(content: Mapping[str, Any], locale: str | None) -> tuple[dict[str, Any], str | None]:
    """The wording by the chain exact locale, language, main; what a language leaves out comes from the main one.

    `content` is a dumped `InlineContent`. Returns it with the locale chosen (None: the main wording).
    """
    main = {part: content.get(part) for part in PARTS}
    chosen = closest_locale(locale, tuple(content.get("locales") or ()))
    if chosen is None:
        return main, None
    own = {part: value for part, value in content["locales"][chosen].items() if value is not None}
    if "body" in own or "blocks" in own:  # the main language's parts must not go out beside another language's own
        own = {"body": None, "blocks": None, "text": None, **own}
    return {**main, **own}, chosen


def fallen_back(content: Mapping[str, Any], locale: str) -> tuple[str, ...]:
    """The parts that this language of a content takes from the main wording."""
    own = content["locales"][locale]
    wording, _ = wording_for(content, locale)
    return tuple(part for part in PARTS if wording.get(part) and own.get(part) is None)


def closest_locale(wanted: str | None, offered: Sequence[str]) -> str | None:
    """The offered locale that fits best: the same, then shorter and shorter (`zh_Hans_CN` → `zh_Hans` → `zh`),

    then another country of the same language. None when the language is not offered.
    """
    if not wanted:
        return None
    by_form = {_form(name): name for name in offered}
    parts = _form(wanted).split("_")
    for length in range(len(parts), 0, -1):
        found = by_form.get("_".join(parts[:length]))
        if found is not None:
            return found
    same_language = sorted(form for form in by_form if form.split("_")[0] == parts[0])
    return by_form[same_language[0]] if same_language else None


def _form(name: str) -> str:
    return name.replace("-", "_").lower()


def mail_message(rendered: Rendered, key: str, to: Address, head: OutboundMail) -> OutboundMessage:
    """The e-mail. `head` brings what its headers need; buttons become links."""
    subject = one_line(rendered.subject or first_line(rendered.text) or "…")
    links = [f'<p><a href="{html.escape(each.url)}">{html.escape(each.title)}</a></p>'
             for each in rendered.buttons if each.url]  # fmt: skip
    body = _with_links(rendered.html or as_html(rendered.text), "".join(links))
    mail = head.model_copy(update={"subject": subject, "html": body or None})
    return OutboundMessage(key=key, to=to, text=_spelled_out(rendered) or None, mail=mail, automatic=True)


def _with_links(markup: str, links: str) -> str:
    """Below all else, but inside of a whole document."""
    before, end, after = markup.rpartition("</body>")
    return before + links + end + after if links and end else markup + links


def chat_message(
    rendered: Rendered, key: str, to: Address, *, able: Capabilities, template: TemplateCall | None
) -> OutboundMessage:
    """The chat message. Buttons that the channel cannot show are written out below the text."""
    fits = able.shows(rendered.buttons)
    return OutboundMessage(
        key=key,
        to=to,
        text=(rendered.text if fits else _spelled_out(rendered)) or None,
        buttons=rendered.buttons if fits and template is None else (),
        template=template,
        automatic=True,
    )


def _spelled_out(rendered: Rendered) -> str:
    lines = [f"{each.title}: {each.url}" if each.url else f"• {each.title}" for each in rendered.buttons]
    return "\n\n".join(part for part in (rendered.text, "\n".join(lines)) if part)


def one_line(text: str) -> str:
    """No line break of any kind: what goes into a header."""
    return re.sub(r"[\x00-\x1f\x7f\x85\u2028\u2029]+", " ", text).strip()[:900]


def first_line(text: str) -> str:
    """The first line that says something, shortened to a subject's length."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= 78 else line[:77].rstrip() + "…"


def looks_like_html(source: str) -> bool:
    """True when the source holds a tag."""
    return re.search(r"<[a-zA-Z!/][^<>]*>", source) is not None


def plain_text(markup: str) -> str:
    """The readable text of a mail's HTML: links in brackets, blocks on lines of their own."""
    tree = LexborHTMLParser(markup)
    for node in tree.css("script, style, head, title"):
        node.decompose()
    for link in tree.css("a[href]"):
        target, label = link.attributes.get("href") or "", link.text(deep=True).strip()
        if target.startswith(("http://", "https://")) and target != label:
            link.insert_after(f" ({target})")
    for node in tree.css("br"):
        node.replace_with("\n")
    for node in tree.css("p, div, h1, h2, h3, h4, li, tr, table, ul, ol, blockquote"):
        node.insert_after("\n")
    body = tree.body.text(deep=True) if tree.body is not None else ""
    body = body.replace("\t", " ").replace("\xa0", " ")
    while "  " in body:
        body = body.replace("  ", " ")
    whole = "\n".join([line.strip() for line in body.splitlines()])
    while "\n\n\n" in whole:
        whole = whole.replace("\n\n\n", "\n\n")
    return whole.strip()


def as_html(text: str) -> str:
    """Plain text as a mail's HTML: escaped, paragraphs and line breaks kept, web addresses as links."""
    paragraphs = [part for part in re.split(r"\n\s*\n", text.strip()) if part.strip()]
    return "".join(f"<p>{_linked(html.escape(part)).replace(chr(10), '<br>')}</p>" for part in paragraphs)


def _linked(escaped: str) -> str:
    return re.sub(r"(https?://[^\s<]+[^\s<.,;:!?)])", r'<a href="\1">\1</a>', escaped)
