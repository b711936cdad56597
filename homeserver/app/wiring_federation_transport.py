"""Construction of what carries federation: the outbound clients, discovery, health, keys, and who asks us."""

from collections.abc import Mapping
from dataclasses import dataclass

from twisted.internet.defer import Deferred

from federation.client.destinations import DestinationHealth
from federation.client.discovery import Discovery
from federation.client.federation_client import FederationClient, Identity, Patience
from federation.client.key_fetching import KeyFetcher
from federation.client.well_known import WellKnownFetcher
from federation.keyring import Keyring
from federation.server_api.keys import KeysApi
from federation.server_api.request_authentication import ServerAuthentication
from federation.server_api.version import VersionApi
from federation.server_api.well_known import WellKnownServerApi
from federation.wire.version import Software
from homeserver.app.core import Core
from homeserver.app.outside import Outside
from homeserver.app.version import VERSION
from homeserver.gateways.addresses import AddressPolicy
from homeserver.gateways.http_client import HttpClient, Manners
from homeserver.gateways.tls import ClientTls
from homeserver.http.authentication import Marker, server_signature
from homeserver.http.endpoint import BoundEndpoint, collect
from homeserver.http.pipeline import Authenticator
from homeserver.protocol.identifiers import ServerName
from homeserver.services.server_keys import KeyNotary, OwnKeys

SOFTWARE = Software("Meridian", VERSION)


@dataclass(frozen=True, slots=True)
class FederationTransport:
    """`http` is the client for everything but federation.

    Call `start` when the database is there, `stop` at the end.
    """

    http: HttpClient
    federation_http: HttpClient
    client: FederationClient
    health: DestinationHealth
    keyring: Keyring
    authenticators: Mapping[Marker, Authenticator]
    endpoints: list[BoundEndpoint]

    async def start(self) -> Deferred[None]:
        """Learn what is on record of other servers; returns what to cancel so that it stops learning more."""
        await self.health.load()
        return Deferred.fromCoroutine(self.health.keep_up())

    async def stop(self) -> None:
        """Close connections, once what was learnt is on record."""
        await self.health.saved()
        await self.http.close()
        await self.federation_http.close()


def build_federation_transport(core: Core, outside: Outside) -> FederationTransport:
    """Construct the area. Raises ValueError or OSError when the file of authorities cannot be used."""
    name, key, clock = core.server_name, core.signing_key, core.clock
    config = core.config.federation
    http, federation_http = _http_clients(core, outside)
    discovery = Discovery(WellKnownFetcher(federation_http, clock), outside.services, clock, core.random)
    health = DestinationHealth(core.database, clock, core.random)
    identity = Identity(name, key, config.permits)
    patience = Patience(config.request_timeout_ms / 1000, config.max_response_bytes)
    client = FederationClient(identity, federation_http, discovery, health, patience)
    fetcher = KeyFetcher(client, clock, [ServerName(notary) for notary in config.notaries])
    own_keys = {each.key_id: each for each in (*core.old_keys, key.verify_key)}
    keyring = Keyring((name, own_keys), fetcher, core.database, core.caches, clock)
    own = OwnKeys(name, key, core.old_keys, clock)
    authentication = ServerAuthentication(name, keyring, health, config.permits)
    return FederationTransport(
        http=http,
        federation_http=federation_http,
        client=client,
        health=health,
        keyring=keyring,
        authenticators={server_signature: authentication.origin},
        endpoints=collect(
            KeysApi(own, KeyNotary(own, name, key, keyring, clock)),
            VersionApi(SOFTWARE),
            WellKnownServerApi(config.delegate_to),
        ),
    )


def _http_clients(core: Core, outside: Outside) -> tuple[HttpClient, HttpClient]:
    """The client for everything else, and that for federation; whether either checks certificates is the
    operator's choice.
    """
    config = core.config.federation
    policy = AddressPolicy(config.allow_networks, config.deny_networks)
    authorities = None if config.ca_file is None else config.ca_file.read_bytes()
    manners = Manners(
        f"{SOFTWARE.name}/{SOFTWARE.version}",
        config.connections_per_server,
        config.connect_timeout_ms / 1000,
    )
    checked, unchecked = ClientTls(authorities), ClientTls(verify=False)
    for_others = checked if core.config.outbound.verify_tls else unchecked
    for_federation = checked if config.verify_tls else unchecked
    return (
        HttpClient(outside.reactor, outside.resolver, policy, for_others, manners),
        HttpClient(outside.reactor, outside.resolver, policy, for_federation, manners),
    )
