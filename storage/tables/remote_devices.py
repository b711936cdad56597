"""What is known of the devices of other servers' users."""

from msgspec import Struct

from homeserver.protocol.identifiers import DeviceID, UserID
from storage.query import Queries, affected, bulk, many, maybe, nothing, query


class RemoteList(Struct, frozen=True):
    """A list; the keys are JSON. `stale_since` is None while the list is good. `announce`: clients are to be
    told when it is fetched, though it may be what it was here: they may have been told otherwise by its server.
    """

    user_id: UserID
    stream_id: int
    stale_since: int | None
    failures: int
    master_key: str | None
    self_signing_key: str | None
    announce: bool


class RemoteDevice(Struct, frozen=True):
    """A device; `json` are its keys."""

    user_id: UserID
    device_id: DeviceID
    display_name: str | None
    json: str | None


_LIST = "user_id, stream_id, stale_since, failures, master_key, self_signing_key, announce"

REMOTE_DEVICES = bulk(
    "remote_devices",
    ("user_id", "device_id", "display_name", "json"),
    """on conflict (user_id, device_id) do update
       set display_name = excluded.display_name, json = excluded.json""",
)


class RemoteDevices(Queries):
    """Reads and writes them."""

    @query(f"select {_LIST} from remote_device_lists where user_id = any(%(users)s)", many(RemoteList))
    def lists(self, users: list[UserID]) -> list[RemoteList]: ...

    @query(
        f"select {_LIST} from remote_device_lists where user_id = %(user_id)s for update", maybe(RemoteList)
    )
    def lock(self, user_id: UserID) -> RemoteList | None: ...

    @query(
        """select k.user_id, k.device_id, k.display_name, k.json
           from unnest(%(users)s::text[], %(devices)s::text[]) as wanted (user_id, device_id)
           join remote_devices k on k.user_id = wanted.user_id
             and (wanted.device_id = '' or k.device_id = wanted.device_id)""",
        many(RemoteDevice),
    )
    def devices(self, users: list[UserID], devices: list[str]) -> list[RemoteDevice]: ...

    @query(
        """insert into remote_device_lists (user_id, stream_id, master_key, self_signing_key)
           values (%(user_id)s, %(stream_id)s, %(master_key)s, %(self_signing_key)s)
           on conflict (user_id) do update set stream_id = excluded.stream_id, stale_since = null, announce = false,
             retry_at = 0, failures = 0, master_key = excluded.master_key,
             self_signing_key = excluded.self_signing_key""",
        nothing,
    )
    def put(
        self, user_id: UserID, stream_id: int, master_key: str | None, self_signing_key: str | None
    ) -> None: ...

    @query(
        "update remote_device_lists set stream_id = %(stream_id)s where user_id = %(user_id)s",
        nothing,
    )
    def advance(self, user_id: UserID, stream_id: int) -> None: ...

    @query(
        """insert into remote_device_lists (user_id, stale_since, announce)
           values (%(user_id)s, %(now)s, %(announce)s)
           on conflict (user_id) do update
           set stale_since = coalesce(remote_device_lists.stale_since + 1, excluded.stale_since),
             announce = remote_device_lists.announce or excluded.announce""",
        nothing,
    )
    def mark_stale(self, user_id: UserID, now: int, announce: bool) -> None:
        """`stale_since` becomes another one each time."""

    @query(
        """update remote_device_lists
           set stale_since = coalesce(stale_since, %(now)s), retry_at = 0, failures = 0""",
        nothing,
    )
    def mark_all_stale(self, now: int) -> None: ...

    @query(
        """update remote_device_lists set failures = failures + 1, retry_at = %(retry_at)s
           where user_id = %(user_id)s""",
        nothing,
    )
    def failed(self, user_id: UserID, retry_at: int) -> None: ...

    @query(
        """select user_id from remote_device_lists where stale_since is not null and retry_at <= %(now)s
           order by retry_at limit %(limit)s""",
        many(UserID),
    )
    def due(self, now: int, limit: int) -> list[UserID]: ...

    @query(
        """select min(retry_at) from remote_device_lists where stale_since is not null""",
        maybe(int),
    )
    def next_due(self) -> int | None: ...

    @query("delete from remote_devices where user_id = %(user_id)s", affected)
    def clear(self, user_id: UserID) -> int: ...

    @query("delete from remote_devices where user_id = %(user_id)s and device_id = %(device_id)s", affected)
    def remove(self, user_id: UserID, device_id: DeviceID) -> int: ...

    @query(
        """update remote_device_lists set master_key = coalesce(%(master_key)s, master_key),
             self_signing_key = coalesce(%(self_signing_key)s, self_signing_key)
           where user_id = %(user_id)s""",
        affected,
    )
    def put_cross_signing(
        self, user_id: UserID, master_key: str | None, self_signing_key: str | None
    ) -> int: ...

    @query(
        """select distinct m.user_id from memberships m join room_summaries s using (room_id)
           where m.user_id = any(%(users)s) and m.membership = 'join' and s.local_members > 0""",
        many(UserID),
    )
    def shared(self, users: list[UserID]) -> list[UserID]:
        """Those of other servers' users who share a room with one of ours."""

    @query(
        """select distinct m.user_id from memberships m join room_summaries s using (room_id)
           where m.user_id = any(%(users)s) and m.membership = 'join' and s.local_members > 0
             and m.pos < %(before)s""",
        many(UserID),
    )
    def shared_since(self, users: list[UserID], before: int) -> list[UserID]:
        """Those who did so already before a position, surely."""

    @query(
        """with lists as (delete from remote_device_lists where user_id = any(%(users)s))
           delete from remote_devices where user_id = any(%(users)s)""",
        nothing,
    )
    def prune(self, users: list[UserID]) -> None: ...
