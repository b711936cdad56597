"""What rooms need of other servers, as the services of this folder see it.

All of it is optional: a server that does not federate has rooms of its own users.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from homeserver.protocol.identifiers import RoomAlias, RoomID, ServerName, UserID

Content = dict[str, Any]


class RemoteMembership(Protocol):
    """Memberships in rooms that this server is not in, and of users of other servers."""

    async def join(
        self, user_id: UserID, room_id: RoomID, via: Sequence[ServerName], content: Content
    ) -> RoomID:
        """Join through one of the servers; ``content`` is that of the membership event. Raises Forbidden,
        NotFound, IncompatibleRoomVersion, BadGateway.
        """

    async def knock(
        self, user_id: UserID, room_id: RoomID, via: Sequence[ServerName], content: Content
    ) -> RoomID:
        """Knock through one of the servers. Raises as `join`."""

    async def leave(self, user_id: UserID, room_id: RoomID, content: Content) -> None:
        """Tell the room's servers that the user rejects an invite or takes back a knock."""

    async def invite(self, sender: UserID, room_id: RoomID, target: UserID, content: Content) -> None:
        """Invite a user of another server: their server signs the invite before it enters the room.

        Raises Forbidden, BadGateway, and what that server refuses."""

    async def exchange_third_party_invite(
        self, sender: UserID, room_id: RoomID, target: UserID, content: Content
    ) -> None:
        """Ask a server in the room to issue an invite for a user of ours, who has the proof of an identity server
        in ``content``. Raises Forbidden, NotFound, BadGateway.
        """

    async def resolve_alias(self, alias: RoomAlias) -> tuple[RoomID, Sequence[ServerName]]:
        """The room of an alias, and servers that are in it. Raises NotFound, BadGateway."""


class RemoteDirectory(Protocol):
    """Published rooms of other servers."""

    async def public_rooms(self, server: ServerName, request: Content) -> Content:
        """A page of the server's published rooms, as the specification writes it. Raises NotFound,
        BadGateway.
        """


class Backfill(Protocol):
    """Fetches history that this server does not have."""

    async def fill(self, room_id: RoomID, depth: int, limit: int) -> bool:
        """Fetch events before the gaps at or below ``depth``, about ``limit``; whether any were added."""
