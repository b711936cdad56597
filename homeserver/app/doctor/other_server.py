"""Another server as this one finds it: discovery step by step, connections and TLS, keys, its clock."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import msgspec

from config.config import Config
from federation.client.discovery import Discovery
from federation.client.key_documents import read_document
from federation.client.server_names import split_server_name
from federation.client.well_known import WellKnownFetcher
from federation.wire.keys import OWN
from federation.wire.version import VERSION, WELL_KNOWN
from homeserver.app.doctor.asking import asking_client, clock_of, is_about_tls, told
from homeserver.app.doctor.findings import Finding, fail, ok, warn
from homeserver.app.outside import Outside
from homeserver.clock import Clock, Randomness
from homeserver.gateways.addresses import AddressPolicy
from homeserver.gateways.connecting import Place
from homeserver.gateways.http_client import Answer, HttpClient, OutboundError, Target
from homeserver.protocol.errors import MatrixError
from homeserver.protocol.identifiers import ServerName
from homeserver.services.destination_standing import MANY, Standing

SKEW_S: Final = 60
"""A clock that is off by more is pointed out: events would be in the wrong order, and keys seem to have expired."""


@dataclass(frozen=True, slots=True)
class OtherServer:
    """Asks another server what this one asks it."""

    server: ServerName
    config: Config
    clock: Clock
    http: HttpClient
    discovery: Discovery

    async def check(self) -> AsyncIterator[Finding]:
        """Everything, one after the other; ends where nothing more can be found out."""
        federation = self.config.federation
        if not federation.permits(self.server):
            yield fail(
                "allowed",
                f"the configuration keeps {self.server} out",
                "see `federation.allow_domains` and `deny_domains`",
            )
        try:
            name = split_server_name(self.server)
        except MatrixError as error:
            yield fail("name", f"{self.server} is no server name: {error.message}")
            return
        if name.is_address or name.port is not None:
            yield ok("discovery", "the name says where it is: no file, no SRV record")
        else:
            yield await self._well_known(name.host)
        target = await self.discovery.target(self.server)
        yield ok(
            "discovery",
            f"to be found at {_told_places(target)}; its certificate has to be for {target.places[0].tls_name}",
        )
        reached: Answer | None = None
        for place in target.places:
            finding, answer = await self._place(target, place)
            reached = reached or answer
            yield finding
        if reached is not None:
            yield await self._keys(target)
            yield self._clock_of(reached)

    async def close(self) -> None:
        """Close connections."""
        await self.http.close()

    async def _well_known(self, host: str) -> Finding:
        url = f"https://{host}{WELL_KNOWN.path}"
        delegation = await WellKnownFetcher(self.http, self.clock).delegation(host, None)
        if delegation.to is None:
            return ok(
                "well-known", f"{url} tells nothing that can be used: SRV records or port 8448 are next"
            )
        to = delegation.to
        return ok("well-known", f"{url} tells {to.text if to.port is None else f'{to.text}:{to.port}'}")

    async def _place(self, target: Target, place: Place) -> tuple[Finding, Answer | None]:
        at = f"{place.host}:{place.port}"
        began = self.clock.seconds()
        try:
            version, answer = await told(self.http, VERSION, Target((place,), target.host_header))
        except OutboundError as error:
            whose = (
                "its operator has to mend the certificate"
                if is_about_tls(error)
                else "DNS, firewall, or it is down"
            )
            return fail("connection", f"{at} cannot be reached: {error}", whose), None
        except (msgspec.MsgspecError, ValueError) as error:
            return fail("connection", f"who answers at {at} is no Matrix server: {error}"), None
        took = round((self.clock.seconds() - began) * 1000)
        software = f"{version.server.name or 'a server'} {version.server.version or ''}".strip()
        return ok("connection", f"{at} answers in {took} ms: {software}"), answer

    async def _keys(self, target: Target) -> Finding:
        now = self.clock.now_ms()
        try:
            document, _ = await told(self.http, OWN, target)
            published = read_document(document, now, direct=True)
        except OutboundError as error:
            return fail("keys", f"its keys cannot be had: {error}")
        except (MatrixError, msgspec.MsgspecError, ValueError) as error:
            said = error.message if isinstance(error, MatrixError) else str(error)
            return fail("keys", f"its keys cannot be used: {said}")
        if published.server != self.server:
            return fail("keys", f"who answers is {published.server}, not {self.server}")
        current = [key_id for key_id, key in published.keys.items() if not key.expired]
        until = datetime.fromtimestamp(published.valid_until_ts / 1000, UTC)
        if published.valid_until_ts < now:
            return fail(
                "keys", f"its keys were good until {until:%Y-%m-%d %H:%M} UTC", "one of the clocks is wrong"
            )
        return ok("keys", f"{', '.join(current)}, good until {until:%Y-%m-%d %H:%M} UTC")

    def _clock_of(self, answer: Answer) -> Finding:
        theirs = clock_of(answer)
        if theirs is None:
            return ok("clock", "it does not tell the time")
        ahead = round(theirs.timestamp() - self.clock.now_ms() / 1000)
        if abs(ahead) <= SKEW_S:
            return ok("clock", "as ours")
        way = "ahead of" if ahead > 0 else "behind"
        return warn("clock", f"{abs(ahead)} s {way} ours", "one of the two has to be set by NTP")


def standing_findings(standing: Standing, now_ms: int) -> Iterator[Finding]:
    """How we stand with it, by our own records."""
    yield ok("rooms", f"{standing.rooms} shared with it")
    failing = standing.failing
    if failing is None:
        yield ok("health", "it answered when it was last asked")
    else:
        since = datetime.fromtimestamp(failing.failing_since_ts / 1000, UTC)
        wait = max(0, failing.retry_ts - now_ms) // 1000
        yield warn(
            "health",
            f"it has not answered since {since:%Y-%m-%d %H:%M} UTC, and is tried again in {wait} s",
            "it is tried at once when it asks us something",
        )
    owed = [
        f"{'over ' if count == MANY else ''}{count} {what}"
        for count, what in ((standing.events, "events"), (standing.to_device, "messages to devices"))
        if count
    ]
    if owed:
        yield warn("owed", f"{' and '.join(owed)} wait to be sent to it")
    else:
        yield ok("owed", "it has been sent everything")


def build_other_server(
    server: ServerName, config: Config, outside: Outside, clock: Clock, random: Randomness
) -> OtherServer:
    """Construct what asks, under the rules that the server follows: which addresses it may connect to, and whether it
    checks certificates.

    Raises ValueError or OSError for a bad `federation.ca_file`.
    """
    federation = config.federation
    policy = AddressPolicy(federation.allow_networks, federation.deny_networks)
    http = asking_client(config, outside, policy, verify=federation.verify_tls)
    discovery = Discovery(WellKnownFetcher(http, clock), outside.services, clock, random)
    return OtherServer(server, config, clock, http, discovery)


def _told_places(target: Target) -> str:
    return " or ".join(f"{place.host}:{place.port}" for place in target.places)
