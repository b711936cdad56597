"""What one server is owed, and its delivery: one transaction at a time, events and ephemeral data side by side.

https://spec.matrix.org/v1.19/server-server-api/#transactions
"""

from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson
import structlog
from twisted.internet.defer import CancelledError, Deferred

from federation.client.errors import RemoteError, Unreachable
from federation.wire.transactions import MAX_EDUS, MAX_PDUS
from homeserver.clock import Timer
from homeserver.protocol.canonical_json import encode_canonical
from homeserver.protocol.identifiers import ServerName

log = structlog.get_logger(__name__)

MAX_PENDING: Final = 500
"""Events that wait in memory for one server; if there are more, they are read again when it takes them."""
MAX_AT_ONE_POSITION: Final = 10_000
"""What a server is owed at the position at which it came into a room: all that is sticky there. Of that, what it has
had is kept in memory only: after a crash it gets all of it again.
"""
MAX_EPHEMERAL: Final = 500
"""Ephemeral data that waits for one server; the oldest go first: each is worth little, and less as time passes."""
FIRST_PAUSE_S: Final = 2.0
LONG_PAUSE_S: Final = 60.0
"""For longer than this, nothing is kept in memory for a server that is away."""
LONGEST_PAUSE_S: Final = 3600.0
"""Between attempts at a server that answers and refuses. One that does not answer is the business of its
health record.
"""
REFUSALS_OF_ONE: Final = 3
"""After so many refusals of a transaction with a single event, the event is taken to be the reason and passed over."""


@dataclass(frozen=True, slots=True)
class Owed:
    """An event on its way: its position, its canonical PDU, and when it was committed (`Clock.seconds`) if it did
    not have to be read again.
    """

    pos: int
    json: bytes
    committed_at: float | None = None


@dataclass(frozen=True, slots=True)
class OwedEdus:
    """Data units from a durable lane, and what to do once they are delivered."""

    edus: Sequence[dict[str, Any]]
    delivered: Callable[[], Awaitable[None]]


class EduLane(Protocol):
    """A durable source of EDUs, such as messages to devices: it keeps what is owed until it was delivered."""

    async def owed(self, destination: ServerName, limit: int) -> OwedEdus | None:
        """What the server is owed next; None for nothing."""


class Post(Protocol):
    """What a mailbox has of the sender."""

    lanes: list[EduLane]

    @property
    def distributed(self) -> int:
        """All events up to this position were put into the mailboxes."""

    async def owed(self, destination: ServerName, after: int, upto: int, limit: int) -> list[Owed]:
        """Events that a server is owed, read from the database, in order."""

    async def deliver(self, destination: ServerName, txn_id: str, body: bytes) -> None:
        """Send a transaction. Raises RemoteError, Unreachable."""

    def transaction_id(self) -> str:
        """One that was never used."""

    def envelope(self, pdus: Sequence[bytes], edus: Sequence[bytes]) -> bytes:
        """The body of a transaction."""

    def call_later(self, seconds: float, function: Callable[[], object]) -> Timer:
        """Call the function after so many seconds."""

    def seconds_until_retry(self, destination: ServerName) -> float:
        """How long the server's health record says to leave it alone."""

    def delivered(self, events: Sequence[Owed]) -> None:
        """A mailbox got on: the server has these."""


@dataclass(slots=True)
class _Batch:
    txn_id: str
    body: bytes
    upto: int
    """All events up to here are delivered when this is."""
    events: list[Owed]
    edus: int
    lanes: list[OwedEdus]
    refusals: int = 0


