"""Whether answers are what the specification's OpenAPI says: every answer that a test's client sees is checked here.

The facts are in `openapi_facts.json`, which `openapi_facts.py` makes. Where the specification's prose, or its own
other files, contradict the OpenAPI, `EXCUSED` says so.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from homeserver.http.router import Route, Router
from homeserver.protocol.errors import MatrixError
from tests.harness.openapi_facts import FACTS, Shape

_NO_TURN: Final = "without a TURN server there is nothing to tell: browsers refuse a server without addresses"
# By what a deviation says, the reason why it is none.
EXCUSED: Final[Mapping[str, str]] = {
    f"GET /_matrix/client/v3/voip/turnServer: .{name} is missing": _NO_TURN
    for name in ("username", "password", "uris", "ttl")
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


def _read() -> tuple[dict[str, Any], dict[str, Shape]]:
    facts = json.loads(FACTS.read_text(encoding="utf-8"))
    return facts["endpoints"], facts["shapes"]


ENDPOINTS, SHAPES = _read()


def _routes() -> Iterator[Route[str]]:
    for name in ENDPOINTS:
        method, path = name.split(" ", 1)
        yield Route(method, path, name)


_router: Final = Router(_routes())
_watched: Final[list[set[str]]] = []
_unchecked: Final[list[str]] = []


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


def _json(answer: Answer) -> Any:
    try:
        return json.loads(answer.body)
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
