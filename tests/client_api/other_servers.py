"""The rest of the world, as a test's server asks it."""

from collections.abc import Sequence
from typing import Any

from homeserver.protocol.errors import BadGateway, NotFound
from homeserver.protocol.identifiers import RoomAlias, RoomID, ServerName, UserID
from storage.journal import Write
from storage.tables.memberships import LOCAL_MEMBERSHIP_CHANGES, MEMBERSHIPS
from tests.client_api.rooms_site import Person, RoomsSite
from tests.client_api.sync_site import SyncSite


class OtherServers:
    """The rest of the world, as this server asks it."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.broken = False

    async def exchange_third_party_invite(
        self, sender: UserID, room_id: RoomID, target: UserID, content: dict[str, Any]
    ) -> None:
        self.asked.append(("exchange", sender, room_id, target))

    async def join(
        self, user_id: UserID, room_id: RoomID, via: Sequence[ServerName], content: dict[str, Any]
    ) -> RoomID:
        self.asked.append(("join", user_id, room_id, tuple(via), content["membership"]))
        return room_id

    async def knock(
        self, user_id: UserID, room_id: RoomID, via: Sequence[ServerName], content: dict[str, Any]
    ) -> RoomID:
        self.asked.append(("knock", user_id, room_id, tuple(via), content["membership"]))
        return room_id

    async def leave(self, user_id: UserID, room_id: RoomID, content: dict[str, Any]) -> None:
        self.asked.append(("leave", user_id, room_id, content["membership"]))
        if self.broken:
            raise BadGateway

    async def invite(self, sender: UserID, room_id: RoomID, target: UserID, content: dict[str, Any]) -> None:
        self.asked.append(("invite", sender, room_id, target, content["membership"]))

    async def resolve_alias(self, alias: RoomAlias) -> tuple[RoomID, Sequence[ServerName]]:
        if alias != "#hall:elsewhere":
            raise NotFound
        return RoomID("!hall:elsewhere"), (ServerName("elsewhere"),)


def invited_from_outside(site: RoomsSite | SyncSite, person: Person) -> str:
    """An invite into a room that this server is not in, as it is recorded when it comes from another server."""
    room = "!far:elsewhere"
    columns = (room, person.user_id, "test", "invite", 1, "@bob:elsewhere", 0, True, b"[]", None, None, False)
    write: Write[None] = Write(
        entries=(
            LOCAL_MEMBERSHIP_CHANGES.row(person.user_id, room, "invite", 1),
            MEMBERSHIPS.row(*columns),
        )
    )
    _ = site.journal.write(write)
    return room
