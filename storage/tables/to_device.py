"""Messages to devices: what waits for those here, and for other servers."""

from msgspec import Struct

from homeserver.protocol.identifiers import DeviceID, ServerName, UserID
from storage.query import Queries, affected, bulk, many, nothing, one, query


class Outgoing(Struct, frozen=True):
    """The content of an `m.direct_to_device` EDU."""

    pos: int
    part: int
    json: str


INBOX = bulk("to_device_messages", ("user_id", "device_id", "pos", "json"), refers=("pos",))
OUTBOX = bulk("to_device_outbox", ("destination", "pos", "part", "json"), refers=("pos",))


class ToDevice(Queries):
    """Reads and clears what waits."""

    @query(
        """insert into to_device_transactions (sender, txn_id, created_ts)
           values (%(sender)s, %(txn_id)s, %(now)s) on conflict do nothing""",
        affected,
    )
    def begin(self, sender: str, txn_id: str, now: int) -> int:
        """Note a request; 0 if it was noted before."""

    @query("delete from to_device_transactions where created_ts < %(before)s", affected)
    def expire(self, before: int) -> int: ...

    @query(
        """delete from to_device_messages m where not exists (
             select from devices d where d.user_id = m.user_id and d.device_id = m.device_id)""",
        affected,
    )
    def sweep(self) -> int:
        """Delete messages to devices that are gone: they were sent while another node removed these."""

    @query(
        """with wanted as materialized (
             select * from unnest(%(users)s::text[], %(devices)s::text[]) as wanted (user_id, device_id))
           select d.user_id, d.device_id from wanted
           join devices d on d.user_id = wanted.user_id and d.device_id = wanted.device_id
           union
           select d.user_id, d.device_id from wanted
           join devices d on d.user_id = wanted.user_id where wanted.device_id = '*'""",
        many(tuple[UserID, DeviceID]),
    )
    def existing(self, users: list[UserID], devices: list[str]) -> list[tuple[UserID, DeviceID]]:
        """Those of some devices that exist; `*` stands for all of a user's."""

    @query(
        """select pos, json from to_device_messages
           where user_id = %(user_id)s and device_id = %(device_id)s and pos > %(since)s and pos <= %(upto)s
           order by pos limit %(limit)s""",
        many(tuple[int, str]),
    )
    def waiting(
        self, user_id: UserID, device_id: DeviceID, since: int, upto: int, limit: int
    ) -> list[tuple[int, str]]: ...

    @query(
        """select coalesce(min(pos), 0), coalesce(max(pos), 0) from to_device_messages
           where user_id = %(user_id)s and device_id = %(device_id)s""",
        one(tuple[int, int]),
    )
    def bounds(self, user_id: UserID, device_id: DeviceID) -> tuple[int, int]:
        """The positions of the first and the last message that waits; 0 if none does."""

    @query(
        """delete from to_device_messages
           where user_id = %(user_id)s and device_id = %(device_id)s and pos <= %(upto)s""",
        affected,
    )
    def delivered(self, user_id: UserID, device_id: DeviceID, upto: int) -> int: ...

    @query(
        "delete from to_device_messages where user_id = %(user_id)s and device_id = any(%(device_ids)s)",
        affected,
    )
    def delete(self, user_id: UserID, device_ids: list[DeviceID]) -> int: ...

    @query(
        """select pos, part, json from to_device_outbox where destination = %(destination)s
           order by pos, part limit %(limit)s""",
        many(Outgoing),
    )
    def outgoing(self, destination: ServerName, limit: int) -> list[Outgoing]: ...

    @query(
        """delete from to_device_outbox
           where destination = %(destination)s and (pos, part) <= (%(pos)s, %(part)s)""",
        nothing,
    )
    def sent(self, destination: ServerName, pos: int, part: int) -> None: ...

    @query(
        """select distinct destination from to_device_outbox
           union select distinct destination from device_list_outbox""",
        many(ServerName),
    )
    def destinations(self) -> list[ServerName]:
        """Servers that are owed messages or news of devices."""
