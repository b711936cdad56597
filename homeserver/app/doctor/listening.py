"""The addresses of the configuration: free, served by this very server, or taken by somebody else."""

import errno
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from config.config import Config
from config.listeners import Listener, address_of
from federation.wire.keys import OWN, ServerKeys
from homeserver.app.doctor.findings import Finding, fail, ok, warn

_SECONDS = 5.0
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True, slots=True)
class Listening:
    """What was found of all listeners; `running` where one of them is served by this server."""

    findings: list[Finding]
    running: bool


def check_listeners(config: Config) -> Listening:
    """Try to listen on each address, and ask who does where that is impossible."""
    findings = [_look_at(listener, config) for listener in config.listeners]
    running = any(finding.text.endswith(_OURS) for finding in findings)
    return Listening([*findings, *_half_open(findings, running)], running)


_OURS = "this server listens there"


def _look_at(listener: Listener, config: Config) -> Finding:
    address = address_of(listener)
    if listener.port == 0:
        return ok("port", f"{address}: the system will choose one")
    try:
        _try_to_bind(listener)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return _who_is_there(listener, config)
        return fail("port", f"{address}: {error.strerror}", _remedy(error))
    return ok("port", f"{address} is free: the server does not run there")


def _half_open(findings: list[Finding], running: bool) -> Iterator[Finding]:
    if running and any("is free" in finding.text for finding in findings):
        yield warn(
            "port",
            "the server that runs does not listen on all addresses of this configuration",
            "start it again after a change",
        )


def _try_to_bind(listener: Listener) -> None:
    if listener.unix is not None:
        _try_to_bind_unix(listener)
        return
    family = socket.AF_INET6 if ":" in listener.bind else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((listener.bind, listener.port or 0))


def _try_to_bind_unix(listener: Listener) -> None:
    """A socket that nobody answers is left over from a server that was killed, and the next start removes it."""
    path = listener.unix
    if path is None or not path.exists():
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return
    raise OSError(errno.EADDRINUSE, "in use")


def _remedy(error: OSError) -> str:
    if error.errno == errno.EACCES:
        return "ports below 1024 need a capability (AmbientCapabilities=CAP_NET_BIND_SERVICE): let a proxy have them"
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine does not have the address: `ip address` lists those it has"
    return "name another address in `listeners`"


def _who_is_there(listener: Listener, config: Config) -> Finding:
    address = address_of(listener)
    try:
        name = _name_of_server(listener, config)
    except (OSError, ValueError) as error:
        return fail(
            "port",
            f"{address} is taken by a program that does not answer like a Meridian server ({error})",
            f"stop it (`ss -ltnp` shows which), or name another address in `listeners`{_maybe_ours(listener)}",
        )
    if name not in (None, config.server_name):
        return fail(
            "port",
            f"{address} is taken by the Matrix server {name}",
            "stop that one, or name another address in `listeners`",
        )
    return ok("port", f"{address}: {_OURS}")


def _maybe_ours(listener: Listener) -> str:
    return "; if it is this server, it may be stuck: see its log" if listener.tls is None else ""


def _name_of_server(listener: Listener, config: Config) -> str | None:
    """The server that listens there; None if it is one of ours that does not tell. Raises OSError or ValueError."""
    health = _asked(listener, "/health")
    if not isinstance(health, dict) or not {"status", "failing"} <= health.keys():
        raise ValueError("its /health is not ours")
    if "federation" not in listener.serves or not config.federation.enabled:
        return None
    return msgspec.convert(_asked(listener, OWN.path), ServerKeys).server_name


def _asked(listener: Listener, path: str) -> Any:
    """The JSON that is served on a path. Raises OSError, or ValueError where it is none."""
    with _connected(listener) as connection:
        connection.settimeout(_SECONDS)
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while piece := connection.recv(65_536):
            answer += piece
            if len(answer) > 1_000_000:
                raise ValueError("it says too much")
    return msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])


def _connected(listener: Listener) -> socket.socket:
    if listener.unix is not None:
        plain = socket.socket(socket.AF_UNIX)
        plain.settimeout(_SECONDS)
        plain.connect(str(listener.unix))
        return plain
    host = _ANYWHERE.get(listener.bind, listener.bind)
    plain = socket.create_connection((host, listener.port or 0), _SECONDS)
    if listener.tls is None:
        return plain
    context = ssl.SSLContext(
        ssl.PROTOCOL_TLS_CLIENT
    )  # it is about who listens; the name is checked elsewhere
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(plain)
