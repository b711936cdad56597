"""Whether answers are what the specification's OpenAPI says: every answer that a test's client sees is checked here,
and so is what servers ask each other (`wiretap`).

The facts are in `openapi_facts.json`, which `openapi_facts.py` makes. Where the specification's prose, or its own
other files, contradict the OpenAPI, `EXCUSED` says so.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import parse_qs

from homeserver.http.router import Route, Router
from homeserver.protocol.errors import MatrixError
from tests.harness.openapi_facts import FACTS, Shape

_NO_TURN: Final = "without a TURN server there is nothing to tell: browsers refuse a server without addresses"
_NO_ORIGIN: Final = (
    "the format of events has no `origin`; what is said here of a template and an invite is older"
)
_NO_ROOM: Final = "presence is among these events, and has none of this"
_NO_KNOCKS: Final = "knocks are younger than what is said of this endpoint"
_SENT: Final = ("v2/send_join", "v2/send_leave", "v1/send_knock")
# By what a deviation says, the reason why it is none.
EXCUSED: Final[Mapping[str, str]] = {
    **{
        f"GET /_matrix/client/v3/voip/turnServer: .{name} is missing": _NO_TURN
        for name in ("username", "password", "uris", "ttl")
    },
    **{
        f"asking PUT /_matrix/federation/{path}/{{roomId}}/{{eventId}}: .origin is missing": _NO_ORIGIN
        for path in _SENT
    },
    **{
        f"{asking}PUT /_matrix/federation/v2/invite/{{roomId}}/{{eventId}}: .event.origin is missing": _NO_ORIGIN
        for asking in ("", "asking ")
    },
    **{
        f"GET /_matrix/client/v3/events: .chunk[].{name} is missing": _NO_ROOM
        for name in ("event_id", "origin_server_ts", "room_id")
    },
    "GET /_matrix/client/v3/initialSync: "
    ".rooms[].membership is 'knock', none of ['invite', 'join', 'leave', 'ban']": _NO_KNOCKS,
    "PUT /_matrix/federation/v1/invite/{roomId}/{eventId}: [] is none of the shapes it may have": _NO_ORIGIN,
    "asking PUT /_matrix/federation/v1/invite/{roomId}/{eventId}: .origin is missing": _NO_ORIGIN,
}

_SIGILS: Final = {
    "mx-user-id": "@",
    "mx-room-id": "!",
    "mx-event-id": "$",
    "mx-room-alias": "#",
    "mx-mxc-uri": "mxc://",
    "mx-server-name": "",
}
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


class Answer(NamedTuple):
    """What is looked at of an exchange."""

    method: str
    path: str
    status: int
    content_type: str
    body: bytes


class Request(NamedTuple):
    """What is looked at of a request of ours to another server."""

    method: str
    target: str
    body: bytes


T = TypeVar("T")


def _read() -> tuple[dict[str, Any], dict[str, Shape], dict[str, Shape]]:
    facts = json.loads(FACTS.read_text(encoding="utf-8"))
    return facts["endpoints"], facts["edus"], facts["shapes"]


ENDPOINTS, EDUS, SHAPES = _read()


def _routes() -> Iterator[Route[str]]:
    for name in ENDPOINTS:
        method, path = name.split(" ", 1)
        yield Route(method, path, name)


_router: Final = Router(_routes())
_watched: Final[list[set[str]]] = []
_unchecked: Final[list[str]] = []
_noticed: Final[list[str]] = []


@contextmanager
def watching() -> Iterator[set[str]]:
    """Give the names of the endpoints that answer with success from now on."""
    names: set[str] = set()
    _watched.append(names)
    yield names
    _watched.remove(names)


@contextmanager
def unchecked(reason: str) -> Iterator[None]:
    """Let answers be other than specified, as a request may ask for."""
    _unchecked.append(reason)
    yield
    _unchecked.pop()


def notice(check: Callable[[T], None], exchanged: T) -> None:
    """Check something where an error would be lost; what is wrong is told by `noticed`."""
    try:
        check(exchanged)
    except AssertionError as error:
        _noticed.append(str(error))


def noticed() -> list[str]:
    """What was wrong since the last call."""
    found = list(_noticed)
    _noticed.clear()
    return found


def specified(method: str, path: str) -> str | None:
    """The name of the endpoint that a request is for, if the specification has it."""
    try:
        match = _router.match(method, path.replace("/_matrix/client/r0/", "/_matrix/client/v3/"))
    except MatrixError:
        return None
    empty = {name for name, value in match.values.items() if not value}
    return match.route.target if empty <= {"stateKey"} else None


def check(answer: Answer) -> None:
    """Raise AssertionError if an answer is not what the specification has."""
    name = specified(answer.method, answer.path.partition("?")[0])
    if name is None or answer.method == "HEAD" or _unchecked:
        return
    if answer.status >= 400:
        problems = list(_error_deviations(answer))
    elif 200 <= answer.status < 300:
        problems = list(_success_deviations(name, answer))
        for names in _watched:
            names.add(name)
    else:
        return
    problems = [problem for problem in problems if f"{name}: {problem}" not in EXCUSED]
    assert not problems, f"{name}: not as specified: {'; '.join(problems)} in {answer.body[:2000]!r}"


def check_request(request: Request) -> None:
    """Raise AssertionError if a request is not what the specification has."""
    path, _, query = request.target.partition("?")
    name = specified(request.method, path)
    if name is None or _unchecked:
        return
    problems = list(
        _query_deviations(parse_qs(query, keep_blank_values=True), ENDPOINTS[name].get("query", {}))
    )
    if "body" in ENDPOINTS[name]:
        body = _json(request)
        problems += deviations(body, ENDPOINTS[name]["body"])
        problems += _edu_deviations(body)
    elif request.body:
        problems.append("a body")
    problems = [problem for problem in problems if f"asking {name}: {problem}" not in EXCUSED]
    assert not problems, f"asking {name}: not as specified: {'; '.join(problems)} in {request!r:.2000}"


def _query_deviations(query: Mapping[str, list[str]], shapes: Mapping[str, Shape]) -> Iterator[str]:
    for name in shapes:
        if name.endswith("!") and name[:-1] not in query:
            yield f"?{name[:-1]} is missing"
    for name, values in query.items():
        shape = shapes.get(name, shapes.get(f"{name}!"))
        if shape is None:
            yield f"?{name} has no place there"
        elif not (isinstance(shape, dict) and "list" in shape) and len(values) > 1:
            yield f"?{name} is there several times"
        elif shape == "integer" and not values[0].lstrip("-").isdigit():
            yield f"?{name} is no integer"
        elif shape == "boolean" and values[0] not in ("true", "false"):
            yield f"?{name} is neither true nor false"


def _edu_deviations(body: Any) -> Iterator[str]:
    """What is wrong with the ephemeral data in a transaction."""
    edus = body.get("edus") if isinstance(body, dict) else None
    for edu in edus if isinstance(edus, list) else ():
        kind = edu.get("edu_type")
        if kind in EDUS:
            yield from deviations(edu, EDUS[kind], f".edus[{kind}]")


def _error_deviations(answer: Answer) -> Iterator[str]:
    body = _json(answer)
    if not isinstance(body, dict):
        yield "an error that is no JSON object"
    elif "flows" not in body or "errcode" in body:
        for word in ("errcode", "error"):
            if not isinstance(body.get(word), str):
                yield f"an error without {word}"


def _success_deviations(name: str, answer: Answer) -> Iterator[str]:
    answers = ENDPOINTS[name]["answers"]
    shape = answers.get(str(answer.status), ...)
    if shape is ...:
        yield f"status {answer.status}"
    elif shape not in (None, "bytes"):
        if answer.content_type.partition(";")[0] != "application/json":
            yield f"content type {answer.content_type}"
        yield from deviations(_json(answer), shape)


def _json(exchanged: Answer | Request) -> Any:
    try:
        return json.loads(exchanged.body)
    except ValueError:
        return ...


def deviations(value: Any, shape: Shape, where: str = "") -> Iterator[str]:
    """Tell how a value is not of a shape."""
    if isinstance(shape, str):
        yield from _of_type(value, shape, where)
    elif "see" in shape:
        yield from deviations(value, SHAPES[shape["see"]], where)
    elif "one" in shape:
        if value not in shape["one"]:
            yield f"{where or '.'} is {value!r}, none of {shape['one']}"
    elif "either" in shape:
        if all(any(True for _ in deviations(value, choice, where)) for choice in shape["either"]):
            yield f"{where or '.'} is none of the shapes it may have"
    elif "list" in shape:
        yield from _of_list(value, shape["list"], where)
    else:
        yield from _of_object(value, shape, where)


def _of_type(value: Any, name: str, where: str) -> Iterator[str]:
    if name in _SIGILS:
        if not isinstance(value, str) or not value.startswith(_SIGILS[name]):
            yield f"{where or '.'} is no {name}"
    elif name != "any":
        types = _TYPES[name]
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            yield f"{where or '.'} is {type(value).__name__}, not {name}"


def _of_list(value: Any, items: Shape, where: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{where or '.'} is no list"
        return
    for each in value:
        yield from deviations(each, items, f"{where}[]")


def _of_object(value: Any, shape: Mapping[str, Any], where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where or '.'} is no object"
        return
    for name in shape.get("required", ()):
        if name not in value:
            yield f"{where}.{name} is missing"
    for name, each in value.items():
        found = _property(name, shape)
        if found is False:
            yield f"{where}.{name} has no place there"
        elif found is not None:
            place = name if name in shape["object"] else "*"
            yield from deviations(each, found, f"{where}.{place}")


def _property(name: str, shape: Mapping[str, Any]) -> Shape:
    if name in shape["object"]:
        return shape["object"][name]
    for pattern, each in shape.get("keys", {}).items():
        if re.search(pattern, name):
            return each
    return shape.get("others")
