"""Server names taken apart. https://spec.matrix.org/v1.19/appendices/#server-name"""

from dataclasses import dataclass

from config.values import is_address
from homeserver.protocol.errors import InvalidParam
from homeserver.protocol.identifiers import is_server_name

MATRIX_PORT = 8448


@dataclass(frozen=True, slots=True)
class HostAndPort:
    """`host` is a name or an address without brackets; `port` is None where none was given."""

    host: str
    port: int | None
    is_address: bool

    @property
    def text(self) -> str:
        """The host as it is written in a URL or a `Host` header."""
        return f"[{self.host}]" if ":" in self.host else self.host


def split_server_name(name: str) -> HostAndPort:
    """Take a server name apart. Raises InvalidParam when it is none, or its port is none."""
    if not is_server_name(name):
        raise InvalidParam("Not a server name")
    host, port = name, ""
    if ":" in name.rpartition("]")[2]:
        host, _, port = name.rpartition(":")
    number = int(port) if port else None
    if number is not None and not 0 < number < 65536:
        raise InvalidParam("A server name with a port that does not exist")
    bare = host.strip("[]")
    return HostAndPort(bare, number, is_address(bare))
