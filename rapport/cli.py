"""The command line. Each command opens what it needs, does one thing, and says in a sentence when it cannot."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click

from base import logs
from base.errors import Misconfigured, RapportError
from base.mongo import UNAVAILABLE
from base.secret_box import SecretBox
from base.settings import Settings, load
from desk.store import ROLES, Role
from rapport.embedded import find_running
from rapport.runtime import Runtime, open_runtime


def main() -> None:
    """Entry point: known faults become one clear line and exit code 1, never a traceback."""
    try:
        cli(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (Misconfigured, RapportError) as error:
        click.echo(f"rapport: {error}", err=True)
        sys.exit(1)
    except UNAVAILABLE as error:
        click.echo(f"rapport: the database does not answer ({type(error).__name__}).", err=True)
        sys.exit(1)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data", type=click.Path(path_type=Path), help="Data directory (RAPPORT_DATA).")
@click.pass_context
def cli(context: click.Context, data: Path | None) -> None:
    """Rapport: every customer, on every channel, known as one person."""
    context.obj = {"data": data}


def _data_option(command: Any) -> Any:
    """`--data` is accepted after the command, too."""
    return click.option("--data", "data_here", type=click.Path(path_type=Path), help="Data directory.")(command)


def settings_for(context: click.Context, data: Path | None, **overrides: Any) -> Settings:
    """Settings with the command line on top, logs set up; finds the servers of a running `up`."""
    settings = load(data=data or context.obj["data"], **overrides)
    logs.configure(settings.log_level, settings.log_format)
    running = find_running(settings.data)
    if running is None:
        return settings
    found = {"mongo_url": running.mongo_url, "redis_url": running.redis_url, "base_url": running.base_url}
    given = {name: value for name, value in found.items() if value and name not in settings.model_fields_set}
    return load(data=data or context.obj["data"], **overrides, **given)


def need_servers(settings: Settings) -> Settings:
    """Refuse with what to do when there is no database to work on."""
    if settings.mongo_url is None or settings.redis_url is None:
        raise Misconfigured(
            "No servers. Set RAPPORT_MONGO_URL and RAPPORT_REDIS_URL, or run `rapport up` on this data directory "
            "first (./run up)."
        )
    return settings


async def _with_runtime(settings: Settings, work: Any) -> Any:
    runtime = await open_runtime(need_servers(settings))
    try:
        return await work(runtime)
    finally:
        await runtime.close()


def password_link(settings: Settings, secret: str) -> str:
    """Where a person sets the password."""
    return f"{settings.base_url}/welcome/{secret}"


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


@cli.command()
@click.option("--demo", is_flag=True, help="Load sample data and start the provider simulator.")
@click.option("--host", help="Address to listen on (127.0.0.1).")
@click.option("--port", type=int, help="Port to listen on (8080).")
@_data_option
@click.pass_context
def up(context: click.Context, demo: bool, host: str | None, port: int | None, data_here: Path | None) -> None:
    """Everything on this machine: private servers, web, worker."""
    from rapport.start import run_up

    settings = load(data=data_here or context.obj["data"], host=host, port=port)
    logs.configure(settings.log_level, settings.log_format)
    _run(run_up(settings, demo=demo, say=click.echo))


@cli.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on.")
@click.option("--parent", type=int, hidden=True)
@_data_option
@click.pass_context
def web(context: click.Context, host: str | None, port: int | None, parent: int | None, data_here: Path | None) -> None:
    """One web process. Run as many as you like."""
    from rapport.serve import serve_web

    settings = need_servers(settings_for(context, data_here, host=host, port=port))
    _run(serve_web(settings, parent=parent))


@cli.command()
@click.option("--parent", type=int, hidden=True)
@_data_option
@click.pass_context
def worker(context: click.Context, parent: int | None, data_here: Path | None) -> None:
    """One worker process. Run as many as you like."""
    from rapport.serve import serve_worker

    _run(serve_worker(need_servers(settings_for(context, data_here)), parent=parent))


@cli.command()
@_data_option
@click.pass_context
def check(context: click.Context, data_here: Path | None) -> None:
    """Look at everything this deployment needs; exit 1 when something is wrong."""
    from rapport.check import findings

    settings = settings_for(context, data_here)

    async def look(runtime: Runtime) -> bool:
        fine = True
        async for finding in findings(settings, runtime.box, runtime.db, runtime.bus, runtime.channels):
            click.echo(f"{'ok  ' if finding.ok else 'FAIL'} {finding.subject}: {finding.text}")
            fine = fine and finding.ok
        return fine

    if not _run(_with_runtime(settings, look)):
        sys.exit(1)


@cli.command()
@_data_option
@click.pass_context
def migrate(context: click.Context, data_here: Path | None) -> None:
    """Create the indexes this version needs. Repeatable."""
    from rapport.migrations import migrate as bring_up

    settings = settings_for(context, data_here)
    count = _run(_with_runtime(settings, lambda runtime: bring_up(runtime.db)))
    click.echo(f"{count} collections are in shape.")


@cli.command()
@click.option("--into", help="Your own MongoDB: an empty server (mongodb://…) that takes the place of the present one.")
@_data_option
@click.pass_context
def scrub(context: click.Context, into: str | None, data_here: Path | None) -> None:
    """Write the database anew, so that erased people are in none of its files. Stop everything else first."""
    from rapport.scrub import scrub as write_anew
    from rapport.scrub import scrub_into

    settings = load(data=data_here or context.obj["data"])
    logs.configure(settings.log_level, settings.log_format)
    if settings.mongo_url is None and into is not None:
        raise Misconfigured("--into is for a MongoDB of your own (RAPPORT_MONGO_URL): the private one needs no other.")
    if settings.mongo_url is None:
        done = _run(write_anew(settings.data, settings.database, click.echo))
    elif into is not None:
        url = settings.mongo_url.get_secret_value()
        done = _run(scrub_into(url, into, settings.database, click.echo))
        click.echo("Now set RAPPORT_MONGO_URL to the new server, start everything, delete the files of the former one.")
    else:
        raise Misconfigured(
            "RAPPORT_MONGO_URL names your own MongoDB: give an empty server with --into mongodb://…, or see "
            "docs/privacy.md for other ways."
        )
    size = f"{done.bytes_before / 1e6:.0f} MB before, {done.bytes_after / 1e6:.0f} MB now"
    click.echo(f"{done.documents} documents in {done.seconds:.0f} s ({size}). {done.erasures} erasures are complete.")


@cli.group()
def user() -> None:
    """People who sign in."""


@user.command("add")
@click.argument("email")
@click.option("--role", type=click.Choice(ROLES), required=True)
@click.option("--name", default="", help="Shown to colleagues.")
@_data_option
@click.pass_context
def user_add(context: click.Context, email: str, role: Role, name: str, data_here: Path | None) -> None:
    """Add a person and print the link that sets the password, once."""
    settings = settings_for(context, data_here)

    async def add(runtime: Runtime) -> str:
        _, secret = await runtime.accounts.invite(email, name or email.split("@", 1)[0], role)
        return password_link(settings, secret)

    click.echo(_run(_with_runtime(settings, add)))


@cli.group()
def token() -> None:
    """Programs that call the API."""


@token.command("add")
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), required=True)
@click.option("--channel", "channels", multiple=True, help="Limit to this channel id; repeatable.")
@_data_option
@click.pass_context
def token_add(context: click.Context, name: str, role: Role, channels: tuple[str, ...], data_here: Path | None) -> None:
    """Print a new API token, once."""
    settings = settings_for(context, data_here)

    async def add(runtime: Runtime) -> str:
        secret, _ = await runtime.accounts.new_token(name, role, channels=list(channels) or None)
        return secret

    click.echo(_run(_with_runtime(settings, add)))


@cli.group()
def key() -> None:
    """Keys that seal the credentials of channels."""


@key.command("new")
def key_new() -> None:
    """Print a fresh key for RAPPORT_SECRET_KEYS."""
    click.echo(SecretBox.new_key())


@cli.command()
@click.option("--id", "delivery_id", help="One delivery.")
@click.option("--channel", help="All of a channel.")
@click.option("--state", type=click.Choice(["dead", "quarantined", "done"]), help="Only those in this state.")
@click.option("--since", type=click.DateTime(), help="Received at or after this time (UTC).")
@click.option("--until", type=click.DateTime(), help="Received before this time (UTC).")
@_data_option
@click.pass_context
def replay(context: click.Context, /, data_here: Path | None, **chosen: Any) -> None:
    """Process kept webhooks again. Effects stay unique: nothing is doubled."""
    from rapport.replay import chosen_deliveries

    settings = settings_for(context, data_here)
    where = chosen_deliveries(**chosen)

    async def again(runtime: Runtime) -> int:
        count = await runtime.journal.again(where)
        await runtime.doorbell.ring("ingest")
        return count

    click.echo(f"{_run(_with_runtime(settings, again))} deliveries are processed again.")


@cli.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--existing",
    type=click.Choice(["fill", "overwrite", "skip"]),
    default="fill",
    show_default=True,
    help="People whom we know: fill in what is empty, overwrite, or leave alone.",
)
@click.option("--map", "mapped", multiple=True, metavar="COLUMN=TARGET", help="What a column is; repeatable.")
@click.option("--tag", "tags", multiple=True, help="Tag for everybody in the file; repeatable.")
@click.option(
    "--region",
    default="",
    metavar="DE",
    help="Country of phone numbers without one, where the row's own address says none.",
)
@click.option("--evidence", default="", help="How people agreed, for columns of consent.")
@click.option("--verified", is_flag=True, help="Addresses are proved: they come from accounts or orders.")
@click.option("--journeys", is_flag=True, help="Let journeys begin because of it.")
@click.option("--errors", type=click.Path(dir_okay=False, path_type=Path), help="Write rows that are not taken here.")
@click.option("--dry-run", is_flag=True, help="Say what would change, change nothing.")
@_data_option
@click.pass_context
def import_people(context: click.Context, /, file: Path, data_here: Path | None, **chosen: Any) -> None:
    """Bring profiles from a CSV, XLSX, JSON-lines or vCard file. Exit 0: all rows taken; 3: some were not; 1: none."""
    from rapport.lists import import_file

    settings = settings_for(context, data_here)
    sys.exit(_run(_with_runtime(settings, lambda runtime: import_file(runtime, file, click.echo, **chosen))))


@cli.command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--format", "kind", type=click.Choice(["csv", "xlsx", "jsonl", "vcf"]), help="Else by the file's name.")
@click.option(
    "--headings",
    type=click.Choice(["keys", "en", "zh"]),
    default="keys",
    show_default=True,
    help="Of CSV and XLSX: as the API names the fields, or in words.",
)
@click.option("--q", help="Beginnings of names, addresses, numbers.")
@click.option("--tag", help="Only people with this tag.")
@click.option("--stage", help="Only people in this stage.")
@click.option("--tier", help="Only people in this tier.")
@click.option("--role", help="Only people in this role.")
@click.option("--owner", "owner_id", help="Only people of this colleague (usr_…).")
@click.option("--segment", help="Only members of this segment (seg_…).")
@_data_option
@click.pass_context
def export_people(
    context: click.Context, /, file: Path, kind: str | None, headings: Any, data_here: Path | None, **narrowed: Any
) -> None:
    """Write profiles into FILE as CSV, XLSX, JSON lines or vCards. Exit 0: written; 1: not."""
    from rapport.lists import export_file

    settings = settings_for(context, data_here)
    sys.exit(
        _run(_with_runtime(settings, lambda runtime: export_file(runtime, file, kind, narrowed, click.echo, headings)))
    )


@cli.group()
def demo() -> None:
    """Sample data and pretended providers."""


@demo.command("play")
@click.option("--parent", type=int, hidden=True)
@_data_option
@click.pass_context
def demo_play(context: click.Context, parent: int | None, data_here: Path | None) -> None:
    """Play the providers and the customers of the demo (started by `up --demo`)."""
    from rapport.demo.play import play

    _run(play(need_servers(settings_for(context, data_here)), parent=parent, say=click.echo))


@demo.command("simulate")
@click.option("--rate", default=5.0, help="Webhooks per second.")
@click.option("--seconds", default=30.0, help="For how long.")
@click.option("--provider", default="whatsapp", help="Whose webhooks.")
@_data_option
@click.pass_context
def demo_simulate(context: click.Context, rate: float, seconds: float, provider: str, data_here: Path | None) -> None:
    """Post signed provider webhooks at a given rate."""
    from rapport.demo.simulate import simulate

    settings = need_servers(settings_for(context, data_here))
    running = find_running(settings.data)
    if running is not None and settings.mail_listen is None:
        settings = settings.model_copy(update={"mail_listen": running.mail_listen or None})
    click.echo(_run(simulate(settings, provider=provider, rate=rate, seconds=seconds)))
