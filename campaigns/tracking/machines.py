"""Who called: a person, or a machine that looks at everything. Tables of what is known of machines, and rules. Pure.

A hit is judged twice: at the door by what the call says of itself, and some seconds later by its neighbours, when it is
seen whether all links of the message were followed at once. The reason is a stable code:

| code | means |
|---|---|
| `head_request` | it asked for the head alone; browsers of people do not |
| `prefetch` | the browser says that nobody has asked for it yet |
| `no_agent` | it does not say what it is |
| `scanner`, `preview`, `program` | a link scanner, a chat's preview, a program, by its own name |
| `apple_mpp`, `gmail_proxy`, `outlook`, `yahoo_proxy` | a mail provider fetched it, whether or not somebody read |
| `network` | an address of a company whose machines follow links |
| `too_soon` | sooner after the hand-over than anybody can read |
| `honeypot` | the same visit followed a link that nobody can see |
| `burst` | the same visit followed all links, or many of them, at once |
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from campaigns.tracking.tokens import HONEYPOT, PIXEL

#: What agents call themselves → the code. Read in this order, whatever the case.
AGENTS: tuple[tuple[str, str], ...] = (
    (r"googleimageproxy|ggpht\.com", "gmail_proxy"),
    (r"yahoomailproxy|yahoocachesystem", "yahoo_proxy"),
    (r"safelinks|microsoft office existence|ms-office; msoffice|microsoft outlook.*linkpreview", "outlook"),
    (r"barracuda|mimecast|proofpoint|trendmicro|symantec|messagelabs|fireeye|forcepoint|ironport|sophos|zscaler"
     r"|checkpoint|cloudmark|avanan|urldefense|kaspersky|bitdefender|google-safety|virustotal|urlscan", "scanner"),
    (r"whatsapp/|telegrambot|slackbot|slack-imgproxy|facebookexternalhit|facebookcatalog|twitterbot|linkedinbot"
     r"|discordbot|skypeuripreview|viber|line-?poker|linespider|wechat.*preview|pinterestbot|redditbot|embedly"
     r"|iframely|applebot|googlebot|google-pagerenderer|bingbot|bingpreview|yandexbot|baiduspider|bytespider",
     "preview"),
    (r"^(curl|wget|python|go-http-client|java|okhttp|axios|node|ruby|perl|libwww|php|apache-httpclient|httpie|aiohttp)\b"
     r"|headlesschrome|phantomjs|\bbot\b|crawler|spider|scanner|monitoring|uptime", "program"),
)  # fmt: skip
#: Apple's privacy protection fetches every picture under this bare name.
_BARE_AGENT = "mozilla/5.0"
#: Networks from which machines call. Published or registered by the companies themselves; read 2026-11-28.
NETWORKS: tuple[tuple[str, str], ...] = (
    ("17.0.0.0/8", "apple_mpp"),
    ("66.102.0.0/20", "gmail_proxy"), ("66.249.64.0/19", "gmail_proxy"), ("64.233.160.0/19", "gmail_proxy"),
    ("72.14.192.0/18", "gmail_proxy"), ("74.125.0.0/16", "gmail_proxy"),
    ("40.92.0.0/15", "outlook"), ("40.107.0.0/16", "outlook"), ("52.100.0.0/14", "outlook"),
    ("104.47.0.0/17", "outlook"),
    ("205.220.160.0/19", "network"), ("148.163.128.0/19", "network"), ("67.231.144.0/20", "network"),  # Proofpoint
    ("205.139.110.0/23", "network"), ("207.211.30.0/23", "network"), ("103.96.20.0/22", "network"),  # Mimecast
    ("64.235.144.0/20", "network"), ("209.222.80.0/21", "network"),  # Barracuda
)  # fmt: skip
#: Whoever follows a link sooner than this after the hand-over has not read: in mail, and in a chat that was open.
TOO_SOON: Mapping[str, timedelta] = {"email": timedelta(seconds=5), "chat": timedelta(seconds=1)}
#: Hits this close together are one visit.
VISIT = timedelta(seconds=2)
#: How long a hit waits for its neighbours.
PATIENCE = timedelta(seconds=4)
#: So many links of one message in one visit are followed by no hand.
MANY = 4


@dataclass(frozen=True)
class Caller:
    """What a call says of itself. `address`: who is at the other end; it is judged here and kept nowhere."""

    method: str
    agent: str
    address: str
    prefetch: bool = False


@dataclass(frozen=True)
class Hit:
    """One call of a link or a picture of a send. `bot`: what the door made of it."""

    link_id: str
    at: datetime
    bot: str | None = None


def at_the_door(caller: Caller) -> str | None:
    """The code of a machine that is known as such; None: perhaps a person."""
    if caller.method == "HEAD":
        return "head_request"
    if caller.prefetch:
        return "prefetch"
    agent = caller.agent.strip().lower()
    if not agent:
        return "no_agent"
    if agent == _BARE_AGENT:
        return "apple_mpp"
    for pattern, code in _agents():
        if pattern.search(agent):
            return code
    return _network(caller.address)


def by_neighbours(
    hit: Hit, others: Sequence[Hit], *, links: int, handed_at: datetime | None, channel_kind: str
) -> str | None:
    """The code of a machine once the whole visit is seen. `others`: all hits of the same send; `links`: how many links
    with a target it has."""
    if hit.bot is not None:
        return hit.bot
    soon = TOO_SOON["email" if channel_kind == "email" else "chat"]
    if handed_at is not None and hit.at - handed_at < soon:
        return "too_soon"
    visit = [each for each in others if abs(each.at - hit.at) <= VISIT]
    if hit.link_id == HONEYPOT or any(each.link_id == HONEYPOT for each in visit):
        return "honeypot"
    followed = {each.link_id for each in visit if each.link_id not in (PIXEL, HONEYPOT)} - {""}
    if hit.link_id != PIXEL:
        followed.add(hit.link_id)
    if len(followed) >= MANY or (links > 1 and len(followed) >= links):
        return "burst"
    return None


@lru_cache(maxsize=1)
def _agents() -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(pattern), code) for pattern, code in AGENTS)


def _network(address: str) -> str | None:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    found = getattr(found, "ipv4_mapped", None) or found
    return next((code for network, code in _networks() if found in network), None)


@lru_cache(maxsize=1)
def _networks() -> tuple[tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, str], ...]:
    return tuple((ipaddress.ip_network(network), code) for network, code in NETWORKS)
