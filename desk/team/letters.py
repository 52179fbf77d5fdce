"""Letters to colleagues, through a mail channel of ours.

They bypass the ledger of sends on purpose: a link that lets somebody in must not stand where others read.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from base.ids import new_id
from campaigns.contents import as_html
from channels.failures import SendFailed
from channels.registry import Registry
from channels.store import ChannelStore
from channels.vocabulary import Address, OutboundMail, OutboundMessage
from desk.i18n import N_, translations

#: Somebody waits for the page.
SEND_TIMEOUT_S = 15.0
SUBJECT = N_("Your way into %(house)s")
TEXT = N_(
    "Hello %(name)s,\n\n%(by)s lets you in. Choose a password here, and you are signed in:\n\n%(link)s\n\n"
    "The link works once and for seven days. If you did not expect this mail, do nothing."
)
GONE = N_("This mail channel is not there any more.")
SILENT = N_("The mail server did not answer in time. Perhaps the mail goes out all the same.")


@dataclass(frozen=True)
class Letter:
    """What is said to one colleague."""

    to: str
    subject: str
    text: str


def invitation(name: str, email: str, link: str, by: str, house: str, language: str) -> Letter:
    """The mail with the link that sets a password. Pure."""
    text = translations(language).gettext
    house = house or "Rapport"
    filled = {"name": name or email, "by": by, "link": link, "house": house}
    return Letter(email, text(SUBJECT) % filled, text(TEXT) % filled)


class Letters:
    """Sends them."""

    def __init__(self, channels: ChannelStore, registry: Registry) -> None:
        self._channels = channels
        self._registry = registry

    async def ways(self) -> list[tuple[str, str]]:
        """(id, name) of each mail channel that could carry one."""
        return [
            (each.id, each.name)
            for each in await self._channels.list()
            if each.state != "disconnected" and self._registry.get(each.provider).card.kind == "email"
        ]

    async def send(self, letter: Letter, channel_id: str, *, key: str | None = None) -> str | None:
        """Give it to the mail server; None, or a sentence that says why it did not go. The same `key` is the same mail
        to whoever gets it twice."""
        if channel_id not in {each for each, _ in await self.ways()}:
            return GONE
        account = await self._channels.account(channel_id)
        if account is None:
            return GONE
        message = OutboundMessage(
            key=key or new_id("evt"), to=Address(channel_id=channel_id, external_id=letter.to), text=letter.text,
            mail=OutboundMail(subject=letter.subject, html=as_html(letter.text)), automatic=True,
        )  # fmt: skip
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._registry.get(account.provider).send(account, message)
        except SendFailed as failed:
            return str(failed)
        except TimeoutError:
            return SILENT
        return None
