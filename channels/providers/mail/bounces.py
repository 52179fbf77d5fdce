"""Bounces that are no reports: a server's letter in plain words, as many providers send them, Chinese ones among them.

A letter counts as one only when a server wrote it (an empty sender, `mailer-daemon`, `postmaster`) and it says which of
our mails it is about: by the address it came to (`return_tag`: made per send, so that it is known even where nothing is
quoted), or by our Message-ID in its text. What it says is read from a status code, else from a table of phrases; a
letter that says neither is left a message for a person.

Phrases seen at mail.qq.com, 163.com and 126.com, aliyun, gmail, outlook (read 2026-11-28).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime

from base.ids import unique_key
from channels.failures import Failure
from channels.providers.mail.answers import enhanced, failure_of_status
from channels.providers.mail.charsets import clean
from channels.providers.mail.headers import Headers, mailboxes, message_ids
from channels.providers.mail.threading import token_of
from channels.vocabulary import Address, DeliveryStatus, DeliveryUpdate

#: Characters of a letter that are looked at.
LOOKED_AT = 20_000
_KEY = re.compile(r"b-([0-9a-f]{40})")
_SERVERS = re.compile(r"^(?:mailer-daemon|postmaster|mail-daemon|mdaemon|noreply-?daemon)(?:[+.-].*)?@", re.I)
_CODE = re.compile(r"(?<![\d.])([45]\d\d)[ -](?=\D)")
_OUR_ID = re.compile(r"message-id:\s{0,5}<([^<>\s]{3,400})>", re.I)
_ADDRESS = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,200}\.[A-Za-z]{2,24}")
#: (what is said, what it means, whether the address is done with). The first that is found counts.
_PHRASES: tuple[tuple[re.Pattern[str], Failure, bool], ...] = (
    (
        re.compile(
            r"mailbox (?:is )?full|over ?quota|quota exceeded|insufficient (?:storage|disk)|"
            r"邮箱(?:空间)?(?:已满|不足|容量)|空间(?:已满|不足)|容量(?:已满|不足)|超出.{0,6}(?:容量|配额)|信箱已滿|郵箱已滿",
            re.I,
        ),
        Failure.UNKNOWN,
        False,
    ),
    (
        re.compile(
            r"user (?:unknown|not found|doesn'?t exist|does not exist)|unknown user|no such (?:user|mailbox|recipient)|"
            r"mailbox (?:not found|unavailable|does not exist|doesn'?t exist)|(?:address|account|recipient) "
            r"(?:does not|doesn'?t) exist|invalid (?:recipient|mailbox)|non-?existent (?:user|mailbox|address)|"
            r"address (?:couldn'?t be found|not found)|account (?:that you tried to reach )?(?:is )?disabled|"
            r"(?:收件人|收信人|用户|用戶|邮箱|郵箱|帐号|账号|帳號|邮件地址|郵件地址)[^\n。]{0,12}(?:不存在|未找到|無效|无效|已停用|被禁用|已注销)|"
            r"(?:找不到|不存在)[^\n。]{0,8}(?:收件人|用户|用戶|邮箱|地址)",
            re.I,
        ),
        Failure.RECIPIENT_UNREACHABLE,
        True,
    ),
    (
        re.compile(
            r"\bspam\b|blacklist|blocklist|block list|\bMI:(?:SPB|SPF|DMC|CEL)|\bDT:SP[MFB]|"
            r"content (?:rejected|denied)|"
            r"policy (?:violation|reasons?)|垃圾邮件|垃圾郵件|拒(?:收|绝)|被(?:退|拒)|反垃圾|黑名单|黑名單",
            re.I,
        ),
        Failure.CONTENT_REJECTED,
        False,
    ),
    (
        re.compile(
            r"(?:delivery )?(?:is |was )?(?:delayed|deferred)|will (?:keep trying|retry|be retried)|"
            r"稍[后候後](?:再|重)试|继续(?:尝试)?投递|延迟|延遲|暂时(?:无法|不能)",
            re.I,
        ),
        Failure.TEMPORARY,
        False,
    ),
)  # fmt: skip


def return_tag(key: str) -> str | None:
    """The tag of a return address for a send key; None for a key that is no key of a send of ours."""
    tag = f"b-{key}"
    return tag if _KEY.fullmatch(tag) else None


def key_in(recipients: Iterable[str], own: Iterable[str]) -> str | None:
    """The send key in the address that a bounce came to; None when it came to none of our return addresses."""
    owned = tuple(own)
    tokens = (token_of(recipient, each) for recipient in recipients for each in owned)
    found = next((match for token in tokens if token and (match := _KEY.fullmatch(token))), None)
    return found[1] if found else None


def from_a_server(headers: Headers, envelope_sender: str | None) -> bool:
    """Whether a mail server wrote it, and not the answering machine of a person."""
    if headers.get("auto-submitted").strip().lower().startswith("auto-replied"):
        return False
    author = next(iter(mailboxes(headers.get("from"), 1)), None)
    return envelope_sender == "" or author is None or _SERVERS.match(author.address) is not None


def read_bounce(
    channel_id: str, unique: str, at: datetime, text: str, originals: Sequence[Headers], key: str | None
) -> DeliveryUpdate | None:  # fmt: skip
    """What a server's letter says of one of our mails; None when it says nothing that we can read.

    `originals`: headers of mails enclosed in it. `key`: the send key of the address it came to.
    """
    text = text[:LOOKED_AT]
    message_id = _about(text, originals)
    if key is None and message_id is None:
        return None
    said = _meaning(text)
    if said is None:
        return None
    failure, permanent, code = said
    final = failure is not Failure.TEMPORARY
    recipient = _receiver(text, originals)
    return DeliveryUpdate(
        event_id=unique_key(unique, "bounce"),
        occurred_at=at,
        address=Address(channel_id=channel_id, external_id=recipient, handle=recipient) if recipient else None,
        raw={"letter": clean(text[:2000])},
        status=DeliveryStatus.BOUNCED if final else DeliveryStatus.SENT,
        message_id=message_id,
        correlation=key,
        failure=failure,
        provider_code=code,
        detail=clean(_line_that_says(text))[:1000] or None,
        permanent=final and permanent,
    )


def _about(text: str, originals: Sequence[Headers]) -> str | None:
    for headers in originals:
        ids = message_ids(headers.get("message-id"))
        if ids:
            return ids[0]
    quoted = _OUR_ID.search(text)
    return quoted[1] if quoted else None


def _meaning(text: str) -> tuple[Failure, bool, str | None] | None:
    """(what is wrong, whether the address is done with, the code). Codes first: they are meant for programs."""
    status = enhanced(text.replace("#", " ")[:LOOKED_AT])
    phrase = next(((failure, hard) for pattern, failure, hard in _PHRASES if pattern.search(text)), None)
    plain = _CODE.search(text)
    if status is not None and status[0] in (4, 5):
        code = ".".join(map(str, status))
        failure = failure_of_status(*status)
        if failure in (Failure.UNKNOWN, Failure.CONTENT_REJECTED) and phrase is not None and status[1] in (0, 7):
            return (*phrase, code)  # 5.0.0 and 5.7.x say little: the words say more
        return failure, status[0] == 5 and failure is Failure.RECIPIENT_UNREACHABLE, code
    if phrase is not None:
        return (*phrase, plain[1] if plain else None)
    if plain is None:
        return None
    return (Failure.TEMPORARY, False, plain[1]) if plain[1][0] == "4" else (Failure.UNKNOWN, False, plain[1])


def _receiver(text: str, originals: Sequence[Headers]) -> str | None:
    for headers in originals:
        found = mailboxes(headers.get("to"), 1)
        if found:
            return found[0].key
    named = _ADDRESS.search(text)
    return named[0].lower() if named else None


def _line_that_says(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for pattern in (_CODE, *(each for each, _, _ in _PHRASES)):
        found = next((line for line in lines if pattern.search(line)), None)
        if found:
            return found
    return lines[0] if lines else ""
