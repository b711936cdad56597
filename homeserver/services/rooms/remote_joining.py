"""Entering rooms through other servers. https://spec.matrix.org/v1.19/server-server-api/#joining-rooms"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec
import structlog

from federation.client.errors import RemoteError
from federation.wire.joining import MAKE_JOIN, SEND_JOIN, SEND_JOIN_V1, Joined, SendJoinOptions
from homeserver.clock import Clock
from homeserver.protocol.errors import (
    BadGateway,
    Forbidden,
    IncompatibleRoomVersion,
    MatrixError,
    UnableToAuthoriseJoin,
    UnableToGrantJoin,
)
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.parsing import parse_pdu
from homeserver.protocol.events.signing import with_signature
from homeserver.protocol.identifiers import ServerName, is_server_name, server_of
from homeserver.protocol.partial_state import UnableDueToPartialState
from homeserver.services.keyed_locks import KeyedLocks
from homeserver.services.rooms.asking_around import AskingAround
from homeserver.services.rooms.draft import RoomDraft
from homeserver.services.rooms.ingest.checking import PduChecker
from homeserver.services.rooms.ingest.entering import Entering
from homeserver.services.rooms.ingest.importing import Entrance, Omitted, RoomImport
from homeserver.services.rooms.ingest.intake import PduIntake
from homeserver.services.rooms.ingest.placing import Placed
from homeserver.services.rooms.ingest.receiving import EventReceiver
from homeserver.services.rooms.local_events import EventIntent, LocalEvents
from homeserver.services.rooms.membership_requests import (
    AUTHORISER,
    MEMBER,
    MembershipRequests,
    MembershipWish,
    is_not_understood,
    most_telling,
    refusal,
)
from homeserver.services.rooms.restricted_joins import RestrictedJoins
from homeserver.services.rooms.writer import RoomWriter

log = structlog.get_logger(__name__)

MAX_SERVERS = 20
"""Servers that we try."""
MAX_SERVERS_IN_ROOM = 50_000
"""Servers that a room may be in for us to enter it without its members."""
FAILURES_LOGGED = 20
"""Refused events of one answer whose reasons are in the log."""


@dataclass(frozen=True, slots=True)
class Doors:
    """What a join goes through, in rooms that this server is in and in others."""

    writer: RoomWriter
    local_events: LocalEvents
    restricted: RestrictedJoins
    receiver: EventReceiver
    room_import: RoomImport
    entering: Entering


class RemoteJoining:
    """Joins of our users by way of other servers."""

    def __init__(
        self,
        requests: MembershipRequests,
        checker: PduChecker,
        doors: Doors,
        clock: Clock,
        *,
        without_members: bool = False,
    ) -> None:
        """``without_members``: enter rooms before their members are known."""
        self._without_members = without_members
        self._requests = requests
        self._checker = checker
        self._doors = doors
        self._clock = clock
        self._locks: KeyedLocks[str] = KeyedLocks()

    async def join(self, wish: MembershipWish, servers: Sequence[ServerName]) -> None:
        """Join through the first of the servers that lets us. Raises Forbidden, NotFound,
        IncompatibleRoomVersion, BadGateway.
        """
        async with self._locks.holding(wish.room_id):
            if await self._join_here(wish):
                return
            templates = AskingAround(
                self._clock,
                servers[:MAX_SERVERS],
                lambda server: self._requests.event(MAKE_JOIN, server, wish),
            )
            try:
                await self._join_through_one(templates, wish)
            finally:
                templates.stop()

    async def _join_through_one(self, templates: AskingAround[Event], wish: MembershipWish) -> None:
        errors: list[MatrixError] = []
        with self._doors.entering.room(wish.room_id):
            while (answered := await templates.next()) is not None:
                server, outcome = answered
                try:
                    if isinstance(outcome, MatrixError):
                        raise outcome
                    await self._join_through(server, wish, outcome)
                except MatrixError as error:
                    log.info("join not possible", server=server, room_id=wish.room_id, error=error.message)
                    errors.append(error)
                    if isinstance(error, IncompatibleRoomVersion):
                        break
                else:
                    return
        raise most_telling(errors)

    async def _join_here(self, wish: MembershipWish) -> bool:
        """Join a room that this server is in by now, if a user of ours may let the user in; whether that went."""
        doors = self._doors
        if await doors.receiver.present(wish.room_id) is None:
            return False

        async def job(draft: RoomDraft) -> None:
            content = dict(wish.content)
            authoriser = await doors.restricted.authorising_user(draft, wish.user_id)
            if authoriser is not None:
                content[AUTHORISER] = authoriser
            await doors.local_events.append(draft, EventIntent(MEMBER, content, wish.user_id, wish.user_id))

        try:
            await doors.writer.write(wish.room_id, job)
        except (UnableToGrantJoin, UnableToAuthoriseJoin, UnableDueToPartialState):
            return False
        return True

    async def _join_through(self, server: ServerName, wish: MembershipWish, event: Event) -> None:
        intake, answer, omitted = await self._answered(server, event)
        event = await self._authorised(server, event, answer)
        head = await self._doors.receiver.present(wish.room_id)
        if head is None:
            if answer.members_omitted and omitted is None:
                raise BadGateway("All our users left the room while another came in")
            entrance = await self._entrance(event, intake, omitted)
            await self._doors.room_import.bring_in(entrance)
            return
        for taken, result in await self._doors.receiver.take(server, head, [event]):
            if taken.event_id == event.event_id and isinstance(result, Placed) and result.reason is None:
                return
        raise Forbidden("The room does not allow the join")

    async def _answered(self, server: ServerName, event: Event) -> tuple[PduIntake, Joined, Omitted | None]:
        """The answer to the join. A server that leaves members out and says so wrongly is asked for all of them."""
        receiver = self._doors.receiver
        here = await receiver.present(event.room_id) is not None
        if self._without_members and (here or not await receiver.is_known(event.room_id)):
            intake = self._checker.intake(event.room_id, event.version)
            answer = await self._send(server, event, intake, omit_members=True)
            if here or not answer.members_omitted:
                return intake, answer, None
            servers = _servers_in_room(answer)
            if servers is not None:
                others = [each for each in servers if each != self._requests.server_name]
                return intake, answer, Omitted(server, others)
            log.info("servers in the room not understood", server=server, room_id=event.room_id)
        intake = self._checker.intake(event.room_id, event.version)
        return intake, await self._send(server, event, intake), None

    async def _entrance(self, join: Event, intake: PduIntake, omitted: Omitted | None) -> Entrance:
        checked = await self._checker.finish(intake)
        if checked.failures or checked.malformed:
            log.info(
                "parts of a room's state refused",
                room_id=join.room_id,
                malformed=checked.malformed,
                failures=dict(islice(checked.failures.items(), FAILURES_LOGGED)),
            )
        return Entrance(join.room_id, join.version, join, intake.given("state"), checked.events, omitted)

    async def _send(
        self, server: ServerName, event: Event, intake: PduIntake, *, omit_members: bool = False
    ) -> Joined:
        """The answer; its state and auth chain are in `intake`."""
        options = SendJoinOptions(omit_members=True) if omit_members else None
        client, body = self._requests.client, event.encoded()
        path = {"room_id": event.room_id, "event_id": event.event_id}
        try:
            return await client.request_lists(
                SEND_JOIN, server, intake.take, path=path, query=options, body=body
            )
        except RemoteError as error:
            if not is_not_understood(error):
                raise refusal(error) from error
        try:
            answer = await client.request(SEND_JOIN_V1, server, path=path, body=body)
            joined = msgspec.convert(answer[1] if len(answer) == 2 else None, Joined)
        except RemoteError as error:
            raise refusal(error) from error
        except msgspec.ValidationError as error:
            raise BadGateway(f"{server} answered the join with something else") from error
        for name, pdus in (("state", joined.state), ("auth_chain", joined.auth_chain)):
            _ = intake.take([(name, pdu) for pdu in pdus])
        return joined

    async def _authorised(self, server: ServerName, event: Event, answer: Joined) -> Event:
        """The join, with the signature of the server that let the user in."""
        authoriser = event.content.get(AUTHORISER)
        if authoriser is None:
            return event
        given: Any = answer.event or {}
        signer = server_of(authoriser)
        by_server = given.get("signatures")
        by_key = by_server.get(signer) if isinstance(by_server, dict) else None
        pdu = event.pdu
        for key_id, signature in by_key.items() if isinstance(by_key, dict) else ():
            if isinstance(signature, str):
                pdu = with_signature(pdu, signer, key_id, signature)
        checked = await self._checker.check(event.room_id, event.version, [pdu])
        if not checked.events:
            raise BadGateway(f"{server} did not sign the join that it authorised")
        return parse_pdu(checked.events[0].pdu, event.version)


def _servers_in_room(answer: Joined) -> list[ServerName] | None:
    """The servers that are in the room, as the answer says; None if that makes no sense."""
    given = answer.servers_in_room
    if not isinstance(given, list) or not 0 < len(given) <= MAX_SERVERS_IN_ROOM:
        return None
    if not all(isinstance(each, str) and is_server_name(each) for each in given):
        return None
    return [ServerName(each) for each in dict.fromkeys(given)]
