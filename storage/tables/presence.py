"""How users were a while ago."""

from msgspec import Struct

from homeserver.protocol.identifiers import UserID
from storage.query import Queries, many, nothing, query


class PresenceRow(Struct, frozen=True):
    """The presence of a user; ``active_ts`` in milliseconds since the epoch."""

    user_id: UserID
    presence: str
    status_msg: str | None
    active_ts: int | None


class KeptPresence(Queries):
    @query(
        """select user_id, presence, status_msg, active_ts from presence
           order by presence = 'offline', active_ts desc nulls last limit %(limit)s""",
        many(PresenceRow),
    )
    def latest(self, limit: int) -> list[PresenceRow]:
        """Those who were here first."""

    @query(
        """insert into presence (user_id, presence, status_msg, active_ts)
           select * from unnest(%(users)s::text[], %(presences)s::text[], %(messages)s::text[], %(active)s::bigint[])
           on conflict (user_id) do update
             set presence = excluded.presence, status_msg = excluded.status_msg, active_ts = excluded.active_ts""",
        nothing,
    )
    def put(
        self,
        users: list[UserID],
        presences: list[str],
        messages: list[str | None],
        active: list[int | None],
    ) -> None: ...

    @query(
        "delete from presence where user_id = any(%(users)s)",
        nothing,
    )
    def remove(self, users: list[UserID]) -> None: ...
