"""Which network addresses this server may be made to connect to.

Other people choose the names that we connect to: server names, URLs to preview, push gateways. Without a check they
could have us talk to what only we can reach (our database, a cloud's metadata service, a printer). So every address is
judged after its name was resolved and right before the connection: what the operator allows passes, then what is denied
does not, and without a setting that is every range that is not the public Internet.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

from config.federation import PRIVATE_NETWORKS
from config.values import Network

_NAT64: Final = IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """The networks that are allowed though denied, and those that are denied."""

    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = PRIVATE_NETWORKS

    def allows(self, text: str) -> bool:
        """Whether a connection to this address (as text, perhaps with a zone) may be made."""
        try:
            address = _reached(ip_address(text.partition("%")[0]))
        except ValueError:
            return False
        return _in(address, self.allow) or not _in(address, self.deny)


def _reached(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address in an IPv6 one that the system, or a translator on the way, takes for it."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _in(address: IPv4Address | IPv6Address, networks: tuple[Network, ...]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
