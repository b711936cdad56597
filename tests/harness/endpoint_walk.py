"""What every endpoint must do, checked over a table of endpoints.

A test parametrizes over `needing_credentials(endpoints)` or `taking_json(endpoints)`, with `name_of` for the ids,
and calls one of the checks.
"""

import enum
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal, get_args, get_origin
from urllib.parse import quote, urlencode

from homeserver.http.authentication import (
    Marker,
    no_auth,
    optional_access_token,
    optional_access_token_or_guest,
    server_signature,
)
from homeserver.http.bodies import BodyStream
from homeserver.http.endpoint import BoundEndpoint, Endpoint, Parameter, Place
from homeserver.protocol import identifiers
from tests.harness.client import Client, Reply

# From method, request target and body to the headers that make the request authentic.
Credentials = Callable[[str, str, bytes], Mapping[str, str]]

_EXAMPLES: Final[dict[Any, str]] = {
    identifiers.UserID: "@walker:test",
    identifiers.RoomID: "!walk:test",
    identifiers.RoomAlias: "#walk:test",
    identifiers.RoomIDOrAlias: "!walk:test",
    identifiers.EventID: "$walk",
    identifiers.ServerName: "test",
    identifiers.DeviceID: "WALK",
    identifiers.MediaID: "walk",
    str: "walk",
    int: "1",
    bool: "true",
}


def name_of(bound: BoundEndpoint) -> str:
    """Return what a test calls an endpoint."""
    return f"{bound.endpoint.name}-{bound.endpoint.method}"


def needing_credentials(endpoints: Iterable[BoundEndpoint]) -> list[BoundEndpoint]:
    """Return the endpoints that refuse strangers."""
    open_ones = (no_auth, optional_access_token, optional_access_token_or_guest)
    return [each for each in endpoints if each.endpoint.auth not in open_ones]


def taking_json(endpoints: Iterable[BoundEndpoint]) -> list[BoundEndpoint]:
    """Return the endpoints that read a JSON body."""
    return [
        each
        for each in endpoints
        if each.endpoint.decode_body and each.endpoint.body_type not in (bytes, BodyStream)
    ]


def refuses_strangers(client: Client, bound: BoundEndpoint) -> None:
    """Check that without credentials the answer is 401, whatever else is wrong."""
    reply = _sent(client.with_token(None), bound.endpoint, b"{", {})
    expected = "M_UNAUTHORIZED" if bound.endpoint.auth == server_signature else "M_MISSING_TOKEN"
    if bound.endpoint.auth == server_signature:
        reply = _sent(client.with_token(None), bound.endpoint, b"{}", {})
    _expect(bound.endpoint, reply, 401, expected)


def refuses_malformed_json(
    client: Client, bound: BoundEndpoint, credentials: Mapping[Marker, Credentials]
) -> None:
    """Check that a body which is no JSON is told so."""
    for body in (b"{", b"\xff", b'{"a": NaN}'):
        _expect(bound.endpoint, _sent(client, bound.endpoint, body, credentials), 400, "M_NOT_JSON")


def refuses_ill_typed_json(
    client: Client, bound: BoundEndpoint, credentials: Mapping[Marker, Credentials]
) -> None:
    """Check that JSON of the wrong type is told so."""
    takes_list = get_origin(bound.endpoint.body_type) in (list, tuple)
    for body in (b"{}" if takes_list else b"[]", b'"text"', b"1", b"null"):
        _expect(bound.endpoint, _sent(client, bound.endpoint, body, credentials), 400, "M_BAD_JSON")


def example_target(declared: Endpoint) -> str:
    """Return a request target with well-formed values for everything that is required."""
    kinds = {each.python_name: each.kind for each in declared.path_parameters}
    path = re.sub(r"{(\w+)}", lambda found: quote(_example(kinds[found[1]]), safe=""), declared.paths[0])
    query = [
        (each.names[0], _example(each.kind))
        for each in declared.parameters
        if each.place is Place.QUERY and each.required
    ]
    return f"{path}?{urlencode(query)}" if query else path


def ask_as_is(client: Client, declared: Endpoint, headers: Mapping[str, str] | None = None) -> Reply:
    """Ask an endpoint for anything, with the credentials that the client has, and headers if there are any."""
    always = dict(headers or {})
    return _sent(client, declared, b"{}", {declared.auth: lambda method, target, body: always})


def _sent(
    client: Client, declared: Endpoint, body: bytes, credentials: Mapping[Marker, Credentials]
) -> Reply:
    target = example_target(declared)
    path, _, query = target.partition("?")
    headers = {each.names[0]: _example(each.kind) for each in _required_headers(declared)}
    if declared.auth in credentials:
        headers |= credentials[declared.auth](declared.method, target, body)
    sent = None if declared.method == "GET" and not declared.decode_body else body
    values: dict[str, str | int | bool | list[str]] = {}
    for pair in filter(None, query.split("&")):
        name, _, value = pair.partition("=")
        values[name] = value
    return client.request(declared.method, path, sent, values, headers)


def _required_headers(declared: Endpoint) -> list[Parameter]:
    return [each for each in declared.parameters if each.place is Place.HEADER and each.required]


def _example(kind: Any) -> str:
    if kind in _EXAMPLES:
        return _EXAMPLES[kind]
    arguments = [each for each in get_args(kind) if each not in (type(None), Ellipsis)]
    if get_origin(kind) is Literal:
        return str(arguments[0])
    if arguments:
        return _example(arguments[0])
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return str(next(iter(kind)).value)
    supertype = getattr(kind, "__supertype__", None)
    return _EXAMPLES[str] if supertype is None else _example(supertype)


def _expect(declared: Endpoint, reply: Reply, status: int, errcode: str) -> None:
    answered = (reply.status, reply.json.get("errcode"))
    assert answered == (status, errcode), f"{declared.method} {declared.paths[0]}: {answered} {reply.text}"
    assert isinstance(reply.json.get("error"), str)
