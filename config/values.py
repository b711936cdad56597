"""Values that a line of YAML writes as text: sizes, durations, networks, server names."""

import ipaddress
import re
from typing import NewType
from urllib.parse import urlsplit

ByteSize = NewType("ByteSize", int)
Milliseconds = NewType("Milliseconds", int)
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SIZE_UNITS = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
DURATION_UNITS = {
    "ms": 1,
    "s": 1_000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
}
QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]+)")
HOST_NAME = re.compile(r"[A-Za-z0-9.-]{1,255}")
TURN_URI = re.compile(r"turns?:[^\s?/]+(\?transport=[a-z]+)?")
LOWEST_PORT, HIGHEST_PORT = 1, 65535


def parse_size(text: str) -> ByteSize:
    """Read `256MB` (powers of 1000) or `256MiB` (powers of 1024)."""
    return ByteSize(_quantity(text, SIZE_UNITS, "a size such as 256MB or 64KiB"))


def parse_duration(text: str) -> Milliseconds:
    """Read `500ms`, `30s`, `5m`, `2h`, `7d` or `4w`."""
    return Milliseconds(_quantity(text, DURATION_UNITS, "a duration such as 30s, 5m, 2h or 7d"))


def format_size(size: int) -> str:
    """Write a size in the largest unit that divides it."""
    return _format(size, SIZE_UNITS)


def format_duration(duration: int) -> str:
    """Write a duration in the largest unit that divides it."""
    return _format(duration, DURATION_UNITS)


def parse_network(text: str) -> Network:
    """Read an address range (`10.0.0.0/8`) or a single address."""
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f"expected an address range such as 10.0.0.0/8 or fd00::/8, got {text!r}") from error


def check_server_name(name: str) -> None:
    """Refuse what the grammar does not allow: https://spec.matrix.org/v1.16/appendices/#server-name"""
    host, port = _split_port(name)
    literal = host.startswith("[") and host.endswith("]") and _is_ipv6(host[1:-1])
    if not (literal or HOST_NAME.fullmatch(host)) or not _is_port(port) or len(name) > 230:
        raise ValueError(f"expected a server name: a host, host:port or IP literal, got {name!r}")


def host_of(server_name: str) -> str:
    """Return a server name without its port."""
    return _split_port(server_name)[0]


def is_address(host: str) -> bool:
    """Whether this is an IP address, without brackets, and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def check_domain_pattern(pattern: str) -> None:
    """Refuse what is neither a host name nor one with `*` and `?` in it."""
    if not HOST_NAME.fullmatch(re.sub(r"[*?\[\]:]", "a", pattern)):
        raise ValueError(f"expected a server name, * and ? allowed, got {pattern!r}")


def check_address(address: str) -> None:
    """Refuse what is not an IP address: a name may mean several, and may change its mind."""
    if not is_address(address):
        raise ValueError(f"expected an IP address such as 127.0.0.1, 0.0.0.0 or ::, got {address!r}")


def check_base_url(url: str) -> None:
    """Refuse what is not an http(s) URL with a host and without query and fragment."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"expected a URL such as https://matrix.example.org/, got {url!r}")


def check_turn_uri(uri: str) -> None:
    """Refuse what is no TURN URI: https://www.rfc-editor.org/rfc/rfc7065"""
    if not TURN_URI.fullmatch(uri):
        raise ValueError(f"expected a TURN address such as turn:turn.example.org?transport=udp, got {uri!r}")


def check_dsn(dsn: str) -> None:
    """Refuse what libpq would not take for a connection URI or a `key=value` string."""
    if not dsn.startswith(("postgresql://", "postgres://")) and "=" not in dsn:
        raise ValueError("expected a PostgreSQL address such as postgresql://user@host/database")


def _quantity(text: str, units: dict[str, int], expected: str) -> int:
    found = QUANTITY.fullmatch(text)
    if not found or found[2] not in units:
        raise ValueError(f"expected {expected}, got {text!r}")
    amount = float(found[1]) * units[found[2]]
    if amount != int(amount):
        raise ValueError(
            f"expected {expected}, got {text!r}, which is no whole number of {next(iter(units))}"
        )
    return int(amount)


def _format(amount: int, units: dict[str, int]) -> str:
    fitting = [(size, unit) for unit, size in units.items() if amount % size == 0 and amount >= size]
    size, unit = max(fitting, default=(1, next(iter(units))))
    return f"{amount // size}{unit}"


def _split_port(name: str) -> tuple[str, str | None]:
    host, colon, port = name.rpartition(":")
    if not colon or port.endswith("]"):
        return name, None
    return host, port


def _is_port(port: str | None) -> bool:
    if port is None:
        return True
    return port.isascii() and port.isdigit() and LOWEST_PORT <= int(port) <= HIGHEST_PORT


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return "%" not in text
