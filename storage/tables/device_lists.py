"""Whose devices changed when, and who has to hear of it."""

from msgspec import Struct

from homeserver.protocol.identifiers import DeviceID, RoomID, ServerName, UserID
from storage.query import Queries, bulk, many, maybe, nothing, one, query

DEVICE_LISTS = bulk(
    "device_lists",
    ("user_id",),
    "on conflict (user_id) do update set pos = excluded.pos",
    position="pos",
    latest=True,
)
DEVICE_LIST_OUTBOX = bulk(
    "device_list_outbox",
    ("destination", "user_id", "device_id", "pos"),
    "on conflict (destination, user_id, device_id) do update set pos = excluded.pos",
    refers=("pos",),
    key=("destination", "user_id", "device_id"),
    latest=True,
)


class OwedDevice(Struct, frozen=True):
    """A device that a server is to hear of; an empty ID stands for cross-signing keys. `prev` is the last stream
    ID that the server was sent of the user.
    """

    user_id: UserID
    device_id: DeviceID
    pos: int
    prev: int | None


class OwedKeys(Struct, frozen=True):
    """A device as it is now."""

    user_id: UserID
    device_id: DeviceID
    display_name: str | None
    json: str | None


class Move(Struct, frozen=True):
    """Somebody came into a room or went out of it."""

    pos: int
    room_id: RoomID
    user_id: str
    joined: bool


