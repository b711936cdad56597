"""Membership of other servers' users in rooms that this server is in: templates of events, and the events made of them.

https://spec.matrix.org/v1.19/server-server-api/#joining-rooms, #knocking-rooms, #leaving-rooms-rejecting-invites
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from twisted.python.failure import Failure

from homeserver.protocol.errors import (
    Forbidden,
    IncompatibleRoomVersion,
    InvalidParam,
)
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.parsing import parse_pdu
from homeserver.protocol.events.signing import sign_pdu
from homeserver.protocol.identifiers import EventID, RoomID, ServerName, UserID, is_user_id, server_of
from homeserver.protocol.room_versions import EventIDFormat
from homeserver.services.rooms.draft import RoomDraft
from homeserver.services.rooms.heads import RoomHead
from homeserver.services.rooms.ingest.checking import PduChecker, require_signature
from homeserver.services.rooms.ingest.placing import Placed
from homeserver.services.rooms.ingest.receiving import EventReceiver
from homeserver.services.rooms.local_events import Author, EventIntent, LocalEvents
from homeserver.services.rooms.restricted_joins import RestrictedJoins
from homeserver.services.rooms.server_access import ServerAccess
from homeserver.services.rooms.stored_event import StoredEvent

MEMBER = "m.room.member"
AUTHORISER = "join_authorised_via_users_server"
_OURS = frozenset(("hashes", "signatures", "event_id"))


@dataclass(frozen=True, slots=True)
class MembershipTemplate:
    """An event for another server to fill in and sign."""

    event: dict[str, Any]
    room_version: str


class ResidentServer:
    """What a server that is in a room does for those that are not, and for their users."""

    def __init__(
        self,
        access: ServerAccess,
        local_events: LocalEvents,
        restricted: RestrictedJoins,
        receiver: EventReceiver,
        checker: PduChecker,
        author: Author,
    ) -> None:
        self._access = access
        self._local_events = local_events
        self._restricted = restricted
        self._receiver = receiver
        self._checker = checker
        self._author = author

    async def template(
        self,
        origin: ServerName,
        room_id: RoomID,
        user_id: UserID,
        membership: str,
        versions: Collection[str] | None = None,
    ) -> MembershipTemplate:
        """The template of a membership event of one of the asking server's users. ``versions`` are the room
        versions that it knows.

        Raises Forbidden, NotFound, IncompatibleRoomVersion, UnableToAuthoriseJoin, UnableToGrantJoin.
        """
        if server_of(user_id) != origin:
            raise Forbidden("The user is not one of your server")
        head = await self._head(origin, room_id, membership)
        version = head.room_version
        if versions is not None and version.id not in versions:
            raise IncompatibleRoomVersion(room_version=version.id)
        if membership == "knock" and not version.knocking:
            raise Forbidden("Nobody can knock upon rooms of this version")
        draft = RoomDraft(head)
        content: dict[str, Any] = {"membership": membership}
        if membership == "join":
            authoriser = await self._restricted.authorising_user(draft, user_id)
            if authoriser is not None:
                content[AUTHORISER] = authoriser
        built = await self._local_events.append(draft, EventIntent(MEMBER, content, user_id, user_id))
        pdu = {key: value for key, value in built.event.pdu.items() if key not in _OURS}
        return MembershipTemplate({**pdu, "origin": self._author.server_name}, version.id)

    async def accept(
        self, origin: ServerName, room_id: RoomID, event_id: EventID, membership: str, pdu: Any
    ) -> StoredEvent:
        """Take a membership event that another server made of a template, and pass it on to the others in the room.

        Raises Forbidden, NotFound, InvalidParam, UnableToAuthoriseJoin."""
        head = await self._head(origin, room_id, membership)
        event = await self._checked(origin, head, event_id, membership, pdu)
        results = await self._receiver.take(origin, head, [event], outbound=True)
        for taken, result in results:
            if taken.event_id == event_id:
                return _accepted(result)
        stored = await self._receiver.placed(event_id)
        if stored is None:
            raise Forbidden("The event cannot be placed in the room")
        return stored

    async def _head(self, origin: ServerName, room_id: RoomID, membership: str) -> RoomHead:
        """Whoever is in a room may leave it, also if nobody may enter it through this server."""
        if membership == "leave":
            return await self._access.participating_whole(room_id, origin)
        return await self._access.enterable_whole(room_id, origin)

    async def _checked(
        self, origin: ServerName, head: RoomHead, event_id: EventID, membership: str, pdu: Any
    ) -> Event:
        version = head.room_version
        require_signature(pdu, origin)
        event = parse_pdu(pdu, version)
        if event.room_id != head.room_id or event.membership != membership:
            raise InvalidParam(f"Not a {membership} event of this room")
        if event.state_key != event.sender:
            raise InvalidParam("The event is not about its sender")
        if server_of(event.sender) != origin:
            raise Forbidden("The sender is not one of your server")
        if event.event_id != event_id:
            raise InvalidParam("The event has another event ID")
        if version.event_id_format is EventIDFormat.CHOSEN_BY_SENDER and server_of(event_id) != origin:
            raise InvalidParam("The event ID is not one of your server")
        if membership == "join" and version.restricted_joins and AUTHORISER in event.content:
            event = await self._authorise(head, event)
        checked = await self._checker.check(head.room_id, version, [event.pdu])
        if not checked.events:
            raise Forbidden(checked.failures.get(event_id, "The event is not properly signed"))
        return checked.events[0]

    async def _authorise(self, head: RoomHead, event: Event) -> Event:
        """Sign a restricted join, if one of our users is to answer for it and may."""
        authoriser = event.content[AUTHORISER]
        if not isinstance(authoriser, str) or not is_user_id(authoriser):
            raise InvalidParam(f"`{AUTHORISER}` is not a user ID")
        author = self._author
        if server_of(authoriser) != author.server_name:
            raise InvalidParam("The join is to be authorised by another server")
        # Raises where no condition of the room is met. Whether this user of ours may let others in is for the rules.
        await self._restricted.authorising_user(RoomDraft(head), event.sender)
        signed = sign_pdu(event.pdu, event.version, author.server_name, author.signing_key)
        return parse_pdu(signed, event.version)


def _accepted(result: Placed | Failure) -> StoredEvent:
    if isinstance(result, Failure):
        raise Forbidden("The event cannot be placed in the room")
    if result.reason is not None:
        raise Forbidden(result.reason)
    return result.stored
