"""Joining, inviting and leaving; kicks and bans.

https://spec.matrix.org/v1.19/client-server-api/#room-membership
"""

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from homeserver.gateways.identity_server import Threepid
from homeserver.http.authentication import access_token, access_token_or_guest
from homeserver.http.endpoint import Body, Path, Query, endpoint, named
from homeserver.protocol.errors import BadJson, MissingParam, ThreepidDenied
from homeserver.protocol.identifiers import RoomID, RoomIDOrAlias, ServerName, UserID
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.joining import Joining
from homeserver.services.rooms.membership import Membership
from homeserver.services.rooms.redactions import REDACT_EVENTS
from homeserver.services.rooms.third_party_invites import ThirdPartyInvites

Via = Annotated[Query[tuple[ServerName, ...]], named("via", "server_name")]

_OF_THE_SERVER = frozenset(("membership", "third_party_signed", "join_authorised_via_users_server"))


class Reason(msgspec.Struct, frozen=True):
    """A body that says why, or nothing."""

    reason: str | None = None


class Target(msgspec.Struct, frozen=True):
    """A body that names a user."""

    user_id: UserID
    reason: str | None = None


class Ousted(Target, frozen=True):
    """A body that names a user who is to go, with or without what they said (MSC4293)."""

    redact_events: bool = msgspec.field(name=REDACT_EVENTS, default=False)


class Invitee(msgspec.Struct, frozen=True):
    """The body of an invite: of a user, or of whoever has an e-mail address or a phone number."""

    user_id: UserID | None = None
    reason: str | None = None
    id_server: ServerName | None = None
    id_access_token: str | None = None
    medium: str | None = None
    address: str | None = None

    def threepid(self) -> Threepid:
        """Whom to invite by address. Raises MissingParam."""
        if None in (self.id_server, self.id_access_token, self.medium, self.address):
            raise MissingParam("`id_server`, `id_access_token`, `medium` and `address` belong together")
        return Threepid(
            ServerName(self.id_server or ""),
            self.id_access_token or "",
            self.medium or "",
            self.address or "",
        )


class Entered(msgspec.Struct, frozen=True):
    """The answer to a join or a knock."""

    room_id: RoomID


@dataclass(frozen=True, slots=True)
class MembershipApi:
    """Endpoints about memberships."""

    joining: Joining
    membership: Membership
    third_party: ThirdPartyInvites | None = None

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/join/{room_id_or_alias}",
        auth=access_token_or_guest,
        limit="joins",
        empty_body_ok=True,
        spec="client-server-api/#post_matrixclientv3joinroomidoralias",
    )
    async def join(
        self, who: Requester, room_id_or_alias: Path[RoomIDOrAlias], body: Body[dict[str, Any]], via: Via = ()
    ) -> Entered:
        """Join a room by its ID or one of its aliases."""
        room_id = await self.joining.place(room_id_or_alias) if "third_party_signed" in body else None
        if room_id is not None:
            await self._redeem(who, room_id, body)
        return Entered(await self.joining.join(who, room_id_or_alias, via, _content(body)))

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/rooms/{room_id}/join",
        auth=access_token_or_guest,
        limit="joins",
        empty_body_ok=True,
        spec="client-server-api/#post_matrixclientv3roomsroomidjoin",
    )
    async def join_by_id(
        self, who: Requester, room_id: Path[RoomID], body: Body[dict[str, Any]], via: Via = ()
    ) -> Entered:
        """Join a room by its ID."""
        if "third_party_signed" in body:
            await self._redeem(who, room_id, body)
        return Entered(await self.joining.join(who, room_id, via, _content(body)))

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0,unstable}/knock/{room_id_or_alias}",
        auth=access_token,
        limit="joins",
        empty_body_ok=True,
        spec="client-server-api/#post_matrixclientv3knockroomidoralias",
    )
    async def knock(
        self, who: Requester, room_id_or_alias: Path[RoomIDOrAlias], body: Body[Reason], via: Via = ()
    ) -> Entered:
        """Ask to be let into a room."""
        return Entered(await self.joining.knock(who, room_id_or_alias, via, body.reason))

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/rooms/{room_id}/invite",
        auth=access_token,
        limit="invites",
        spec="client-server-api/#post_matrixclientv3roomsroomidinvite",
    )
    async def invite(self, who: Requester, room_id: Path[RoomID], body: Body[Invitee]) -> None:
        """Invite a user."""
        if body.medium is not None or body.address is not None:
            if self.third_party is None:
                raise ThreepidDenied("This server does not talk with identity servers")
            await self.third_party.invite(who, room_id, body.threepid())
            return
        if body.user_id is None:
            raise MissingParam("Missing `user_id`")
        await self.membership.invite(who, room_id, body.user_id, body.reason)

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/rooms/{room_id}/leave",
        auth=access_token_or_guest,
        empty_body_ok=True,
        spec="client-server-api/#post_matrixclientv3roomsroomidleave",
    )
    async def leave(self, who: Requester, room_id: Path[RoomID], body: Body[Reason]) -> None:
        """Leave a room, reject an invite or take back a knock."""
        await self.membership.leave(who, room_id, body.reason)

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/rooms/{room_id}/forget",
        auth=access_token_or_guest,
        empty_body_ok=True,
        spec="client-server-api/#post_matrixclientv3roomsroomidforget",
    )
    async def forget(self, who: Requester, room_id: Path[RoomID], body: Body[dict[str, Any]]) -> None:
        """Forget a room that was left."""
        await self.membership.forget(who, room_id)

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/rooms/{room_id}/kick",
        auth=access_token,
        spec="client-server-api/#post_matrixclientv3roomsroomidkick",
    )
    async def kick(self, who: Requester, room_id: Path[RoomID], body: Body[Ousted]) -> None:
        """Make a user leave."""
        await self.membership.kick(who, room_id, body.user_id, body.reason, redact=body.redact_events)

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/rooms/{room_id}/ban",
        auth=access_token,
        spec="client-server-api/#post_matrixclientv3roomsroomidban",
    )
    async def ban(self, who: Requester, room_id: Path[RoomID], body: Body[Ousted]) -> None:
        """Ban a user."""
        await self.membership.ban(who, room_id, body.user_id, body.reason, redact=body.redact_events)

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/rooms/{room_id}/unban",
        auth=access_token,
        spec="client-server-api/#post_matrixclientv3roomsroomidunban",
    )
    async def unban(self, who: Requester, room_id: Path[RoomID], body: Body[Target]) -> None:
        """End a ban."""
        await self.membership.unban(who, room_id, body.user_id, body.reason)

    async def _redeem(self, who: Requester, room_id: RoomID, body: dict[str, Any]) -> None:
        if self.third_party is None:
            raise ThreepidDenied("This server does not talk with identity servers")
        await self.third_party.redeem_own(who, room_id, body["third_party_signed"])


def _content(body: dict[str, Any]) -> dict[str, Any]:
    """What the body of a join adds to the membership event: the reason, and keys of the client's own, as many clients
    expect. What only the server says is left out.
    """
    reason = body.get("reason")
    if reason is not None and not isinstance(reason, str):
        raise BadJson("`reason` must be a text")
    return {key: value for key, value in body.items() if key not in _OF_THE_SERVER and value is not None}
