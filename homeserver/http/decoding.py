"""From text and JSON to the types that endpoints declare.

Decoders are chosen at import, by type; a request only calls them.
"""

import enum
import re
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Literal, NewType, TypeVar, Union, get_args, get_origin

import msgspec

from homeserver.http.bodies import BodyStream
from homeserver.http.request import Request
from homeserver.protocol import identifiers
from homeserver.protocol.errors import BadJson, InvalidParam, MatrixError, MissingParam, NotJson

Natural = NewType("Natural", int)
"""A number that is not negative, as counts and times to wait are."""

T = TypeVar("T")
TextDecoder = Callable[[str], Any]
ValuesDecoder = Callable[[Sequence[str]], Any]
BodyDecoder = Callable[[Request], Any]

_IDENTIFIERS: Final[dict[Any, TextDecoder]] = {
    identifiers.UserID: identifiers.parse_user_id,
    identifiers.RoomID: identifiers.parse_room_id,
    identifiers.RoomAlias: identifiers.parse_room_alias,
    identifiers.RoomIDOrAlias: identifiers.parse_room_id_or_alias,
    identifiers.EventID: identifiers.parse_event_id,
    identifiers.ServerName: identifiers.parse_server_name,
    identifiers.DeviceID: identifiers.parse_device_id,
    identifiers.MediaID: identifiers.parse_media_id,
}
_INTEGER = re.compile(r"-?[0-9]{1,19}", re.ASCII)


def values_decoder(kind: Any) -> ValuesDecoder:
    """Return a decoder of a key's values: all of them for a tuple, the last one for anything else."""
    kind = _without_none(kind)
    if get_origin(kind) is tuple:
        item, ellipsis = get_args(kind)
        if ellipsis is not Ellipsis:
            raise TypeError(f"{kind} must be tuple[T, ...]")
        one = text_decoder(item)
        return lambda values: tuple([one(value) for value in values])
    last = text_decoder(kind)
    return lambda values: last(values[-1])


def text_decoder(kind: Any) -> TextDecoder:
    """Return a decoder of one text: identifiers, str, int, bool, enums, literals, or a class with `parse(text)`.

    The decoders raise InvalidParam. Raises TypeError here for a type that text cannot hold.
    """
    kind = _without_none(kind)
    if kind in _IDENTIFIERS:
        return _IDENTIFIERS[kind]
    if kind in _PLAIN:
        return _PLAIN[kind]
    if get_origin(kind) is Literal:
        return _one_of({str(value): value for value in get_args(kind)})
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return _one_of({str(member.value): member for member in kind})
    parse = getattr(kind, "parse", None)
    if callable(parse):
        return _parsed(parse)
    if getattr(kind, "__supertype__", None) is not None:
        return text_decoder(kind.__supertype__)
    raise TypeError(f"{kind!r} cannot be read from text")


def body_decoder(kind: Any, empty_body_ok: bool) -> BodyDecoder:
    """Return a decoder of a body: `bytes` as sent, `BodyStream` while it arrives, `dict[str, Any]` any object,
    otherwise what msgspec can build.

    The decoders raise NotJson, BadJson (naming the path in the JSON) and MissingParam.
    """
    if kind is bytes:
        return lambda request: request.body
    if kind is BodyStream:
        return lambda request: request.stream
    decode = _object if get_origin(kind) is dict and get_args(kind) == (str, Any) else _typed(kind)
    return _or_empty(decode) if empty_body_ok else decode


def _without_none(kind: Any) -> Any:
    if get_origin(kind) not in (Union, types.UnionType):
        return kind
    rest = [each for each in get_args(kind) if each is not type(None)]
    if len(rest) != 1:
        raise TypeError(f"{kind} is ambiguous in text")
    return rest[0]


def _text(text: str) -> str:
    if "\x00" in text:
        raise InvalidParam("A NUL character is not allowed")
    return text


def _boolean(text: str) -> bool:
    if text == "true":
        return True
    if text == "false":
        return False
    raise InvalidParam("Must be true or false")


def _integer(text: str) -> int:
    if _INTEGER.fullmatch(text) is None:
        raise InvalidParam("Must be an integer")
    return int(text)


