"""What the page of a person is made of: panels at the side and tabs, each with a read and a template of its own.

A new one is a module with an `async` read, a partial `profiles/_NAME.html` that calls the answer `panel`, and one line
in the tables of `desk/pages/profiles.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from desk.api.scope import Reader, reading
from desk.auth import Principal, principal_of
from desk.i18n import Formats
from desk.keys import runtime_of
from desk.pages.faces import Faces
from profiles.models import Identity, Profile


@dataclass(frozen=True)
class Opened:
    """A person's page while it is put together. `identities`: those the reader may see; `person` likewise."""

    request: web.Request
    person: Profile
    identities: Sequence[Identity]
    faces: Faces
    formats: Formats

    @property
    def runtime(self) -> Any:
        """Everything there is to ask."""
        return runtime_of(self.request)

    @property
    def principal(self) -> Principal:
        """Who reads."""
        return principal_of(self.request)

    @property
    def reader(self) -> Reader:
        """Who reads, as `desk.api.scope` asks for it."""
        return reading(self.request)


Read = Callable[[Opened], Awaitable[Any]]


@dataclass(frozen=True)
class Panel:
    """A section at the side, drawn by `profiles/_NAME.html`. Nothing is shown where `read` answers None."""

    name: str
    read: Read


@dataclass(frozen=True)
class Tab:
    """A section of its own address, `?tab=NAME`, drawn by `profiles/_NAME.html`; read only when it is open.

    `label` is an English msgid; `count` gives the figure beside it.
    """

    name: str
    label: str
    read: Read
    count: Callable[[Opened], Awaitable[int]] | None = None
