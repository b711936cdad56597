"""Deleting and blocking rooms, at the paths where the tools that administrators use expect it.

https://element-hq.github.io/synapse/latest/admin_api/rooms.html#delete-room-api
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from homeserver.http.authentication import admin_token
from homeserver.http.endpoint import Body, Path, endpoint
from homeserver.protocol.errors import InvalidParam, Unknown
from homeserver.protocol.identifiers import RoomID, UserID, parse_user_id
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.deletion import MESSAGE, NAME, Deletion, DeletionWish, RoomDeletions

_V1: Final = "/_synapse/admin/v1/rooms"
_V2: Final = "/_synapse/admin/v2/rooms"
_SPEC: Final = "https://element-hq.github.io/synapse/latest/admin_api/rooms.html"
_SHOWN: Final = {"waiting": "scheduled", "complete": "complete", "failed": "failed"}


class Wish(msgspec.Struct, frozen=True):
    """How a room is to be deleted."""

    block: bool = False
    purge: bool = True
    force_purge: bool = False
    new_room_user_id: str | None = None
    room_name: str | None = None
    message: str | None = None


class Begun(msgspec.Struct, frozen=True):
    """The name of the deletion."""

    delete_id: str


class Shutdown(msgspec.Struct, frozen=True):
    """Who left, and what became of the room's addresses."""

    kicked_users: list[UserID]
    failed_to_kick_users: list[UserID]
    local_aliases: list[str]
    new_room_id: str | None


class Status(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a deletion is."""

    delete_id: str
    room_id: str
    status: str
    shutdown_room: Shutdown
    error: str | None = None


class Statuses(msgspec.Struct, frozen=True):
    """The same of all that were asked of a room."""

    results: list[Status]


class Block(msgspec.Struct, frozen=True):
    """Whether nobody may enter a room."""

    block: bool


class Blocked(msgspec.Struct, frozen=True, omit_defaults=True):
    """The same, with who decided so."""

    block: bool
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class RoomDeletionApi:
    """Endpoints for administrators."""

    deletions: RoomDeletions

    @endpoint(
        "DELETE",
        f"{_V2}/{{room_id}}",
        auth=admin_token,
        spec=f"{_SPEC}#version-2-new-version",
    )
    async def delete(self, who: Requester, room_id: Path[RoomID], body: Body[Wish]) -> Begun:
        """Begin to delete a room."""
        return Begun(await self.deletions.begin(room_id, who.user_id, _wish(body)))

    @endpoint(
        "DELETE",
        f"{_V1}/{{room_id}}",
        auth=admin_token,
        spec=f"{_SPEC}#version-1-old-version",
    )
    async def delete_and_wait(self, who: Requester, room_id: Path[RoomID], body: Body[Wish]) -> Shutdown:
        """Delete a room, and answer when it is gone."""
        delete_id = await self.deletions.begin(room_id, who.user_id, _wish(body))
        deletion = await self.deletions.finished(delete_id)
        if deletion.stage == "failed":
            raise Unknown(deletion.error or "The room could not be deleted")
        return _shutdown(deletion)

    @endpoint(
        "GET",
        f"{_V2}/{{room_id}}/delete_status",
        auth=admin_token,
        spec=f"{_SPEC}#query-by-room_id",
    )
    async def of_room(self, who: Requester, room_id: Path[RoomID]) -> Statuses:
        """How far the deletions of a room are."""
        return Statuses([_status(each) for each in await self.deletions.of_room(room_id)])

    @endpoint(
        "GET",
        f"{_V2}/delete_status/{{delete_id}}",
        auth=admin_token,
        spec=f"{_SPEC}#query-by-delete_id",
    )
    async def of_id(self, who: Requester, delete_id: Path[str]) -> Status:
        """How far a deletion is."""
        return _status(await self.deletions.find(delete_id))

    @endpoint(
        "PUT",
        f"{_V1}/{{room_id}}/block",
        auth=admin_token,
        spec=f"{_SPEC}#block-or-unblock-a-room",
    )
    async def block(self, who: Requester, room_id: Path[RoomID], body: Body[Block]) -> Block:
        """Keep users of this server from entering a room, known here or not, or no more."""
        await self.deletions.block(room_id, who.user_id, body.block)
        return body

    @endpoint(
        "GET",
        f"{_V1}/{{room_id}}/block",
        auth=admin_token,
        spec=f"{_SPEC}#get-block-status",
    )
    async def blocked(self, who: Requester, room_id: Path[RoomID]) -> Blocked:
        """Whether a room is blocked, and by whom."""
        by = await self.deletions.blocked_by(room_id)
        return Blocked(by is not None, by)


def _wish(body: Wish) -> DeletionWish:
    return DeletionWish(
        block=body.block,
        purge=body.purge,
        force_purge=body.force_purge,
        new_room_user_id=_user(body.new_room_user_id),
        room_name=body.room_name or NAME,
        message=body.message or MESSAGE,
    )


def _user(user_id: str | None) -> UserID | None:
    try:
        return None if user_id is None else parse_user_id(user_id)
    except InvalidParam as error:
        raise InvalidParam(f"new_room_user_id: {error.message}") from None


def _status(deletion: Deletion) -> Status:
    return Status(
        deletion.delete_id,
        deletion.room_id,
        _SHOWN.get(deletion.stage, "active"),
        _shutdown(deletion),
        deletion.error,
    )


def _shutdown(deletion: Deletion) -> Shutdown:
    return Shutdown(deletion.left_users, deletion.stayed_users, list(deletion.aliases), deletion.new_room_id)
