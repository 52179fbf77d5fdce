"""Text patterns that mean the same to Python's `re` and to MongoDB's PCRE, and whose cost is bounded. Pure.

A marketer's pattern may hold characters, `.`, sets, `\\d \\w \\s` (and their opposites), `^` at the start, `$` at the
end, `? * + {m,n}` on one character or set, alternatives `|`, and plain groups without a repeat. Nothing nested can
be repeated, so no text can make it run for ever. Letters are compared with case.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

PATTERN_MAX = 200
#: Steps that the worst text of 2,000 characters may cost.
COST_MAX, TEXT_LENGTH = 5_000_000, 2000
END = r"(?![\s\S])"
_CLASSES = {"d": "0-9", "w": "A-Za-z0-9_", "s": r" \x09-\x0d"}
_REPEAT = re.compile(r"\{(\d{1,3})(?:(,)(\d{1,3})?)?\}", re.ASCII)


def contains(text: str) -> str:
    """A pattern for `text` anywhere, whatever its case."""
    return any_case(text)


def starts(text: str) -> str:
    """A pattern for `text` at the start, whatever its case."""
    return "^" + any_case(text)


def ends(text: str) -> str:
    """A pattern for `text` at the very end, whatever its case."""
    return any_case(text) + END


def any_case(text: str) -> str:
    """Both cases of each letter written out, since engines disagree on folding beyond ASCII."""
    return "".join(_both(character) for character in text)


def _both(character: str) -> str:
    forms = {character, character.lower(), character.upper()}
    single = sorted(form for form in forms if len(form) == 1)
    return escaped(character) if len(single) == 1 else "[" + "".join(map(escaped, single)) + "]"


def escaped(character: str) -> str:
    """One character that stands for itself in both engines, inside and outside of a set."""
    if ord(character) < 32 or ord(character) == 127:
        return f"\\x{ord(character):02x}"
    return character if character.isalnum() or ord(character) > 127 or character in " _" else "\\" + character


def translate(pattern: str) -> str:
    """The pattern in the common form. Raises ValueError with a sentence for what is not allowed or costs too much."""
    if len(pattern) > PATTERN_MAX:
        raise ValueError(f"is longer than {PATTERN_MAX} characters")
    reader = _Reader(pattern)
    result = reader.alternatives(depth=0)
    if reader.position < len(pattern):
        raise ValueError("has a ) without its (")
    if reader.cost > COST_MAX:
        raise ValueError("repeats too much; use fewer *, + and {…}, or begin with ^")
    re.compile(result)
    return result


@dataclass
class _Reader:
    text: str
    position: int = 0
    cost: int = 1

    def alternatives(self, depth: int) -> str:
        branches, costs, start = [], [], self.cost
        while True:
            self.cost = start
            branches.append(self._branch(depth))
            costs.append(self.cost)
            if not self._take("|"):
                break
        self.cost = sum(costs)
        return "|".join(branches)

    def _branch(self, depth: int) -> str:
        parts: list[str] = []
        if self._take("^"):
            if depth:
                raise ValueError("may use ^ only at the start")
            parts.append("^")
        elif depth == 0:
            self.cost *= TEXT_LENGTH
        while self.position < len(self.text) and self.text[self.position] not in "|)":
            parts.append(self._piece(depth))
        return "".join(parts)

    def _piece(self, depth: int) -> str:
        if self._take("("):
            return self._group(depth)
        if self._take("$"):
            if depth or (self.position < len(self.text) and self.text[self.position] != "|"):
                raise ValueError("may use $ only at the end")
            return END
        return self._atom() + self._repeat()

    def _group(self, depth: int) -> str:
        if depth >= 3:
            raise ValueError("nests its groups too deeply")
        if self._take("?"):
            raise ValueError("may not use (?…)")
        inner = self.alternatives(depth + 1)
        if not self._take(")"):
            raise ValueError("has a ( without its )")
        if self.position < len(self.text) and self.text[self.position] in "*+?{":
            raise ValueError("may not repeat a group")
        return f"(?:{inner})"

    def _atom(self) -> str:
        character = self._next()
        if character == ".":
            return r"[^\x0a]"
        if character == "[":
            return self._set()
        if character == "\\":
            return self._escape(inside=False)
        if character in "*+?{":
            raise ValueError(f"has a {character} with nothing before it")
        if character == "^":
            raise ValueError("may use ^ only at the start")
        return escaped(character)

    def _set(self) -> str:
        negated = "^" if self._take("^") else ""
        members: list[str] = []
        while not self._take("]"):
            members.append(self._member())
        if not members:
            raise ValueError("has an empty [ ]")
        return f"[{negated}{''.join(members)}]"

    def _member(self) -> str:
        first = self._next()
        if first == "\\":
            return self._escape(inside=True)
        if first == "[":
            raise ValueError("has a [ inside of [ ]; write \\[")
        if self.text[self.position : self.position + 1] == "-" and self.text[
            self.position + 1 : self.position + 2
        ] not in ("", "]"):
            self.position += 1
            last = self._next()
            if last in "\\[" or last < first:
                raise ValueError("has a range that runs backwards or ends in a sign")
            return f"{escaped(first)}-{escaped(last)}"
        return escaped(first)

    def _escape(self, *, inside: bool) -> str:
        character = self._next()
        if character in _CLASSES:
            return _CLASSES[character] if inside else f"[{_CLASSES[character]}]"
        if character.lower() in _CLASSES and not inside:
            return f"[^{_CLASSES[character.lower()]}]"
        if character.isalnum():
            raise ValueError(f"may not use \\{character}")
        return escaped(character)

    def _repeat(self) -> str:
        sign = self.text[self.position : self.position + 1]
        if sign in ("*", "+"):
            self.cost *= TEXT_LENGTH
        elif sign == "?":
            self.cost *= 2
        elif sign == "{":
            return self._counted()
        else:
            return ""
        self.position += 1
        return sign + self._no_more()

    def _counted(self) -> str:
        found = _REPEAT.match(self.text, self.position)
        if found is None:
            raise ValueError("has a { that is no {m}, {m,} or {m,n}; write \\{")
        low, high = int(found[1]), int(found[3] or 0) if found[2] else int(found[1])
        endless = bool(found[2]) and not found[3]
        if not endless and (high < low or high > 100):
            raise ValueError("has a repeat that runs backwards or beyond 100")
        self.cost *= TEXT_LENGTH if endless else high - low + 1
        self.position = found.end()
        return found[0] + self._no_more()

    def _no_more(self) -> str:
        if self.text[self.position : self.position + 1] in ("*", "+", "?", "{"):
            raise ValueError("repeats a repeat")
        return ""

    def _next(self) -> str:
        if self.position >= len(self.text):
            raise ValueError("ends too early")
        self.position += 1
        return self.text[self.position - 1]

    def _take(self, sign: str) -> bool:
        if self.text.startswith(sign, self.position):
            self.position += 1
            return True
        return False
