"""What some colleagues may not see of customers: covered in the answer itself, whatever page or call made it. Pure.

Covering each view by itself would leave a hole with each new one (docs/decisions/0038-masked-at-the-door.md).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Literal, get_args

import phonenumbers
from phonenumbers import NumberParseException

from desk.i18n import N_

Mask = Literal["emails", "phones", "addresses", "money"]
MASKS: tuple[Mask, ...] = get_args(Mask)
MASK_WORDS: Mapping[str, str] = {
    "emails": N_("E-mail addresses"), "phones": N_("Phone numbers"), "addresses": N_("Postal addresses"),
    "money": N_("Amounts of money"),
}  # fmt: skip
#: What stands where something is covered. Nobody may send it back.
COVER = "•••"
#: Names under which programs are told of money.
MONEY = frozenset({
    "amount_minor", "revenue", "total", "subtotal", "price", "unit_price", "amount", "spent", "monetary",
})  # fmt: skip
PLACES = frozenset({"address", "shipping_address", "billing_address"})
#: Attributes that a person reads or a click uses.
_READ = re.compile(r'\b(title|alt|aria-label|value|placeholder|href|data-copy|content)="([^"]*)"')
_TAGS = re.compile(r"(<script\b[^>]*>|</script>|<style\b.*?</style>|<!--.*?-->|<[^>]*>)", re.DOTALL)
_EMAIL = re.compile(r"[\w.!#$&'*+/=?^`{|}~%-]+@[\w-]+(?:\.[\w-]+)+")
#: A run of digits as numbers are written, not a part of a word, an id or a code.
_NUMBER = re.compile(r"(?<![\w.@#-])\+?\(?\d[\d ()\u00a0-]{5,20}\d(?![\w-])")
#: So many digits without a plus or a leading zero are the number of somebody; fewer are an amount, a date, a count.
BARE_MIN, MARKED_MIN, MOST = 10, 7, 15

Cover = Callable[[str], str]


def covering(masks: frozenset[str], own: str = "") -> Cover:
    """A text without what these masks cover. `own`: the reader's own mail address, which stays."""

    def email(found: re.Match[str]) -> str:
        return found[0] if found[0].lower() == own else f"{found[0][0]}{COVER}@{COVER}"

    def number(found: re.Match[str]) -> str:
        return f"{COVER}{found[0][-2:]}" if is_number(found[0]) else found[0]

    def cover(text: str) -> str:
        if "emails" in masks and "@" in text:
            text = _EMAIL.sub(email, text)
        return _NUMBER.sub(number, text) if "phones" in masks else text

    return cover


@lru_cache(maxsize=20_000)
def is_number(text: str) -> bool:
    """Whether a run of digits may be somebody's phone number: one too many is covered rather than one too few."""
    digits = "".join(each for each in text if each in "0123456789")
    if text.startswith("+") or digits.startswith("0"):
        return MARKED_MIN <= len(digits) <= MOST
    if not BARE_MIN <= len(digits) <= MOST:
        return False
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(f"+{digits}"))
    except NumberParseException:
        return False


def covered_html(text: str, cover: Cover) -> str:
    """A page with its words and the attributes that people read covered; scripts of ours hold words, too."""
    parts = _TAGS.split(text)
    return "".join(_covered_tag(part, cover) if part.startswith("<") else cover(part) for part in parts)


def _covered_tag(tag: str, cover: Cover) -> str:
    return _READ.sub(lambda found: f'{found[1]}="{_covered_value(found[1], found[2], cover)}"', tag)


def _covered_value(name: str, value: str, cover: Cover) -> str:
    return value if name == "href" and not value.startswith(("mailto:", "tel:", "sms:")) else cover(value)


def covered_json(value: Any, masks: frozenset[str], cover: Cover, name: str = "") -> Any:
    """The same of what programs read. Covered amounts and postal addresses are null, also under a path of names."""
    covers_money = "money" in masks and not MONEY.isdisjoint(name.split("."))
    if covers_money and not isinstance(value, dict):
        return None
    if name in PLACES and "addresses" in masks and isinstance(value, dict) and value.keys() & {"street", "from"}:
        return None
    if isinstance(value, dict):
        if covers_money:
            return {key: None if isinstance(each, int | float) else each for key, each in value.items()}
        return {key: covered_json(each, masks, cover, key) for key, each in value.items()}
    if isinstance(value, list):
        return [covered_json(each, masks, cover, name) for each in value]
    return cover(value) if isinstance(value, str) else value


def refusal(method: str, path: str, query: Mapping[str, str], masks: frozenset[str], accept: str) -> str | None:
    """Why somebody with these masks may not ask for this: it would lead around them. None: they may. Pure."""
    plain = path.removeprefix("/api/v1")
    if plain.startswith(("/exports", "/imports", "/profiles/exports", "/profiles/imports")):
        return N_("Who may not see everything of customers takes no lists in or out.")
    if plain.endswith((".csv", "/export", "/dossier")) or "text/csv" in accept:
        return N_("Who may not see everything of customers takes no lists in or out.")
    if "addresses" in masks and method == "POST" and plain.endswith("/edit") and plain.startswith("/profiles/"):
        return N_("You see this person in part, so you cannot replace what is covered.")
    return looked_for([query.get(name, "") for name in ("q", "identity", "value", "relate", "as")], masks)


def looked_for(words: Iterable[str], masks: frozenset[str]) -> str | None:
    """Why somebody with these masks may not look for that; None: they may. Pure."""
    said = " ".join(words)
    if masks & {"emails", "phones"} and ("@" in said or _NUMBER.search(said)):
        return N_("You may not look for people by their address or number. Look for a name.")
    return None


def words_in(body: Any) -> list[str]:
    """What a body looks for: each `q` in it, as a view and a change of many have one. Pure."""
    if isinstance(body, dict):
        own = [body["q"]] if isinstance(body.get("q"), str) else []
        return own + [word for each in body.values() for word in words_in(each)]
    return [word for each in body for word in words_in(each)] if isinstance(body, list | tuple) else []
