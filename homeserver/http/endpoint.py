"""Endpoints, declared by their signature and read once, at import.

```python
@endpoint("POST", "/_matrix/client/{v3,r0}/join/{room_id_or_alias}", auth=access_token, limit="joins",
          spec="client-server-api/#post_matrixclientv3joinroomidoralias")
async def join_room(self, who: Requester, room_id_or_alias: Path[RoomIDOrAlias], body: Body[Join],
                    via: Query[tuple[ServerName, ...]] = ()) -> Joined: ...
```

The first parameter is the principal that `auth` gives (none for `no_auth`). A parameter of type `Request` is the
request itself. A trailing underscore is not part of a wire name (`from_` is `from`), dashes of header names are
underscores, and `Annotated[Query[str], named("max-age")]` gives wire names of its own, of which the first that was
sent counts.
"""

import enum
import inspect
import itertools
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin, get_type_hints

from homeserver.http.authentication import Marker
from homeserver.http.bodies import BodyStream
from homeserver.http.decoding import (
    BodyDecoder,
    TextDecoder,
    ValuesDecoder,
    body_decoder,
    text_decoder,
    values_decoder,
)
from homeserver.http.request import Request
from homeserver.protocol.errors import InvalidParam, MissingParam

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class Place(enum.Enum):
    """Where in a request a parameter is found."""

    PATH = "path"
    QUERY = "query"
    HEADER = "header"
    BODY = "body"


Path = Annotated[T, Place.PATH]
Query = Annotated[T, Place.QUERY]
Header = Annotated[T, Place.HEADER]
Body = Annotated[T, Place.BODY]


@dataclass(frozen=True, slots=True)
class named:
    """The names of a parameter on the wire, where they are not the one in Python."""

    first: str
    second: str | None = None


_REQUIRED: Final = object()


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter read from the query or a header."""

    python_name: str
    place: Place
    names: tuple[str, ...]
    kind: object
    decode: ValuesDecoder
    default: object = _REQUIRED

    @property
    def required(self) -> bool:
        """Whether a request without it is refused."""
        return self.default is _REQUIRED


@dataclass(frozen=True, slots=True)
class PathParameter:
    """A parameter read from one segment of the path."""

    python_name: str
    kind: object
    decode: TextDecoder
    default: object = _REQUIRED


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One declared endpoint: all that is known of it without an object to call.

    `section` is the module that declares it, without its packages.
    """

    name: str
    section: str
    method: str
    paths: tuple[str, ...]
    auth: Marker
    limit: str | None
    spec: str
    summary: str
    long_poll: bool
    body_limit: str
    request_name: str | None
    path_parameters: tuple[PathParameter, ...]
    parameters: tuple[Parameter, ...]
    body_name: str | None
    body_type: object
    decode_body: BodyDecoder | None

    @property
    def streamed(self) -> bool:
        """Whether it is called when the head of a request is there, and reads the body while it arrives."""
        return self.body_type is BodyStream

    def arguments(self, request: Request, path_values: Mapping[str, str]) -> dict[str, Any]:
        """Decode everything but the principal. Raises MissingParam, InvalidParam, NotJson, BadJson."""
        arguments: dict[str, Any] = {}
        for segment in self.path_parameters:
            text = path_values.get(segment.python_name)
            arguments[segment.python_name] = segment.default if text is None else segment.decode(text)
        for parameter in self.parameters:
            arguments[parameter.python_name] = _value(parameter, request)
        if self.decode_body is not None and self.body_name is not None:
            arguments[self.body_name] = self.decode_body(request)
        if self.request_name is not None:
            arguments[self.request_name] = request
        return arguments


@dataclass(frozen=True, slots=True)
class BoundEndpoint:
    """An endpoint and the method that answers it."""

    endpoint: Endpoint
    call: Callable[..., Awaitable[Any]]


# Decorated functions stay what they are; what was declared of them is kept beside them.
_DECLARED: Final[dict[Callable[..., Any], list[Endpoint]]] = {}


def endpoint(
    method: str,
    *paths: str,
    auth: Marker,
    spec: str,
    limit: str | None = None,
    long_poll: bool = False,
    empty_body_ok: bool = False,
    body_limit: str = "default",
) -> Callable[[F], F]:
    """Declare a method as the answer to `method` on `paths`.

    `limit` names the rate limit that each call counts against; without it, it is the one of `auth`, if any. A
    `long_poll` is cancelled when its client goes away; any other call runs to its end. `empty_body_ok` takes no body
    for `{}`. `body_limit` names the configured size limit. Raises TypeError, at import, when the signature and the
    paths do not agree.
    """

    def declare(function: F) -> F:
        signature = _Signature(function, auth)
        expanded = tuple(itertools.chain.from_iterable(_expanded(path) for path in paths))
        body = signature.body()
        declared = Endpoint(
            name=function.__name__,
            section=function.__module__.rpartition(".")[2],
            method=method,
            paths=expanded,
            auth=auth,
            limit=limit or auth.limit,
            spec=spec,
            summary=(inspect.getdoc(function) or "").partition("\n")[0],
            long_poll=long_poll,
            body_limit=body_limit,
            request_name=signature.request_name,
            path_parameters=signature.path_parameters(expanded),
            parameters=signature.parameters(),
            body_name=None if body is None else body[0],
            body_type=None if body is None else body[1],
            decode_body=None if body is None else body_decoder(body[1], empty_body_ok),
        )
        _DECLARED.setdefault(inspect.unwrap(function), []).append(declared)
        return function

    return declare


