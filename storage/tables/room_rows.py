"""The one registry of what the database has of a room, by which all of it is removed.

A test holds it against the schema: a new table that speaks of rooms or of events is removed with a room in one of these
ways, or is named in `KEPT` with the reason. All removals are of a few rows at a time and do no harm when they are
repeated.
"""

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from homeserver.protocol.identifiers import RoomID, UserID
from storage.query import Queries, affected, many, nothing, query
from storage.tables.media_uses import TellingRow


class DoomedEvent(Struct, frozen=True):
    """An event that goes."""

    nid: int
    shows_files: bool


def _of_room(table: str) -> str:
    return f"""delete from {table} where ctid = any(array(
                 select ctid from {table} where room_id = %(room_id)s limit %(limit)s))"""


def _of_events(table: str, column: str = "nid") -> str:
    return f"delete from {table} where {column} = any(%(nids)s)"


def _of_users(table: str) -> str:
    return f"delete from {table} where user_id = any(%(users)s) and room_id = %(room_id)s"


class RoomRows(Queries):
    """Removes rows of one room; most methods say how many."""

    @query("set local synchronous_commit = off", nothing)
    def commit_lazily(self) -> None:
        """Do not wait for the disk: what a crash undoes is done again."""

    # What shows a room to somebody.

    @query(
        """with gone as (
             delete from memberships where ctid = any(array(
               select ctid from memberships where room_id = %(room_id)s limit %(limit)s)) returning user_id),
           ended as (
             select distinct on (c.user_id) c.user_id, c.pos, c.room_id, c.membership, c.event_nid
             from membership_changes c join gone using (user_id) where c.room_id = %(room_id)s
             order by c.user_id, c.pos desc),
           farewells as (
             insert into room_farewells (user_id, pos, room_id, nid, event_id, room_version, received_ts, json)
             select ended.user_id, ended.pos, ended.room_id, e.nid, e.event_id, e.room_version, e.received_ts, e.json
             from ended join events e on e.nid = ended.event_nid where ended.membership in ('leave', 'ban')
             on conflict do nothing),
           changes as (
             delete from membership_changes c using gone
             where c.user_id = gone.user_id and c.room_id = %(room_id)s)
           insert into user_directory_stale (user_id) select user_id from gone order by 1
           on conflict (user_id) do update set user_id = excluded.user_id""",
        affected,
    )
    def memberships(self, room_id: RoomID, limit: int) -> int:
        """Members, with all that their clients are told of their comings and goings but the last; the directory of
        users looks at them anew.
        """

    @query(_of_room("rooms"), affected)
    def rooms(self, room_id: RoomID, limit: int) -> int: ...

    @query(_of_room("room_summaries"), affected)
    def summaries(self, room_id: RoomID, limit: int) -> int: ...

    @query(_of_room("room_aliases"), affected)
    def aliases(self, room_id: RoomID, limit: int) -> int: ...

    @query(_of_room("room_servers"), affected)
    def servers(self, room_id: RoomID, limit: int) -> int: ...

    @query(_of_room("outside_memberships"), affected)
    def outside_memberships(self, room_id: RoomID, limit: int) -> int: ...

    @query(_of_room("partial_rooms"), affected)
    def partial_rooms(self, room_id: RoomID, limit: int) -> int: ...

    @query(_of_room("remote_joins"), affected)
    def remote_joins(self, room_id: RoomID, limit: int) -> int: ...

    # What nobody finds any more.

    @query(_of_room("backward_extremities"), affected)
    def backward_extremities(self, room_id: RoomID, limit: int) -> int: ...

    @query(_of_room("current_state"), affected)
    def current_state(self, room_id: RoomID, limit: int) -> int: ...

    @query(_of_room("delayed_events"), affected)
    def delayed_events(self, room_id: RoomID, limit: int) -> int: ...

    @query(_of_room("early_events"), affected)
    def early_events(self, room_id: RoomID, limit: int) -> int: ...

    @query(_of_room("outbox_extra"), affected)
    def outbox_extra(self, room_id: RoomID, limit: int) -> int: ...

    @query(_of_room("push_mail_rooms"), affected)
    def push_mail_rooms(self, room_id: RoomID, limit: int) -> int: ...

    @query(_of_room("receipts"), affected)
    def receipts(self, room_id: RoomID, limit: int) -> int: ...

    @query(_of_room("redactions"), affected)
    def redactions(self, room_id: RoomID, limit: int) -> int: ...

    @query(_of_room("server_notice_rooms"), affected)
    def server_notice_rooms(self, room_id: RoomID, limit: int) -> int: ...

    @query(_of_room("state_changes"), affected)
    def state_changes(self, room_id: RoomID, limit: int) -> int: ...

    @query(_of_room("state_snapshots"), affected)
    def state_snapshots(self, room_id: RoomID, limit: int) -> int: ...

    @query(_of_room("sticky_events"), affected)
    def sticky_events(self, room_id: RoomID, limit: int) -> int: ...

    @query(_of_room("timeline_gaps"), affected)
    def timeline_gaps(self, room_id: RoomID, limit: int) -> int: ...

    @query(_of_room("doubtful_sticky_events"), affected)
    def doubtful_sticky_events(self, room_id: RoomID, limit: int) -> int: ...

    @query(_of_room("owed_redactions"), affected)
    def owed_redactions(self, room_id: RoomID, limit: int) -> int: ...

    @query(_of_room("standing_redactions"), affected)
    def standing_redactions(self, room_id: RoomID, limit: int) -> int: ...

    # Events, and what is kept of each.

    @query(
        """(select nid, position('mxc://' in json) > 0 as shows_files from events
            where room_id = %(room_id)s and pos is not null limit %(limit)s)
           union all
           (select nid, position('mxc://' in json) > 0 from events
            where room_id = %(room_id)s and pos is null limit %(limit)s)""",
        many(DoomedEvent),
    )
    def some_events(self, room_id: RoomID, limit: int) -> list[DoomedEvent]: ...

    @query(
        "select event_id, sender, type, state_key, json from events where nid = any(%(nids)s) and status = 0",
        many(TellingRow),
    )
    def telling(self, nids: list[int]) -> list[TellingRow]: ...

    @query(_of_events("mentions", "event_nid"), affected)
    def mentions(self, nids: list[int]) -> int: ...

    @query(_of_events("message_search"), affected)
    def message_search(self, nids: list[int]) -> int: ...

    @query(_of_events("message_search_backlog"), affected)
    def message_search_backlog(self, nids: list[int]) -> int: ...

    @query(_of_events("push_outbox", "event_nid"), affected)
    def push_outbox(self, nids: list[int]) -> int: ...

    @query(_of_events("relations"), affected)
    def relations(self, nids: list[int]) -> int: ...

    @query(_of_events("events"), affected)
    def events(self, nids: list[int]) -> int: ...

    # What users have of a room, whether they ever were in it or not.

    @query(
        "select user_id from users where user_id > %(after)s order by user_id limit %(limit)s", many(UserID)
    )
    def users(self, after: str, limit: int) -> list[UserID]:
        """The next ones of all users of ours."""

    @query(_of_users("account_data"), affected)
    def account_data(self, room_id: RoomID, users: list[UserID]) -> int: ...

    @query(
        """delete from client_transactions where user_id = any(%(users)s)
             and (starts_with(scope, 'send ' || %(room_id)s || ' ')
               or starts_with(scope, 'redact ' || %(room_id)s || ' '))""",
        affected,
    )
    def client_transactions(self, room_id: RoomID, users: list[UserID]) -> int:
        """By what they were for: a user's are those of one day."""

    @query(_of_users("membership_changes"), affected)
    def membership_changes(self, room_id: RoomID, users: list[UserID]) -> int: ...

    @query(_of_users("thread_subscriptions"), affected)
    def thread_subscriptions(self, room_id: RoomID, users: list[UserID]) -> int: ...


