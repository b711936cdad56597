"""A real server process on 127.0.0.1: its configuration is written to a folder, its ports are free ones.

Clients talk plain HTTP to it. With an authority it also serves federation by TLS, under a server name that is its
address (`127.0.0.1:PORT`), so that servers find each other without DNS.
"""

import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from ctypes import CDLL
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import yaml

from tests.harness.certificates import Authority
from tests.harness.live_client import LiveUser, Requests

HOST = "127.0.0.1"
START_SECONDS = 60.0
STOP_SECONDS = 10.0
_PORTS = (20_000, 32_000)  # below those that the system gives to outgoing connections
_PR_SET_PDEATHSIG = 1

_next_port = _PORTS[0] + time.time_ns() % (_PORTS[1] - _PORTS[0])


class ProcessFailed(AssertionError):
    """A server did not do as it was told; the text has the end of its log."""


def free_port() -> int:
    """Return a port that nobody listens on, and that no outgoing connection will be given."""
    global _next_port
    while True:
        _next_port = _next_port + 1 if _next_port + 1 < _PORTS[1] else _PORTS[0]
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, _next_port))
            except OSError:
                continue
            return _next_port


class Child:
    """A program under test. It does not outlive us."""

    def __init__(
        self,
        arguments: list[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.log = log
        self._start = log.stat().st_size if log.exists() else 0
        library = CDLL(None)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                cwd=cwd,
                start_new_session=True,
                # A single system call. The kernel looks at the thread that starts the child: let that be the main one.
                preexec_fn=lambda: library.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0),  # noqa: PLW1509 - no Python lock is taken
            )

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.poll()

    def wait_until(self, ready: Callable[[], bool], seconds: float = START_SECONDS) -> float:
        """Wait until it is ready; gives the seconds that took. Raises ProcessFailed."""
        begun = time.monotonic()
        while not ready():
            if self.status is not None:
                raise ProcessFailed(f"it ended with status {self.status}:\n{self.said()}")
            if time.monotonic() - begun > seconds:
                raise ProcessFailed(f"it was not ready after {seconds:.0f} s:\n{self.said()}")
            time.sleep(0.02)
        return time.monotonic() - begun

    def said(self, size: int = 6000) -> str:
        """The end of what it wrote."""
        with self.log.open("rb") as file:
            file.seek(self._start)
            return file.read()[-size:].decode(errors="replace")

    def send(self, signal_number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.status is None:
            self._process.send_signal(signal_number)

    def end(self, signal_number: int = signal.SIGTERM, seconds: float = STOP_SECONDS) -> float:
        """Send a signal and wait for the end; gives the seconds that took. Raises ProcessFailed."""
        begun = time.monotonic()
        self.send(signal_number)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise ProcessFailed(
                f"it ran on for {seconds:.0f} s after signal {signal_number}:\n{self.said()}"
            ) from None
        return time.monotonic() - begun


class ServerProcess(ABC):
    """A homeserver as a process, whoever made it."""

    port: int
    child: Child | None

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return f"http://{HOST}:{self.port}"

    @property
    def running(self) -> Child:
        """Its process. Raises AssertionError before the first start."""
        assert self.child is not None, "not started yet"
        return self.child

    @abstractmethod
    def launch(self) -> None:
        """Start it without waiting."""

    def start(self) -> float:
        """Start it and wait until it answers; gives the seconds that took."""
        self.launch()
        return self.wait_until_ready()

    def wait_until_ready(self, seconds: float = START_SECONDS) -> float:
        """Wait until it answers that all is well; gives the seconds that took."""
        health = Requests(self.url, timeout=5.0)
        return self.running.wait_until(lambda: health.answers("/health"), seconds)

    def kill(self) -> None:
        """`kill -9`."""
        self.running.end(signal.SIGKILL)

    def discard(self) -> None:
        """Whatever state it is in: it is gone afterwards."""
        if self.child is not None and self.child.status is None:
            try:
                self.child.end(signal.SIGTERM)
            except ProcessFailed:
                self.child.end(signal.SIGKILL)

    def register(self, name: str, password: str = "correct horse battery") -> LiveUser:
        """Make an account and log in."""
        return LiveUser.register(self.url, name, password)


@dataclass
class HomeserverProcess(ServerProcess):
    """One of our servers. `dsn`: its database; None for the PostgreSQL it embeds."""

    folder: Path
    dsn: str | None = None
    authority: Authority | None = None
    server_name: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    tls_port: int | None = None
    child: Child | None = None
    _transactions: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        if self.authority and self.tls_port is None:
            self.tls_port = free_port()
        self.server_name = self.server_name or (f"{HOST}:{self.tls_port}" if self.tls_port else "system.test")
        self._write()

    @property
    def config(self) -> Path:
        """Its configuration file."""
        return self.folder / "homeserver.yaml"

    @property
    def log(self) -> Path:
        """What it writes."""
        return self.folder / "homeserver.log"

    def launch(self) -> None:
        """Start it without waiting."""
        arguments = [sys.executable, "-m", "homeserver", "run", "-c", str(self.config)]
        self.child = Child(arguments, self.log)

    def stop(self, signal_number: int = signal.SIGINT, seconds: float = STOP_SECONDS) -> float:
        """Ask it to end and wait for that; gives the seconds that took. Raises ProcessFailed for a bad status."""
        taken = self.running.end(signal_number, seconds)
        if self.running.status:
            raise ProcessFailed(f"it ended with status {self.running.status}:\n{self.running.said()}")
        return taken

    def _write(self) -> None:
        settings: dict[str, Any] = {
            "server_name": self.server_name,
            "public_baseurl": f"{self.url}/",
            "data_dir": str(self.folder / "data"),
            "listeners": [
                {"bind": HOST, "port": self.port, "serves": ["client", "federation", "metrics"]},
                *self._tls_listeners(),
            ],
            "registration": {"mode": "open", "shared_secret": "system tests"},
            "rate_limits": {"enabled": False},
            "passwords": {"time_cost": 1, "memory": "8KiB"},
            "log": {"level": "info", "format": "json"},
        }
        if self.dsn:
            settings["database"] = {"dsn": self.dsn, "connections": 4}
        if self.authority:
            authority = self.authority.write(self.folder / "ca.pem")
            settings["federation"] = {"ca_file": str(authority), "allow_networks": ["127.0.0.0/8"]}
        self.config.write_text(yaml.safe_dump({**settings, **self.settings}))

    def _tls_listeners(self) -> list[dict[str, Any]]:
        if self.authority is None:
            return []
        certificate, private_key = self.authority.leaf([HOST, "localhost"]).write(self.folder)
        tls = {"certificate": str(certificate), "private_key": str(private_key)}
        return [{"bind": HOST, "port": self.tls_port, "serves": ["federation", "client"], "tls": tls}]


class Server(Protocol):
    """What can be started and discarded, ours or not."""

    def launch(self) -> None: ...
    def wait_until_ready(self) -> float: ...
    def discard(self) -> None: ...


@contextmanager
def running(*servers: Server) -> Iterator[None]:
    """Start servers that do not run yet; all are gone at the end."""
    try:
        for server in servers:
            server.launch()
        for server in servers:
            server.wait_until_ready()
        yield
    finally:
        for server in servers:
            server.discard()
