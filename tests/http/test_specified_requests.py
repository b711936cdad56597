"""Bodies and queries that are not what the specification's OpenAPI has: each is refused, but for what is listed."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from homeserver.http.decoding import body_decoder, values_decoder
from homeserver.http.endpoint import Endpoint, Place
from homeserver.http.request import Request
from homeserver.protocol.errors import BadJson, InvalidParam, MatrixError, MissingParam
from tests.harness.conformance import ENDPOINTS, SHAPES
from tests.harness.openapi_facts import Shape
from tests.http.test_specified_endpoints import built

_EXAMPLES: Final[Mapping[str, Any]] = {
    "any": "x",
    "string": "x",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "null": None,
    "mx-user-id": "@a:b",
    "mx-room-id": "!a:b",
    "mx-event-id": "$a",
    "mx-room-alias": "#a:b",
    "mx-server-name": "b",
    "mx-mxc-uri": "mxc://b/a",
}
_DEEPEST: Final = 4

_BY_SERVICES: Final = "what has it looks itself, and its tests have it refused"
_OPAQUE: Final = "only the clients of its algorithm know what it has to be"
_LENIENT: Final = "what other servers send is read leniently"
# What need not be as the specification says, or is looked at elsewhere: beginnings of paths, by the reason.
ELSEWHERE: Final[Mapping[str, str]] = {
    "POST /_matrix/client/v3/keys/upload .device_keys": _BY_SERVICES,
    "POST /_matrix/client/v3/login .identifier": _BY_SERVICES,
    "POST /_matrix/client/v3/pushers/set .data": _BY_SERVICES,
    "POST /_matrix/client/v3/rooms/{roomId}/receipt/{receiptType}/{eventId} .thread_id": _BY_SERVICES,
    "PUT /_matrix/client/v3/pushrules/global/{kind}/{ruleId}/actions .actions": _BY_SERVICES,
    "PUT /_matrix/client/v3/pushrules/global/{kind}/{ruleId}/enabled .enabled": _BY_SERVICES,
    "POST /_matrix/client/v3/rooms/{roomId}/invite .user_id": "addresses are invited at the same path",
    "POST /_matrix/client/v3/room_keys/version .auth_data": _OPAQUE,
    "PUT /_matrix/client/v3/room_keys/version/{version} .auth_data": _OPAQUE,
    "POST /_matrix/federation/v1/get_missing_events/{roomId} .": _LENIENT,
    "POST /_matrix/federation/v1/publicRooms .filter": _LENIENT,
    "PUT /_matrix/federation/v1/3pid/onbind .invites": _LENIENT,
    "PUT /_matrix/federation/v1/send/{txnId} .": _LENIENT,
    "PUT /_matrix/federation/v2/invite/{roomId}/{eventId} .event": _LENIENT,
}


def test_bodies_without_what_they_need_and_of_other_types_are_refused() -> None:
    taken = {
        f"{name} {path}"
        for name, declared in with_body()
        for bodies in (_without, _spoilt)
        for path, body in bodies(_shape(ENDPOINTS[name]["body"]), "")
        if not _is_refused(declared, body)
    }
    excused = {each: begin for each in taken for begin in ELSEWHERE if each.startswith(begin)}
    assert taken - excused.keys() == set()
    assert ELSEWHERE.keys() - set(excused.values()) == set(), "these are refused: strike them from the list"


def test_what_is_as_specified_is_taken() -> None:
    refused = {
        name: problem
        for name, declared in with_body()
        if (problem := _problem(declared, _example(ENDPOINTS[name]["body"]))) is not None
    }
    assert refused == {}


def test_parameters_of_the_query_are_checked() -> None:
    found = set()
    for name, declared in built():
        by_name = {each: one for one in declared.parameters if one.place is Place.QUERY for each in one.names}
        for each, shape in ENDPOINTS[name].get("query", {}).items():
            parameter = by_name.get(each.removesuffix("!"))
            if parameter is None:
                continue
            for text in {"integer": ("x", "1.5", ""), "boolean": ("x", "1", "")}.get(_plain(shape), ()):
                try:
                    values_decoder(parameter.kind)([text])
                except InvalidParam:
                    continue
                found.add(f"{name}?{each}={text}")
    assert found == set()


def with_body() -> Iterator[tuple[str, Endpoint]]:
    """The endpoints whose bodies have a type here and a shape there."""
    for name, declared in built():
        kind = declared.body_type
        if ENDPOINTS[name].get("body", "bytes") != "bytes" and isinstance(kind, type):
            if issubclass(kind, msgspec.Struct):
                yield name, declared


def _is_refused(declared: Endpoint, body: Any) -> bool:
    return _problem(declared, body) is not None


def _problem(declared: Endpoint, body: Any) -> str | None:
    sent = json.dumps(body).encode()
    request = Request(declared.method, declared.paths[0], {}, sent, "192.0.2.1", "1")
    try:
        body_decoder(declared.body_type, False)(request)
    except (BadJson, MissingParam, InvalidParam) as error:
        return error.message
    except MatrixError as error:
        raise AssertionError("another error") from error
    return None


def _shape(shape: Shape) -> Shape:
    while isinstance(shape, dict) and "see" in shape:
        shape = SHAPES[shape["see"]]
    return shape


def _plain(shape: Shape) -> str:
    shape = _shape(shape)
    return shape if isinstance(shape, str) else ""


def _example(shape: Shape, depth: int = 0) -> Any:
    """Something of a shape, with all that is required."""
    shape = _shape(shape)
    if isinstance(shape, str):
        return _EXAMPLES[shape]
    if "one" in shape:
        return shape["one"][0]
    if "either" in shape:
        return _example(shape["either"][0], depth)
    if "list" in shape:
        return [] if depth > _DEEPEST else [_example(shape["list"], depth + 1)]
    return {name: _example(shape["object"].get(name, "any"), depth + 1) for name in shape.get("required", ())}


def _without(shape: Shape, path: str) -> Iterator[tuple[str, Any]]:
    """Bodies without one thing that is required, by its path."""
    if not isinstance(shape, dict) or "object" not in shape or path.count(".") > _DEEPEST:
        return
    whole = _example(shape)
    for name in shape.get("required", ()):
        yield f"{path}.{name}", {key: value for key, value in whole.items() if key != name}
    for name, inner in shape["object"].items():
        for where, value in _without(_shape(inner), f"{path}.{name}"):
            yield where, {**whole, name: value}


def _spoilt(shape: Shape, path: str) -> Iterator[tuple[str, Any]]:
    """Bodies in which one thing is of another type, by its path."""
    if not isinstance(shape, dict) or "object" not in shape or path.count(".") > _DEEPEST:
        return
    whole = _example(shape)
    for name, inner in shape["object"].items():
        inner = _shape(inner)
        for wrong in _others(inner):
            yield f"{path}.{name} = {json.dumps(wrong)}", {**whole, name: wrong}
        for where, value in _spoilt(inner, f"{path}.{name}"):
            yield where, {**whole, name: value}


def _others(shape: Shape) -> tuple[Any, ...]:
    """Values that are not of a shape."""
    if isinstance(shape, dict):
        if "one" in shape:
            return () if None in shape["one"] else (["x"],)
        if "either" in shape:
            return ()
        return ("x", 1)
    return {"any": (), "null": ("x",), "boolean": ("x", 1), "integer": ("x", {}), "number": ("x", {})}.get(
        shape, (1, {})
    )
