"""Which events relate to which."""

from msgspec import Struct

from homeserver.protocol.identifiers import EventID, RoomID, UserID
from storage.query import Queries, bulk, bulk_delete, many, one, query


class ThreadRow(Struct, frozen=True):
    """A thread by its latest reply: its root, and that reply's place."""

    parent: EventID
    depth: int
    ordering: int


class ThreadSummary(Struct, frozen=True):
    """A thread as one user sees it; `latest` are the numbers of its latest replies, the latest first."""

    parent: EventID
    count: int
    participated: bool
    latest: list[int]


class Relations(Queries):
    @query(
        """select distinct parent, rel_type from relations
           where parent = any(%(parents)s) and rel_type in ('m.replace', 'm.thread', 'm.reference')""",
        many(tuple[EventID, str]),
    )
    def aggregated_kinds(self, parents: list[EventID]) -> list[tuple[EventID, str]]:
        """By which relations that are summed up these events have children."""

    @query(
        """select edit.parent, edit.nid from events as original
           cross join lateral (
             select parent, nid, ts, event_id from relations
             where parent = original.event_id and rel_type = 'm.replace' and room_id = original.room_id
               and sender = original.sender and type = original.type and replaces and ordering < %(upto)s
               and sender <> all(%(ignored)s)
             order by ts desc, event_id desc limit %(limit)s
           ) as edit
           where original.event_id = any(%(parents)s)
           order by edit.parent, edit.ts desc, edit.event_id desc""",
        many(tuple[EventID, int]),
    )
    def edits(
        self, parents: list[EventID], upto: int, ignored: list[UserID], limit: int
    ) -> list[tuple[EventID, int]]:
        """The most recent edits of each of some events that their senders made."""

    @query(
        """select reference.parent, reference.nid from unnest(%(parents)s::text[]) as wanted (parent)
           cross join lateral (
             select parent, nid, depth, ordering from relations
             where parent = wanted.parent and rel_type = 'm.reference' and room_id = %(room_id)s
               and ordering < %(upto)s and sender <> all(%(ignored)s)
             order by depth, ordering limit %(limit)s
           ) as reference
           order by reference.parent, reference.depth, reference.ordering""",
        many(tuple[EventID, int]),
    )
    def references(
        self, room_id: RoomID, parents: list[EventID], upto: int, ignored: list[UserID], limit: int
    ) -> list[tuple[EventID, int]]: ...

    @query(
        """select wanted.parent, summed.count, summed.participated,
                  array(select nid from relations
                        where parent = wanted.parent and rel_type = 'm.thread' and room_id = %(room_id)s
                          and ordering < %(upto)s and sender <> all(%(ignored)s)
                        order by depth desc, ordering desc limit %(limit)s) as latest
           from unnest(%(parents)s::text[]) as wanted (parent)
           cross join lateral (
             select count(*) as count, coalesce(bool_or(sender = %(user_id)s), false) as participated
             from relations
             where parent = wanted.parent and rel_type = 'm.thread' and room_id = %(room_id)s
               and ordering < %(upto)s and sender <> all(%(ignored)s)
           ) as summed
           where summed.count > 0""",
        many(ThreadSummary),
    )
    def threads(
        self,
        room_id: RoomID,
        parents: list[EventID],
        user_id: UserID,
        upto: int,
        ignored: list[UserID],
        limit: int,
    ) -> list[ThreadSummary]: ...

    @query(
        """select parent, depth, ordering from (
             select distinct on (parent) parent, depth, ordering from relations
             where room_id = %(room_id)s and rel_type = 'm.thread' and ordering < %(upto)s
               and sender <> all(%(ignored)s)
             order by parent, depth desc, ordering desc
           ) as latest
           where (depth, ordering) <= (%(depth)s, %(ordering)s)
             and (%(by)s::text is null
                  or exists (select 1 from events where event_id = latest.parent and sender = %(by)s)
                  or exists (select 1 from relations
                             where parent = latest.parent and rel_type = 'm.thread' and room_id = %(room_id)s
                               and sender = %(by)s))
           order by depth desc, ordering desc limit %(limit)s""",
        many(ThreadRow),
    )
    def threads_of_room(
        self,
        room_id: RoomID,
        by: UserID | None,
        depth: int,
        ordering: int,
        upto: int,
        ignored: list[UserID],
        limit: int,
    ) -> list[ThreadRow]:
        """Threads by their latest replies, the latest first; `by`: only those that this user takes part in."""

    @query(
        """with recursive found as (
             select nid, event_id, depth, ordering, 1 as level from relations
             where parent = %(parent)s and room_id = %(room_id)s
               and (%(rel_type)s::text is null or rel_type = %(rel_type)s)
               and (%(type)s::text is null or type = %(type)s)
             union
             select child.nid, child.event_id, child.depth, child.ordering, level + 1 from found
             join relations as child on child.parent = found.event_id
             where level < %(levels)s and child.room_id = %(room_id)s
               and (%(rel_type)s::text is null or child.rel_type = %(rel_type)s)
               and (%(type)s::text is null or child.type = %(type)s)
           )
           select nid from found
           where (depth, ordering) > (%(low_depth)s, %(low_ordering)s)
             and (depth, ordering) <= (%(high_depth)s, %(high_ordering)s)
             and (%(since)s::bigint is null or ordering > %(since)s) and ordering <= %(upto)s
           group by nid, depth, ordering
           order by case when %(backwards)s then -depth else depth end,
                    case when %(backwards)s then -ordering else ordering end
           limit %(limit)s""",
        many(int),
    )
    def children(
        self,
        room_id: RoomID,
        parent: EventID,
        rel_type: str | None,
        type: str | None,
        levels: int,
        low_depth: int,
        low_ordering: int,
        high_depth: int,
        high_ordering: int,
        since: int | None,
        upto: int,
        backwards: bool,
        limit: int,
    ) -> list[int]:
        """Numbers of the events that relate to one, through at most `levels` others that match as well."""

    @query(
        """select message.event_id from events message where message.event_id = any(%(event_ids)s) and exists (
             select from relations where parent = message.event_id and room_id = message.room_id
               and (%(senders)s::text[] is null or sender = any(%(senders)s))
               and (%(rel_types)s::text[] is null or rel_type = any(%(rel_types)s)))""",
        many(EventID),
    )
    def related_by(
        self, event_ids: list[EventID], senders: list[UserID] | None, rel_types: list[str] | None
    ) -> list[EventID]:
        """Those of some events that others relate to, by sender and kind."""

    @query(
        """select event_id from relations
           where parent = %(parent)s and room_id = %(room_id)s and event_id > %(after)s
             and (%(rel_types)s::text[] is null or rel_type = any(%(rel_types)s))
           order by event_id limit %(limit)s""",
        many(EventID),
    )
    def related_to(
        self, room_id: RoomID, parent: EventID, rel_types: list[str] | None, after: str, limit: int
    ) -> list[EventID]:
        """Some of the events that relate to one, by kind."""

    @query(
        """select exists (select 1 from relations
                          where parent = %(parent)s and rel_type = 'm.annotation' and room_id = %(room_id)s
                            and type = %(type)s and sender = %(sender)s and key is not distinct from %(key)s)""",
        one(bool),
    )
    def is_annotated(
        self, room_id: RoomID, parent: EventID, type: str, sender: UserID, key: str | None
    ) -> bool: ...


_COLUMNS = (
    "nid", "event_id", "room_id", "parent", "rel_type", "type", "sender", "ts", "depth", "replaces", "key", "ordering",
)  # fmt: skip
_ONCE = "on conflict (nid) do nothing"

RELATIONS = bulk("relations", _COLUMNS, _ONCE, refers=("ordering",))
"""Relations of events that take a position."""

PAST_RELATIONS = bulk("relations", _COLUMNS, _ONCE)
"""Relations of backfilled events."""

BROKEN_RELATIONS = bulk_delete("relations", ("nid",), rank=1)
"""Those of redacted events."""
