"""Who a request comes from: the markers that endpoints declare, and the syntax of the Authorization header.

Looking a token or a key up is the business of services; they give the pipeline one authenticator a marker.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.protocol.errors import InvalidParam, MissingToken, Unauthorized, UnknownToken
from homeserver.protocol.identifiers import ServerName, parse_server_name


@dataclass(frozen=True, slots=True)
class Marker:
    """What an endpoint demands of whoever calls it; `limit` is the rate limit where the endpoint names none."""

    name: str
    gives_principal: bool = True
    limit: str | None = None


access_token: Final = Marker("access_token")
access_token_or_guest: Final = Marker("access_token_or_guest")
optional_access_token: Final = Marker("optional_access_token")
optional_access_token_or_guest: Final = Marker("optional_access_token_or_guest")
admin_token: Final = Marker("admin_token")
server_signature: Final = Marker("server_signature", limit="federation")
no_auth: Final = Marker("no_auth", gives_principal=False)


@dataclass(frozen=True, slots=True)
class Origin:
    """The server that signed a request, and the name of ours that it meant."""

    server: ServerName
    destination: ServerName | None = None


@dataclass(frozen=True, slots=True)
class ServerSignature:
    """One `Authorization: X-Matrix` header, parsed but not verified."""

    origin: ServerName
    destination: ServerName | None
    key_id: str
    signature: str


# https://datatracker.ietf.org/doc/html/rfc9110#section-11.4: name BWS = BWS (token / quoted-string). The specification
# asks us to be lenient with older servers, which send bare values with colons, slashes and padding.
_PARAMETER = re.compile(
    r'[ \t,]*([A-Za-z0-9!#$%&\'*+.^_`|~-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))[ \t]*(?=,|$)'
)
_ESCAPED = re.compile(r"\\(.)")
_SCHEME: Final = "x-matrix "


def server_signatures(headers: Sequence[str]) -> tuple[ServerSignature, ...]:
    """Parse every `Authorization: X-Matrix` header of a request.

    Several headers carry signatures by several keys of one server.
    https://spec.matrix.org/latest/server-server-api/#request-authentication

    Raises Unauthorized when there is none, one is malformed, or they name different servers; InvalidParam when what
    one names is no server.
    """
    found = tuple(
        _server_signature(header[len(_SCHEME) :])
        for header in headers
        if header[: len(_SCHEME)].lower() == _SCHEME
    )
    if not found:
        raise Unauthorized("This endpoint needs a request signed by a server")
    if any((each.origin, each.destination) != (found[0].origin, found[0].destination) for each in found):
        raise Unauthorized("The Authorization headers name different servers")
    return found


def _server_signature(parameters: str) -> ServerSignature:
    values: dict[str, str] = {}
    position = 0
    while position < len(parameters):
        match = _PARAMETER.match(parameters, position)
        if match is None:
            raise Unauthorized("Malformed Authorization header")
        name, quoted, bare = match.groups()
        if name.lower() in values:
            raise Unauthorized("An Authorization header repeats a parameter")
        values[name.lower()] = bare if quoted is None else _ESCAPED.sub(r"\1", quoted)
        position = match.end()
    try:
        destination = values.get("destination")
        return ServerSignature(
            origin=parse_server_name(values["origin"]),
            destination=parse_server_name(destination) if destination else None,
            key_id=values["key"],
            signature=values["sig"],
        )
    except InvalidParam as error:
        raise InvalidParam(f"{error.message} - in the header Authorization") from None
    except KeyError as missing:
        raise Unauthorized(f"The Authorization header has no {missing.args[0]}") from None


def bearer_token(headers: Sequence[str], query: Sequence[str] = ()) -> str:
    """Return the access token of a request.

    `query` holds the values of `?access_token=` where the server still accepts them.
    https://spec.matrix.org/latest/client-server-api/#using-access-tokens

    Raises MissingToken when there is none, UnknownToken when tokens contradict
    each other.
    """
    tokens = {_bearer(header) for header in headers} | set(query)
    if not tokens:
        raise MissingToken("Missing access token")
    if len(tokens) > 1:
        raise UnknownToken("Several different access tokens")
    return tokens.pop()


def _bearer(header: str) -> str:
    scheme, _, token = header.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise MissingToken("The Authorization header holds no bearer token")
    return token
