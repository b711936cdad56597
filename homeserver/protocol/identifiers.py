"""The identifiers of Matrix as types, and the one parser of each.

An identifier is a `str` at run time (the database driver and the JSON encoders take it as it is)
and a type of its own for the checker. It is parsed once, where it enters, and trusted afterwards.

https://spec.matrix.org/v1.19/appendices/#identifier-grammar
"""

import re
from ipaddress import AddressValueError, IPv6Address
from typing import NewType, TypeAlias

from homeserver.protocol.errors import InvalidParam, InvalidUsername

ServerName = NewType("ServerName", str)
UserID = NewType("UserID", str)
RoomID = NewType("RoomID", str)
RoomAlias = NewType("RoomAlias", str)
RoomIDOrAlias = NewType("RoomIDOrAlias", str)
EventID = NewType("EventID", str)
DeviceID = NewType("DeviceID", str)
MediaID = NewType("MediaID", str)

StateKey: TypeAlias = tuple[str, str]
"""The place of a state event in the state of its room: its `type` and its `state_key`."""

MAX_IDENTIFIER_BYTES = 255
MAX_DEVICE_ID_BYTES = 512

_SERVER_NAME = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]{2,45})\]|[A-Za-z0-9.-]{1,255})(?::[0-9]{1,5})?")
_ROOM_DOMAIN = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^:\[\]]*)(?::[0-9]{1,5})?")
_MEDIA_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")
_NEW_LOCALPART = re.compile(r"[a-z0-9._=/+-]+")


def parse_server_name(text: str) -> ServerName:
    """A [server name](https://spec.matrix.org/v1.19/appendices/#server-name): a host name or an
    address, perhaps a port.
    """
    if not is_server_name(text):
        raise InvalidParam("Not a server name")
    return ServerName(text)


def parse_user_id(text: str) -> UserID:
    """A user ID, with a localpart of today's or of the historical character set (which "servers
    MUST accept").

    https://spec.matrix.org/v1.19/appendices/#historical-user-ids
    """
    if not is_user_id(text):
        raise InvalidParam("Not a user ID")
    return UserID(text)


def parse_room_id(text: str) -> RoomID:
    """A room ID of any room version. Those of version 12 have no domain, so none is ever read from
    a room ID; but where one stands with a port, the port is a number.
    """
    if not is_room_id(text):
        raise InvalidParam("Not a room ID")
    return RoomID(text)


def parse_room_alias(text: str) -> RoomAlias:
    """A [room alias](https://spec.matrix.org/v1.19/appendices/#room-aliases), `#localpart:domain`."""
    if not is_room_alias(text):
        raise InvalidParam("Not a room alias")
    return RoomAlias(text)


def parse_room_id_or_alias(text: str) -> RoomIDOrAlias:
    """Either of the two, for the endpoints that take both. `is_room_id` tells which one it is."""
    if not (is_room_id(text) or is_room_alias(text)):
        raise InvalidParam("Neither a room ID nor a room alias")
    return RoomIDOrAlias(text)


def parse_event_id(text: str) -> EventID:
    """An [event ID](https://spec.matrix.org/v1.19/appendices/#event-ids): opaque behind its sigil."""
    if not is_event_id(text):
        raise InvalidParam("Not an event ID")
    return EventID(text)


def parse_device_id(text: str) -> DeviceID:
    """A device ID. The specification gives it no grammar, so only what cannot be stored or is
    absurd is refused.
    """
    if not text or not _storable(text, MAX_DEVICE_ID_BYTES):
        raise InvalidParam("Not a device ID")
    return DeviceID(text)


def parse_media_id(text: str) -> MediaID:
    """The part of an [`mxc://` URI](https://spec.matrix.org/v1.19/client-server-api/#matrix-content-mxc-uris) that
    names the content on its server. Nothing else is let through: other servers and clients write these.
    """
    if _MEDIA_ID.fullmatch(text) is None:
        raise InvalidParam("Not a media ID")
    return MediaID(text)


def validate_new_localpart(text: str, server_name: str = "") -> str:
    """The strict rule for a user ID that we create. Raises `InvalidUsername`.

    https://spec.matrix.org/v1.19/appendices/#user-identifiers
    """
    if not _NEW_LOCALPART.fullmatch(text):
        raise InvalidUsername("User ID can only contain characters a-z, 0-9, or '=_-./+'")
    if len(text) + len(server_name) + 2 > MAX_IDENTIFIER_BYTES:
        raise InvalidUsername(f"User ID may not be longer than {MAX_IDENTIFIER_BYTES} characters")
    return text


def is_server_name(text: str) -> bool:
    """Whether the text is a server name by the grammar; an IPv6 literal must also be an address."""
    match = _SERVER_NAME.fullmatch(text)
    if match is None:
        return False
    return match["ipv6"] is None or _is_ipv6(match["ipv6"])


def is_user_id(text: str) -> bool:
    """Whether the text is a user ID, historical ones included."""
    return text[:1] == "@" and _has_domain(text)


def is_room_id(text: str) -> bool:
    """Whether the text is a room ID of any room version."""
    if text[:1] != "!" or len(text) == 1 or not _storable(text, MAX_IDENTIFIER_BYTES):
        return False
    return text.count(":") < 2 or _ROOM_DOMAIN.fullmatch(text.partition(":")[2]) is not None


def is_room_alias(text: str) -> bool:
    """Whether the text is a room alias."""
    return text[:1] == "#" and text[1:2] != ":" and _has_domain(text)


def is_event_id(text: str) -> bool:
    """Whether the text is an event ID of any room version."""
    return text[:1] == "$" and len(text) > 1 and _storable(text, MAX_IDENTIFIER_BYTES)


def server_of(identifier: str) -> ServerName:
    """The domain of a user ID, a room alias, or an event ID of room versions 1 and 2. Empty if
    there is none.
    """
    return ServerName(identifier.partition(":")[2])


def localpart_of(identifier: str) -> str:
    """The localpart of a user ID or a room alias: without the sigil and the domain."""
    return identifier[1:].partition(":")[0]


def _has_domain(text: str) -> bool:
    return is_server_name(text.partition(":")[2]) and _storable(text, MAX_IDENTIFIER_BYTES)


def _storable(text: str, limit: int) -> bool:
    """At most `limit` bytes of UTF-8, with no NUL (which no identifier may have) and no lone
    surrogate.
    """
    if "\0" in text:
        return False
    if text.isascii():
        return len(text) <= limit
    try:
        return len(text.encode()) <= limit
    except UnicodeEncodeError:
        return False


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True
