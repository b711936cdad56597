"""How a user's end-to-end encryption stands: what an operator looks at when messages cannot be decrypted."""

from msgspec import Struct

from homeserver.protocol.identifiers import DeviceID, ServerName, UserID
from storage.query import Queries, many, maybe, query


class DeviceStanding(Struct, frozen=True):
    """A device. `json` are its keys; `waiting` messages are undelivered, the first of them of a position. Times are in
    milliseconds since the epoch.
    """

    device_id: DeviceID
    display_name: str | None
    created_ts: int
    last_seen_ts: int | None
    json: str | None
    dehydrated: bool
    one_time_keys: int
    fallback_keys: int
    unused_fallback_keys: int
    waiting: int
    first_waiting: int | None


class StaleList(Struct, frozen=True):
    """The devices of another server's user, of whom something was missed."""

    user_id: UserID
    stale_since: int
    retry_at: int
    failures: int


class OwedServer(Struct, frozen=True):
    """What a server has still to be told of a user's devices, and messages of the user to devices there. The last two
    are there if it does not answer.
    """

    server: ServerName
    devices: int
    messages: int
    failing_since_ts: int | None
    retry_ts: int | None


class EncryptionStanding(Queries):
    """Reads it."""

    @query(
        """select d.device_id, d.display_name, d.created_ts, d.last_seen_ts, k.json,
             exists (select from dehydrated_devices z
                     where z.user_id = d.user_id and z.device_id = d.device_id) as dehydrated,
             (select count(*) from one_time_keys o where o.user_id = d.user_id and o.device_id = d.device_id)
               as one_time_keys,
             f.fallback_keys, f.unused_fallback_keys, m.waiting, m.first_waiting
           from devices d
           left join device_keys k on k.user_id = d.user_id and k.device_id = d.device_id
           cross join lateral (
             select count(*) as fallback_keys, count(*) filter (where not used) as unused_fallback_keys
             from fallback_keys f where f.user_id = d.user_id and f.device_id = d.device_id) f
           cross join lateral (
             select count(*) as waiting, min(pos) as first_waiting
             from to_device_messages m where m.user_id = d.user_id and m.device_id = d.device_id) m
           where d.user_id = %(user_id)s
           order by greatest(d.created_ts, coalesce(d.last_seen_ts, 0)) desc, d.device_id""",
        many(DeviceStanding),
    )
    def devices(self, user_id: UserID) -> list[DeviceStanding]:
        """All devices, the one that was seen last first."""

    @query(
        "select received_ts from events where pos is not null and pos >= %(pos)s order by pos limit 1",
        maybe(int),
    )
    def time_of(self, pos: int) -> int | None:
        """When something came that is not older than a position; None if nothing came since."""

    @query(
        """select l.user_id, l.stale_since, l.retry_at, l.failures from remote_device_lists l
           where l.stale_since is not null and exists (
             select from memberships mine join memberships theirs on theirs.room_id = mine.room_id
             where mine.user_id = %(user_id)s and mine.membership = 'join'
               and theirs.user_id = l.user_id and theirs.membership = 'join')
           order by l.stale_since, l.user_id limit %(limit)s""",
        many(StaleList),
    )
    def stale(self, user_id: UserID, limit: int) -> list[StaleList]:
        """Lists of people with whom a user shares rooms."""

    @query(
        """select owed.destination as server, sum(owed.devices)::bigint as devices,
             sum(owed.messages)::bigint as messages, f.failing_since_ts, f.retry_ts
           from (select destination, 1 as devices, 0 as messages from device_list_outbox
                 where user_id = %(user_id)s
                 union all
                 select destination, 0, 1 from to_device_outbox where strpos(json, %(sender)s) > 0) owed
           left join destinations f on f.server_name = owed.destination
           group by owed.destination, f.failing_since_ts, f.retry_ts
           order by f.failing_since_ts nulls last, owed.destination limit %(limit)s""",
        many(OwedServer),
    )
    def owed(self, user_id: UserID, sender: str, limit: int) -> list[OwedServer]:
        """Servers that are owed something. ``sender``: how the user is named in a message as it waits."""
