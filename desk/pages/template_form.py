"""A template as a form without a script: what was sent becomes a draft, a button changes it, the draft becomes input.

The wording of one language stands in the fields; all others travel along in the field `draft`. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from campaigns.wording.blocks import KINDS
from desk.i18n import N_
from profiles.custom_fields import CustomField

#: Type of a block → what it is called.
BLOCKS: Mapping[str, str] = {
    "header": N_("Header"), "text": N_("Text"), "image": N_("Image"), "button": N_("Button"),
    "products": N_("Products of the order"), "summary": N_("Order summary"), "columns": N_("Two columns"),
    "divider": N_("Divider"), "footer": N_("Footer with the way out"),
}  # fmt: skip
_MODELS = {kind.model_fields["type"].default: kind for kind in KINDS}
#: What a new block says at first.
FRESH: Mapping[str, Mapping[str, Any]] = {
    "header": {}, "text": {"text": ""}, "image": {"url": "", "alt": "", "link": ""},
    "button": {"label": "", "url": "", "align": "center"},
    "products": {}, "summary": {}, "columns": {"left": "", "right": ""}, "divider": {}, "footer": {},
}  # fmt: skip
#: Fields of blocks: what each is called, and how it is entered.
FIELDS: Mapping[str, tuple[str, str]] = {
    "title": (N_("Headline"), "line"), "with_logo": (N_("Show the logo"), "check"), "text": (N_("Text"), "long"),
    "align": (N_("Centred"), "align"), "url": (N_("Web address"), "line"),
    "alt": (N_("What the picture shows, in words"), "line"), "link": (N_("Leads to"), "line"),
    "label": (N_("Label"), "line"), "at_most": (N_("At most so many"), "number"),
    "number_label": (N_("Word for the order number"), "line"), "total_label": (N_("Word for the total"), "line"),
    "left": (N_("Left"), "long"), "right": (N_("Right"), "long"),
    "unsubscribe_label": (N_("Words of the way out"), "line"),
    "preferences_label": (N_("Words of the preferences"), "line"),
}  # fmt: skip
#: What may be filled in, in the order of the picker.
VARIABLES: tuple[tuple[str, str], ...] = (
    (N_("First name"), "{{ profile.first_name | default('') }}"), (N_("Name"), "{{ profile.name | default('') }}"),
    (N_("Tier"), "{{ profile.tier | default('') }}"), (N_("Order number"), "{{ order.number }}"),
    (N_("Order total"), "{{ order.total | money }}"), (N_("Date of the order"), "{{ order.placed_at | date }}"),
    (N_("Name of the campaign"), "{{ campaign.name }}"), (N_("Way out of the mailing"), "{{ unsubscribe_url }}"),
    (N_("Preferences"), "{{ preferences_url }}"),
)  # fmt: skip
BUTTONS_SHOWN = 3


def own_variables(fields: Iterable[CustomField], language: str) -> list[tuple[str, str]]:
    """(label, what is written) for the fields a deployment has of its own."""
    found = []
    for each in fields:
        name = f".{each.key}" if each.key.isidentifier() else f"[{each.key!r}]"
        shown = "date" if each.type == "date" else "default('')"
        found.append((each.said(language), f"{{{{ profile.attributes{name} | {shown} }}}}"))
    return found


PARTS = ("subject", "body", "blocks", "text", "buttons", "whatsapp")
Block = dict[str, Any]


@dataclass(frozen=True)
class TemplateDraft:
    """The form. `content` holds every wording; `lang` says which of them stands in the fields ("" is the main one)."""

    name: str = ""
    kind: str = "email"
    tags: tuple[str, ...] = ()
    content: Mapping[str, Any] = field(default_factory=dict)
    lang: str = ""
    #: What was just taken away, for undo.
    removed: tuple[int, Block] | None = None

    @property
    def wording(self) -> dict[str, Any]:
        """The wording in the fields."""
        return dict(self.content.get("locales", {}).get(self.lang, {}) if self.lang else self.content)

    @property
    def languages(self) -> list[str]:
        """The further ones."""
        return list(self.content.get("locales") or {})

    def saying(self, **parts: Any) -> TemplateDraft:
        """With these parts in the wording at hand."""
        if not self.lang:
            return replace(self, content={**self.content, **parts})
        locales = dict(self.content.get("locales") or {})
        locales[self.lang] = {**locales.get(self.lang, {}), **parts}
        return replace(self, content={**self.content, "locales": locales})

    def input(self) -> dict[str, Any]:
        """As the use case takes it; a part that is empty is none."""
        main = _said(self.content)
        locales = {name: said for name, own in (self.content.get("locales") or {}).items() if (said := _said(own))}
        return {"name": self.name, "kind": self.kind, "tags": list(self.tags), **main, "locales": locales}


def draft_of(row: Mapping[str, Any]) -> TemplateDraft:
    """A stored template in the form."""
    return TemplateDraft(row["name"], row["kind"], tuple(row.get("tags") or ()), row["content"])


def fresh(kind: str) -> TemplateDraft:
    """An empty one."""
    started = [fresh_block("header"), fresh_block("text"), fresh_block("footer")] if kind == "email" else None
    return TemplateDraft(kind=kind, content={"blocks": started, "locales": {}})


def fresh_block(kind: str) -> Block:
    """One as it is when it is added."""
    return {"type": kind, **FRESH[kind]}


def read(form: Iterable[tuple[str, Any]]) -> TemplateDraft:
    """What was sent. Fields that are not known are passed over."""
    given = {name: str(value).replace("\r\n", "\n") for name, value in form if isinstance(value, str)}
    content = _json(given.get("draft", ""))
    draft = TemplateDraft(
        given.get("name", "").strip(), given.get("kind", "email"), _tags(given.get("tags", "")),
        {**content, "locales": content.get("locales") if isinstance(content.get("locales"), dict) else {}},
        given.get("lang", ""), _removed(given.get("removed", "")),
    )  # fmt: skip
    if draft.lang and draft.lang not in draft.content["locales"]:
        draft = replace(draft, lang="")
    return draft.saying(**_parts(given, draft))


def _parts(given: Mapping[str, str], draft: TemplateDraft) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    for name in ("subject", "body", "text"):
        if name in given:
            parts[name] = given[name] or None
    if "blocks" in given:
        parts["blocks"] = blocks_in(given) or None
    if "button:0:title" in given:
        rows = [(given.get(f"button:{n}:title", "").strip(), given.get(f"button:{n}:url", "").strip())
                for n in range(BUTTONS_SHOWN)]  # fmt: skip
        parts["buttons"] = [{"title": title, "url": url or None} for title, url in rows if title] or None
    if "whatsapp:name" in given:
        called: dict[str, Any] = {
            "name": given["whatsapp:name"].strip(), "language": given.get("whatsapp:language", "").strip() or "en",
        }  # fmt: skip
        for name in ("header", "body", "buttons"):
            called[name] = [line for line in given.get(f"whatsapp:{name}", "").split("\n") if line.strip()]
        parts["whatsapp"] = called if called["name"] else None
    return parts


def blocks_in(given: Mapping[str, str]) -> list[Block]:
    """The blocks in their order, each field in its kind."""
    found: list[Block] = []
    for place in range(len(given)):
        kind = given.get(f"b:{place}:type")
        if kind is None:
            break
        if kind in _MODELS:
            block: Block = {"type": kind}
            for name, about in _MODELS[kind].model_fields.items():
                key = f"b:{place}:{name}"
                if name == "type":
                    continue
                if about.annotation is bool:
                    block[name] = key in given
                elif name == "align":
                    block[name] = "center" if key in given else "start"
                elif key in given:
                    block[name] = int(given[key]) if name == "at_most" and given[key].isdigit() else given[key]
            found.append(block)
    return found


def act(draft: TemplateDraft, deed: str) -> TemplateDraft:
    """What a button does to the draft: `add:text`, `up:2`, `down:2`, `move:2:0`, `remove:2`, `put_back`, `lang:zh`."""
    what, _, rest = deed.partition(":")
    blocks = list(draft.wording.get("blocks") or ())
    if what == "add" and rest in FRESH:
        end = len(blocks) - 1 if blocks and blocks[-1]["type"] == "footer" and rest != "footer" else len(blocks)
        return draft.saying(blocks=[*blocks[:end], fresh_block(rest), *blocks[end:]])
    if what == "lang":
        return _in_language(draft, rest.strip())
    if what == "use" and rest == "blocks":
        return draft.saying(blocks=blocks or [fresh_block("text")], body=None, text=None)
    if what == "use" and rest == "html":
        return draft.saying(blocks=None, body=draft.wording.get("body") or "<p></p>")
    if what == "put_back" and draft.removed is not None:
        at, block = draft.removed
        return replace(draft.saying(blocks=[*blocks[:at], block, *blocks[at:]]), removed=None)
    numbers = [int(each) for each in rest.split(":") if each.isdigit()]
    if not numbers or numbers[0] >= len(blocks):
        return draft
    at = numbers[0]
    if what == "remove":
        return replace(draft.saying(blocks=blocks[:at] + blocks[at + 1 :]), removed=(at, blocks[at]))
    to = {"up": at - 1, "down": at + 1, "move": numbers[-1]}.get(what, at)
    if not 0 <= to < len(blocks):
        return draft
    block = blocks.pop(at)
    blocks.insert(to, block)
    return draft.saying(blocks=blocks)


def _in_language(draft: TemplateDraft, name: str) -> TemplateDraft:
    """Another language stands in the fields; a new one begins with the words of the main one."""
    locales = dict(draft.content.get("locales") or {})
    if name and name not in locales:
        locales[name] = {part: draft.content.get(part) for part in PARTS if draft.content.get(part)}
    return replace(draft, content={**draft.content, "locales": locales}, lang=name, removed=None)


def without_language(draft: TemplateDraft) -> TemplateDraft:
    """The language at hand is taken away."""
    locales = {name: own for name, own in (draft.content.get("locales") or {}).items() if name != draft.lang}
    return replace(draft, content={**draft.content, "locales": locales}, lang="")


def packed(draft: TemplateDraft) -> str:
    """All wordings, for the field `draft`."""
    return orjson.dumps(draft.content).decode()


def packed_block(draft: TemplateDraft) -> str:
    """What was taken away, for the field `removed`."""
    return orjson.dumps(draft.removed).decode() if draft.removed else ""


def _said(own: Mapping[str, Any]) -> dict[str, Any]:
    return {part: own[part] for part in PARTS if own.get(part)}


def _tags(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.strip()[:40] for each in text.replace("，", ",").split(",") if each.strip()))[:20]


def _json(text: str) -> dict[str, Any]:
    try:
        found = orjson.loads(text) if text else {}
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _removed(text: str) -> tuple[int, Block] | None:
    try:
        at, block = orjson.loads(text)
    except (orjson.JSONDecodeError, ValueError, TypeError):
        return None
    known = isinstance(at, int) and isinstance(block, dict) and block.get("type") in _MODELS
    return (at, block) if known else None
