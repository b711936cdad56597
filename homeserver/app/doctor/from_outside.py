"""The server as clients and other servers find it: by its names, through DNS, proxies and TLS."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from config.config import Config
from federation.client.discovery import Discovery
from federation.client.key_documents import read_document
from federation.client.server_names import split_server_name
from federation.client.well_known import WellKnownFetcher
from federation.wire.keys import OWN
from federation.wire.version import VERSION, WELL_KNOWN
from homeserver.app.doctor.asking import GUIDE, asking_client, is_about_tls, told
from homeserver.app.doctor.findings import Finding, fail, ok, warn
from homeserver.app.outside import Outside
from homeserver.clock import Clock, Randomness
from homeserver.gateways.addresses import AddressPolicy
from homeserver.gateways.http_client import Answer, HttpClient, Limits, OutboundError
from homeserver.protocol.errors import MatrixError
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.signing_keys import SigningKey

_LIMITS: Final = Limits(max_bytes=128 * 1024, seconds=10.0, redirects=5)
_CLIENT_WELL_KNOWN: Final = "/.well-known/matrix/client"


@dataclass(frozen=True, slots=True)
class FromOutside:
    """Asks for this server as others do. The answers come from a server that runs."""

    config: Config
    signing_key: SigningKey
    clock: Clock
    http: HttpClient
    discovery: Discovery

    async def check(self) -> AsyncIterator[Finding]:
        """Everything, one after the other."""
        yield await self._client_address()
        if self.config.server_name == "localhost":
            yield warn(
                "federation",
                "the server is called localhost, so that nobody else can find it: good for trying things out",
                "begin anew with a name of your own: homeserver init --server-name NAME",
            )
            return
        yield await self._client_well_known()
        if not self.config.federation.enabled:
            yield ok("federation", "it is off")
            return
        yield await self._server_well_known()
        yield await self._federation()

    async def close(self) -> None:
        """Close connections."""
        await self.http.close()

    async def _client_address(self) -> Finding:
        url = self.config.public_baseurl.rstrip("/")
        try:
            answer = await self.http.request("GET", f"{url}/_matrix/client/versions", limits=_LIMITS)
        except OutboundError as error:
            return fail(
                "clients",
                f"{url} cannot be reached: {error}",
                "correct `public_baseurl`, or DNS, proxy and firewall",
            )
        if answer.status != 200 or "versions" not in _object(answer):
            return fail(
                "clients",
                f"{url} is not a Matrix server: /_matrix/client/versions answers {answer.status}",
                "let the proxy send all of /_matrix to this server",
            )
        return ok("clients", f"{url} answers")

    async def _client_well_known(self) -> Finding:
        host = split_server_name(self.config.server_name).text
        base = self.config.public_baseurl.rstrip("/")
        url = f"https://{host}{_CLIENT_WELL_KNOWN}"
        by_hand = f"people have to type {base} into their client"
        remedy = f"let {url} be answered by this server, or by a file: {GUIDE}"
        try:
            answer = await self.http.request("GET", url, limits=_LIMITS)
        except OutboundError as error:
            return warn("well-known", f"{url} cannot be reached ({error}), so {by_hand}", remedy)
        if answer.status != 200:
            return warn("well-known", f"{url} answers {answer.status}, so {by_hand}", remedy)
        said = _base_url(answer)
        if said != base:
            return fail(
                "well-known",
                f"{url} tells {said or 'no address'}, `public_baseurl` is {base}",
                "make them equal",
            )
        if answer.header("Access-Control-Allow-Origin") != "*":
            return fail(
                "well-known",
                f"{url} may not be read by clients in a browser",
                "have it served with the header `Access-Control-Allow-Origin: *`",
            )
        return ok("well-known", f"{url} tells {said}")

    async def _server_well_known(self) -> Finding:
        name = split_server_name(self.config.server_name)
        wanted = self.config.federation.delegate_to
        if name.is_address or name.port is not None:
            return ok(
                "well-known", f"other servers connect to {self.config.server_name} without asking for a file"
            )
        url = f"https://{name.text}{WELL_KNOWN.path}"
        delegation = await WellKnownFetcher(self.http, self.clock).delegation(name.host, None)
        to = delegation.to
        said = "" if to is None else to.text if to.port is None else f"{to.text}:{to.port}"
        if wanted is None:
            return ok("well-known", f"{url} tells {said or 'nothing: others use SRV records or port 8448'}")
        if said != wanted:
            return fail(
                "well-known",
                f"{url} tells {said or 'nothing'}, `federation.delegate_to` is {wanted}",
                f"let it be answered by this server: {GUIDE}",
            )
        return ok("well-known", f"{url} tells {said}")

    async def _federation(self) -> Finding:
        name = ServerName(self.config.server_name)
        try:
            target = await self.discovery.target(name)
            at = " or ".join(f"{place.host}:{place.port}" for place in target.places)
        except MatrixError as error:
            return fail("federation", f"{name} cannot be found: {error.message}", f"see {GUIDE}")
        try:
            version, _ = await told(self.http, VERSION, target)
            keys, _ = await told(self.http, OWN, target)
            document = read_document(keys, self.clock.now_ms(), direct=True)
        except OutboundError as error:
            return fail("federation", f"{name} cannot be reached at {at}: {error}", _connection_remedy(error))
        except (MatrixError, msgspec.MsgspecError, ValueError) as error:
            said = error.message if isinstance(error, MatrixError) else str(error)
            return fail(
                "federation",
                f"who answers at {at} is not this server: {said}",
                "let the proxy send all of /_matrix to this server",
            )
        published = document.keys.get(self.signing_key.key_id)
        if (
            document.server != name
            or published is None
            or published.text() != self.signing_key.verify_key.text()
        ):
            return fail(
                "federation",
                f"{at} answers as {document.server} with the keys {', '.join(document.keys)}, "
                f"and ours is {self.signing_key.key_id}",
                "another server has this name, or this server runs with another signing key",
            )
        return ok("federation", f"{name} answers at {at}: {version.server.name} {version.server.version}")


def build_from_outside(
    config: Config, signing_key: SigningKey, outside: Outside, clock: Clock, random: Randomness
) -> FromOutside:
    """Construct what asks. It checks certificates whatever the configuration says, as others do, and connects to any
    address: how this machine's network finds the server is no secret to the operator.

    Raises ValueError or OSError for a bad `ca_file`.
    """
    http = asking_client(config, outside, AddressPolicy(deny=()), verify=True)
    discovery = Discovery(WellKnownFetcher(http, clock), outside.services, clock, random)
    return FromOutside(config, signing_key, clock, http, discovery)


def _object(answer: Answer) -> dict[str, Any]:
    try:
        return msgspec.json.decode(answer.body, type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {}


def _base_url(answer: Answer) -> str:
    said = _object(answer).get("m.homeserver")
    base = said.get("base_url") if isinstance(said, dict) else None
    return base.rstrip("/") if isinstance(base, str) else ""


def _connection_remedy(error: OutboundError) -> str:
    if is_about_tls(error):
        return f"its certificate has to be good for that name, by an authority that others trust: {GUIDE}"
    return f"let others reach it there (DNS, firewall, proxy), or tell them another place: {GUIDE}"
