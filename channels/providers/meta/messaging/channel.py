"""What the adapters of Messenger and Instagram do alike: everything but their ids, addresses and limits."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import ClassVar

from channels.adapter import Account, Adapter, Answer, Delivery
from channels.failures import Failure, SendFailed
from channels.providers.meta.files import fetched, form, sniffed
from channels.providers.meta.graph import Graph
from channels.providers.meta.messaging.compose import (
    TYPES,
    Dialect,
    as_human_agent,
    bodies,
    may_be_tagged,
    reaction_body,
    refuse_early,
)
from channels.providers.meta.messaging.envelope import named_accounts, parse_delivery
from channels.providers.meta.messaging.failures import failure_of
from channels.providers.meta.messaging.items import USER_REF, Ours, Platform
from channels.providers.meta.parts import in_order
from channels.providers.meta.signature import answer_challenge, verify_hub
from channels.reading import Json, identifier, text
from channels.vocabulary import AnyEvent, Attachment, OutboundMessage, Person, SendReceipt

#: What a lookup answers for somebody who is not there, or may not be seen.
_NOBODY = frozenset({Failure.RECIPIENT_UNREACHABLE, Failure.RECIPIENT_BLOCKED, Failure.CONTENT_REJECTED})


class MessagingAdapter(Adapter):
    """The Messenger Platform. A provider gives its platform, its dialect and where its Graph nodes lie."""

    platform: ClassVar[Platform]
    dialect: ClassVar[Dialect]
    #: Fields of a person's node → what they are here: `name`, `first`, `last`, `username`, `avatar`.
    profile_fields: ClassVar[Mapping[str, str]]
    #: What the account's node is to post from now on.
    fields: ClassVar[tuple[str, ...]]
    #: For one call of the Graph API.
    timeout_s: float = 15.0

    @abstractmethod
    def node(self, account: Account) -> str:
        """The node of the Graph API that sends."""

    def handshake(self, account: Account, delivery: Delivery) -> Answer | None:
        """Meta's GET challenge."""
        return answer_challenge(account, delivery)

    def verify(self, account: Account, delivery: Delivery, now: datetime) -> None:
        """The hub signature over the raw body; Meta signs no time."""
        verify_hub(account, delivery)

    def parse(self, account: Account, delivery: Delivery) -> list[AnyEvent]:
        """Threads, comments and notices of this account."""
        account_id = getattr(account.settings, self.platform.setting)
        return parse_delivery(self.platform, Ours(account.channel_id, account_id, account.settings.app_id), delivery)

    def locate(self, delivery: Delivery) -> frozenset[tuple[str, str]]:
        """The pages or accounts named."""
        return named_accounts(self.platform, delivery)

    async def send(self, account: Account, message: OutboundMessage) -> SendReceipt:
        """One request for each part. Where the day is over, a person's answer goes again with the HUMAN_AGENT tag."""
        objection = self.capabilities.objection(message)
        if objection is not None:
            raise SendFailed(Failure.NOT_SUPPORTED, objection)
        refuse_early(self.dialect, message)
        graph = self._graph(account)
        files = [await self._payload(graph, account, file) for file in message.attachments]
        post = partial(self._post, graph, account, may_be_tagged(message))
        return SendReceipt(message_ids=await in_order(bodies(self.dialect, message, files), post))

    async def react(self, account: Account, message: OutboundMessage) -> SendReceipt:
        """`react` or `unreact` as an action of the sender; it has no id of its own."""
        body = reaction_body(self.dialect, message)
        await self._graph(account).post(self.node(account), "messages", json=body)
        return SendReceipt(message_ids=())

    async def media(self, account: Account, attachment: Attachment, *, max_bytes: int) -> tuple[bytes, str]:
        """Fetch the address the webhook gave; it is public for a while, so our token does not go along."""
        if attachment.url is None:
            raise SendFailed(Failure.CONTENT_REJECTED, "This attachment has no file behind it.")
        content = await fetched(self.http, attachment.url, max_bytes=max_bytes, timeout_s=4 * self.timeout_s)
        return content, sniffed(content, attachment.media_type)

    async def lookup(self, account: Account, external_id: str) -> Person | None:
        """Name and picture, where the person has written to us and the app may ask."""
        if external_id.startswith(USER_REF):
            return None
        try:
            found = await self._graph(account).get(external_id, fields=",".join(self.profile_fields))
        except SendFailed as error:
            if error.failure in _NOBODY:
                return None
            raise
        return _person({ours: text(found.get(theirs)) for theirs, ours in self.profile_fields.items()})

    async def register_webhook(self, account: Account, url: str) -> str | None:
        """Subscribe the account's node to our app. Where the app posts to is set at the app."""
        wanted = {"subscribed_fields": ",".join(self.fields)}
        await self.setup_graph(account).post(self.node(account), "subscribed_apps", json=wanted)
        return f"{self.card.label} now posts to the app. Enter {url} as the app's callback address, if it is not there."

    def setup_graph(self, account: Account) -> Graph:
        """For calls that concern the account: there, an object that is missing is no recipient."""
        settings = account.settings
        token = settings.access_token.get_secret_value()
        return Graph(self.http, settings.api_base, settings.api_version, token, timeout_s=self.timeout_s)

    def _graph(self, account: Account) -> Graph:
        settings = account.settings
        token = settings.access_token.get_secret_value()
        return Graph(self.http, settings.api_base, settings.api_version, token, failure_of, self.timeout_s)

    async def _payload(self, graph: Graph, account: Account, file: Attachment) -> Json:
        """How a body names the file: by an earlier upload, by its address, or by uploading it now."""
        if file.media_id:
            return {"attachment_id": file.media_id}
        if file.url:
            return {"url": file.url, "is_reusable": False}
        about = {"attachment": {"type": TYPES[file.kind], "payload": {"is_reusable": False}}}
        body, content_type = form(file, {"message": json.dumps(about)}, name="filedata")
        answer = await graph.upload(self.node(account), "message_attachments", body=body, content_type=content_type)
        attachment_id = identifier(answer.get("attachment_id"))
        if attachment_id is None:
            raise SendFailed(Failure.TEMPORARY, "Meta took the file and did not name it.")
        return {"attachment_id": attachment_id}

    async def _post(self, graph: Graph, account: Account, may_tag: bool, body: Json) -> str:
        path = (self.node(account), "messages")
        try:
            answer = await graph.post(*path, json=body)
        except SendFailed as error:
            if error.failure is not Failure.WINDOW_CLOSED or not (may_tag and account.settings.human_agent):
                raise
            answer = await graph.post(*path, json=as_human_agent(body))
        message_id = identifier(answer.get("message_id"))
        if message_id is None:
            raise SendFailed(Failure.UNCERTAIN, "Meta answered without naming the message.")
        return message_id


def _person(found: Mapping[str, str | None]) -> Person | None:
    """None when nothing was told: a name, else the username."""
    whole = " ".join(filter(None, (found.get("first"), found.get("last"))))
    username = found.get("username")
    name = found.get("name") or whole or (f"@{username}" if username else None)
    person = Person(name=name, avatar_url=found.get("avatar"))
    return person if name or person.avatar_url else None
