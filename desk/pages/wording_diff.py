"""What differs between two wordings of a template or a snippet: which part, in which language, which words. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Any, Literal

import orjson

from desk.i18n import N_, Formats
from desk.pages.template_form import BLOCKS, FIELDS

#: What the parts of a wording are called, in the order in which they are shown.
PARTS: Mapping[str, str] = {
    "subject": N_("Subject"), "body": N_("Text or HTML"), "blocks": N_("Blocks"), "html": N_("HTML"),
    "text": N_("Text"), "buttons": N_("Buttons"), "whatsapp": N_("WhatsApp"),
}  # fmt: skip
#: Words of either side beyond which lines are compared, not words.
WORDS_MAX = 2000
_WORD = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af]|\s+|\w+|[^\w\s]")
How = Literal["added", "removed", "changed"]


@dataclass(frozen=True)
class Piece:
    """Words that are in both (`same`), only in the earlier (`gone`) or only in the later wording (`new`)."""

    kind: Literal["same", "gone", "new"]
    text: str


@dataclass(frozen=True)
class WordingChange:
    """One part that differs. `language`: empty for the main wording."""

    how: How
    what: str
    language: str
    pieces: tuple[Piece, ...]


def wording_changes(before: Mapping[str, Any], after: Mapping[str, Any], formats: Formats) -> list[WordingChange]:
    """From one revision to another. Both are rows with `name`, `content` and, of templates, `kind`."""
    found = _of_text(before.get("name"), after.get("name"), formats.text(N_("Name")), "")
    found += _of_text(before.get("kind"), after.get("kind"), formats.text(N_("Kind")), "")
    one, other = before["content"], after["content"]
    found += _of_wording(one, other, "", formats)
    old, new = one.get("locales") or {}, other.get("locales") or {}
    for name in dict.fromkeys([*old, *new]):
        if name not in new:
            found.append(WordingChange("removed", formats.text(N_("Language")), name, ()))
        elif name not in old:
            found.append(WordingChange("added", formats.text(N_("Language")), name, ()))
        else:
            found += _of_wording(old[name], new[name], name, formats)
    return found


def whole_words(content: Mapping[str, Any], formats: Formats) -> list[WordingChange]:
    """All parts of a content, each as one piece."""
    found = wording_changes({"content": {}}, {"content": content}, formats)
    languages = content.get("locales") or {}
    for name, own in languages.items():
        found += _of_wording({}, own, name, formats)
    return [
        replace(each, pieces=tuple(Piece("same", piece.text) for piece in each.pieces))
        for each in found if each.pieces or not each.language
    ]  # fmt: skip


def parts_changed(changes: Sequence[WordingChange], formats: Formats) -> str:
    """The parts in a line: “Subject, zh_CN: Text”."""
    names = [f"{each.language}: {each.what}" if each.language else each.what for each in changes]
    return formats.text(N_(", ")).join(dict.fromkeys(names))


def pieces(before: str, after: str) -> tuple[Piece, ...]:
    """Both texts in one, word by word; long ones line by line."""
    one, other = _WORD.findall(before), _WORD.findall(after)
    if max(len(one), len(other)) > WORDS_MAX:
        one, other = before.splitlines(keepends=True), after.splitlines(keepends=True)
    found: list[Piece] = []
    for what, a, b, c, d in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if what == "equal":
            found.append(Piece("same", "".join(one[a:b])))
            continue
        found += [Piece("gone", "".join(one[a:b]))] if a < b else []
        found += [Piece("new", "".join(other[c:d]))] if c < d else []
    return tuple(found)


def _of_wording(
    before: Mapping[str, Any], after: Mapping[str, Any], language: str, formats: Formats
) -> list[WordingChange]:  # fmt: skip
    found: list[WordingChange] = []
    for part, label in PARTS.items():
        one, other = before.get(part) or None, after.get(part) or None
        if one == other:
            continue
        if part == "blocks":
            found += _of_blocks(one or (), other or (), language, formats)
        else:
            found += _of_text(one, other, formats.text(label), language)
    return found


def _of_text(before: Any, after: Any, what: str, language: str) -> list[WordingChange]:
    if before == after:
        return []
    one, other = _shown(before), _shown(after)
    how: How = "changed" if one and other else "added" if other else "removed"
    return [WordingChange(how, what, language, pieces(one, other))]


def _of_blocks(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]], language: str, formats: Formats
) -> list[WordingChange]:  # fmt: skip
    """Blocks that came and went; of one that took the place of its like, its fields."""
    found: list[WordingChange] = []
    one, other = (
        [orjson.dumps(each, option=orjson.OPT_SORT_KEYS) for each in blocks] for blocks in (before, after)
    )  # fmt: skip
    for what, a, b, c, d in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if what == "equal":
            continue
        old, new = list(before[a:b]), list(after[c:d])
        for at in range(max(len(old), len(new))):
            left, right = (each[at] if at < len(each) else None for each in (old, new))
            if left and right and left["type"] == right["type"]:
                found += _of_fields(left, right, language, formats)
                continue
            found += [_whole("removed", left, language, formats)] if left else []
            found += [_whole("added", right, language, formats)] if right else []
    return found


def _of_fields(
    before: Mapping[str, Any], after: Mapping[str, Any], language: str, formats: Formats
) -> list[WordingChange]:  # fmt: skip
    kind = formats.text(BLOCKS.get(after["type"], after["type"]))
    found = []
    for name in dict.fromkeys([*before, *after]):
        label = formats.text(FIELDS[name][0]) if name in FIELDS else name
        found += _of_text(before.get(name), after.get(name), f"{kind} · {label}", language)
    return found


def _whole(how: How, block: Mapping[str, Any], language: str, formats: Formats) -> WordingChange:
    shown = [name for name, (_, entered) in FIELDS.items() if entered in ("line", "long")]
    words = "\n".join(str(block[name]) for name in shown if block.get(name))
    kind: Literal["gone", "new"] = "new" if how == "added" else "gone"
    return WordingChange(how, formats.text(BLOCKS.get(block["type"], block["type"])), language, _one(kind, words))


def _one(kind: Literal["gone", "new"], text: str) -> tuple[Piece, ...]:
    return (Piece(kind, text),) if text else ()


def _shown(value: Any) -> str:
    """A part as it is compared: one line for each button, approved templates by their name and values."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "✓" if value else ""
    if isinstance(value, Mapping):
        return "\n".join(f"{name}: {_shown(own)}" for name, own in value.items() if own)
    if isinstance(value, Iterable) and not isinstance(value, str):
        return "\n".join(_line(each) for each in value)
    return str(value)


def _line(value: Any) -> str:
    if isinstance(value, Mapping):
        return " · ".join(str(own) for own in value.values() if own)
    return str(value)
