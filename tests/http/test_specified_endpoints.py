"""The endpoints that there are, against those of the specification: their paths, and what a request may carry."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final, get_origin

import msgspec

from config.loading import defaults
from homeserver.app.unstarted import unstarted
from homeserver.http.endpoint import Endpoint, Place
from homeserver.http.router import Route, Router
from homeserver.protocol.errors import MatrixError
from tests.harness.conformance import ENDPOINTS, SHAPES

# What is not built yet. Whoever builds one strikes it from here.
NOT_BUILT: Final = frozenset(
    """
POST /_matrix/client/v1/appservice/{appserviceId}/ping
GET /_matrix/client/v1/auth_metadata
PUT /_matrix/client/v3/directory/list/appservice/{networkId}/{roomId}
GET /_matrix/client/v3/login/sso/redirect
GET /_matrix/client/v3/login/sso/redirect/{idpId}
    """.strip().splitlines()
)
# What a homeserver need not have, by the reason.
NOT_OURS: Final[Mapping[str, str]] = {
    "GET /.well-known/matrix/policy_server": "it is of a policy server",
    "POST /_matrix/policy/v1/sign": "it is of a policy server",
    "GET /_matrix/federation/v1/query/{queryType}": "each kind of query is an endpoint of its own",
}
# Parameters that the specification has and we have no use for, by the reason.
UNREAD_QUERY: Final[Mapping[str, str]] = {
    **{
        f"GET /_matrix/federation/v1/publicRooms?{name}": "no application service lists rooms of networks yet"
        for name in ("include_all_networks", "third_party_instance_id")
    },
    **{
        f"GET /_matrix/client/v3/thirdparty/{kind}/{{protocol}}?fields": "there is no network to look in yet"
        for kind in ("location", "user")
    },
}
# The same for fields of bodies.
UNREAD_BODY: Final[Mapping[str, str]] = {}


@cache
def served() -> Router[Endpoint]:
    app = unstarted(defaults("localhost", environ={}))
    return Router(
        Route(bound.endpoint.method, path, bound.endpoint)
        for resource in ("client", "federation")
        for bound in app.endpoints[resource]
        for path in bound.endpoint.paths
    )


def serving(name: str) -> Endpoint | None:
    method, path = name.split(" ", 1)
    kinds = {"{kind}": "override", "{eventType}": "m.type"}
    concrete = re.sub(r"{\w+}", lambda found: kinds.get(found[0], "x"), path)
    try:
        match = served().match(method, concrete)
    except MatrixError:
        return None
    return match.route.target if served_as(match.route.template) == served_as(path) else None


def served_as(path: str) -> str:
    """A path without the names of its parameters."""
    return re.sub(r"/(?:{\w+}|enabled|actions)(?=/|$)", "/{}", path)


def test_every_endpoint_is_served_or_known_to_be_missing() -> None:
    missing = {name for name in ENDPOINTS if serving(name) is None}
    assert missing - NOT_BUILT - NOT_OURS.keys() == set()
    assert (NOT_BUILT | NOT_OURS.keys()) - missing == set(), "these are there: strike them from the list"


def test_every_parameter_of_the_query_is_read() -> None:
    assert {
        f"{name}?{each}" for name, declared in built() for each in _unread_query(name, declared)
    } == UNREAD_QUERY.keys()


def test_every_field_of_a_body_is_read() -> None:
    found = {
        f"{name} {each}"
        for name, declared in built()
        if "body" in ENDPOINTS[name]
        for each in _unread(declared.body_type, ENDPOINTS[name]["body"])
    }
    assert found == UNREAD_BODY.keys()


def built() -> Iterator[tuple[str, Endpoint]]:
    for name in ENDPOINTS:
        declared = serving(name)
        if declared is not None:
            yield name, declared


def _unread_query(name: str, declared: Endpoint) -> Iterator[str]:
    parameters = [one for one in declared.parameters if one.place is Place.QUERY]
    specified = ENDPOINTS[name].get("query", {})
    yield from {each.removesuffix("!") for each in specified} - {
        each for one in parameters for each in one.names
    }
    for one in parameters:
        if one.required and f"{one.names[0]}!" not in specified:
            yield f"{one.names[0]} need not be sent"


def _unread(kind: Any, shape: Any) -> Iterator[str]:
    while isinstance(shape, dict) and "see" in shape:
        shape = SHAPES[shape["see"]]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(shape, dict):
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        yield from set(shape.get("object", ())) - fields.keys()
        asked_for = {name for name, field in fields.items() if field.required} - set(
            shape.get("required", ())
        )
        yield from (f"{name} need not be sent" for name in asked_for)
    elif kind is None:
        yield "the body"
    elif get_origin(kind) in (list, tuple, Sequence) and "list" not in shape:
        yield "an object"
