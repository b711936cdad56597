"""Joining a room by way of a server that is in it. https://spec.matrix.org/v1.19/server-server-api/#joining-rooms"""

from typing import Any, Final

import msgspec

from federation.wire.route import MIB, JsonObject, Pdus, Route


class SupportedVersions(msgspec.Struct, frozen=True):
    """The room versions that the asking server knows."""

    ver: tuple[str, ...] = ("1",)


class Template(msgspec.Struct, frozen=True):
    """An event to be filled in, in the format of the room version (absent: 1).

    It is rebuilt from what we expect, never signed as is.
    """

    event: JsonObject
    room_version: str = "1"


class SendJoinOptions(msgspec.Struct, frozen=True):
    """Whether most member events may be left out of the answer."""

    omit_members: bool = False


class Joined(msgspec.Struct, frozen=True):
    """The state of the room before the join, and all that leads to it. ``servers_in_room`` is a list of names; whoever
    reads it checks that.
    """

    state: Pdus
    auth_chain: Pdus
    event: JsonObject | None = None
    members_omitted: bool = False
    servers_in_room: Any = None
    origin: str = ""


MAKE_JOIN: Final = Route(
    "GET",
    "/_matrix/federation/v1/make_join/{room_id}/{user_id}",
    Template,
    query=SupportedVersions,
)
SEND_JOIN: Final = Route(
    "PUT",
    "/_matrix/federation/v2/send_join/{room_id}/{event_id}",
    Joined,
    query=SendJoinOptions,
    body=JsonObject,
    lists=("state", "auth_chain"),
    max_answer_bytes=512 * MIB,
    timeout_s=600.0,
)
SEND_JOIN_V1: Final = Route(
    "PUT", "/_matrix/federation/v1/send_join/{room_id}/{event_id}", list[Any], body=JsonObject
)
"""The old form, answered with `[200, {...}]`."""
