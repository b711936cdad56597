"""Transactions of other servers that were taken, with our answers."""

from homeserver.protocol.identifiers import ServerName
from storage.query import Queries, affected, bulk, maybe, query

RECEIVED_TRANSACTIONS = bulk(
    "received_transactions",
    ("origin", "txn_id", "received_ts", "answer"),
    "on conflict (origin, txn_id) do nothing",
)


class ReceivedTransactions(Queries):
    """Reads them, and forgets old ones."""

    @query(
        "select answer from received_transactions where origin = %(origin)s and txn_id = %(txn_id)s",
        maybe(bytes),
    )
    def answer(self, origin: ServerName, txn_id: str) -> bytes | None: ...

    @query("delete from received_transactions where received_ts < %(before_ts)s", affected)
    def expire(self, before_ts: int) -> int: ...
