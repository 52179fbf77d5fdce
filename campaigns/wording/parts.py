"""Which snippets and offers a template names: found in its text, so that nothing else is ever read. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

#: How deep snippets may stand in snippets.
DEPTH_MAX = 5
#: A snippet or an offer is named by a key like this.
KEY = r"[a-z0-9][a-z0-9_-]{0,59}"
_INCLUDE = re.compile(r"\{%[-+]?\s*include\s+(?:\"(" + KEY + r")\"|'(" + KEY + r")')")
_COUPON = re.compile(r"\bcoupon\(\s*(?:\"(" + KEY + r")\"|'(" + KEY + r")')\s*\)")


def texts_of(content: Any) -> Iterable[str]:
    """Every text anywhere in a content."""
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            waiting.extend(value.values())
        elif isinstance(value, list | tuple):
            waiting.extend(value)


def snippets_in(*texts: str) -> set[str]:
    """Keys after `include`."""
    return {one or other for text in texts for one, other in _INCLUDE.findall(text)}


def offers_in(*texts: str) -> set[str]:
    """Keys inside `coupon(…)`."""
    return {one or other for text in texts if "coupon(" in text for one, other in _COUPON.findall(text)}


def snippet_use(key: str) -> str:
    """What a snippet is called among all that stands in messages; a template is called by its id."""
    return f"snippet:{key}"


def offer_use(key: str) -> str:
    """The same of an offer."""
    return f"offer:{key}"


def names_in(content: Any) -> dict[str, list[str]]:
    """The snippets and offers that a content names, in order, as they stand in its row."""
    texts = list(texts_of(content))
    return {"includes": sorted(snippets_in(*texts)), "offers": sorted(offers_in(*texts))}


def reach(keys: Iterable[str], inside: Callable[[str], Iterable[str]]) -> set[str]:
    """These snippets and all that stand in them."""
    found: set[str] = set()
    edge = set(keys)
    while edge:
        found |= edge
        edge = {each for key in edge for each in inside(key)} - found
    return found


def circle(key: str, inside: Callable[[str], Iterable[str]]) -> list[str]:
    """The way by which a snippet comes to stand in itself, or too deep, as keys; empty when it does not."""
    ways = [[key]]
    seen: set[tuple[str, int]] = set()
    while ways:
        way = ways.pop()
        for each in inside(way[-1]):
            if each == key or len(way) > DEPTH_MAX:
                return [*way, each]
            if (each, len(way)) not in seen:
                seen.add((each, len(way)))
                ways.append([*way, each])
    return []
