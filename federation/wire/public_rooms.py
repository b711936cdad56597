"""The published rooms of a server, and the rooms below a space.

https://spec.matrix.org/v1.19/server-server-api/#public-room-directory
"""

from typing import Any, Final

import msgspec

from federation.wire.route import MIB, JsonObject, Route


class PublicRoomsPage(msgspec.Struct, frozen=True):
    """Which part of the list."""

    limit: int | None = None
    since: str | None = None
    include_all_networks: bool | None = None
    third_party_instance_id: str | None = None


class PublicRoomsSearch(msgspec.Struct, frozen=True, omit_defaults=True):
    """The same with a filter."""

    limit: int | None = None
    since: str | None = None
    filter: JsonObject | None = None
    include_all_networks: bool | None = None
    third_party_instance_id: str | None = None


class PublicRooms(msgspec.Struct, frozen=True, omit_defaults=True):
    """One page of the list."""

    chunk: list[Any]
    next_batch: str | None = None
    prev_batch: str | None = None
    total_room_count_estimate: int | None = None


class HierarchyOptions(msgspec.Struct, frozen=True):
    """Whether only children that the space suggests are wanted."""

    suggested_only: bool = False


class Hierarchy(msgspec.Struct, frozen=True):
    """A room, its children as far as the answering server knows them, and those that the asking server may not see."""

    room: JsonObject
    children: list[Any] = []
    inaccessible_children: list[str] = []


PUBLIC_ROOMS: Final = Route(
    "GET", "/_matrix/federation/v1/publicRooms", PublicRooms, query=PublicRoomsPage, max_answer_bytes=4 * MIB
)
SEARCH_PUBLIC_ROOMS: Final = Route(
    "POST",
    "/_matrix/federation/v1/publicRooms",
    PublicRooms,
    body=PublicRoomsSearch,
    max_answer_bytes=4 * MIB,
)
HIERARCHY: Final = Route(
    "GET",
    "/_matrix/federation/v1/hierarchy/{room_id}",
    Hierarchy,
    query=HierarchyOptions,
    max_answer_bytes=4 * MIB,
)
