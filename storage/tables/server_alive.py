"""When a node of this server last said that it runs, and whom it is to greet when it was away."""

from homeserver.protocol.identifiers import ServerName
from storage.query import Queries, many, maybe, query


class ServerAlive(Queries):
    """Reads and writes it. Times are in milliseconds since the epoch."""

    @query(
        """with before as (select seen_ts from server_alive), now as (
             insert into server_alive (seen_ts) values (%(now)s)
             on conflict (only_row) do update set seen_ts = greatest(server_alive.seen_ts, excluded.seen_ts))
           select seen_ts from before""",
        maybe(int),
    )
    def seen(self, now: int) -> int | None:
        """Say that it runs; gives when that was said before."""

    @query(
        """select s.server from room_servers s join room_summaries r using (room_id)
           where s.joined_members > 0 and r.local_members > 0 and s.server <> %(own)s
           group by s.server order by count(*) desc limit %(limit)s""",
        many(ServerName),
    )
    def acquaintances(self, own: ServerName, limit: int) -> list[ServerName]:
        """Servers that share rooms with this one, those with the most rooms first."""