OfRoom = Callable[[RoomRows, RoomID, int], int]
OfEvents = Callable[[RoomRows, list[int]], int]
OfUsers = Callable[[RoomRows, RoomID, list[UserID]], int]

SHOWING: Final[Mapping[str, OfRoom]] = {
    "memberships": RoomRows.memberships,
    "rooms": RoomRows.rooms,
    "room_summaries": RoomRows.summaries,
    "room_aliases": RoomRows.aliases,
    "room_servers": RoomRows.servers,
    "outside_memberships": RoomRows.outside_memberships,
    "partial_rooms": RoomRows.partial_rooms,
    "remote_joins": RoomRows.remote_joins,
}
"""Tables by which somebody comes upon the room: they go first, in this order."""

BEHIND: Final[Mapping[str, OfRoom]] = {
    "backward_extremities": RoomRows.backward_extremities,
    "current_state": RoomRows.current_state,
    "delayed_events": RoomRows.delayed_events,
    "doubtful_sticky_events": RoomRows.doubtful_sticky_events,
    "early_events": RoomRows.early_events,
    "outbox_extra": RoomRows.outbox_extra,
    "owed_redactions": RoomRows.owed_redactions,
    "push_mail_rooms": RoomRows.push_mail_rooms,
    "receipts": RoomRows.receipts,
    "redactions": RoomRows.redactions,
    "server_notice_rooms": RoomRows.server_notice_rooms,
    "standing_redactions": RoomRows.standing_redactions,
    "state_changes": RoomRows.state_changes,
    "state_snapshots": RoomRows.state_snapshots,
    "sticky_events": RoomRows.sticky_events,
    "timeline_gaps": RoomRows.timeline_gaps,
}
"""Tables whose rows name the room."""

OF_EVENTS: Final[Mapping[str, OfEvents]] = {
    "mentions": RoomRows.mentions,
    "message_search": RoomRows.message_search,
    "message_search_backlog": RoomRows.message_search_backlog,
    "push_outbox": RoomRows.push_outbox,
    "relations": RoomRows.relations,
    "events": RoomRows.events,
}
"""Tables whose rows are found by the room's events, and these themselves at the end."""

OF_USERS: Final[Mapping[str, OfUsers]] = {
    "account_data": RoomRows.account_data,
    "client_transactions": RoomRows.client_transactions,
    "membership_changes": RoomRows.membership_changes,
    "thread_subscriptions": RoomRows.thread_subscriptions,
}
"""Tables whose rows are found by users."""

KEPT: Final[Mapping[str, str]] = {
    "blocked_rooms": "a deleted room must stay closed",
    "delayed_event_outcomes": "they go with the delayed events that they are of",
    "key_backup_sessions": "they are sealed, and the users': the room may live on elsewhere, and they come back",
    "media_uses": "they are marked as gone, so that the files go after their time of grace",
    "reports": "what people told the administrators may be why the room was deleted",
    "room_deletions": "they say what was deleted",
    "room_farewells": "clients that were away are still to hear that their users left",
}
"""Tables that name rooms or events and stay, with the reason."""