class Mailbox:
    """The outgoing post for one server. ``cursor``: it has had everything it was owed up to this position."""

    def __init__(self, post: Post, destination: ServerName, cursor: int, *, lagging: bool) -> None:
        self.destination = destination
        self.cursor = cursor
        self._post = post
        self._lagging = lagging
        self._overflow = lagging
        self._unkept = 0
        """The position of the last event that memory did not take, as others have to be read first."""
        self._pending: deque[Owed] = deque()
        self._rest: deque[Owed] = deque()
        self._rest_pos = 0
        self._ephemeral: OrderedDict[object, bytes] = OrderedDict()
        self._batch: _Batch | None = None
        self._running: Deferred[None] | None = None
        self._more_in_lanes = False
        self._timer: Timer | None = None
        self._pause_s = FIRST_PAUSE_S
        self._batch_size = MAX_PDUS
        self._stopped = False

    @property
    def is_behind(self) -> bool:
        """Whether there are events that it has not had."""
        return (
            self._lagging
            or bool(self._pending or self._rest)
            or (self._batch is not None and bool(self._batch.events))
        )

    @property
    def is_idle(self) -> bool:
        """Whether it has nothing to do and need not be kept."""
        busy = self.is_behind or self._ephemeral or self._batch or self._running or self._timer
        return not busy

    @property
    def is_resting(self) -> bool:
        """Whether the server is left alone for now."""
        return self._timer is not None

    def add(self, *owed: Owed) -> None:
        """Put events at the end; what is owed at one position comes at once, so that it is known where it ends."""
        if not self.is_behind:
            self.cursor = max(self.cursor, owed[0].pos - 1)
        if self._overflow:
            self._unkept = owed[-1].pos
        else:
            self._pending.extend(owed)
            if len(self._pending) > MAX_PENDING:
                self._overflow = self._lagging = True
                self._unkept = owed[-1].pos
                self._pending.clear()
        self.wake()

    def add_ephemeral(self, key: object, edu: bytes) -> None:
        """Put an EDU in place of an earlier one with the same key."""
        if self._timer is not None:
            return  # by the time the server is back, it will be of no interest
        self._ephemeral.pop(key, None)
        self._ephemeral[key] = edu
        if len(self._ephemeral) > MAX_EPHEMERAL:
            self._ephemeral.popitem(last=False)
        self.wake()

    def lane_filled(self) -> None:
        """A durable lane has something for this server."""
        self._more_in_lanes = True
        self.wake()

    def wake(self, *, retry: bool = False) -> None:
        """Deliver, unless that is under way, or the server is left alone for now (``retry``: it is no longer)."""
        if self._stopped:
            return
        if self._timer is not None:
            if not retry:
                return
            self._cancel_timer()
        if self._running is None:
            running = self._running = Deferred.fromCoroutine(self._run())
            if running.called:
                self._running = None

    async def stop(self) -> None:
        """Deliver no more, and give up what is under way."""
        self._stopped = True
        self._cancel_timer()
        running = self._running
        if running is not None:
            running.cancel()
            await running

    async def _run(self) -> None:
        try:
            while not self._stopped:
                batch = self._batch = self._batch or await self._next_batch()
                if batch is None and self._more_in_lanes:
                    continue  # a lane was filled after it was looked into
                if batch is None or not await self._deliver(batch):
                    return
        except CancelledError:
            pass
        except Exception:
            log.exception("delivery stopped by a bug", destination=self.destination)
            self._sleep(LONGEST_PAUSE_S)
        finally:
            self._running = None

    async def _next_batch(self) -> _Batch | None:
        """What goes next: events, and beside them what the other lanes have."""
        lanes = await self._next_of_lanes()
        (
            events,
            upto,
        ) = await self._next_events()  # last: what it takes out has to be in the batch before anybody looks
        edus = [encode_canonical(edu) for owed in lanes for edu in owed.edus]
        while self._ephemeral and len(edus) < MAX_EDUS:
            edus.append(self._ephemeral.popitem(last=False)[1])
        if not events and not edus:
            self.cursor = max(self.cursor, upto)
            return None
        body = self._post.envelope([owed.json for owed in events], edus)
        return _Batch(self._post.transaction_id(), body, upto, events, len(edus), lanes)

    async def _next_events(self) -> tuple[list[Owed], int]:
        if self._rest:
            return self._take(self._rest)
        return await self._read_owed() if self._lagging else self._take(self._pending)

    def _take(self, events: deque[Owed]) -> tuple[list[Owed], int]:
        """The first of some events, and up to where the server has all it is owed when it has them."""
        taken = [events.popleft() for _ in range(min(len(events), self._batch_size))]
        if not taken:
            return [], self.cursor
        last = taken[-1].pos
        return taken, last - 1 if events and events[0].pos == last else last

    async def _read_owed(self) -> tuple[list[Owed], int]:
        """Read on behind the cursor. What is distributed meanwhile collects in memory, so that nothing falls
        between.
        """
        self._pending.clear()
        self._overflow = False
        upto = max(self._post.distributed, self._unkept)
        events = await self._post.owed(self.destination, self.cursor, upto, self._batch_size + 1)
        if len(events) <= self._batch_size:
            self._lagging = self._overflow
            return events, upto
        whole = _before(events, events[self._batch_size].pos)
        if whole:
            return whole, whole[-1].pos
        found = await self._post.owed(self.destination, self.cursor, events[0].pos, MAX_AT_ONE_POSITION)
        self._rest.extend(found if len(found) > len(events) else events)
        self._rest_pos = events[0].pos
        return self._take(self._rest)

    async def _next_of_lanes(self) -> list[OwedEdus]:
        if not self._more_in_lanes:
            return []
        self._more_in_lanes = False
        room = MAX_EDUS // 2
        found = []
        for lane in self._post.lanes:
            owed = await lane.owed(self.destination, room) if room > 0 else None
            if owed is not None and owed.edus:
                found.append(owed)
                room -= len(owed.edus)
                self._more_in_lanes = True
        return found

    async def _deliver(self, batch: _Batch) -> bool:
        """Send a batch; whether to go on at once."""
        try:
            await self._post.deliver(self.destination, batch.txn_id, batch.body)
        except RemoteError as error:
            return self._refused(batch, error)
        except Unreachable as error:
            log.info("not delivered", destination=self.destination, error=error.message)
            self._put_back(batch)
            self._sleep(max(self._post.seconds_until_retry(self.destination), 0.1))
            return False
        await self._advance(batch)
        self._batch_size = MAX_PDUS
        self._pause_s = FIRST_PAUSE_S
        return True

    async def _advance(self, batch: _Batch) -> None:
        self._batch = None
        self.cursor = max(self.cursor, batch.upto)
        for owed in batch.lanes:
            await owed.delivered()
        self._post.delivered(batch.events)

    def _refused(self, batch: _Batch, error: RemoteError) -> bool:
        """The server answered with an error: it may be away, or not like what is in the transaction."""
        log.info("transaction refused", destination=self.destination, error=error.message)
        batch.refusals += 1
        wait = self._post.seconds_until_retry(self.destination)
        if wait <= 0 and error.status in (400, 413, 422) and self._narrow(batch):
            return True
        if wait <= 0:
            wait, self._pause_s = self._pause_s, min(self._pause_s * 2, LONGEST_PAUSE_S)
        self._sleep(wait)
        return False

    def _narrow(self, batch: _Batch) -> bool:
        """Find what a server does not like, by sending less at a time; whether to try again at once."""
        if len(batch.events) > 1 or batch.edus:
            # Ephemeral data is dropped; a durable lane gives what it owes again.
            self._more_in_lanes = self._more_in_lanes or bool(batch.lanes)
            self._put_back(batch, keep=False)
            self._batch_size = max(1, len(batch.events) // 2)
            return True
        if batch.refusals < REFUSALS_OF_ONE:
            return False
        log.warning("event passed over", destination=self.destination, pos=batch.upto)
        self._batch = None
        self.cursor = max(self.cursor, batch.upto)
        return True

    def _put_back(self, batch: _Batch, *, keep: bool = True) -> None:
        """Forget a batch that was not delivered, and read its events again; one of events alone is kept, to
        be repeated as it is.
        """
        if keep and batch.events and not batch.edus:
            return
        self._batch = None
        self._more_in_lanes = self._more_in_lanes or bool(batch.lanes)
        if batch.events and batch.events[-1].pos == self._rest_pos:
            self._rest.extendleft(reversed(batch.events))
        elif batch.events:
            self._lagging = self._overflow = True
            self._pending.clear()

    def _sleep(self, seconds: float) -> None:
        self._ephemeral.clear()
        if seconds > LONG_PAUSE_S:
            if self._batch is not None:
                self._put_back(self._batch, keep=False)
            if self._rest:
                self._lagging = self._overflow = True
                self._pending.clear()
                self._rest.clear()
        if not self._stopped and self._timer is None:
            self._timer = self._post.call_later(seconds, self._woken)

    def _woken(self) -> None:
        self._timer = None
        self.wake()

    def _cancel_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None


def _before(events: list[Owed], pos: int) -> list[Owed]:
    """Those before a position: what is delivered is on record by position, so of none only some are taken."""
    return [each for each in events if each.pos < pos]


def encode_edu(edu_type: str, content: dict[str, Any]) -> bytes:
    """An EDU as canonical JSON."""
    return encode_canonical({"content": content, "edu_type": edu_type})


def encode_envelope(
    origin: ServerName, origin_server_ts: int, pdus: Sequence[bytes], edus: Sequence[bytes]
) -> bytes:
    """The canonical JSON of a transaction, of pieces that are canonical."""
    return b'{"edus":[%b],"origin":%b,"origin_server_ts":%d,"pdus":[%b]}' % (
        b",".join(edus),
        orjson.dumps(origin),
        origin_server_ts,
        b",".join(pdus),
    )
