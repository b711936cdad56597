"""Knocking upon a room. https://spec.matrix.org/v1.19/server-server-api/#knocking-rooms"""

from typing import Any, Final

import msgspec

from federation.wire.joining import SupportedVersions, Template
from federation.wire.route import JsonObject, Route


class Knocked(msgspec.Struct, frozen=True):
    """Stripped state, so that the knocking user sees upon what they knocked."""

    knock_room_state: list[Any] = []


MAKE_KNOCK: Final = Route(
    "GET", "/_matrix/federation/v1/make_knock/{room_id}/{user_id}", Template, query=SupportedVersions
)
SEND_KNOCK: Final = Route(
    "PUT", "/_matrix/federation/v1/send_knock/{room_id}/{event_id}", Knocked, body=JsonObject
)
