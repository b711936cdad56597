"""Client transaction IDs: a request that is sent again has no further effect and gets the same answer.

https://spec.matrix.org/v1.19/client-server-api/#transaction-identifiers
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from twisted.internet.defer import Deferred

from homeserver.clock import Clock
from homeserver.protocol.identifiers import EventID, UserID
from homeserver.protocol.requester import Requester
from storage.bulk import Entry
from storage.caches import CacheBudget
from storage.database import Database
from storage.tables.delayed_events import SENT
from storage.tables.events import CLIENT_TRANSACTIONS, ClientTransactions

Key = tuple[UserID, str, str, str]


@dataclass(frozen=True, slots=True)
class Delay:
    """The delayed event that is being sent, and when it was due (see `storage.tables.delayed_events.SENT`)."""

    delay_id: str
    due_ts: int


@dataclass(frozen=True, slots=True)
class Transaction:
    """One request's transaction. Its row is written with the event that the request makes. Without a ``txn_id`` each
    request stands for itself. What sends a delayed event ends that in the same way.
    """

    who: Requester
    scope: str
    txn_id: str | None
    delay: Delay | None = None

    @property
    def key(self) -> Key | None:
        if self.txn_id is None:
            return None
        return self.who.user_id, self.who.device_id or "", self.scope, self.txn_id

    @property
    def label(self) -> str | None:
        """The transaction as it is kept with the event: "device_id txn_id", or a delay ID, which has no space."""
        if self.delay is not None:
            return self.delay.delay_id
        return None if self.txn_id is None else f"{self.who.device_id or ''} {self.txn_id}"


class Transactions:
    """Which event each transaction made: those under way, recent ones in memory, all in the database."""

    def __init__(self, database: Database, caches: CacheBudget, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._recent = caches.cache("client_transactions", lambda event_id: 400)
        self._under_way: dict[Key, list[Deferred[EventID]]] = {}

    async def once(self, transaction: Transaction, send: Callable[[], Awaitable[EventID]]) -> EventID:
        """The event that the transaction made, or that ``send`` makes now. Raises what ``send`` raises.

        A new transaction costs no query: if one with the same key is stored, the write of its row fails, and
        only then is the stored one looked up.
        """
        key = transaction.key
        if key is None:
            return await send()
        known: EventID | None = self._recent.get(key)
        if known is not None:
            return known
        waiting = self._under_way.get(key)
        if waiting is not None:
            answer: Deferred[EventID] = Deferred()
            waiting.append(answer)
            return await answer
        self._under_way[key] = []
        try:
            event_id = await self._send(key, send)
        except BaseException as error:
            for answer in self._under_way.pop(key):
                answer.errback(error)
            raise
        self._recent.put(key, event_id)
        for answer in self._under_way.pop(key):
            answer.callback(event_id)
        return event_id

    def note(self, entries: list[Entry], transaction: Transaction, event_id: EventID) -> None:
        """Add the row that is to be written with the event."""
        if transaction.delay is not None:
            delay = transaction.delay
            entries.append(SENT.row(delay.delay_id, delay.due_ts, self._clock.now_ms(), event_id))
        if transaction.key is not None:
            entries.append(CLIENT_TRANSACTIONS.row(*transaction.key, event_id, self._clock.now_ms()))

    async def _send(self, key: Key, send: Callable[[], Awaitable[EventID]]) -> EventID:
        try:
            return await send()
        except Exception:
            event_id = await self._database.read(lambda tx: ClientTransactions(tx).event_id(*key))
            if event_id is None:
                raise
            return event_id