def _natural(text: str) -> int:
    number = _integer(text)
    if number < 0:
        raise InvalidParam("Must not be negative")
    return number


_PLAIN: Final[dict[Any, TextDecoder]] = {bool: _boolean, int: _integer, Natural: _natural, str: _text}


def _one_of(values: dict[str, T]) -> Callable[[str], T]:
    def decode(text: str) -> T:
        try:
            return values[text]
        except KeyError:
            raise InvalidParam(f"Must be one of: {', '.join(values)}") from None

    return decode


def _parsed(parse: Callable[[str], T]) -> Callable[[str], T]:
    def decode(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise InvalidParam(str(error)) from None

    return decode


def _or_empty(decode: BodyDecoder) -> BodyDecoder:
    def decode_or_empty(request: Request) -> Any:
        if not request.body.strip():
            request.body = b"{}"
        return decode(request)

    return decode_or_empty


def _object(request: Request) -> dict[str, Any]:
    value = request.json()
    if not isinstance(value, dict):
        raise BadJson("The body must be a JSON object")
    return value


def _typed(kind: Any) -> BodyDecoder:
    decoder = msgspec.json.Decoder(kind)
    check = _identifier_check(kind)

    def decode(request: Request) -> Any:
        try:
            value = decoder.decode(request.body)
        except msgspec.ValidationError as error:
            request.json()  # what is no JSON at all is reported as that
            raise _ill_typed(str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise NotJson("The body is not JSON") from None
        for path, parse, text in check(value, ""):
            _check_identifier(path, parse, text)
        return value

    return decode


def _ill_typed(message: str) -> MatrixError:
    if message.startswith("Object missing required field"):
        return MissingParam(message.replace("Object missing", "Missing", 1))
    return BadJson(message)


def _check_identifier(path: str, parse: TextDecoder, text: str) -> None:
    try:
        parse(text)
    except MatrixError as error:
        raise InvalidParam(f"{error.message} - at `${path}`") from None


# Structs hold identifiers as NewTypes of str, which msgspec takes for plain text. What a struct contains is worked out
# once; types without identifiers cost nothing for each request.
_Found = tuple[str, TextDecoder, str]
_Check = Callable[[Any, str], Iterator[_Found]]


def _nothing(_value: Any, _path: str) -> Iterator[_Found]:
    return iter(())


def _identifier_check(kind: Any) -> _Check:
    if kind in _IDENTIFIERS:
        parse = _IDENTIFIERS[kind]
        return lambda value, path: iter(((path, parse, value),)) if isinstance(value, str) else iter(())
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        checks = [check for each in arguments if (check := _identifier_check(each)) is not _nothing]
        return checks[0] if len(checks) == 1 else _nothing
    if origin in (list, tuple, set, frozenset, Sequence) and arguments:
        return _of_items(_identifier_check(arguments[0]))
    if origin is dict:
        return _of_entries(_identifier_check(arguments[0]), _identifier_check(arguments[1]))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _of_fields(kind)
    return _nothing


def _of_items(item: _Check) -> _Check:
    if item is _nothing:
        return _nothing

    def check(value: Any, path: str) -> Iterator[_Found]:
        for index, each in enumerate(value) if isinstance(value, list | tuple | set | frozenset) else ():
            yield from item(each, f"{path}[{index}]")

    return check


def _of_entries(key: _Check, entry: _Check) -> _Check:
    if key is _nothing and entry is _nothing:
        return _nothing

    def check(value: Any, path: str) -> Iterator[_Found]:
        for name, each in value.items() if isinstance(value, dict) else ():
            yield from key(name, f"{path}.{name}")
            yield from entry(each, f"{path}.{name}")

    return check


def _of_fields(struct: type[msgspec.Struct]) -> _Check:
    checks = [
        (field.name, f".{field.encode_name}", check)
        for field in msgspec.structs.fields(struct)
        if (check := _identifier_check(field.type)) is not _nothing
    ]
    if not checks:
        return _nothing

    def check_fields(value: Any, path: str) -> Iterator[_Found]:
        if isinstance(value, msgspec.Struct):
            for name, suffix, check in checks:
                yield from check(getattr(value, name), path + suffix)

    return check_fields
