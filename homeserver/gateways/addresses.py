"""Which network addresses this server may be made to connect to.

Other people choose the names that we connect to: server names, URLs to preview, push gateways. Without a check they
could have us talk to what only we can reach (our database, a cloud's metadata service, a printer). So every address
is judged after its name was resolved and right before the connection, and only addresses of the public Internet pass,
unless the operator allows a network.

https://www.iana.org/assignments/iana-ipv4-special-registry/ and
https://www.iana.org/assignments/iana-ipv6-special-registry/
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network

_NOT_PUBLIC_V4: Final = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_PUBLIC_V6: Final = IPv6Network("2000::/3")
_NOT_PUBLIC_V6: Final = tuple(
    IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2620:4f:8000::/48", "3fff::/20")
)
_NAT64: Final = IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """The public Internet and the networks that the operator allows besides."""

    allow: tuple[Network, ...] = ()

    def allows(self, text: str) -> bool:
        """Whether a connection to this address (as text, perhaps with a zone) may be made."""
        try:
            address = ip_address(text.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if any(address.version == network.version and address in network for network in self.allow):
            return True
        return _is_public(address)


def address_policy(allow: Iterable[str | Network]) -> AddressPolicy:
    """Parse networks like `127.0.0.0/8`; raises ValueError."""
    return AddressPolicy(tuple(ip_network(each) if isinstance(each, str) else each for each in allow))


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    inner = _embedded_v4(address)
    if inner is not None and not _is_public(inner):
        return False
    if address in _NAT64:
        return True
    return address in _PUBLIC_V6 and not any(address in network for network in _NOT_PUBLIC_V6)


def _embedded_v4(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address to which a translating IPv6 address leads in the end."""
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None
