"""From a server name to where its server is: addresses to connect to, the name of its certificate, the `Host` to ask
for.

https://spec.matrix.org/v1.19/server-server-api/#resolving-server-names
"""

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Final

from twisted.internet.defer import Deferred, gatherResults

from federation.client.server_names import MATRIX_PORT, HostAndPort, split_server_name
from federation.client.service_records import ServiceLookup, ServiceRecord, in_order
from federation.client.single_flight import SingleFlight
from federation.client.well_known import MIN_LIFETIME_S, Delegation, WellKnownFetcher
from homeserver.clock import Clock, Randomness
from homeserver.gateways.connecting import Place
from homeserver.gateways.http_client import Target
from homeserver.protocol.identifiers import ServerName

REMEMBERED: Final = 20_000
NO_RECORD_LIFETIME_S: Final = 600.0
MAX_PLACES: Final = 6
_SERVICES: Final = ("_matrix-fed._tcp", "_matrix._tcp")  # the second one is deprecated


@dataclass(frozen=True, slots=True)
class _Known:
    target: Target
    expires: float
    delegation: Delegation | None


class Discovery:
    """Finds servers, and remembers where they are for as long as their answers allow."""

    def __init__(
        self, well_known: WellKnownFetcher, services: ServiceLookup, clock: Clock, random: Randomness
    ) -> None:
        self._well_known = well_known
        self._services = services
        self._clock = clock
        self._random = random
        self._known: OrderedDict[ServerName, _Known] = OrderedDict()
        self._flights: SingleFlight[ServerName, Target] = SingleFlight()

    async def target(self, server: ServerName) -> Target:
        """Where the server is.

        Raises InvalidParam when the name is none; that nobody is there shows when one connects.
        """
        known = self._known.get(server)
        if known is not None and self._clock.seconds() < known.expires:
            return known.target
        return await self._flights.run(server, lambda: self._find(server))

    def forget(self, server: ServerName) -> None:
        """Look again at the next request: the server could not be reached where it was said to be."""
        known = self._known.get(server)
        if known is None or known.delegation is None:
            return
        delegation = known.delegation
        if delegation.fetched + MIN_LIFETIME_S < self._clock.seconds():
            delegation = replace(delegation, expires=0.0)
        self._known[server] = replace(known, expires=0.0, delegation=delegation)

    async def _find(self, server: ServerName) -> Target:
        name = split_server_name(server)
        if name.is_address or name.port is not None:
            return self._remember(server, _Known(_direct(name), float("inf"), None))
        previous = self._known.get(server)
        delegation = previous.delegation if previous else None
        now = self._clock.seconds()
        if delegation is None or now >= delegation.expires:
            delegation = await self._well_known.delegation(name.host, delegation)
        to = delegation.to or name
        if to.is_address or to.port is not None:
            return self._remember(server, _Known(_direct(to), delegation.expires, delegation))
        target, lifetime = await self._by_service(to)
        expires = min(delegation.expires, self._clock.seconds() + lifetime)
        return self._remember(server, _Known(target, expires, delegation))

    async def _by_service(self, name: HostAndPort) -> tuple[Target, float]:
        """By SRV records, or port 8448 when there are none. The certificate is that of `name` in any case."""
        asked = [Deferred.fromCoroutine(self._lookup(f"{service}.{name.host}")) for service in _SERVICES]
        for records in await gatherResults(asked):
            if records:
                ordered = in_order(records, self._random)[:MAX_PLACES]
                places = tuple(Place(each.host, each.port, name.host) for each in ordered)
                return Target(places, name.text), float(min(each.ttl_s for each in records))
        return _direct(name), NO_RECORD_LIFETIME_S

    async def _lookup(self, service: str) -> list[ServiceRecord]:
        return await self._services(service)

    def _remember(self, server: ServerName, known: _Known) -> Target:
        self._known[server] = known
        self._known.move_to_end(server)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return known.target


def _direct(name: HostAndPort) -> Target:
    host_header = name.text if name.port is None else f"{name.text}:{name.port}"
    return Target((Place(name.host, name.port or MATRIX_PORT, name.host),), host_header)
