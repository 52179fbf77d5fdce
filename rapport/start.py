"""What `rapport up` does between "the servers run" and "the roles start": shape, keys, first link, greeting."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import SecretStr

from base.settings import Settings
from rapport import keys, ports
from rapport.app import mail_address
from rapport.embedded import Servers, find_running
from rapport.migrations import migrate
from rapport.runtime import Runtime, open_runtime
from rapport.up import run

#: Where incoming mail is taken when nothing else is set, and when the port is free.
MAIL_HOST, MAIL_PORT = "127.0.0.1", 8025
PATIENCE_S = 8.0
#: The demo's pretended providers live on this machine.
LOOPBACK = "127.0.0.0/8"


async def run_up(settings: Settings, *, demo: bool, say: Callable[[str], None]) -> None:
    """Serve everything until told to stop."""
    here = _for_one_machine(settings, demo=demo)
    if find_running(settings.data) is None:  # else that is the refusal, a moment later
        await _require_ports(here)
    say("Starting the private servers …" if settings.mongo_url is None else "Starting …")
    await run(here, demo=demo, prepare=_prepare, say=say)


async def _require_ports(settings: Settings) -> None:
    """The roles of an `up` that was killed notice it within a second, and then give their ports back."""
    mend = "Stop what runs there, or give another one with --port."
    await ports.require_free_soon(settings.host, settings.port, mend, patience_s=PATIENCE_S)
    mend = "Give another one with RAPPORT_MAIL_LISTEN."
    await ports.require_free_soon(*mail_address(settings.mail_listen or ""), mend, patience_s=PATIENCE_S)


def _for_one_machine(settings: Settings, *, demo: bool) -> Settings:
    change: dict[str, object] = {}
    if settings.mail_listen is None:
        port = MAIL_PORT if ports.objection(MAIL_HOST, MAIL_PORT) is None else ports.any_free(MAIL_HOST)
        change["mail_listen"] = f"{MAIL_HOST}:{port}"
    if "base_url" not in settings.model_fields_set:
        host = "localhost" if settings.host in ("127.0.0.1", "0.0.0.0", "::") else settings.host  # noqa: S104
        change["base_url"] = f"http://{host}:{settings.port}"
    if demo and LOOPBACK not in settings.allow_private_addresses:
        change["allow_private_addresses"] = (*settings.allow_private_addresses, LOOPBACK)
    return settings.model_copy(update=change)


async def _prepare(settings: Settings, servers: Servers) -> str:
    keys.secret_box(settings, create=True)
    here = settings.model_copy(
        update={"mongo_url": SecretStr(servers.mongo_url), "redis_url": SecretStr(servers.redis_url)}
    )
    runtime = await open_runtime(here)
    try:
        await runtime.db.require_replica_set()
        await migrate(runtime.db)
        await runtime.push_keys.public()  # made at the first start
        return await _greeting(runtime)
    finally:
        await runtime.close()


async def _greeting(runtime: Runtime) -> str:
    lines = [f"\nRapport is at {runtime.settings.base_url}", f"Mail is taken at {runtime.settings.mail_listen}"]
    secret = await runtime.accounts.first_administrator_link()
    if secret is not None:
        link = f"{runtime.settings.base_url}/welcome/{secret}"
        lines.append(f"Nobody can sign in yet. Set the first administrator's password here, once:\n  {link}")
    lines.append("Ctrl-C stops everything in order.")
    return "\n".join(lines)
