"""Leaving a room, rejecting an invite, taking back a knock.

https://spec.matrix.org/v1.19/server-server-api/#leaving-rooms-rejecting-invites
"""

from typing import Any, Final

from federation.wire.joining import Template
from federation.wire.route import JsonObject, Nothing, Route

MAKE_LEAVE: Final = Route("GET", "/_matrix/federation/v1/make_leave/{room_id}/{user_id}", Template)
SEND_LEAVE: Final = Route(
    "PUT", "/_matrix/federation/v2/send_leave/{room_id}/{event_id}", Nothing, body=JsonObject
)
SEND_LEAVE_V1: Final = Route(
    "PUT", "/_matrix/federation/v1/send_leave/{room_id}/{event_id}", list[Any], body=JsonObject
)
"""The old form, answered with `[200, {}]`: for servers that know no better."""
