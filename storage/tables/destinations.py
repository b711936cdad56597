"""Servers that do not answer, and when each is tried again."""

from msgspec import Struct

from homeserver.protocol.identifiers import ServerName
from storage.query import Queries, bulk, many, maybe, nothing, one, query


class FailingDestination(Struct, frozen=True):
    """One server that does not answer. Times are in milliseconds (since the epoch)."""

    server_name: ServerName
    failing_since_ts: int
    retry_ts: int
    interval_ms: int


DESTINATION_FAILURES = bulk(
    "destinations",
    ("server_name", "failing_since_ts", "retry_ts", "interval_ms"),
    on_conflict="""on conflict (server_name) do update set retry_ts = excluded.retry_ts,
                   interval_ms = excluded.interval_ms where excluded.retry_ts > destinations.retry_ts""",
)


class Destinations(Queries):
    """Reads and writes the servers that do not answer."""

    @query(
        "select server_name, failing_since_ts, retry_ts, interval_ms from destinations",
        many(FailingDestination),
    )
    def failing(self) -> list[FailingDestination]: ...

    @query(
        """select server_name, failing_since_ts, retry_ts, interval_ms from destinations
           where server_name = %(server)s""",
        maybe(FailingDestination),
    )
    def failing_one(self, server: ServerName) -> FailingDestination | None: ...

    @query(
        "select count(*) from room_servers where server = %(server)s and joined_members > 0",
        one(int),
    )
    def shared_rooms(self, server: ServerName) -> int: ...

    @query("delete from destinations where server_name = any(%(servers)s)", nothing)
    def answered(self, servers: list[ServerName]) -> None: ...
