"""Sending to other servers: events from the moment that they are committed, ephemeral data while it is fresh.

Nothing is written for an event and a destination. What is owed follows from the events that this server
passes on and from who is in their rooms; on record is only up to where everybody has had everything, and
which few servers are behind. In normal times events go from the commit to the wire through memory; after a
restart, or for a server that was away, one query finds them.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import structlog
from twisted.internet.defer import Deferred

from federation.client.destinations import DestinationHealth
from federation.client.federation_client import FederationClient
from federation.sender.mailbox import EduLane, Mailbox, Owed, encode_edu, encode_envelope
from federation.sender.progress import Progress
from federation.sender.recipients import Recipients
from federation.wire.transactions import SEND
from homeserver.clock import Clock, Randomness, Timer
from homeserver.protocol.identifiers import RoomID, ServerName
from homeserver.services.rooms.persist import RoomCommit
from homeserver.services.rooms.room_elsewhere import RoomElsewhere
from storage.database import Database
from storage.journal import Journal, Landed
from storage.leases import Lease
from storage.tables.outbox import Outbox
from storage.tables.sticky_events import StickyEvents
from storage.transaction import Transaction

log = structlog.get_logger(__name__)

RECOVERED_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True)
class Outside:
    """The way to other servers."""

    server_name: ServerName
    client: FederationClient
    health: DestinationHealth


class FederationSender:
    """The outgoing post of this server."""

    def __init__(
        self,
        outside: Outside,
        database: Database,
        journal: Journal,
        recipients: Recipients,
        clock: Clock,
        random: Randomness,
    ) -> None:
        self.lanes: list[EduLane] = []
        self._outside = outside
        self._database = database
        self._journal = journal
        self._recipients = recipients
        self._clock = clock
        self._mailboxes: dict[ServerName, Mailbox] = {}
        self._progress = Progress(database, clock, self._standing, self._noted)
        self._commits: deque[_Committed] = deque()
        self._listeners: list[Callable[[float], object]] = []
        self._distributing = False
        self._distributed = 0
        self._recovered_upto = 0
        self._seen = 0
        self._following = False
        self._started = False
        self._stopped = False
        self._prefix = f"{clock.now_ms()}{random.letters(6)}"
        self._count = 0
        journal.listen(self._landed, self._missed)
        outside.health.listen(self.retry)

    async def start(self, lease: Lease | None = None) -> None:
        """Begin to send, with what is owed from before. Where there are several nodes, ``lease`` says that this is the
        one that sends.
        """
        self._stopped = False
        self._following, self._seen = True, self._journal.position
        self._distributed, lagging = await self._progress.load(lease)
        for destination, pos in lagging.items():
            self._mailboxes[destination] = Mailbox(self, destination, pos, lagging=True)
        await self._recover()
        self._started = True
        self._distribute()
        for mailbox in list(self._mailboxes.values()):
            mailbox.wake()

    async def stop(self) -> None:
        """Send no more, and put on record how far everybody got. It may be started again."""
        self._stopped, self._following = True, False
        for mailbox in list(self._mailboxes.values()):
            await mailbox.stop()
        await self._progress.stop(write=self._started)
        self._started = False
        self._mailboxes.clear()
        self._commits.clear()

    def send_edu(
        self,
        destinations: Iterable[ServerName],
        edu_type: str,
        content: dict[str, Any],
        key: object = None,
    ) -> None:
        """Send ephemeral data to servers, in place of what waits there under the same ``key``; None: beside
        everything else.
        """
        if not self._following:
            return  # another node does
        edu = encode_edu(edu_type, content)
        key = object() if key is None else (edu_type, key)
        for destination in destinations:
            if destination != self._outside.server_name:
                self._mailbox(destination).add_ephemeral(key, edu)

    async def send_edu_to_room(
        self, room_id: RoomID, edu_type: str, content: dict[str, Any], key: object = None
    ) -> None:
        """`send_edu` to all servers that are in a room now."""
        if self._following:
            self.send_edu(await self._recipients.present(room_id), edu_type, content, key)

    def lane_filled(self, destinations: Iterable[ServerName]) -> None:
        """A durable lane has something for these servers."""
        for destination in destinations if self._following else ():
            self._mailbox(destination).lane_filled()

    @property
    def is_sending(self) -> bool:
        """Whether it is this node that sends."""
        return self._following

    def is_away(self, destination: ServerName) -> bool:
        """Whether a server is left alone for now, as it did not take what it was sent, or as another node sends."""
        mailbox = self._mailboxes.get(destination)
        return not self._following or (mailbox is not None and mailbox.is_resting)

    def listen(self, listener: Callable[[float], object]) -> None:
        """Have a function called with the seconds from an event's commit until a server has it, for each that went
        from the commit to the wire through memory.
        """
        self._listeners.append(listener)

    def lags(self) -> list[int]:
        """How many positions behind the servers are that have not had all they are owed."""
        upto = self._journal.position
        return [upto - mailbox.cursor for mailbox in self._mailboxes.values() if mailbox.is_behind]

    def retry(self, destination: ServerName) -> None:
        """A server is back: try it at once."""
        mailbox = self._mailboxes.get(destination)
        if mailbox is not None:
            mailbox.wake(retry=True)

    # What mailboxes ask of the sender.

    @property
    def distributed(self) -> int:
        """All events up to this position were put into the mailboxes."""
        return self._distributed

    async def owed(self, destination: ServerName, after: int, upto: int, limit: int) -> list[Owed]:
        """Events that a server is owed, read from the database, in order."""
        now = self._clock.now_ms()
        rows = await self._database.read(lambda tx: Outbox(tx).owed(destination, after, upto, now, limit))
        return [Owed(row.pos, row.json.encode()) for row in rows]

    async def deliver(self, destination: ServerName, txn_id: str, body: bytes) -> None:
        """Send a transaction. Raises RemoteError, Unreachable."""
        answer = await self._outside.client.request(SEND, destination, path={"txn_id": txn_id}, body=body)
        for event_id, result in answer.pdus.items():
            if "error" in result:
                log.info(
                    "event refused", destination=destination, event_id=event_id, error=str(result["error"])
                )

    def transaction_id(self) -> str:
        """One that was never used."""
        self._count += 1
        return f"{self._prefix}{self._count}"

    def envelope(self, pdus: Sequence[bytes], edus: Sequence[bytes]) -> bytes:
        """The body of a transaction."""
        return encode_envelope(self._outside.server_name, self._clock.now_ms(), pdus, edus)

    def call_later(self, seconds: float, function: Callable[[], object]) -> Timer:
        """Call the function after so many seconds."""
        return self._clock.call_later(seconds, function)

    def seconds_until_retry(self, destination: ServerName) -> float:
        """How long the server's health record says to leave it alone."""
        retry_at = self._outside.health.retry_at_ms(destination)
        return 0.0 if retry_at is None else max(0, retry_at - self._clock.now_ms()) / 1000

    def delivered(self, events: Sequence[Owed]) -> None:
        """A mailbox got on: the server has these."""
        now = self._clock.seconds()
        for owed in events:
            if owed.committed_at is not None:
                for listener in self._listeners:
                    listener(now - owed.committed_at)
        self._progress.soon()

    # From commits to mailboxes.

    def _landed(self, first: int, last: int, landed: Sequence[Landed]) -> None:
        if not self._following:
            return
        now = self._clock.seconds()
        for _, payload, positions in landed:
            if isinstance(payload, RoomCommit) and (payload.events or payload.whole):
                self._commits.append(_Committed(last, payload, now))
            elif isinstance(payload, RoomElsewhere):
                if payload.moves_servers:
                    self._recipients.changed_elsewhere(payload.room_id)
                if positions:
                    self._commits.append(_Committed(last, _Between(positions[0] - 1, positions[-1]), now))
        self._seen = max(self._seen, last)
        if self._started:
            self._distribute()

    def _missed(self, upto: int) -> None:
        self._recipients.forget()
        if self._following:
            self._commits.append(_Committed(upto, _Between(self._seen, upto), 0.0))
            self._seen = max(self._seen, upto)
            if self._started:
                self._distribute()

    def _distribute(self) -> None:
        if self._commits and not self._distributing and not self._stopped:
            self._distributing = True
            _ = Deferred.fromCoroutine(self._distribute_all())

    async def _distribute_all(self) -> None:
        try:
            while self._commits and not self._stopped:
                last, what, committed_at = commit = self._commits[0]
                try:
                    if isinstance(what, RoomCommit):
                        await self._distribute_one(what, committed_at)
                    else:
                        await self._recover_between(max(what.after, self._recovered_upto), what.upto)
                except Exception:
                    log.exception("events could not be distributed", upto=last)
                    await self._clock.sleep(1.0)
                    continue
                if not self._commits or self._commits[0] is not commit:
                    continue  # it was started again
                self._commits.popleft()
                if not self._commits or self._commits[0].last != last:
                    self._distributed = max(self._distributed, last)
            self._progress.soon()
        finally:
            self._distributing = False

    async def _distribute_one(self, commit: RoomCommit, committed_at: float) -> None:
        outbound = [
            stored
            for stored in commit.events
            if stored.outbound and stored.pos is not None and stored.pos > self._recovered_upto
        ]
        self._recipients.changed(commit)
        if not commit.events:
            return
        joins = _positions_of_joins(commit, self._outside.server_name, self._recovered_upto)
        if joins:
            await self._send_sticky([commit.head.room_id], min(joins) - 1, max(joins))
        if not outbound:
            return
        for stored, destinations in await self._recipients.of(commit, outbound):
            owed = Owed(stored.pos or 0, stored.event.encoded(), committed_at)
            for destination in destinations:
                self._mailbox(destination).add(owed)

    async def _recover(self) -> None:
        """Put what was committed since the progress on record into the mailboxes."""
        upto = self._journal.position
        await self._recover_between(self._distributed, upto)
        self._distributed = self._recovered_upto = max(upto, self._distributed)

    async def _recover_between(self, began: int, upto: int) -> None:
        after = began
        while after < upto:
            after = await self._recover_some(after, upto)
        now = self._clock.now_ms()
        rooms = await self._database.read(lambda tx: StickyEvents(tx).rooms(now)) if began < upto else []
        if rooms:
            await self._send_sticky(rooms, began, upto)

    async def _recover_some(self, after: int, upto: int) -> int:
        """Take the next events; gives the position up to which they are taken."""
        rows, extra = await self._database.read(
            lambda tx: (
                Outbox(tx).outbound(after, upto, RECOVERED_AT_ONCE),
                Outbox(tx).extra(after, upto),
            )
        )
        for row in rows:
            destinations = await self._recipients.at(row.room_id, row.pos)
            destinations |= {destination for destination, pos in extra if pos == row.pos}
            for destination in destinations:
                self._mailbox(destination).add(Owed(row.pos, row.json.encode()))
        return rows[-1].pos if len(rows) == RECOVERED_AT_ONCE else upto

    async def _send_sticky(self, rooms: list[RoomID], after: int, upto: int) -> None:
        """Let servers that came into rooms between two positions have what is sticky there of our users.

        https://github.com/matrix-org/matrix-spec-proposals/pull/4354
        """
        now, ours = self._clock.now_ms(), self._outside.server_name
        for owed in await self._database.read(
            lambda tx: _sticky_for_newcomers(tx, rooms, (after, upto), now)
        ):
            if owed.server != ours and owed.pdus:
                self._mailbox(owed.server).add(*(Owed(owed.pos, json.encode()) for json in owed.pdus))

    def _mailbox(self, destination: ServerName) -> Mailbox:
        mailbox = self._mailboxes.get(destination)
        if mailbox is None:
            mailbox = self._mailboxes[destination] = Mailbox(
                self, destination, self._distributed, lagging=False
            )
        return mailbox

    def _standing(self) -> tuple[int, Mapping[ServerName, int]]:
        behind = {
            destination: mailbox.cursor
            for destination, mailbox in self._mailboxes.items()
            if mailbox.is_behind
        }
        return self._distributed, behind

    def _noted(self) -> None:
        for destination, mailbox in list(self._mailboxes.items()):
            if mailbox.is_idle:
                del self._mailboxes[destination]


