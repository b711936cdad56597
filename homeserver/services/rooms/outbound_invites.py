"""Inviting users of other servers: their server signs the invite, then it enters the room.

https://spec.matrix.org/v1.19/server-server-api/#inviting-to-a-room
"""

from typing import Any

from federation.client.errors import RemoteError
from federation.client.federation_client import FederationClient
from federation.keyring import KeyRequest, Keyring
from federation.wire.inviting import INVITE, INVITE_V1, Invite
from homeserver.protocol.errors import BadGateway, Forbidden, InvalidSignature
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.parsing import parse_pdu
from homeserver.protocol.events.signing import signing_key_ids, verify_event, with_signature
from homeserver.protocol.identifiers import RoomID, ServerName, UserID, server_of
from homeserver.protocol.partial_state import UnableDueToPartialState
from homeserver.protocol.room_versions import EventFormat
from homeserver.services.rooms.draft import RoomDraft
from homeserver.services.rooms.heads import RoomHead
from homeserver.services.rooms.ingest.placing import Placed
from homeserver.services.rooms.ingest.receiving import EventReceiver
from homeserver.services.rooms.local_events import EventIntent, LocalEvents
from homeserver.services.rooms.membership_requests import MEMBER, is_not_understood, refusal
from homeserver.services.rooms.partial_rooms import PartialRooms
from homeserver.services.rooms.room_preview import RoomPreview


class OutboundInvites:
    """Sends invites."""

    def __init__(
        self,
        server_name: ServerName,
        client: FederationClient,
        keyring: Keyring,
        local_events: LocalEvents,
        receiver: EventReceiver,
        preview: RoomPreview,
        partial: PartialRooms,
    ) -> None:
        self._partial = partial
        self._server_name = server_name
        self._client = client
        self._keyring = keyring
        self._local_events = local_events
        self._receiver = receiver
        self._preview = preview

    async def invite(self, sender: UserID, room_id: RoomID, target: UserID, content: dict[str, Any]) -> None:
        """Invite a user. Raises Forbidden, BadGateway, NotYetWhole, and what their server answers."""
        intent = EventIntent(MEMBER, content, sender, target)
        head = await self._head(room_id)
        try:
            built = await self._local_events.append(RoomDraft(head), intent)
        except UnableDueToPartialState:
            await self._partial.whole(room_id)
            head = await self._head(room_id)
            built = await self._local_events.append(RoomDraft(head), intent)
        event = await self._signed(head, built.event, server_of(target))
        # The room may have gone on meanwhile: it takes the invite as it takes any event that was sent a moment ago.
        for taken, result in await self._receiver.take(self._server_name, head, [event], outbound=True):
            if taken.event_id == event.event_id and isinstance(result, Placed) and result.reason is None:
                return
        raise Forbidden("The room does not allow the invite any more")

    async def _head(self, room_id: RoomID) -> RoomHead:
        head = await self._receiver.present(room_id)
        if head is None:
            raise Forbidden("You are not in this room")
        return head

    async def _signed(self, head: RoomHead, event: Event, server: ServerName) -> Event:
        """The invite with the signature of the invited user's server."""
        state = await self._preview.of(head.state, event.sender)
        path = {"room_id": event.room_id, "event_id": event.event_id}
        body = Invite(event.version.id, event.pdu, state)
        try:
            answer = await self._client.request(INVITE, server, path=path, body=body)
            given: Any = answer.event
        except RemoteError as error:
            old = event.version.event_format is EventFormat.HASHED_REFERENCES
            if not (old and is_not_understood(error)):
                raise refusal(error) from error
            given = await self._ask_old(server, event, path, state)
        parse_pdu(given, event.version)
        by_server = given.get("signatures")
        signatures = by_server.get(server) if isinstance(by_server, dict) else None
        pdu = event.pdu
        for key_id, signature in signatures.items() if isinstance(signatures, dict) else ():
            if isinstance(signature, str):
                pdu = with_signature(pdu, server, key_id, signature)
        signed = parse_pdu(pdu, event.version)
        request = KeyRequest(server, signing_key_ids(pdu, server), event.origin_server_ts)
        keys = await self._keyring.verify_keys([request])
        try:
            verify_event(signed, server, keys.get(server, {}))
        except InvalidSignature as error:
            raise BadGateway(f"{server} did not sign the invite") from error
        return signed

    async def _ask_old(
        self, server: ServerName, event: Event, path: dict[str, str], state: list[dict[str, Any]]
    ) -> dict[str, Any]:
        body = {**event.pdu, "unsigned": {"invite_room_state": state}}
        try:
            answer = await self._client.request(INVITE_V1, server, path=path, body=body)
        except RemoteError as error:
            raise refusal(error) from error
        given = answer[1].get("event") if len(answer) == 2 and isinstance(answer[1], dict) else None
        if not isinstance(given, dict):
            raise BadGateway(f"{server} did not answer with the invite")
        return given
