"""The normal form of everything that happens on any channel. Adapters speak it upward, everything else only it.

All models are frozen. Times are aware UTC. Ids are strings even where a provider sends numbers.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _as_utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("needs a zone")
    value = value.astimezone(UTC)
    return value.replace(microsecond=value.microsecond // 1000 * 1000)


Instant = Annotated[datetime, AfterValidator(_as_utc)]


class Frozen(BaseModel):
    """A value: compared by content, never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")


class Address(Frozen):
    """Who it is on one channel account: the pair is unique, and replies go to it for ever."""

    channel_id: str
    external_id: str
    #: The public name people know it by (`@anna`, a phone number, a mail address), where there is one.
    handle: str | None = None


class Person(Frozen):
    """What the platform says of a person. Everything but verified values is for display only."""

    name: str | None = None
    avatar_url: str | None = None
    locale: str | None = None
    #: E.164. Only where the platform itself vouches for it; a number typed in a message is not one.
    phone: str | None = None
    email: str | None = None
    #: True when `phone` and `email` were proved by use or supplied by the platform.
    verified: bool = True
    #: Further ids of the same person on the same account (WhatsApp user id, Telegram old chat id …).
    aliases: tuple[str, ...] = ()
    #: Ids under which the platform knows this person on all accounts of one owner, named by the platform:
    #: `wechat:<union id>`, `line:<user id>`. They join channels.
    platform_ids: tuple[str, ...] = ()
    #: The operator's own id of this person, proved by a signature of theirs, whatever `verified` says of the rest.
    customer_id: str | None = None


class AttachmentKind(StrEnum):
    """How it is shown, not its file type."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    VOICE = "voice"
    FILE = "file"
    STICKER = "sticker"


class Attachment(Frozen):
    """A file of a message. Inbound it is a reference that the adapter can fetch; outbound a URL or stored bytes."""

    kind: AttachmentKind
    media_type: str | None = None
    file_name: str | None = None
    size_bytes: int | None = None
    #: Provider's id to fetch it with. Never a URL that holds a secret.
    media_id: str | None = None
    url: str | None = None
    caption: str | None = None
    duration_s: int | None = None
    width: int | None = None
    height: int | None = None
    #: True for an inline image of a mail, which is shown in its place and not listed.
    inline: bool = False
    content_id: str | None = None
    #: Small inbound files that came inside the webhook (mail), base64 in JSON. Larger ones are fetched by `media_id`.
    content: bytes | None = Field(default=None, repr=False)
    extra: dict[str, Any] = Field(default_factory=dict)


class Location(Frozen):
    """A place on earth, degrees."""

    latitude: float
    longitude: float
    name: str | None = None
    address: str | None = None
    url: str | None = None


class ContactCard(Frozen):
    """A card of somebody *in* a message; never the sender, never an identity by itself."""

    name: str | None = None
    phones: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()


class Postback(Frozen):
    """A button was pressed or a row chosen."""

    payload: str
    title: str | None = None
    description: str | None = None


class Referral(Frozen):
    """Where the person came from: an ad, a link, a QR code."""

    source: str | None = None
    source_id: str | None = None
    url: str | None = None
    headline: str | None = None
    body: str | None = None
    ref: str | None = None
    extra: dict[str, Any] = Field(default_factory=dict)


class MailParts(Frozen):
    """What only mail has."""

    message_id: str | None = None
    in_reply_to: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    #: The conversation token in the address it was sent to (`reply+<token>@`), still to be verified by its owner.
    reply_token: str | None = None
    subject: str | None = None
    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    html: str | None = None
    full_text: str | None = None
    #: Auto-reply, list or bulk mail: stored and shown, never answered by a machine.
    automatic: bool = False


class ChannelEvent(Frozen):
    """What all events share."""

    #: The provider's own id of this happening, unique together with the account and the kind.
    event_id: str
    occurred_at: Instant
    #: The person it concerns; None where the event concerns the account.
    address: Address | None = None
    person: Person | None = None
    #: The part of the payload this event was read from.
    raw: dict[str, Any] = Field(default_factory=dict, repr=False)


class MessageReceived(ChannelEvent):
    """A message. `echo` marks one written by us or by a colleague in the provider's own app."""

    kind: Literal["message_received"] = "message_received"
    address: Address
    #: Unique within the channel account, chat id included where the provider counts per chat.
    message_id: str
    text: str | None = None
    attachments: tuple[Attachment, ...] = ()
    #: `message_id` of the message it answers.
    reply_to: str | None = None
    location: Location | None = None
    contacts: tuple[ContactCard, ...] = ()
    postback: Postback | None = None
    referral: Referral | None = None
    mail: MailParts | None = None
    #: A chat of several people; kept apart from the person's private conversation.
    group_id: str | None = None
    forwarded: bool = False
    echo: bool = False
    #: Our own key that came back with an echo.
    correlation: str | None = None
    #: Another program answers this person just now: kept and shown, not to be answered before it hands over to us.
    standby: bool = False
    #: Set when the platform told us that it cannot show this message to programs; `text` is then None.
    unsupported: str | None = None
    #: Form answers, product order and other structured content.
    extra: dict[str, Any] = Field(default_factory=dict)