class _Between(NamedTuple):
    """What was committed between two positions, to be read from the database."""

    after: int
    upto: int


class _Committed(NamedTuple):
    """To be distributed. ``last`` is the position up to which everything is when this is; ``at`` when it was
    committed.
    """

    last: int
    what: RoomCommit | _Between
    at: float


@dataclass(frozen=True, slots=True)
class _StickyForNewcomer:
    server: ServerName
    pos: int
    pdus: Sequence[str]


def _sticky_for_newcomers(
    tx: Transaction, rooms: list[RoomID], between: tuple[int, int], now: int
) -> list[_StickyForNewcomer]:
    table = StickyEvents(tx)
    return [
        _StickyForNewcomer(each.server, each.joined_pos, table.own(each.room_id, each.joined_pos, now))
        for each in table.newcomers(rooms, *between)
    ]


def _positions_of_joins(commit: RoomCommit, ours: ServerName, after: int) -> list[int]:
    """Where users of other servers came into the room, after a position."""
    return [
        change.cause.pos
        for change in commit.changes
        if change.key[0] == "m.room.member"
        and change.memberships[0] != "join"
        and change.memberships[1] == "join"
        and not change.key[1].endswith(f":{ours}")
        and change.cause.pos is not None
        and change.cause.pos > after
    ]
