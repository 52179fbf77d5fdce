"""A dovecot of its own for one test: private ports, private folder, one mailbox that files are put into."""

from __future__ import annotations

import asyncio
import getpass
import grp
import os
import pwd
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

USER, PASSWORD = "care", "canary-imap-password"

CONFIGURATION = """
base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/log
protocols = imap
listen = 127.0.0.1
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = 1
ssl = {ssl}
{certificate}
disable_plaintext_auth = no
auth_failure_delay = 0
mail_location = maildir:{folder}/mail
passdb {{
  driver = static
  args = user={name} password={password}
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={folder}/home
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {plain}
  }}
  inet_listener imaps {{
    port = {tls}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""


@dataclass
class Dovecot:
    """Started and stopped at will; the mailbox outlives a restart."""

    program: str
    folder: Path
    port: int
    tls_port: int
    certificate: tuple[Path, Path] | None = None
    _process: asyncio.subprocess.Process | None = field(default=None, repr=False)
    _count: int = 0

    async def start(self) -> None:
        """Write the configuration, start, wait until somebody answers. Raises `RuntimeError` with the server's log."""
        configuration = self.folder / "dovecot.conf"
        configuration.write_text(self._configuration())
        self._process = await asyncio.create_subprocess_exec(self.program, "-F", "-c", str(configuration))
        for _ in range(200):
            if self._process.returncode is not None:
                break
            if await _answers(self.port):
                return
            await asyncio.sleep(0.05)
        log = self.folder / "log"
        raise RuntimeError(f"dovecot did not start: {log.read_text() if log.exists() else 'no log'}")

    async def stop(self) -> None:
        """Stop it with all its children."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            await self._process.wait()
        self._process = None

    def put(self, raw: bytes) -> Path:
        """Deliver a mail, as a mail server would: whole in `tmp`, then moved."""
        self._count += 1
        name = f"17000000{self._count:04d}.M{self._count}P1.test"
        waiting, ready = self.folder / "mail" / "tmp" / name, self.folder / "mail" / "new" / name
        waiting.write_bytes(raw)
        _give(waiting)
        waiting.rename(ready)
        return ready

    def flags(self) -> list[str]:
        """What stands behind `:2,` in the name of each file: S for seen, T for deleted."""
        files = [*(self.folder / "mail" / "cur").iterdir(), *(self.folder / "mail" / "new").iterdir()]
        return [file.name.partition(":2,")[2] for file in files]

    def number_anew(self) -> None:
        """Forget the numbering, as a mailbox that was restored: UIDVALIDITY changes."""
        for file in (self.folder / "mail").glob("dovecot*"):
            file.unlink()

    def _configuration(self) -> str:
        name = _owner()
        group = grp.getgrgid(pwd.getpwnam(name).pw_gid).gr_name
        files = self.certificate
        certificate = f"ssl_cert = <{files[0]}\nssl_key = <{files[1]}" if files else ""
        return CONFIGURATION.format(
            folder=self.folder, user=name, group=group, ssl="yes" if files else "no", certificate=certificate,
            name=USER, password=PASSWORD, plain=self.port, tls=self.tls_port if files else 0,
        )  # fmt: skip


@asynccontextmanager
async def running(
    program: str, free_port: Callable[[], int], certificate: tuple[Path, Path] | None = None
) -> AsyncIterator[Dovecot]:
    """A started server with an empty mailbox; gone with its folder afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="dovecot-"))  # not below pytest's folder: another user must get there
    folder.chmod(0o755)
    for part in ("run", "home", "mail", "mail/cur", "mail/new", "mail/tmp"):
        (folder / part).mkdir()
        _give(folder / part)
    server = Dovecot(program, folder, free_port(), free_port(), certificate)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _owner() -> str:
    """Who owns the mailbox: ourselves; dovecot serves no mail as root, so root gives it to a user that owns nothing."""
    return "mail" if os.geteuid() == 0 else getpass.getuser()


def _give(path: Path) -> None:
    if os.geteuid() == 0:
        owner = pwd.getpwnam(_owner())
        os.chown(path, owner.pw_uid, owner.pw_gid)


async def _answers(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        async with asyncio.timeout(2):
            return (await reader.readline()).startswith(b"* OK")
    except (TimeoutError, OSError):
        return False
    finally:
        writer.close()
