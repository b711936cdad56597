"""Transactions of other servers: each once, each event by itself, the events of a room one after the other.

https://spec.matrix.org/v1.19/server-server-api/#transactions
"""

from collections.abc import Sequence
from typing import Any

import orjson
import structlog
from twisted.internet.defer import CancelledError, Deferred, DeferredList

from federation.inbox.edus import EduDispatch
from federation.inbox.rooms import Rooms, all_refused
from federation.wire.transactions import MAX_EDUS, MAX_PDUS, Transaction
from homeserver.clock import Clock
from homeserver.protocol.errors import InvalidParam, MatrixError
from homeserver.protocol.identifiers import RoomID, ServerName, is_room_id
from homeserver.services.rooms.ingest.receiving import Outcome
from storage.database import Database, DatabaseUnavailable
from storage.journal import Journal, Write
from storage.tables.received_transactions import RECEIVED_TRANSACTIONS, ReceivedTransactions

log = structlog.get_logger(__name__)

MAX_TXN_ID_BYTES = 255
REMEMBERED_MS = 3 * 24 * 3600 * 1000
"""How long we know that we have had a transaction. Its sender repeats it only until it has an answer."""
EXPIRE_EVERY_S = 3600.0


class TransactionInbox:
    """Takes transactions."""

    def __init__(
        self, database: Database, journal: Journal, rooms: Rooms, edus: EduDispatch, clock: Clock
    ) -> None:
        self._database = database
        self._journal = journal
        self._rooms = rooms
        self._edus = edus
        self._clock = clock
        self._under_way: dict[tuple[ServerName, str], list[Deferred[bytes]]] = {}

    async def take(self, origin: ServerName, txn_id: str, transaction: Transaction) -> bytes:
        """Take a transaction, unless it was taken before; the JSON of the answer. Raises InvalidParam for one
        that is no transaction.
        """
        if len(transaction.pdus) > MAX_PDUS or len(transaction.edus) > MAX_EDUS:
            raise InvalidParam(f"A transaction has at most {MAX_PDUS} PDUs and {MAX_EDUS} EDUs")
        if len(txn_id.encode(errors="replace")) > MAX_TXN_ID_BYTES or "\0" in txn_id:
            raise InvalidParam("Not a transaction ID")
        key = (origin, txn_id)
        if key in self._under_way:
            waiting: Deferred[bytes] = Deferred()
            self._under_way[key].append(waiting)
            return await waiting
        self._under_way[key] = []
        try:
            answer = await self._take_once(origin, txn_id, transaction)
        except BaseException as error:
            for waiting in self._under_way.pop(key):
                waiting.errback(error)
            raise
        for waiting in self._under_way.pop(key):
            waiting.callback(answer)
        return answer

    async def expire(self) -> None:
        """Forget old transactions every now and then, until cancelled."""
        while True:
            await self._clock.sleep(EXPIRE_EVERY_S)
            try:
                await self._expire()
            except CancelledError:
                raise
            except Exception:
                log.exception("old transactions could not be forgotten")

    async def _expire(self) -> None:
        before = self._clock.now_ms() - REMEMBERED_MS
        await self._database.transact(lambda tx: ReceivedTransactions(tx).expire(before))

    async def _take_once(self, origin: ServerName, txn_id: str, transaction: Transaction) -> bytes:
        known = await self._database.read(lambda tx: ReceivedTransactions(tx).answer(origin, txn_id))
        if known is not None:
            return bytes(known)
        outcome = await self._take_pdus(origin, transaction.pdus)
        await self._edus.take(origin, transaction.edus)
        results = {
            event_id: {} if reason is None else {"error": reason} for event_id, reason in outcome.items()
        }
        answer = orjson.dumps({"pdus": results})
        row = RECEIVED_TRANSACTIONS.row(origin, txn_id, self._clock.now_ms(), answer)
        await self._journal.write(Write(entries=(row,)))
        return answer

    async def _take_pdus(self, origin: ServerName, pdus: Sequence[Any]) -> Outcome:
        by_room: dict[RoomID, list[Any]] = {}
        for pdu in pdus:
            room_id = pdu.get("room_id") if isinstance(pdu, dict) else None
            if isinstance(room_id, str) and is_room_id(room_id):
                by_room.setdefault(RoomID(room_id), []).append(pdu)
        work = [
            Deferred.fromCoroutine(self._take_room(origin, room_id, each))
            for room_id, each in by_room.items()
        ]
        outcome: Outcome = {}
        results: list[tuple[bool, Any]] = await DeferredList(work, consumeErrors=True)
        for succeeded, result in results:
            if not succeeded:
                raise result.value
            outcome.update(result)
        return outcome

    async def _take_room(self, origin: ServerName, room_id: RoomID, pdus: list[Any]) -> Outcome:
        try:
            return await self._rooms.take(origin, room_id, pdus)
        except MatrixError as error:
            return all_refused(pdus, error.message)
        except (CancelledError, DatabaseUnavailable):
            raise  # the transaction fails, and is repeated
        except Exception:
            log.exception("events of a room set aside by a bug", origin=origin, room_id=room_id)
            return all_refused(pdus, "internal error")
