"""How the server deals with other servers."""

import ipaddress
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from config.fields import setting
from config.values import ByteSize, Milliseconds, Network, check_domain_pattern, check_server_name, host_of

PRIVATE_NETWORKS: tuple[Network, ...] = tuple(
    ipaddress.ip_network(network)
    for network in (
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
        # All of IPv6 but 2000::/3, the global unicast addresses, and the special ranges in that.
        "::/3",
        "4000::/2",
        "8000::/1",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "3fff::/20",
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationConfig:
    """Other servers."""

    enabled: bool = setting("Talk with other servers at all.", default=True)
    allow_domains: tuple[str, ...] | None = setting(
        "Only these servers (`*` and `?` allowed) may take part. Absent: all.",
        default=None,
        check=check_domain_pattern,
        example='["*.example.org"]',
    )
    deny_domains: tuple[str, ...] = setting(
        "These servers (`*` and `?` allowed) may not, whatever `allow_domains` says.",
        default=(),
        check=check_domain_pattern,
        example='["*.spam.example"]',
    )
    delegate_to: str | None = setting(
        "What `/.well-known/matrix/server` tells other servers: to where they are to connect instead of port 8448 of "
        "`server_name`. Absent: nothing.",
        default=None,
        check=check_server_name,
        example="matrix.example.org:443",
    )
    verify_tls: bool = setting(
        "Check other servers' certificates. Off: anyone on the way can read and change what is said.",
        default=True,
    )
    ca_file: Path | None = setting(
        "PEM file of certificate authorities to trust besides the system's.",
        default=None,
        must_exist=True,
        example="ca.pem",
    )
    allow_networks: tuple[Network, ...] = setting(
        "Address ranges to connect to although `deny_networks` has them.", default=(), example="[10.1.0.0/16]"
    )
    deny_networks: tuple[Network, ...] = setting(
        "Address ranges never to connect to, so that nobody can make this server talk to its own network. The "
        "default is every private and special range; a list of one's own replaces it.",
        default=PRIVATE_NETWORKS,
        derived="private and special ranges",
        example="[10.0.0.0/8, 192.168.0.0/16]",
    )
    notaries: tuple[str, ...] = setting(
        "Servers to ask for the keys of servers that do not answer themselves, in this order. Old rooms can only be "
        "joined in full with at least one.",
        default=(),
        check=check_server_name,
        example="[matrix.org]",
    )
    connect_timeout_ms: Milliseconds = setting(
        "How long to wait for a connection.", default=Milliseconds(10_000), minimum=100
    )
    request_timeout_ms: Milliseconds = setting(
        "How long to wait for an answer.", default=Milliseconds(60_000), minimum=1_000
    )
    max_response_bytes: ByteSize = setting(
        "The largest answer to read. The state of a very large room takes more than 100 MB.",
        default=ByteSize(256 * 10**6),
        minimum=1_000_000,
    )
    connections_per_server: int = setting(
        "How many requests may be under way to one server.", default=8, minimum=1, maximum=100
    )

    partial_state_joins: bool = setting(
        "Let users talk in a room of other servers as soon as its settings are here, while its members arrive in the "
        "background. Off: a join takes until all of them are here.",
        default=True,
    )
    partial_state_wait_ms: Milliseconds = setting(
        "How long a request that needs all members of a room waits for them to arrive, before it fails.",
        default=Milliseconds(60_000),
        minimum=0,
    )
    max_resolution_steps: int = setting(
        "How many events and references of theirs may be looked at to resolve one fork of a room's state. An event "
        "that takes more is set aside, and the room goes on without it.",
        default=2_000_000,
        minimum=1_000,
    )

    def permits(self, server_name: str) -> bool:
        """Whether to talk with a server at all, in either direction. Ports do not matter."""
        host = host_of(server_name).lower()
        if not self.enabled or _matches(host, self.deny_domains):
            return False
        return self.allow_domains is None or _matches(host, self.allow_domains)


def _matches(host: str, patterns: tuple[str, ...]) -> bool:
    return any(_expression(pattern).fullmatch(host) for pattern in patterns)


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    """Translate a pattern; unlike a shell's, its brackets are those of an IPv6 literal."""
    return re.compile(re.escape(pattern.lower()).replace(r"\*", ".*").replace(r"\?", "."))