class MessageEdited(ChannelEvent):
    """The sender changed a message; `occurred_at` orders edits among themselves."""

    kind: Literal["message_edited"] = "message_edited"
    message_id: str
    text: str | None = None
    #: Where a live location is now; `text` then says nothing about the message.
    location: Location | None = None


class MessageDeleted(ChannelEvent):
    """The sender took a message back. Its content is erased, a tombstone stays."""

    kind: Literal["message_deleted"] = "message_deleted"
    message_id: str


class Reaction(ChannelEvent):
    """An emoji on a message; `emoji` None takes it back."""

    kind: Literal["reaction"] = "reaction"
    message_id: str
    emoji: str | None = None


class DeliveryStatus(StrEnum):
    """What became of an outgoing message, in rising order; failed stands apart."""

    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    PLAYED = "played"
    FAILED = "failed"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    OPENED = "opened"
    CLICKED = "clicked"


class DeliveryUpdate(ChannelEvent):
    """A receipt. Found by `message_id` or by `correlation` (our send key); `watermark` covers all before it."""

    kind: Literal["delivery_update"] = "delivery_update"
    status: DeliveryStatus
    message_id: str | None = None
    correlation: str | None = None
    watermark: Instant | None = None
    #: A name from `channels.failures` when it failed.
    failure: str | None = None
    #: The provider's own code and words, for a person to read.
    provider_code: str | None = None
    detail: str | None = None
    permanent: bool = False


class ConsentChange(ChannelEvent):
    """The person said yes or no to a purpose."""

    kind: Literal["consent_change"] = "consent_change"
    address: Address
    purpose: str = "marketing"
    granted: bool
    proof: str | None = None


class ProfileSeen(ChannelEvent):
    """The platform told us something of a person (name, avatar, a new id) without a message."""

    kind: Literal["profile_seen"] = "profile_seen"
    address: Address
    #: Identifier this person had before; linked, never duplicated.
    former_external_id: str | None = None
    referral: Referral | None = None


class GroupMoved(ChannelEvent):
    """A chat of several people goes on under another id. May be told twice, once by each of the two chats."""

    kind: Literal["group_moved"] = "group_moved"
    former_group_id: str
    group_id: str


class ContactLeft(ChannelEvent):
    """Blocked us, unfollowed or left (`left`), or came back."""

    kind: Literal["contact_left"] = "contact_left"
    address: Address
    left: bool = True


class CommerceEvent(ChannelEvent):
    """Something happened to an order or checkout in a connected shop; `order` has the fields of `POST /orders`."""

    kind: Literal["commerce_event"] = "commerce_event"
    name: str
    order: dict[str, Any]


#: Names that only the application itself may raise: they stand for things it has seen happen.
RESERVED = (
    "profile.", "message.", "conversation.", "consent.", "contact.", "segment.", "task.", "csat.", "nps.", "sla.",
    "automation.", "journey.", "note.", "file.", "follow_up.", "broadcast.", "call.logged", "meeting.logged",
    "visit.logged",
)  # fmt: skip


class Tracked(ChannelEvent):
    """Any other named event (tracking calls, generic channel). Names as in the public contract, section 4."""

    kind: Literal["tracked"] = "tracked"
    name: str
    properties: dict[str, Any] = Field(default_factory=dict)
    #: Who did it, where the operator's own systems say so by an id of theirs instead of an address on a channel.
    customer_id: str | None = None
    anonymous_id: str | None = None


class Identified(ChannelEvent):
    """The operator's own systems say who somebody is: their ids are one person, and this is known of them.

    `person` holds name, mail address, number, picture and language; `traits` everything else.
    """

    kind: Literal["identified"] = "identified"
    customer_id: str | None = None
    #: A session or device before anybody signed in.
    anonymous_id: str | None = None
    #: A further such id that turned out to be the same person.
    former_id: str | None = None
    time_zone: str | None = None
    traits: dict[str, Any] = Field(default_factory=dict)


