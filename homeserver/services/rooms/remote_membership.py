"""Memberships that other servers have a say in: the service behind `homeserver.services.rooms.remote.RemoteMembership`.

https://spec.matrix.org/v1.19/server-server-api/
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from federation.client.errors import RemoteError
from federation.wire.inviting import EXCHANGE_THIRD_PARTY_INVITE
from federation.wire.knocking import MAKE_KNOCK, SEND_KNOCK, Knocked
from federation.wire.queries import DIRECTORY, AliasQuery
from homeserver.clock import Clock
from homeserver.protocol.errors import BadGateway, MatrixError, NotFound
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import (
    RoomAlias,
    RoomID,
    ServerName,
    UserID,
    is_room_id,
    is_server_name,
    server_of,
)
from homeserver.services.rooms.asking_around import AskingAround
from homeserver.services.rooms.membership_requests import (
    MEMBER,
    MembershipRequests,
    MembershipWish,
    most_telling,
    refusal,
)
from homeserver.services.rooms.outbound_invites import OutboundInvites
from homeserver.services.rooms.outside_memberships import OutsideMembershipRecords
from homeserver.services.rooms.remote_joins import RemoteJoins
from homeserver.services.rooms.remote_leaving import RemoteLeaving
from homeserver.services.rooms.remote_servers import RemoteServers

Content = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RemoteMemberships:
    """Joins, knocks, leaves and invites across servers."""

    requests: MembershipRequests
    servers: RemoteServers
    joining: RemoteJoins
    leaving: RemoteLeaving
    invites: OutboundInvites
    records: OutsideMembershipRecords
    clock: Clock

    async def join(
        self, user_id: UserID, room_id: RoomID, via: Sequence[ServerName], content: Content
    ) -> RoomID:
        """Join through one of the servers. Raises Forbidden, NotFound, IncompatibleRoomVersion, BadGateway."""
        servers = await self.servers.knowing(room_id, user_id, via)
        await self.joining.join(MembershipWish(room_id, user_id, content), servers)
        return room_id

    async def knock(
        self, user_id: UserID, room_id: RoomID, via: Sequence[ServerName], content: Content
    ) -> RoomID:
        """Knock through one of the servers. Raises as `join`."""
        wish = MembershipWish(room_id, user_id, content)
        templates = AskingAround(
            self.clock,
            await self.servers.knowing(room_id, user_id, via),
            lambda server: self.requests.event(MAKE_KNOCK, server, wish),
        )
        errors: list[MatrixError] = []
        try:
            while (answered := await templates.next()) is not None:
                server, outcome = answered
                try:
                    if isinstance(outcome, MatrixError):
                        raise outcome
                    await self._knock_through(server, outcome)
                except MatrixError as error:
                    errors.append(error)
                else:
                    return room_id
        finally:
            templates.stop()
        raise most_telling(errors)

    async def leave(self, user_id: UserID, room_id: RoomID, content: Content) -> None:
        """Tell the room's servers that the user rejects an invite or takes back a knock."""
        await self.leaving.leave(MembershipWish(room_id, user_id, content))

    async def invite(self, sender: UserID, room_id: RoomID, target: UserID, content: Content) -> None:
        """Invite a user of another server. Raises Forbidden, BadGateway, and what that server refuses."""
        await self.invites.invite(sender, room_id, target, content)

    async def exchange_third_party_invite(
        self, sender: UserID, room_id: RoomID, target: UserID, content: Content
    ) -> None:
        """Ask the server of who invited, and others that may be in the room. Raises Forbidden, NotFound, BadGateway."""
        body = {"type": MEMBER, "room_id": room_id, "sender": sender, "state_key": target, "content": content}
        errors: list[MatrixError] = []
        for server in await self.servers.knowing(room_id, target, (server_of(sender),)):
            try:
                await self.requests.client.request(
                    EXCHANGE_THIRD_PARTY_INVITE, server, path={"room_id": room_id}, body=body
                )
            except RemoteError as error:
                errors.append(refusal(error))
            except MatrixError as error:
                errors.append(error)
            else:
                return
        raise most_telling(errors)

    async def resolve_alias(self, alias: RoomAlias) -> tuple[RoomID, Sequence[ServerName]]:
        """The room of an alias, and servers that are in it. Raises NotFound, BadGateway."""
        server = server_of(alias)
        try:
            answer = await self.requests.client.request(DIRECTORY, server, query=AliasQuery(alias))
        except RemoteError as error:
            if error.status == 404:
                raise NotFound("Room alias not found") from error
            raise
        if not is_room_id(answer.room_id):
            raise BadGateway(f"{server} answered what is no room ID")
        servers = [ServerName(each) for each in answer.servers[:100] if is_server_name(each)]
        return RoomID(answer.room_id), tuple(dict.fromkeys((*servers, server)))

    async def _knock_through(self, server: ServerName, event: Event) -> None:
        path = {"room_id": event.room_id, "event_id": event.event_id}
        try:
            answer: Knocked = await self.requests.client.request(
                SEND_KNOCK, server, path=path, body=event.encoded()
            )
        except RemoteError as error:
            raise refusal(error) from error
        await self.records.record(event, "knock", answer.knock_room_state, (server,))
