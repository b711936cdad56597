"""State: numbered keys, snapshots in layers, current state and its changes."""

from msgspec import Struct

from homeserver.protocol.identifiers import RoomID, UserID
from storage.query import Queries, bulk, bulk_delete, many, nothing, query


class KeyRow(Struct, frozen=True):
    id: int
    type: str
    state_key: str


class LayerRow(Struct, frozen=True):
    """A stored layer, see `storage.snapshots.Layer`."""

    id: int
    parent: int | None
    size: int
    set_hash: bytes
    layer: bytes


class StateChangeRow(Struct, frozen=True):
    """A change of current state; `event_nid` None: the entry went away."""

    room_id: RoomID
    pos: int
    type: str
    state_key: str
    event_nid: int | None
    previous_nid: int | None


class CurrentRow(Struct, frozen=True):
    room_id: RoomID
    type: str
    state_key: str
    event_nid: int


class StateKeys(Queries):
    @query(
        """select id, type, state_key from state_keys
           where (type, state_key) in (select unnest(%(types)s::text[]), unnest(%(keys)s::text[]))""",
        many(KeyRow),
    )
    def find(self, types: list[str], keys: list[str]) -> list[KeyRow]: ...

    @query(
        """insert into state_keys (type, state_key) select unnest(%(types)s::text[]), unnest(%(keys)s::text[])
           on conflict (type, state_key) do nothing""",
        nothing,
    )
    def intern(self, types: list[str], keys: list[str]) -> None: ...

    @query("select id, type, state_key from state_keys where id = any(%(ids)s)", many(KeyRow))
    def by_ids(self, ids: list[int]) -> list[KeyRow]: ...

    @query("set local synchronous_commit = off", nothing)
    def commit_lazily(self) -> None:
        """Numbers of keys may be lost with a crash: what uses them is committed after them, durably."""


class Snapshots(Queries):
    @query(
        """with recursive stack as (
             select id, parent, size, set_hash, layer, 0 as height from state_snapshots where id = %(snapshot_id)s
             union all
             select below.id, below.parent, below.size, below.set_hash, below.layer, stack.height + 1
             from stack join state_snapshots below on below.id = stack.parent
           )
           select id, parent, size, set_hash, layer from stack order by height""",
        many(LayerRow),
    )
    def stack(self, snapshot_id: int) -> list[LayerRow]: ...

    @query(
        """with recursive stack (id, parent) as (
             select id, parent from state_snapshots where id = any(%(snapshot_ids)s)
             union
             select below.id, below.parent from stack join state_snapshots below on below.id = stack.parent
           )
           select layers.id, layers.parent, layers.size, layers.set_hash, layers.layer
           from stack join state_snapshots layers on layers.id = stack.id""",
        many(LayerRow),
    )
    def stacks(self, snapshot_ids: list[int]) -> list[LayerRow]: ...


class CurrentState(Queries):
    @query(
        """select type, state_key, event_nid from current_state
           where room_id = %(room_id)s and type = any(%(types)s)""",
        many(tuple[str, str, int]),
    )
    def of_types(self, room_id: RoomID, types: list[str]) -> list[tuple[str, str, int]]: ...

    @query(
        """select room_id, pos, type, state_key, event_nid, previous_nid from state_changes
           where room_id = %(room_id)s and pos > %(since)s and pos <= %(upto)s order by pos""",
        many(StateChangeRow),
    )
    def changes(self, room_id: RoomID, since: int, upto: int) -> list[StateChangeRow]: ...

    @query(
        """select changes.room_id, changes.pos, type, state_key, event_nid, previous_nid
           from unnest(%(rooms)s::text[], %(sinces)s::bigint[]) as wanted (room, since)
           join state_changes changes on changes.room_id = wanted.room and changes.pos > wanted.since
           order by changes.pos""",
        many(StateChangeRow),
    )
    def changes_since(self, rooms: list[RoomID], sinces: list[int]) -> list[StateChangeRow]:
        """What changed in some rooms, in each after a position of its own."""

    @query(
        """select room_id, type, state_key, event_nid from current_state
           where room_id = any(%(rooms)s) and type < 'm.room.member'
           union all
           select room_id, type, state_key, event_nid from current_state
           where room_id = any(%(rooms)s) and type > 'm.room.member'""",
        many(CurrentRow),
    )
    def without_members(self, rooms: list[RoomID]) -> list[CurrentRow]:
        """The state of some rooms but for their members."""

    @query(
        "select room_id, type, state_key, event_nid from current_state where room_id = any(%(rooms)s)",
        many(CurrentRow),
    )
    def whole(self, rooms: list[RoomID]) -> list[CurrentRow]:
        """The state of some rooms."""

    @query(
        """select state.room_id, state.type, state.state_key, state.event_nid
           from unnest(%(rooms)s::text[], %(users)s::text[]) as wanted (room, user_id)
           join current_state state on state.room_id = wanted.room and state.type = 'm.room.member'
             and state.state_key = wanted.user_id""",
        many(CurrentRow),
    )
    def members(self, rooms: list[RoomID], users: list[UserID]) -> list[CurrentRow]:
        """The membership events of some users, each in one room."""


SNAPSHOTS = bulk("state_snapshots", ("id", "room_id", "parent", "size", "set_hash", "layer"))
CURRENT_STATE = bulk(
    "current_state",
    ("room_id", "type", "state_key", "event_nid"),
    "on conflict (room_id, type, state_key) do update set event_nid = excluded.event_nid",
)
CURRENT_STATE_AHEAD = bulk(
    "current_state", ("room_id", "type", "state_key", "event_nid"), "on conflict do nothing"
)
"""Of what is not known to be the state yet: what is there already is newer."""
GONE_STATE = bulk_delete("current_state", ("room_id", "type", "state_key"))
STATE_CHANGES = bulk(
    "state_changes",
    ("room_id", "pos", "type", "state_key", "event_nid", "previous_nid", "cause_nid"),
    refers=("pos",),
)
