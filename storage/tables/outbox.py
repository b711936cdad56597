"""What other servers are owed."""

from msgspec import Struct

from homeserver.protocol.identifiers import EventID, RoomID, ServerName
from storage.query import Queries, bulk, many, maybe, nothing, one, query


class OwedEvent(Struct, frozen=True):
    """An event in the order of positions; `json` is the canonical PDU."""

    pos: int
    event_id: EventID
    json: str


class RoomServer(Struct, frozen=True):
    """A server in a room: it is owed what comes after `joined_pos`, up to `left_pos` if it has left."""

    server: ServerName
    joined_pos: int
    left_pos: int | None


class OutboundEvent(Struct, frozen=True):
    """An event of a room that this server passes on."""

    pos: int
    event_id: EventID
    room_id: RoomID
    json: str


EXTRA_RECIPIENTS = bulk(
    "outbox_extra",
    ("destination", "pos", "room_id"),
    "on conflict (destination, pos) do nothing",
    refers=("pos",),
)
LAGGING = bulk(
    "outbox_lagging",
    ("destination", "pos"),
    "on conflict (destination) do update set pos = excluded.pos",
)


class Outbox(Queries):
    """Reads what is owed, and notes what was delivered."""

    @query("select pos from outbox_progress", one(int))
    def progress(self) -> int: ...

    @query("update outbox_progress set pos = %(pos)s where pos < %(pos)s", nothing)
    def set_progress(self, pos: int) -> None: ...

    @query("delete from outbox_lagging where destination = any(%(destinations)s)", nothing)
    def caught_up(self, destinations: list[ServerName]) -> None: ...

    @query("select destination, pos from outbox_lagging", many(tuple[ServerName, int]))
    def lagging(self) -> list[tuple[ServerName, int]]: ...

    @query("select pos from outbox_lagging where destination = %(destination)s", maybe(int))
    def lagging_at(self, destination: ServerName) -> int | None: ...

    @query(
        """with owed as (
             select latest.pos, latest.pos as event_pos from room_servers s
             cross join lateral (
               select pos from events
               where events.room_id = s.room_id and outbound and pos > greatest(s.joined_pos, %(after)s)
                 and pos <= %(upto)s and (s.joined_members > 0 or pos <= s.left_pos)
               order by pos limit %(limit)s
             ) latest
             where s.server = %(destination)s
             union
             select pos, pos from outbox_extra
             where destination = %(destination)s and pos > %(after)s and pos <= %(upto)s
             union
             select s.joined_pos, sticky.pos from room_servers s
             join sticky_events sticky on sticky.room_id = s.room_id and sticky.own
               and sticky.pos < s.joined_pos and sticky.expires_ts > %(now)s
             join events said on said.nid = sticky.nid and said.redacted_by is null
               and not exists (select from users where users.user_id = said.sender and users.erased)
             where s.server = %(destination)s and s.joined_members > 0
               and s.joined_pos > %(after)s and s.joined_pos <= %(upto)s
             order by 1, 2 limit %(limit)s
           )
           select owed.pos, event_id, json from owed join events on events.pos = owed.event_pos
           order by owed.pos, owed.event_pos""",
        many(OwedEvent),
    )
    def owed(self, destination: ServerName, after: int, upto: int, now: int, limit: int) -> list[OwedEvent]:
        """What was said in its rooms while it was there, what concerns it otherwise, and, at the position at which it
        came into a room, what is sticky there of our users at time `now`.
        """

    @query(
        """select pos, event_id, room_id, json from events
           where outbound and pos > %(after)s and pos <= %(upto)s order by pos limit %(limit)s""",
        many(OutboundEvent),
    )
    def outbound(self, after: int, upto: int, limit: int) -> list[OutboundEvent]: ...

    @query(
        """select server, joined_pos, left_pos from room_servers
           where room_id = %(room_id)s and (joined_members > 0 or left_pos > %(left_after)s)""",
        many(RoomServer),
    )
    def servers(self, room_id: RoomID, left_after: int) -> list[RoomServer]: ...

    @query(
        "select destination, pos from outbox_extra where pos > %(after)s and pos <= %(upto)s",
        many(tuple[ServerName, int]),
    )
    def extra(self, after: int, upto: int) -> list[tuple[ServerName, int]]: ...

    @query(
        """delete from outbox_extra where pos <= %(pos)s and not exists (
             select from outbox_lagging l where l.destination = outbox_extra.destination
               and l.pos < outbox_extra.pos)""",
        nothing,
    )
    def drop_extra(self, pos: int) -> None: ...
