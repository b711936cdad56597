"""Inviting people of whom only an e-mail address or a phone number is known.

Who has an account is invited as usual. For others an `m.room.third_party_invite` keeps the place, and the identity
server tells the homeserver of whoever turns up with the address, who redeem it by an invite that it has signed.

https://spec.matrix.org/v1.19/client-server-api/#third-party-invites,
https://spec.matrix.org/v1.19/server-server-api/#third-party-invites
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

from homeserver.gateways.identity_server import IdentityServers, StoredInvite, Threepid
from homeserver.protocol.canonical_json import check_canonical
from homeserver.protocol.errors import BadJson, Forbidden, InvalidParam, MatrixError, NotFound
from homeserver.protocol.events.content import text_of
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import RoomID, ServerName, UserID, is_user_id, server_of
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.actions import MEMBER, RoomActions, require_not_suspended
from homeserver.services.rooms.heads import RoomHead
from homeserver.services.rooms.local_events import EventIntent
from homeserver.services.rooms.member_contents import MemberContents
from homeserver.services.rooms.membership import Membership
from homeserver.services.rooms.powers import power_levels_of
from homeserver.services.rooms.remote import RemoteMembership

log = structlog.get_logger(__name__)

THIRD_PARTY_INVITE: Final = "m.room.third_party_invite"
MAX_ADDRESS: Final = 500
_MAX_KEYS: Final = 20
Content = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Redemption:
    """Who is to be invited at last, on whose behalf, and what the identity server signed of that."""

    room_id: RoomID
    sender: UserID
    target: UserID
    signed: Content


class ThirdPartyInvites:
    """Makes such invites, and redeems them."""

    def __init__(
        self,
        server_name: ServerName,
        actions: RoomActions,
        membership: Membership,
        contents: MemberContents,
        identity_servers: IdentityServers,
        remote: RemoteMembership | None = None,
    ) -> None:
        self._server_name = server_name
        self._actions = actions
        self._membership = membership
        self._contents = contents
        self._identity_servers = identity_servers
        self._remote = remote

    async def invite(self, who: Requester, room_id: RoomID, threepid: Threepid) -> None:
        """Invite whoever has an identifier, or will have it. Raises Forbidden, BadGateway, InvalidParam, and what
        an invite by user ID does.
        """
        require_not_suspended(who)
        if not threepid.address or len(threepid.address) > MAX_ADDRESS or "\0" in threepid.address:
            raise InvalidParam("Not an address")
        await self._actions.closed.require_open(room_id)
        head = await self._may_invite(who, room_id)
        user_id = await self._identity_servers.lookup(threepid)
        if user_id is not None:
            await self._membership.invite(who, room_id, user_id)
            return
        stored = await self._identity_servers.store_invite(threepid, await self._described(who, head))
        content = _content(threepid, stored)
        check_canonical(content)
        await self._actions.put_state(
            room_id, EventIntent(THIRD_PARTY_INVITE, content, who.user_id, stored.token)
        )

    async def redeem_own(self, who: Requester, room_id: RoomID, signed: Any) -> None:
        """Turn what an identity server gave to a user into an invite for them. Raises BadJson, and as `redeem`."""
        sender = signed.get("sender") if isinstance(signed, dict) else None
        if not isinstance(sender, str) or not is_user_id(sender):
            raise BadJson("`third_party_signed` names no sender")
        await self.redeem(Redemption(room_id, UserID(sender), who.user_id, signed))

    async def bound(self, target: UserID, invites: Iterable[Any]) -> None:
        """An address was bound to a user of this server: redeem the invites that waited for that. What is wrong
        with one of them does not keep the others, and is raised at the end: the identity server may try again.
        """
        failure: MatrixError | None = None
        for invite in invites:
            try:
                await self.redeem(_redemption(target, invite))
            except MatrixError as error:
                log.info("third-party invite not redeemed", user=target, error=error.message)
                failure = error
        if failure is not None:
            raise failure

    async def redeem(self, redemption: Redemption) -> None:
        """Write the invite, in a room that this server is in, or ask a server that is. Raises NotFound, Forbidden,
        BadGateway.
        """
        room_id = redemption.room_id
        await self._actions.closed.require_open(room_id)
        head = await self._actions.participating(room_id)
        if head is None or head.summary.local_members == 0:
            await self._elsewhere(redemption)
            return
        held = await self._held(head, redemption.signed)
        await self._check_keys(held)
        content = await self._contents.with_profile("invite", redemption.target)
        content["third_party_invite"] = {
            "display_name": text_of(held.content, "display_name") or "",
            "signed": redemption.signed,
        }
        check_canonical(content)
        if server_of(redemption.target) == self._server_name:
            intent = EventIntent(MEMBER, content, redemption.sender, redemption.target)
            await self._actions.put_state(room_id, intent)
        elif self._remote is not None:
            await self._remote.invite(redemption.sender, room_id, redemption.target, content)
        else:
            raise Forbidden("This server does not federate")

    async def _elsewhere(self, redemption: Redemption) -> None:
        if self._remote is None:
            raise NotFound("This server is not in the room")
        content = {
            "membership": "invite",
            "third_party_invite": {"display_name": "", "signed": redemption.signed},
        }
        await self._remote.exchange_third_party_invite(
            redemption.sender, redemption.room_id, redemption.target, content
        )

    async def _held(self, head: RoomHead, signed: Content) -> Event:
        token = signed.get("token")
        stored = None
        if isinstance(token, str):
            stored = await self._actions.states.find(head.state, THIRD_PARTY_INVITE, token)
        if stored is None:
            raise Forbidden("The room has no such third-party invite")
        return stored.event

    async def _check_keys(self, held: Event) -> None:
        """The signature is for the authorisation rules; that its key is still good, the identity server must say."""
        listed = held.content.get("public_keys")
        keys = [held.content, *(listed if isinstance(listed, list) else ())][:_MAX_KEYS]
        asked: set[tuple[str, str]] = set()
        for key in keys:
            public_key = text_of(key, "public_key") if isinstance(key, dict) else None
            url = text_of(key, "key_validity_url") if isinstance(key, dict) else None
            if public_key is None or (public_key, url or "") in asked:
                continue
            asked.add((public_key, url or ""))
            if url is None or not await self._identity_servers.is_key_valid(url, public_key):
                raise Forbidden("The identity server does not answer for the invite any more")

    async def _may_invite(self, who: Requester, room_id: RoomID) -> RoomHead:
        """Before others learn of it. Raises Forbidden."""
        head = await self._actions.participating(room_id)
        member = None if head is None else await self._actions.states.find(head.state, MEMBER, who.user_id)
        if head is None or member is None or member.event.membership != "join":
            raise Forbidden("You are not in this room")
        levels = await power_levels_of(self._actions.states, head)
        if levels.user(who.user_id) < levels.invite:
            raise Forbidden("You may not invite into this room")
        return head

    async def _described(self, who: Requester, head: RoomHead) -> Content:
        """What the mail may say of the room. https://spec.matrix.org/v1.19/identity-service-api/#invitation-storage"""
        profile = await self._contents.with_profile("join", who.user_id)
        summary = head.summary
        described = {
            "room_id": head.room_id,
            "sender": who.user_id,
            "room_alias": summary.canonical_alias,
            "room_avatar_url": summary.avatar_url,
            "room_join_rules": summary.join_rule,
            "room_name": summary.name,
            "room_type": summary.room_type,
            "sender_display_name": profile.get("displayname"),
            "sender_avatar_url": profile.get("avatar_url"),
        }
        return {key: value for key, value in described.items() if value is not None}


