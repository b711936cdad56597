"""Invites of our users by users of other servers.
https://spec.matrix.org/v1.19/server-server-api/#inviting-to-a-room
"""

from typing import Any

from homeserver.protocol.errors import (
    Forbidden,
    IncompatibleRoomVersion,
    InvalidParam,
    NotFound,
)
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.parsing import parse_pdu
from homeserver.protocol.events.signing import sign_pdu
from homeserver.protocol.identifiers import EventID, RoomID, ServerName, UserID, is_user_id, server_of
from homeserver.protocol.room_versions import ROOM_VERSIONS, RoomVersion
from homeserver.services.rooms.closed_rooms import ClosedRooms
from homeserver.services.rooms.ingest.checking import PduChecker, require_signature
from homeserver.services.rooms.invite_permission import InvitePermission
from homeserver.services.rooms.local_events import Author
from homeserver.services.rooms.outside_memberships import OutsideMembershipRecords
from homeserver.services.rooms.server_access import ServerAccess
from storage.database import Database
from storage.tables.users import Users

_MEMBER = "m.room.member"


class InboundInvites:
    """Signs invites of our users, and shows them to these."""

    def __init__(
        self,
        database: Database,
        access: ServerAccess,
        checker: PduChecker,
        permission: InvitePermission,
        records: OutsideMembershipRecords,
        author: Author,
    ) -> None:
        self._database = database
        self._access = access
        self._checker = checker
        self._permission = permission
        self._records = records
        self._author = author

    async def take(
        self,
        origin: ServerName,
        room_id: RoomID,
        event_id: EventID,
        room_version: str,
        pdu: Any,
        state: Any,
    ) -> Event:
        """Take an invite; gives it with our signature. ``state`` is what of the room is to be shown to the user.

        Raises InvalidParam, Forbidden, NotFound, InviteBlocked, IncompatibleRoomVersion."""
        version = ROOM_VERSIONS.get(room_version)
        if version is None:
            raise IncompatibleRoomVersion(room_version=room_version)
        require_signature(pdu, origin)
        event = parse_pdu(pdu, version)
        target = self._check_shape(event, origin, room_id, event_id)
        if version.room_id_is_create_hash:
            _check_create(state, version, room_id)
        checked = await self._checker.check(room_id, version, [event.pdu])
        if not checked.events:
            raise Forbidden(checked.failures.get(event_id, "The event is not properly signed"))
        event = checked.events[0]
        participates = await self._participates(room_id, origin)
        await ClosedRooms(self._database).require_open(room_id)
        await self._check_user(target)
        await self._permission.check(UserID(event.sender), (target,))
        author = self._author
        signed = parse_pdu(sign_pdu(event.pdu, version, author.server_name, author.signing_key), version)
        if not participates:
            await self._records.record(signed, "invite", state, (origin,))
        return signed

    async def withdrawn(self, origin: ServerName, room_id: RoomID, pdu: Any) -> bool:
        """Take an event that ends an invite or a knock of a user of ours, in a room that this server is not
        in; whether it is one.

        We cannot tell whether the room allows it, so only the server of who invited may say so, or any that
        knows of the knock.
        """
        user_id = pdu.get("state_key")
        if not (isinstance(user_id, str) and is_user_id(user_id)):
            return False
        if server_of(user_id) != self._author.server_name:
            return False
        stored, row, servers = await self._records.outside(room_id, UserID(user_id))
        if stored is None or row is None or row.membership not in ("invite", "knock"):
            return False
        checked = await self._checker.check(room_id, stored.event.version, [pdu])
        for event in checked.events:
            if event.key != (_MEMBER, user_id) or event.membership not in ("leave", "ban"):
                continue
            trusted = (
                {server_of(row.sender), *servers} if row.membership == "knock" else {server_of(row.sender)}
            )
            if origin in trusted and server_of(event.sender) in {*trusted, origin}:
                await self._records.record(event, event.membership)
                return True
        return False

    def _check_shape(self, event: Event, origin: ServerName, room_id: RoomID, event_id: EventID) -> UserID:
        if event.membership != "invite":
            raise InvalidParam("The event is not an invite")
        if event.room_id != room_id:
            raise InvalidParam("The event is of another room")
        if event.event_id != event_id:
            raise InvalidParam("The event has another event ID")
        if server_of(event.sender) != origin:
            raise InvalidParam("The sender is not one of your server")
        target = event.state_key
        if target is None or not is_user_id(target) or server_of(target) != self._author.server_name:
            raise InvalidParam("The invited user is not one of this server")
        return UserID(target)

    async def _participates(self, room_id: RoomID, origin: ServerName) -> bool:
        try:
            await self._access.participating(room_id, origin)
        except NotFound:
            return False
        return True

    async def _check_user(self, target: UserID) -> None:
        found = await self._database.read(lambda tx: Users(tx).active_among([target]))
        if not found:
            raise Forbidden("There is no such user")


def _check_create(state: Any, version: RoomVersion, room_id: RoomID) -> None:
    """Where the room is named after its create event, that must come with the invite."""
    for entry in state if isinstance(state, list) else ():
        if isinstance(entry, dict) and entry.get("type") == "m.room.create":
            if parse_pdu(entry, version).room_id == room_id:
                return
            raise InvalidParam("The create event is of another room")
    raise InvalidParam("The create event is missing from `invite_room_state`")
