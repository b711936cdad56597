"""SRV records: who serves Matrix federation for a host name. https://datatracker.ietf.org/doc/html/rfc2782"""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from homeserver.clock import Randomness

LOOKUP_TIMEOUTS_S: Final = (1, 2)
_SRV: Final = 33
_HOST: Final = re.compile(r"[A-Za-z0-9_.-]{1,255}")
_MIN_TTL_S: Final = 60
_MAX_TTL_S: Final = 3600


@dataclass(frozen=True, slots=True)
class ServiceRecord:
    """One server of a service.

    Those of lowest `priority` are tried first, in an order by chance in proportion to `weight`.
    """

    host: str
    port: int
    priority: int = 0
    weight: int = 0
    ttl_s: int = _MAX_TTL_S


ServiceLookup = Callable[[str], Awaitable[list[ServiceRecord]]]
"""Asks for the records of a service such as `_matrix-fed._tcp.example.org`; none when there are none or DNS fails."""


def dns_lookup(reactor: Any, servers: Sequence[tuple[str, int]] | None = None) -> ServiceLookup:
    """A lookup by name servers (address and port), or by those of the system."""
    resolver: list[Any] = []
    source: dict[str, Any] = {"resolv": "/etc/resolv.conf"} if servers is None else {"servers": list(servers)}

    async def lookup(service: str) -> list[ServiceRecord]:
        if not resolver:
            from twisted.names.client import Resolver

            resolver.append(Resolver(**source, timeout=LOOKUP_TIMEOUTS_S, reactor=reactor))
        try:
            answers, _, _ = await resolver[0].lookupService(service)
        except Exception:  # no such name, no name server, a broken answer: all the same to discovery
            return []
        return [record for answer in answers if (record := _record(answer)) is not None]

    return lookup


def in_order(records: list[ServiceRecord], random: Randomness) -> list[ServiceRecord]:
    """Sort records in the order in which to try them."""

    def place(record: ServiceRecord) -> tuple[int, float]:
        chance = random.uniform(0.0, 1.0)
        return record.priority, -(chance ** (1.0 / record.weight)) if record.weight else 1.0 - chance

    return sorted(records, key=place)


def _record(answer: Any) -> ServiceRecord | None:
    """The record in an answer, unless it is of another type, says "not here" (a target of `.`) or names no host."""
    if answer.type != _SRV:
        return None
    host = answer.payload.target.name.decode("ascii", "replace").rstrip(".")
    if not _HOST.fullmatch(host) or not answer.payload.port:
        return None
    ttl = min(max(answer.ttl, _MIN_TTL_S), _MAX_TTL_S)
    return ServiceRecord(host, answer.payload.port, answer.payload.priority, answer.payload.weight, ttl)
