"""Does what receivers ask for stand in the DNS? SPF, DKIM, DMARC, MX, the return path, encryption: read, then judged.

The judgement is pure: records in, findings out. A name that could not be asked for is `unknown`, never a fault.

RFC 7208 (SPF), RFC 6376 (DKIM), RFC 7489 (DMARC), RFC 7505 (no mail); Google's and Yahoo's rules for senders (read
2026-11-28).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import dns.asyncresolver
import dns.exception
import dns.resolver

from channels.providers.mail.dkim import Signer, record_of
from channels.providers.mail.headers import valid_address

Tone = Literal["good", "warn", "bad", "unknown"]
Topic = Literal["spf", "dkim", "dmarc", "mx", "return_path", "tls"]
#: Seconds for one name.
PATIENCE_S = 4.0
#: RFC 7208, 4.6.4: more look-ups than this and the record counts for nothing.
SPF_LOOKUPS = 10
_DEEP = 12
_LOOKED_UP = re.compile(r"[+?~-]?(?:include:|a(?:[:/]|$)|mx(?:[:/]|$)|ptr(?::|$)|exists:)|redirect=", re.I)
_NESTED = re.compile(r"(?:[+?~-]?include:|redirect=)(.+)", re.I)


class DnsUnknown(Exception):
    """Nobody answered: whether there is such a record is not known."""


class Dns(Protocol):
    """Where records are read."""

    async def txt(self, name: str) -> Sequence[str]:
        """All texts of a name; none where there is no such name. Raises `DnsUnknown`."""
        ...

    async def mx(self, name: str) -> Sequence[str]:
        """Mail servers by preference, without the dot at the end; `""` for "takes no mail". Raises `DnsUnknown`."""
        ...


class DnsReader:
    """The DNS, by the servers that this machine uses, or those named."""

    def __init__(self, servers: Sequence[str] = (), port: int = 53) -> None:
        self._servers, self._port = tuple(servers), port
        self._resolver: dns.asyncresolver.Resolver | None = None

    async def txt(self, name: str) -> Sequence[str]:
        """All texts of a name, their parts joined."""
        return [b"".join(each.strings).decode("utf-8", "replace") for each in await self._asked(name, "TXT")]

    async def mx(self, name: str) -> Sequence[str]:
        """Mail servers by preference."""
        found = sorted((each.preference, str(each.exchange).rstrip(".")) for each in await self._asked(name, "MX"))
        return [host for _, host in found]

    async def _asked(self, name: str, kind: str) -> list[Any]:
        try:
            return list(await self._open().resolve(name, kind, lifetime=PATIENCE_S))
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.exception.DNSException, OSError, UnicodeError) as error:
            raise DnsUnknown(f"{name}: {type(error).__name__}") from None

    def _open(self) -> dns.asyncresolver.Resolver:
        if self._resolver is None:
            try:
                made = dns.asyncresolver.Resolver(configure=not self._servers)
            except dns.exception.DNSException:
                raise DnsUnknown("this machine names no DNS server") from None
            if self._servers:
                made.nameservers, made.port = list(self._servers), self._port
            self._resolver = made
        return self._resolver


@dataclass(frozen=True)
class Sending:
    """What is known of the channel. `signer` None: somebody else signs, or nobody. `signs`: we do so already."""

    domain: str
    return_domain: str
    own_return: bool
    signer: Signer | None = None
    signs: bool = False
    #: The channel speaks SMTP by itself, and how.
    smtp: bool = False
    encrypted: bool = True


@dataclass(frozen=True)
class Records:
    """What the DNS holds; None: it could not be read."""

    spf: Sequence[str] | None = None
    spf_lookups: int = 0
    dkim: Sequence[str] | None = None
    dmarc: Sequence[str] | None = None
    mx: Sequence[str] | None = None
    return_mx: Sequence[str] | None = None


@dataclass(frozen=True)
class Finding:
    """One thing that is right or wrong. `record`: what the DNS has to hold, and `name` where, to copy."""

    topic: Topic
    tone: Tone
    code: str
    params: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    record: str = ""


async def read_records(reader: Dns, sending: Sending) -> Records:
    """Everything at once. Raises nothing."""
    name = sending.signer.record_name if sending.signer else ""
    spf, dkim, dmarc, mx, back = await asyncio.gather(
        _known(reader.txt(sending.return_domain)), _known(reader.txt(name)) if name else _nothing(),
        _dmarc(reader, sending.domain), _known(reader.mx(sending.domain)), _known(reader.mx(sending.return_domain)),
    )  # fmt: skip
    spf_records = None if spf is None else [each for each in spf if each.lower().split(" ")[0] == "v=spf1"]
    lookups = await _lookups(reader, spf_records[0], set()) if spf_records else 0
    return Records(spf_records, lookups, dkim, dmarc, mx, back)


def judged(sending: Sending, records: Records) -> list[Finding]:
    """What a receiver makes of it. Pure."""
    return [
        _spf(sending, records), _dkim(sending, records), _dmarc_finding(sending, records), _mx(sending, records),
        _return_path(sending, records), _tls(sending),
    ]  # fmt: skip


def sending_of(settings: Any, provider: str) -> Sending | None:
    """What is known of a mail channel by its settings; None where it has no address of its own."""
    address = str(getattr(settings, "from_address", "") or "").strip()
    if not valid_address(address):
        return None
    domain = _ascii(address.rpartition("@")[2])
    back = str(getattr(settings, "return_address", "") or "")
    smtp = provider == "email"
    key = settings.dkim_private_key.get_secret_value() if smtp else ""
    signer = Signer(domain, settings.dkim_selector, key) if key and settings.dkim_selector else None
    return Sending(
        domain, _ascii(back.rpartition("@")[2]) or domain, bool(back), signer,
        signs=bool(signer and settings.dkim_on), smtp=smtp,
        encrypted=not smtp or settings.smtp_tls != "none",
    )  # fmt: skip


# -- reading ---------------------------------------------------------------------------------------


async def _known(asked: Any) -> Sequence[str] | None:
    try:
        found: Sequence[str] = await asked
    except DnsUnknown:
        return None
    return found


async def _nothing() -> Sequence[str] | None:
    return None


async def _dmarc(reader: Dns, domain: str) -> Sequence[str] | None:
    """That of the domain, else that of the domain above it."""
    labels = domain.split(".")
    for name in dict.fromkeys([domain, ".".join(labels[-2:]), ".".join(labels[-3:])] if len(labels) > 2 else [domain]):
        found = await _known(reader.txt(f"_dmarc.{name}"))
        if found is None:
            return None
        kept = [each for each in found if each.lower().replace(" ", "").startswith("v=dmarc1")]
        if kept:
            return kept
    return []


async def _lookups(reader: Dns, record: str, seen: set[str]) -> int:
    """How many look-ups an SPF record costs, those of included ones with it; counted no further than a few over."""
    count = 0
    for term in record.split()[1:]:
        if not _LOOKED_UP.match(term):
            continue
        count += 1
        nested = _NESTED.match(term)
        if nested is None or "%" in nested[1] or nested[1].lower() in seen or len(seen) > _DEEP:
            continue
        seen.add(nested[1].lower())
        texts = await _known(reader.txt(nested[1])) or []
        inner = next((each for each in texts if each.lower().split(" ")[0] == "v=spf1"), None)
        count += await _lookups(reader, inner, seen) if inner else 0
    return count


# -- judging ---------------------------------------------------------------------------------------


def _spf(sending: Sending, records: Records) -> Finding:
    about = {"domain": sending.return_domain}
    if records.spf is None:
        return Finding("spf", "unknown", "spf_unknown", about)
    if not records.spf:
        suggestion = "v=spf1 mx include:YOUR-PROVIDER ~all"
        return Finding("spf", "bad", "spf_none", about, sending.return_domain, suggestion)
    if len(records.spf) > 1:
        return Finding("spf", "bad", "spf_several", about)
    last = [term.lower() for term in records.spf[0].split()]
    if "+all" in last or "all" in last:
        return Finding("spf", "bad", "spf_everybody", about)
    if records.spf_lookups > SPF_LOOKUPS:
        return Finding("spf", "bad", "spf_lookups", {**about, "count": records.spf_lookups, "most": SPF_LOOKUPS})
    if not any(term in ("-all", "~all") or term.startswith("redirect=") for term in last):
        return Finding("spf", "warn", "spf_open", about)
    return Finding("spf", "good", "spf_good", about)


def _dkim(sending: Sending, records: Records) -> Finding:
    signer = sending.signer
    if signer is None:
        return Finding("dkim", "unknown", "dkim_by_others" if not sending.smtp else "dkim_none", {})
    wanted, name = record_of(signer.key), signer.record_name
    if records.dkim is None:
        return Finding("dkim", "unknown", "dkim_unknown", {"name": name}, name, wanted)
    if not records.dkim:
        return Finding("dkim", "bad", "dkim_missing", {"name": name}, name, wanted)
    if _tag(wanted, "p") not in [_tag(each, "p") for each in records.dkim]:
        return Finding("dkim", "bad", "dkim_other_key", {"name": name}, name, wanted)
    return Finding("dkim", "good" if sending.signs else "warn", "dkim_good" if sending.signs else "dkim_ready", {})


def _dmarc_finding(sending: Sending, records: Records) -> Finding:
    name, about = f"_dmarc.{sending.domain}", {"domain": sending.domain}
    if records.dmarc is None:
        return Finding("dmarc", "unknown", "dmarc_unknown", about)
    if not records.dmarc:
        return Finding("dmarc", "bad", "dmarc_none", about, name, "v=DMARC1; p=none")
    if len(records.dmarc) > 1:
        return Finding("dmarc", "bad", "dmarc_several", about)
    policy = _tag(records.dmarc[0], "p").lower()
    if policy not in ("none", "quarantine", "reject"):
        return Finding("dmarc", "bad", "dmarc_broken", about, name, "v=DMARC1; p=none")
    return Finding("dmarc", "good", "dmarc_watches" if policy == "none" else "dmarc_good", {**about, "policy": policy})


def _mx(sending: Sending, records: Records) -> Finding:
    about = {"domain": sending.domain}
    if records.mx is None:
        return Finding("mx", "unknown", "mx_unknown", about)
    if not records.mx or records.mx[0] == "":
        return Finding("mx", "bad", "mx_none", about)
    return Finding("mx", "good", "mx_good", {**about, "host": records.mx[0]})


def _return_path(sending: Sending, records: Records) -> Finding:
    about = {"domain": sending.return_domain, "from_domain": sending.domain}
    if not sending.smtp:
        return Finding("return_path", "good", "return_by_others", about)
    if not sending.own_return:
        return Finding("return_path", "warn", "return_plain", about)
    if not (_related(sending.return_domain, sending.domain)):
        return Finding("return_path", "warn", "return_foreign", about)
    if records.return_mx is None:
        return Finding("return_path", "unknown", "return_unknown", about)
    if not records.return_mx or records.return_mx[0] == "":
        return Finding("return_path", "bad", "return_nowhere", about)
    return Finding("return_path", "good", "return_good", about)


def _tls(sending: Sending) -> Finding:
    if not sending.smtp:
        return Finding("tls", "good", "tls_by_others")
    return Finding("tls", "good", "tls_good") if sending.encrypted else Finding("tls", "bad", "tls_none")


def _related(one: str, other: str) -> bool:
    """The same organisation, as far as names tell: one lies below the other, or below the same parent."""
    return one == other or one.endswith(f".{other}") or other.endswith(f".{one}") or _parent(one) == _parent(other)


def _parent(domain: str) -> str:
    labels = domain.split(".")
    return ".".join(labels[1:]) if len(labels) > 2 else domain


def _tag(record: str, name: str) -> str:
    parts = (part.partition("=") for part in record.split(";"))
    return next(("".join(value.split()) for tag, _, value in parts if tag.strip().lower() == name), "")


def _ascii(domain: str) -> str:
    try:
        return domain.lower() if domain.isascii() else domain.lower().encode("idna").decode()
    except UnicodeError:
        return ""
