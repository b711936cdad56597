"""Having events signed by the policy server of their room, where it has one.

What it does not sign is not sent, and what others send without its signature is soft-failed; nor is anything
accepted while it cannot be reached. A room without one costs a look into its state, and no query.

Events of the past that are fetched when somebody reads there are not asked about. To refuse one would be to soft-fail
it, and that is about what may build on the room as it is now; these become no extremities, and are reached only from
events that were accepted. Policy servers would see them long after they were said, and who reads would wait for as
many answers as there are events. What is sticky still is told of as new, and so is asked about.

https://spec.matrix.org/v1.19/server-server-api/#policy-servers
"""

from typing import Any

import structlog

from federation.client.errors import RemoteError
from federation.client.federation_client import FederationClient
from federation.wire.policy import SIGN, UNSTABLE_SIGN
from homeserver.protocol.errors import BadGateway, Forbidden, LimitExceeded, MatrixError, RefusedElsewhere
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.parsing import parse_pdu
from homeserver.protocol.events.signing import with_signature
from homeserver.protocol.room_policy import KEY_ID, POLICY, RoomPolicy, room_policy
from homeserver.services.rooms.draft import RoomDraft
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.membership_requests import is_not_understood
from homeserver.services.rooms.state_store import StateStore
from storage.database import Database
from storage.tables.rooms import Rooms

log = structlog.get_logger(__name__)

_RETRY_MS = 1000


class PolicyServers:
    """Asks them."""

    def __init__(
        self, database: Database, events: EventStore, states: StateStore, client: FederationClient
    ) -> None:
        self._database = database
        self._events = events
        self._states = states
        self._client = client
        self._key_number: int | None = None

    async def approved(self, draft: RoomDraft, event: Event) -> Event:
        """An event on top of a draft, with the signature that the room wants.

        Raises what the policy server answers, and BadGateway if it does not.
        """
        policy = await self._policy(draft, event)
        if policy is None or policy.recommends(event):
            return event
        return await self._signed(policy, event)

    async def judged(self, draft: RoomDraft, event: Event) -> tuple[Event, str | None]:
        """An event of another server, with the signature if that can be had, and else why it is not accepted."""
        try:
            return await self.approved(draft, event), None
        except MatrixError as error:
            return event, f"by the room's policy server: {error.message}"

    async def _policy(self, draft: RoomDraft, event: Event) -> RoomPolicy | None:
        """The policy server that has a say about an event."""
        if event.key == POLICY:
            return None
        if self._key_number is None:
            self._key_number = (await self._states.key_ids((POLICY,)))[POLICY]
        nid = draft.state.find(self._key_number)
        if nid is None:
            return None
        stored = draft.unsaved.get(nid) or (await self._events.by_nids((nid,))).get(nid)
        policy = None if stored is None else room_policy(stored.event)
        if policy is None:
            return None
        room_id, server = draft.head.room_id, policy.server
        present = await self._database.read(lambda tx: Rooms(tx).has_server(room_id, server))
        return policy if present else None

    async def _signed(self, policy: RoomPolicy, event: Event) -> Event:
        given = await self._ask(policy, event)
        by_key = given.get(policy.server)
        signature = by_key.get(KEY_ID) if isinstance(by_key, dict) else None
        if isinstance(signature, str):
            signed = parse_pdu(with_signature(event.pdu, policy.server, KEY_ID, signature), event.version)
            if policy.recommends(signed):
                return signed
        log.warning("a policy server gave no valid signature", server=policy.server, room_id=event.room_id)
        raise Forbidden("The room's policy server gave no valid signature")

    async def _ask(self, policy: RoomPolicy, event: Event) -> dict[str, Any]:
        try:
            return await self._client.request(SIGN, policy.server, body=event.pdu)
        except RemoteError as error:
            if not is_not_understood(error):
                raise _refusal(error) from error
        try:
            return await self._client.request(UNSTABLE_SIGN, policy.server, body=event.pdu)
        except RemoteError as error:
            raise _refusal(error) from error


def _refusal(error: RemoteError) -> MatrixError:
    """The policy server's error as its own words, for the client whose event it was."""
    text = error.remote_error or "The room's policy server refused the event"
    if error.status == 429:
        return LimitExceeded(text, retry_after_ms=error.retry_after_ms or _RETRY_MS)
    if error.status == 403:
        return Forbidden(text)
    if error.status in (400, 404):
        return RefusedElsewhere(text, errcode=error.remote_errcode)
    return BadGateway(f"The room's policy server answered with an error ({error.status})")
