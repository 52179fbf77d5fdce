"""Settings → Channels → Deliverability: what receivers ask of a sending domain, what is missing, and what to do."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from base.clock import now
from base.errors import NotFound
from channels.adapter import Account
from channels.providers.mail.deliverability import Finding, Sending, judged, read_records, sending_of
from channels.providers.mail.dkim import new_key, record_of
from channels.store import Channel
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_
from desk.keys import runtime_of
from desk.pages.channels import channel_of
from desk.render import page

routes = web.RouteTableDef()
TOPICS = {
    "spf": "SPF", "dkim": "DKIM", "dmarc": "DMARC", "mx": N_("Incoming mail (MX)"),
    "return_path": N_("Return path"), "tls": N_("Encryption"),
}  # fmt: skip
TONES = {"good": N_("Good"), "warn": N_("Could be better"), "bad": N_("Missing"), "unknown": N_("Not known")}
#: Code → what is so, and what to do.
SAID = {
    "spf_good": (N_("%(domain)s names the servers that may send for it."), ""),
    "spf_none": (N_("%(domain)s does not say which servers may send for it."),
                 N_("Add this text record. Replace YOUR-PROVIDER by the name your mail provider tells you.")),
    "spf_several": (N_("%(domain)s has several SPF records, so none counts."), N_("Join them into one record.")),
    "spf_everybody": (N_("%(domain)s lets everybody send for it."), N_("End the record with ~all in place of +all.")),
    "spf_open": (N_("The SPF record of %(domain)s does not say what to do with other servers."),
                 N_("End the record with ~all.")),
    "spf_lookups": (N_("The SPF record of %(domain)s needs %(count)s look-ups; after %(most)s receivers give up."),
                    N_("Take out what does not send for you any more.")),
    "spf_unknown": (N_("The records of %(domain)s could not be read now."), N_("Look again later.")),
    "dkim_good": (N_("Every mail is signed, and the key stands in the DNS."), ""),
    "dkim_ready": (N_("The key stands in the DNS. Mails are not signed with it yet."), N_("Begin to sign now.")),
    "dkim_missing": (N_("There is a key, but %(name)s does not exist yet."),
                     N_("Add this text record. It may take an hour until everybody sees it.")),
    "dkim_other_key": (N_("%(name)s holds another key than ours: signatures would be refused."),
                       N_("Replace the record by this one.")),
    "dkim_none": (N_("We sign nothing. Perhaps your mail server does; that cannot be seen from here."),
                  N_("If your server does not sign, make a key here.")),
    "dkim_by_others": (N_("Your provider signs. What the DNS has to hold for it stands in its settings."), ""),
    "dkim_unknown": (N_("%(name)s could not be read now."), N_("Look again later.")),
    "dmarc_good": (N_("%(domain)s tells receivers what to do with forged mail (%(policy)s)."), ""),
    "dmarc_watches": (N_("%(domain)s has a DMARC record that only watches, which is enough for large receivers."),
                      ""),
    "dmarc_none": (N_("%(domain)s has no DMARC record. Google and Yahoo want one of who sends many mails."),
                   N_("Add this text record. It changes nothing about your mail and can be made stricter later.")),
    "dmarc_several": (N_("%(domain)s has several DMARC records, so none counts."), N_("Keep one of them.")),
    "dmarc_broken": (N_("The DMARC record of %(domain)s cannot be read."), N_("Replace it by this one.")),
    "dmarc_unknown": (N_("The records of %(domain)s could not be read now."), N_("Look again later.")),
    "mx_good": (N_("Answers to %(domain)s are taken by %(host)s."), ""),
    "mx_none": (N_("%(domain)s takes no mail: nobody can answer, and many receivers refuse such senders."),
                N_("Add an MX record that names your mail server.")),
    "mx_unknown": (N_("The records of %(domain)s could not be read now."), N_("Look again later.")),
    "return_good": (N_("Every mail has a return address of its own, so each bounce is known."), ""),
    "return_plain": (N_("Bounces come to the address of the channel. Those that quote nothing are not known."),
                     N_("Enter a return address in the channel's settings, if your server lets it be the sender.")),
    "return_foreign": (N_("The return address lies at %(domain)s, mails come from %(from_domain)s: SPF does not count "
                          "for DMARC then."), N_("Use a return address at your own domain, or sign with DKIM.")),
    "return_nowhere": (N_("%(domain)s takes no mail, so bounces are lost."),
                       N_("Add an MX record, or enter another return address.")),
    "return_unknown": (N_("The records of %(domain)s could not be read now."), N_("Look again later.")),
    "return_by_others": (N_("Your provider takes bounces and tells us."), ""),
    "tls_good": (N_("Mails leave for your server over an encrypted line."), ""),
    "tls_none": (N_("Mails leave for your server over a line that anybody on the way can read."),
                 N_("Choose starttls or tls in the channel's settings, unless the server runs on this machine.")),
    "tls_by_others": (N_("Mails leave for your provider over an encrypted line."), ""),
}  # fmt: skip


@routes.get("/settings/channels/{channel_id}/deliverability")
@require("viewer")
async def show(request: web.Request) -> web.StreamResponse:
    """All findings, read now."""
    channel, account, sending = await _mail_channel(request)
    findings = judged(sending, await read_records(runtime_of(request).dns, sending))
    own_key = account.settings.dkim_private_key.get_secret_value() if sending.smtp else ""
    values = {
        "channel": channel, "findings": findings, "topics": TOPICS, "tones": TONES, "said_of": SAID,
        "domain": sending.domain, "may_change": principal_of(request).may("admin"), "smtp": sending.smtp,
        "has_key": bool(own_key), "signs": sending.signs, "ready": _stands(findings),
        "key": _record(sending, own_key),
    }  # fmt: skip
    return await page(request, "settings/deliverability.html", values)


@routes.post("/settings/channels/{channel_id}/deliverability")
@require("admin")
async def act(request: web.Request) -> web.StreamResponse:
    """`make`: a signing key, not used yet. `sign`, `stop`: use it, or no more."""
    channel, account, sending = await _mail_channel(request)
    do, runtime = str((await read_form(request)).get("do", "")), runtime_of(request)
    own_key = account.settings.dkim_private_key.get_secret_value() if sending.smtp else ""
    change: dict[str, Any] = {}
    if do == "make" and sending.smtp and not own_key:
        key = await asyncio.to_thread(new_key)
        change = {"dkim_private_key": key, "dkim_selector": f"rapport{now():%Y%m}", "dkim_on": False}
    elif do in ("sign", "stop") and own_key:
        change = {"dkim_on": do == "sign"}
    if change:
        await runtime.channels.update(channel.id, settings=change)
    raise web.HTTPSeeOther(f"/settings/channels/{channel.id}/deliverability")


async def _mail_channel(request: web.Request) -> tuple[Channel, Account, Sending]:
    channel = await channel_of(request)
    account = await runtime_of(request).channels.account(channel.id)
    sending = sending_of(account.settings, channel.provider) if account is not None else None
    if sending is None:
        raise NotFound("This channel sends no mail from an address of its own.")
    return channel, account, sending


def _stands(findings: list[Finding]) -> bool:
    return any(each.code in ("dkim_good", "dkim_ready") for each in findings)


def _record(sending: Sending, key: str) -> tuple[str, str] | None:
    """Name and text of the record of our key."""
    return (sending.signer.record_name, record_of(key)) if sending.signer and key else None
