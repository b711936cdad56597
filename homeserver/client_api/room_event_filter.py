"""The filter that some endpoints take as JSON in their query."""

from homeserver.protocol.canonical_json import decode
from homeserver.protocol.errors import InvalidParam, MatrixError
from homeserver.protocol.filters import RoomEventFilter, read_room_event_filter

_OPEN = RoomEventFilter()


def parse_room_event_filter(text: str | None) -> RoomEventFilter:
    """The filter of a query; an open one without. Raises InvalidParam.

    https://spec.matrix.org/v1.19/client-server-api/#filtering"""
    if not text:
        return _OPEN
    try:
        return read_room_event_filter(decode(text))
    except MatrixError as error:
        raise InvalidParam(f"`filter` is not a filter: {error.message}") from None