class DeviceLists(Queries):
    """Reads changes of device lists."""

    @query(
        """select m.room_id from memberships m where m.user_id = %(user_id)s and m.membership in ('join', 'invite')""",
        many(RoomID),
    )
    def rooms(self, user_id: UserID) -> list[RoomID]:
        """The rooms whose members may want to encrypt for the user."""

    @query(
        """select distinct theirs.user_id from memberships mine
           join memberships theirs on theirs.room_id = mine.room_id and theirs.membership in ('join', 'invite')
             and theirs.user_id = any(%(others)s)
           where mine.user_id = %(user_id)s and mine.membership = 'join' and mine.local""",
        many(UserID),
    )
    def sharing(self, user_id: UserID, others: list[UserID]) -> list[UserID]:
        """Those of some users who are in a room of a local user, or invited to one."""

    @query(
        """select distinct s.server from memberships m
           join room_servers s on s.room_id = m.room_id and s.joined_members > 0
           where m.user_id = %(user_id)s and m.membership = 'join' and m.local and s.server <> %(own)s""",
        many(ServerName),
    )
    def servers(self, user_id: UserID, own: ServerName) -> list[ServerName]:
        """The other servers that share a room with a local user."""

    @query(
        """select l.user_id from device_lists l where l.pos > %(since)s and (l.user_id = %(user_id)s or exists (
             select from memberships theirs join memberships mine on mine.room_id = theirs.room_id
             where theirs.user_id = l.user_id and theirs.membership in ('join', 'invite')
               and mine.user_id = %(user_id)s and mine.membership = 'join' and mine.local))""",
        many(UserID),
    )
    def changed(self, user_id: UserID, since: int) -> list[UserID]:
        """Users who share a room with a local user and whose devices changed since a position."""

    @query(
        """select user_id, membership in ('join', 'invite') from memberships
           where room_id = any(%(rooms)s) and pos > %(since)s
             and membership in ('join', 'invite', 'leave', 'ban')""",
        many(tuple[UserID, bool]),
    )
    def moved(self, rooms: list[RoomID], since: int) -> list[tuple[UserID, bool]]:
        """Who came into some rooms since a position or went out of them."""

    @query(
        """select user_id from memberships where room_id = any(%(rooms)s)
           and (membership in ('join', 'invite') or (membership in ('leave', 'ban') and pos > %(since)s))""",
        many(UserID),
    )
    def people(self, rooms: list[RoomID], since: int) -> list[UserID]:
        """Who is in some rooms, or was at a position."""

    @query(
        """select l.destination from device_list_sent l where l.user_id = %(user_id)s""",
        many(ServerName),
    )
    def told(self, user_id: UserID) -> list[ServerName]:
        """Servers that were sent news of a user's devices."""

    @query(
        """select o.user_id, o.device_id, o.pos, s.pos as prev from device_list_outbox o
           left join device_list_sent s on s.destination = o.destination and s.user_id = o.user_id
           where o.destination = %(destination)s order by o.pos, o.user_id, o.device_id limit %(limit)s""",
        many(OwedDevice),
    )
    def owed(self, destination: ServerName, limit: int) -> list[OwedDevice]: ...

    @query(
        """select w.user_id, w.device_id, d.display_name, k.json
           from unnest(%(users)s::text[], %(devices)s::text[]) as w (user_id, device_id)
           join devices d on d.user_id = w.user_id and d.device_id = w.device_id
           left join device_keys k on k.user_id = w.user_id and k.device_id = w.device_id""",
        many(OwedKeys),
    )
    def as_they_are(self, users: list[UserID], devices: list[DeviceID]) -> list[OwedKeys]: ...

    @query(
        """with gone as (
             delete from device_list_outbox o
             using unnest(%(users)s::text[], %(devices)s::text[], %(positions)s::bigint[])
               as w (user_id, device_id, pos)
             where o.destination = %(destination)s and o.user_id = w.user_id and o.device_id = w.device_id
               and o.pos = w.pos)
           insert into device_list_sent (destination, user_id, pos)
           select %(destination)s, user_id, max(pos)
           from unnest(%(users)s::text[], %(devices)s::text[], %(positions)s::bigint[]) as w (user_id, device_id, pos)
           group by user_id
           on conflict (destination, user_id) do update set pos = excluded.pos""",
        nothing,
    )
    def sent(
        self, destination: ServerName, users: list[UserID], devices: list[DeviceID], positions: list[int]
    ) -> None: ...

    @query(
        """select distinct s.server from memberships m
           join room_servers s on s.room_id = m.room_id and s.joined_members > 0
           where m.user_id = %(user_id)s and m.membership = 'join' and m.local
             and m.room_id <> %(but)s and s.server = any(%(servers)s)""",
        many(ServerName),
    )
    def servers_elsewhere(self, user_id: UserID, but: RoomID, servers: list[ServerName]) -> list[ServerName]:
        """Those of some servers that share another room with a local user."""

    @query(
        """delete from device_list_sent d
           where (d.user_id = any(%(users)s) or d.destination = any(%(servers)s)) and not exists (
             select from memberships m join room_servers s on s.room_id = m.room_id
             where m.user_id = d.user_id and m.membership = 'join' and m.local
               and s.server = d.destination and s.joined_members > 0)""",
        nothing,
    )
    def forget_sent(self, users: list[UserID], servers: list[ServerName]) -> None:
        """Servers that share no room with a user any more will need all of it when they do again."""

    @query("select coalesce((select pos from device_lists where user_id = %(user_id)s), 0)", one(int))
    def position(self, user_id: UserID) -> int:
        """The stream ID of a user's devices as they are."""

    @query(
        """select c.pos, c.room_id, c.state_key, m.membership = 'join' as joined from state_changes c
           join memberships m on m.room_id = c.room_id and m.user_id = c.state_key
           where c.type = 'm.room.member' and c.pos > %(after)s and c.pos <= %(upto)s order by c.pos limit %(limit)s""",
        many(Move),
    )
    def moves(self, after: int, upto: int, limit: int) -> list[Move]:
        """Member events between positions, with how their users' memberships are now."""

    @query("select pos from device_list_progress", maybe(int))
    def progress(self) -> int | None: ...

    @query("update device_list_progress set pos = %(pos)s where pos < %(pos)s", nothing)
    def set_progress(self, pos: int) -> None: ...

    @query("select stream_offset from device_list_progress", one(int))
    def stream_offset(self) -> int:
        """What is added to positions where other servers are told of them as stream IDs."""

    @query("update device_list_progress set stream_offset = stream_offset + %(step)s", nothing)
    def step_stream(self, step: int) -> None: ...

    @query("delete from device_list_sent", nothing)
    def forget_all_sent(self) -> None:
        """Whatever is told next does not follow on what was told before."""

    @query(
        """select distinct user_id from device_keys where user_id > %(after)s order by user_id limit %(limit)s""",
        many(UserID),
    )
    def owners(self, after: UserID, limit: int) -> list[UserID]:
        """Local users who have devices with keys, by ID."""

    @query("select device_id from devices where user_id = %(user_id)s", many(DeviceID))
    def devices(self, user_id: UserID) -> list[DeviceID]:
        """The devices of a local user, those without keys too."""

    @query(
        """select user_id from memberships where room_id = %(room_id)s and membership = 'join' and local""",
        many(UserID),
    )
    def locals_in(self, room_id: RoomID) -> list[UserID]: ...

    @query(
        """select user_id from memberships where room_id = any(%(rooms)s) and membership = 'join' and not local""",
        many(UserID),
    )
    def remotes_in(self, rooms: list[RoomID]) -> list[UserID]: ...
