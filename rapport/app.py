"""Mounts the doors: the desk with its API, and the webhooks beside it."""

from __future__ import annotations

from aiohttp import web

from base.errors import Misconfigured
from desk.app import build
from rapport.runtime import Runtime
from webhooks.mail import MailDoor
from webhooks.mail_listener import MailListener
from webhooks.routes import Door


def application(runtime: Runtime) -> web.Application:
    """The whole web application on an opened runtime."""
    app = build(runtime)
    app.add_routes(Door(runtime, max_inflight=runtime.settings.max_inflight).routes())
    return app


def mail_listener(runtime: Runtime) -> MailListener | None:
    """The listener for incoming mail, where `RAPPORT_MAIL_LISTEN` asks for one."""
    if not runtime.settings.mail_listen:
        return None
    host, port = mail_address(runtime.settings.mail_listen)
    door = MailDoor(runtime)
    return MailListener(host, port, door.accept, known_recipient=door.knows, protocol=runtime.settings.mail_protocol)


def mail_address(listen: str) -> tuple[str, int]:
    """Host and port of `RAPPORT_MAIL_LISTEN`. Raises `Misconfigured` when it names none."""
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit():
        raise Misconfigured("RAPPORT_MAIL_LISTEN looks like 127.0.0.1:8025.")
    return host.strip("[]"), int(port)