class AccountNotice(ChannelEvent):
    """The provider speaks of the account itself: template rejected, quality, restriction, token revoked."""

    kind: Literal["account_notice"] = "account_notice"
    topic: str
    severity: Literal["info", "warning", "critical"] = "info"
    text: str
    details: dict[str, Any] = Field(default_factory=dict)


class FetchWanted(ChannelEvent):
    """The provider has something but does not send it: poll this account now. `hint` is what it gave for that."""

    kind: Literal["fetch_wanted"] = "fetch_wanted"
    #: News to be polled for, or the list of approved templates.
    what: Literal["news", "templates"] = "news"
    hint: str | None = Field(default=None, repr=False)


class Unrecognised(ChannelEvent):
    """Signed and readable, but of a kind we do not know. Kept and shown, never dropped."""

    kind: Literal["unrecognised"] = "unrecognised"
    topic: str
    reason: str = "unknown kind"


AnyEvent = Annotated[
    MessageReceived | MessageEdited | MessageDeleted | Reaction | DeliveryUpdate | ConsentChange | ProfileSeen
    | ContactLeft | GroupMoved | CommerceEvent | Tracked | Identified | AccountNotice | FetchWanted
    | Unrecognised,
    Field(discriminator="kind"),
]  # fmt: skip


class Button(Frozen):
    """A quick reply (payload) or a link (url)."""

    title: str
    payload: str | None = None
    url: str | None = None


class TemplateCall(Frozen):
    """A provider-approved template (WhatsApp) with its parameters in order."""

    name: str
    language: str
    body: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    buttons: tuple[str, ...] = ()


class TemplateButton(Frozen):
    """A button of an approved template; `value`: it takes one (the end of a link, a payload, a code)."""

    title: str
    value: bool = False


class ApprovedTemplate(Frozen):
    """A template as the platform keeps it, with how many values each part takes."""

    name: str
    language: str
    status: Literal["approved", "pending", "rejected", "paused", "disabled"]
    category: str | None = None
    #: The wording with `{{1}}` or `{{first_name}}` where a value goes.
    body: str = ""
    header: str | None = None
    footer: str | None = None
    body_values: int = 0
    header_values: int = 0
    #: The header is a file: its value is the file's address.
    header_file: str | None = None
    buttons: tuple[TemplateButton, ...] = ()
    #: Why it is not approved.
    reason: str | None = None


class OutboundMail(Frozen):
    """What only mail needs. `message_id` is fixed per send key, so that a repeat is the same mail."""

    subject: str
    html: str | None = None
    message_id: str | None = None
    in_reply_to: str | None = None
    references: tuple[str, ...] = ()
    reply_token: str | None = None
    cc: tuple[str, ...] = ()
    list_unsubscribe_url: str | None = None
    list_id: str | None = None


class OutboundReaction(Frozen):
    """What we think of a message of theirs: an emoji, or (None) nothing any more. `former`: what stood there before."""

    #: Provider id of their message.
    message_id: str
    emoji: str | None = None
    former: str | None = None


class OutboundMessage(Frozen):
    """One message to one address."""

    #: Our send key: the provider's idempotency key where it takes one, its correlation id where it echoes one.
    key: str
    to: Address
    text: str | None = None
    attachments: tuple[Attachment, ...] = ()
    buttons: tuple[Button, ...] = ()
    location: Location | None = None
    template: TemplateCall | None = None
    mail: OutboundMail | None = None
    #: Provider id of the message it quotes.
    reply_to: str | None = None
    #: What came with that message to quote it by (`extra["quote_token"]`), where the platform wants more than the id.
    quote_token: str | None = None
    #: It is no message of its own but goes to one of theirs; nothing else is set then (`Adapter.react`).
    reaction: OutboundReaction | None = None
    #: Name shown as sender where the platform allows (e-mail display name, Viber sender).
    sender_name: str | None = None
    #: A machine wrote it; some platforms and mail headers must say so.
    automatic: bool = False


class SendReceipt(Frozen):
    """The provider took it. More ids than one when it had to be split."""

    message_ids: tuple[str, ...]
    #: True when the provider said that it had this key already.
    repeated: bool = False
    raw: dict[str, Any] = Field(default_factory=dict, repr=False)
