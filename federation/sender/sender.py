"""Sending to other servers: events from the moment that they are committed, ephemeral data while it is fresh.

Nothing is written for an event and a destination. What is owed follows from the events that this server
passes on and from who is in their rooms; on record is only up to where everybody has had everything, and
which few servers are behind. In normal times events go from the commit to the wire through memory; after a
restart, or for a server that was away, one query finds them.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from twisted.internet.defer import Deferred

from federation.client.destinations import DestinationHealth
from federation.client.federation_client import FederationClient
from federation.sender.mailbox import EduLane, Mailbox, Owed, encode_edu, encode_envelope
from federation.sender.recipients import Recipients
from federation.wire.transactions import SEND
from homeserver.clock import Clock, Randomness, Timer
from homeserver.protocol.identifiers import RoomID, ServerName
from homeserver.services.rooms.persist import RoomCommit
from storage.database import Database
from storage.journal import Journal, Landed
from storage.tables.outbox import LAGGING, Outbox
from storage.tables.sticky_events import StickyEvents
from storage.transaction import Transaction

log = structlog.get_logger(__name__)

NOTE_EVERY_S: Final = 1.0
"""How often progress is put on record. What was delivered since is delivered again after a crash, which harms
nobody.
"""
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
        self._recorded: dict[ServerName, int] = {}
        self._recorded_progress = 0
        self._commits: deque[tuple[int, RoomCommit, float]] = deque()
        self._listeners: list[Callable[[float], object]] = []
        self._distributing = False
        self._distributed = 0
        self._recovered_upto = 0
        self._started = False
        self._stopped = False
        self._prefix = f"{clock.now_ms()}{random.letters(6)}"
        self._count = 0
        self._note_timer: Timer | None = None
        self._noting: Deferred[None] | None = None
        journal.listen(self._landed)
        outside.health.listen(self.retry)

    async def start(self) -> None:
        """Find what is owed from before."""
        self._distributed = self._recorded_progress = await self._database.read(
            lambda tx: Outbox(tx).progress()
        )
        lagging = await self._database.read(lambda tx: Outbox(tx).lagging())
        for destination, pos in lagging:
            self._recorded[destination] = pos
            self._mailboxes[destination] = Mailbox(self, destination, pos, lagging=True)
        await self._recover()
        self._started = True
        self._distribute()
        for mailbox in list(self._mailboxes.values()):
            mailbox.wake()

    async def stop(self) -> None:
        """Send no more, and put on record how far everybody got."""
        self._stopped = True
        for mailbox in list(self._mailboxes.values()):
            await mailbox.stop()
        if self._note_timer is not None and self._note_timer.active():
            self._note_timer.cancel()
        if self._noting is not None:
            await self._noting
        if self._started:
            await self._note()

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
        edu = encode_edu(edu_type, content)
        key = object() if key is None else (edu_type, key)
        for destination in destinations:
            if destination != self._outside.server_name:
                self._mailbox(destination).add_ephemeral(key, edu)

    async def send_edu_to_room(
        self, room_id: RoomID, edu_type: str, content: dict[str, Any], key: object = None
    ) -> None:
        """`send_edu` to all servers that are in a room now."""
        self.send_edu(await self._recipients.present(room_id), edu_type, content, key)

    def lane_filled(self, destinations: Iterable[ServerName]) -> None:
        """A durable lane has something for these servers."""
        for destination in destinations:
            self._mailbox(destination).lane_filled()

    def is_away(self, destination: ServerName) -> bool:
        """Whether a server is left alone for now, as it did not take what it was sent."""
        mailbox = self._mailboxes.get(destination)
        return self._stopped or (mailbox is not None and mailbox.is_resting)

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
        self._note_soon()

    # From commits to mailboxes.

    def _landed(self, first: int, last: int, landed: Sequence[Landed]) -> None:
        now = self._clock.seconds()
        for _, payload, _ in landed:
            if isinstance(payload, RoomCommit) and (payload.events or payload.whole):
                self._commits.append((last, payload, now))
        if self._started:
            self._distribute()

    def _distribute(self) -> None:
        if self._commits and not self._distributing and not self._stopped:
            self._distributing = True
            _ = Deferred.fromCoroutine(self._distribute_all())

    async def _distribute_all(self) -> None:
        try:
            while self._commits and not self._stopped:
                last, commit, committed_at = self._commits[0]
                try:
                    await self._distribute_one(commit, committed_at)
                except Exception:
                    log.exception("events could not be distributed", room_id=commit.head.room_id)
                    await self._clock.sleep(1.0)
                    continue
                self._commits.popleft()
                if not self._commits or self._commits[0][0] != last:
                    self._distributed = max(self._distributed, last)
            self._note_soon()
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
        after = began = self._distributed
        while after < upto:
            after = await self._recover_some(after, upto)
        now = self._clock.now_ms()
        rooms = await self._database.read(lambda tx: StickyEvents(tx).rooms(now)) if began < upto else []
        if rooms:
            await self._send_sticky(rooms, began, upto)
        self._distributed = self._recovered_upto = max(upto, self._distributed)

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

    # Progress on record.

    def _note_soon(self) -> None:
        if self._note_timer is None and not self._stopped:
            self._note_timer = self._clock.call_later(NOTE_EVERY_S, self._note_now)

    def _note_now(self) -> None:
        self._note_timer = None
        if self._noting is not None:
            self._note_soon()  # what changed since it began is for the next one
            return
        self._noting = Deferred.fromCoroutine(self._note())
        _ = self._noting.addBoth(self._noted)  # which may be at once

    def _noted(self, result: None) -> None:
        self._noting = None

    async def _note(self) -> None:
        """Record how far everybody is. A server that is behind is on record before the common progress passes
        what it is owed.
        """
        progress = self._distributed
        behind = {
            destination: mailbox.cursor
            for destination, mailbox in self._mailboxes.items()
            if mailbox.is_behind
        }
        changed = [
            (destination, pos)
            for destination, pos in behind.items()
            if self._recorded.get(destination) != pos
        ]
        caught_up = [destination for destination in self._recorded if destination not in behind]
        if changed or caught_up or progress != self._recorded_progress:
            try:
                await self._database.transact(lambda tx: _write_progress(tx, progress, changed, caught_up))
            except Exception:
                log.exception("progress of deliveries could not be recorded")
                self._note_soon()
                return
            self._recorded = behind
            self._recorded_progress = progress
        for destination, mailbox in list(self._mailboxes.items()):
            if mailbox.is_idle:
                del self._mailboxes[destination]


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


def _write_progress(
    tx: Transaction, progress: int, changed: list[tuple[ServerName, int]], caught_up: list[ServerName]
) -> None:
    LAGGING.execute(tx, changed)
    outbox = Outbox(tx)
    if caught_up:
        outbox.caught_up(caught_up)
    outbox.set_progress(progress)
    outbox.drop_extra(progress)