def redemption_of(room_id: RoomID, event: Mapping[str, Any]) -> Redemption:
    """What a partial `m.room.member` event of another server wants. Raises BadJson."""
    content, sender, target = event.get("content"), event.get("sender"), event.get("state_key")
    invite = content.get("third_party_invite") if isinstance(content, dict) else None
    signed = invite.get("signed") if isinstance(invite, dict) else None
    if event.get("type") != MEMBER or event.get("room_id") != room_id or not isinstance(signed, dict):
        raise BadJson("Not a third-party invite of this room")
    if not (isinstance(sender, str) and is_user_id(sender)):
        raise BadJson("`sender` is not a user ID")
    if not (isinstance(target, str) and is_user_id(target)):
        raise BadJson("`state_key` is not a user ID")
    return Redemption(room_id, UserID(sender), UserID(target), signed)


def _redemption(target: UserID, invite: Any) -> Redemption:
    event: Content = {"type": MEMBER, "state_key": target}
    if isinstance(invite, dict):
        event |= {"room_id": invite.get("room_id"), "sender": invite.get("sender")}
        event["content"] = {"third_party_invite": {"signed": invite.get("signed")}}
    room_id = event.get("room_id")
    if not isinstance(room_id, str):
        raise BadJson("The invite names no room")
    return redemption_of(RoomID(room_id), event)


def _content(threepid: Threepid, stored: StoredInvite) -> Content:
    """https://spec.matrix.org/v1.19/client-server-api/#mroomthird_party_invite"""
    keys = [
        {"public_key": key.public_key, "key_validity_url": key.key_validity_url} for key in stored.public_keys
    ]
    content: Content = {"display_name": stored.display_name, "public_keys": keys}
    if keys:
        content |= keys[0]
    return content
