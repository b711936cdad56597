"""The bus: whether the Redis that carries messages between nodes answers."""

import socket
import ssl
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from config.bus import BusConfig
from config.config import Config
from homeserver.app.doctor.findings import Finding, fail, ok

_SECONDS: Final = 5.0
_PORT: Final = 6379
_LONGEST: Final = 1000


def check_bus(config: Config) -> Iterator[Finding]:
    """Connect and say PING. A server with one node has no bus, and nothing is told."""
    if config.bus.redis is None:
        return
    try:
        answer = _asked(config.bus, config.bus.redis)
    except (OSError, ValueError) as error:
        yield fail("bus", f"{config.bus.redis} cannot be reached: {error}", "see `bus` in the configuration")
        return
    if answer.startswith(("+PONG", "+OK")):
        yield ok("bus", f"{config.bus.redis} answers")
    else:
        yield fail("bus", f"{config.bus.redis} says {answer!r}", "see `bus` in the configuration")


def _asked(bus: BusConfig, url: str) -> str:
    """The answer to AUTH, if there is a password, or to PING."""
    words = ["PING"]
    if bus.password is not None:
        words = ["AUTH", *([] if bus.username is None else [bus.username]), bus.password]
    encoded = [word.encode() for word in words]
    message = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(each), each) for each in encoded)
    with _connected(url) as connection:
        connection.sendall(message)
        return connection.recv(_LONGEST).decode("utf-8", "replace").strip()


def _connected(url: str) -> socket.socket:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(_SECONDS)
        connection.connect(parts.path)
        return connection
    host = parts.hostname or ""
    connection = socket.create_connection((host, parts.port or _PORT), _SECONDS)
    if parts.scheme == "rediss":
        return ssl.create_default_context().wrap_socket(connection, server_hostname=host)
    return connection