def collect(*api_objects: object) -> list[BoundEndpoint]:
    """Return the endpoints of some objects, bound, in the order of their declaration."""
    return [
        BoundEndpoint(declared, getattr(api, name))
        for api in api_objects
        for name, function in _functions(type(api)).items()
        for declared in _DECLARED.get(function, ())
    ]


def declared_limits(endpoints: Sequence[BoundEndpoint]) -> frozenset[str]:
    """Return the names of the rate limits that the endpoints count against."""
    return frozenset(each.endpoint.limit for each in endpoints if each.endpoint.limit is not None)


def placeholders(path: str) -> list[str]:
    """Return the names of a path's parameters."""
    return re.findall(r"{(\w+)}", path)


def _functions(kind: type) -> dict[str, Callable[..., Any]]:
    found: dict[str, Callable[..., Any]] = {}
    for base in reversed(kind.__mro__):
        found.update({name: value for name, value in vars(base).items() if inspect.isfunction(value)})
    return found


def _expanded(path: str) -> list[str]:
    """Write `/{v3,r0}/x` out as `/v3/x` and `/r0/x`."""
    pieces = [
        piece[1:-1].split(",") if piece.startswith("{") and "," in piece else [piece]
        for piece in re.split(r"({[^}]*})", path)
    ]
    return ["".join(choice) for choice in itertools.product(*pieces)]


def _value(parameter: Parameter, request: Request) -> Any:
    source = request.query.get if parameter.place is Place.QUERY else request.header
    for name in parameter.names:
        values = source(name)
        if values:
            try:
                return parameter.decode(values)
            except InvalidParam as error:
                raise InvalidParam(f"{error.message} - at {parameter.place.value} parameter {name}") from None
    if parameter.default is _REQUIRED:
        raise MissingParam(f"Missing {parameter.place.value} parameter {parameter.names[0]}")
    return parameter.default


class _Signature:
    """A signature, sorted by where its parameters come from."""

    def __init__(self, function: Callable[..., Any], auth: Marker) -> None:
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"{function.__qualname__} must be a coroutine function")
        self._where = function.__qualname__
        hints = get_type_hints(function, include_extras=True)
        self._placed: dict[Place, list[tuple[inspect.Parameter, Any, named | None]]] = {
            place: [] for place in Place
        }
        self.request_name: str | None = None
        principals = []
        for parameter in itertools.islice(inspect.signature(function).parameters.values(), 1, None):
            kind, place, names = _annotation(hints.get(parameter.name))
            if place is not None:
                self._placed[place].append((parameter, kind, names))
            elif kind is Request:
                self.request_name = parameter.name
            else:
                principals.append(parameter.name)
        if len(principals) != int(auth.gives_principal):
            raise TypeError(
                f"{self._where}: {auth.name} does not fit the parameters without a place: {principals}"
            )

    def path_parameters(self, paths: Sequence[str]) -> tuple[PathParameter, ...]:
        found = tuple(
            PathParameter(parameter.name, kind, text_decoder(kind), _default(parameter))
            for parameter, kind, _ in self._placed[Place.PATH]
        )
        for path in paths:
            expected = {each.python_name for each in found}
            required = {each.python_name for each in found if each.default is _REQUIRED}
            if not required <= set(placeholders(path)) <= expected:
                raise TypeError(f"{self._where}: the parameters of {path} and of the signature differ")
        return found

    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(
            Parameter(
                parameter.name,
                place,
                _wire_names(parameter.name, place, names),
                kind,
                values_decoder(kind),
                _default(parameter),
            )
            for place in (Place.QUERY, Place.HEADER)
            for parameter, kind, names in self._placed[place]
        )

    def body(self) -> tuple[str, Any] | None:
        bodies = self._placed[Place.BODY]
        if len(bodies) > 1:
            raise TypeError(f"{self._where} has more than one body")
        return (bodies[0][0].name, bodies[0][1]) if bodies else None


def _annotation(hint: Any) -> tuple[Any, Place | None, named | None]:
    if get_origin(hint) is not Annotated:
        return hint, None, None
    kind, *metadata = get_args(hint)
    place = next((each for each in metadata if isinstance(each, Place)), None)
    return kind, place, next((each for each in metadata if isinstance(each, named)), None)


def _wire_names(python_name: str, place: Place, names: named | None) -> tuple[str, ...]:
    if names is not None:
        return (names.first,) if names.second is None else (names.first, names.second)
    name = python_name.removesuffix("_")
    return (name.replace("_", "-"),) if place is Place.HEADER else (name,)


def _default(parameter: inspect.Parameter) -> object:
    return _REQUIRED if parameter.default is inspect.Parameter.empty else parameter.default
