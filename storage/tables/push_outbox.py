"""What is owed to pushers: how far the journal was looked at for it, and what waits."""

from msgspec import Struct

from homeserver.protocol.identifiers import RoomID, UserID
from storage.query import Queries, affected, bulk, bulk_delete, each, many, nothing, one, query

_LISTENING = "(select user_id from pushers where enabled)"


class FreshEvent(Struct, frozen=True):
    """An event that may have to be pushed; `notable` are its marks."""

    nid: int
    pos: int
    room_id: RoomID
    sender: UserID
    type: str
    notable: int
    received_ts: int


class ListenerRow(Struct, frozen=True):
    """A user in a room who has pushers; `judges`: they have rules of their own."""

    room_id: RoomID
    user_id: UserID
    judges: bool


class InviteRow(Struct, frozen=True):
    user_id: UserID
    room_id: RoomID
    event_nid: int
    pos: int


class EarRow(Struct, frozen=True):
    """A pusher that is to be told something. `since`: not what happened up to there."""

    id: int
    user_id: UserID
    since: int
    url: str | None


class OwedPush(Struct, frozen=True):
    """`event_nid` is None where only the counts may have changed; `actions` is a JSON list."""

    pos: int
    event_nid: int | None
    actions: str | None
    ts: int


OWED_PUSHES = bulk(
    "push_outbox",
    ("pusher_id", "pos", "event_nid", "actions", "ts"),
    "on conflict (pusher_id, pos) do nothing",
    key=("pusher_id", "pos"),
)
DONE_PUSHES = bulk_delete("push_outbox", ("pusher_id", "pos"))
TOLD_BADGES = each(
    "update pushers set badge = %(badge)s where id = %(pusher_id)s and badge <> %(badge)s",
    ("pusher_id", "badge"),
)


class PushProgress(Queries):
    """How far the journal was looked at, and what is new in it."""

    @query("select pos from push_progress", one(int))
    def position(self) -> int: ...

    @query("select coalesce(min(since), -1) from pushers where enabled", one(int))
    def first_needed(self) -> int:
        """The position before the first that concerns any pusher; -1: there is none."""

    @query("update push_progress set pos = %(pos)s where pos = %(was)s", affected)
    def advance(self, was: int, pos: int) -> int:
        """Note progress; 0 if somebody else was faster."""

    @query(
        """select nid, pos, room_id, sender, type, notable, received_ts from events
           where pos > %(after)s and pos <= %(upto)s and redacted_by is null order by pos limit %(limit)s""",
        many(FreshEvent),
    )
    def events(self, after: int, upto: int, limit: int) -> list[FreshEvent]: ...

    @query(
        f"""select m.room_id, m.user_id, exists (select from push_rules r where r.user_id = m.user_id) as judges
            from memberships m where m.room_id = any(%(rooms)s) and m.membership = 'join' and m.local
              and m.user_id in {_LISTENING}""",
        many(ListenerRow),
        planned_anew=True,
    )
    def listeners(self, rooms: list[RoomID]) -> list[ListenerRow]: ...

    @query("select user_id, pos from mentions where event_nid = any(%(nids)s)", many(tuple[UserID, int]))
    def mentioned(self, nids: list[int]) -> list[tuple[UserID, int]]: ...

    @query(
        f"""select subscription.user_id, event.pos from events as event
            join thread_subscriptions as subscription
              on subscription.thread = event.thread and subscription.room_id = event.room_id
            where event.nid = any(%(nids)s) and subscription.subscribed
              and subscription.user_id in {_LISTENING}""",
        many(tuple[UserID, int]),
    )
    def subscribed(self, nids: list[int]) -> list[tuple[UserID, int]]:
        """Those who are subscribed to the threads of some events."""

    @query(
        f"""select user_id, room_id, event_nid, pos from membership_changes
            where pos > %(after)s and pos <= %(upto)s and membership = 'invite' and user_id in {_LISTENING}
            order by pos""",
        many(InviteRow),
    )
    def invites(self, after: int, upto: int) -> list[InviteRow]: ...

    @query(
        f"""select user_id from receipts where local and pos > %(after)s and pos <= %(upto)s and user_id in {_LISTENING}
            union
            select user_id from membership_changes where pos > %(after)s and pos <= %(upto)s and user_id in {_LISTENING}
            """,
        many(UserID),
    )
    def readers(self, after: int, upto: int) -> list[UserID]:
        """Those who have read something, or came into a room or left one."""

    @query(
        f"""select user_id from push_rules where pos > %(after)s and pos <= %(upto)s and user_id in {_LISTENING}
            union
            select user_id from account_data
            where type = 'm.ignored_user_list' and pos > %(after)s and pos <= %(upto)s and user_id in {_LISTENING}
            union
            select user_id from thread_subscriptions
            where pos > %(after)s and pos <= %(upto)s and user_id in {_LISTENING}""",
        many(UserID),
    )
    def deciders(self, after: int, upto: int) -> list[UserID]:
        """Those who count by other rules now, or follow other threads."""

    @query(
        """select user_id, content from account_data
           where user_id = any(%(user_ids)s) and room_id = '' and type = 'm.ignored_user_list'""",
        many(tuple[UserID, bytes]),
    )
    def ignored_lists(self, user_ids: list[UserID]) -> list[tuple[UserID, bytes]]: ...


class PushOutbox(Queries):
    """What waits for pushers."""

    @query(
        "select id, user_id, since, url from pushers where enabled and user_id = any(%(user_ids)s)",
        many(EarRow),
    )
    def ears(self, user_ids: list[UserID]) -> list[EarRow]: ...

    @query(
        """select id, user_id, since, url from pushers where enabled and user_id = any(%(user_ids)s)
             and (badge > 0 or exists (select from push_outbox where pusher_id = pushers.id))""",
        many(EarRow),
    )
    def counting_ears(self, user_ids: list[UserID]) -> list[EarRow]:
        """Those that were told of something unread, or are about to be."""

    @query(
        """select id, user_id, since, url from pushers where id in (select pusher_id from push_outbox)""",
        many(EarRow),
    )
    def waiting(self) -> list[EarRow]:
        """The pushers to which something is owed."""

    @query("delete from push_outbox where pusher_id = %(pusher_id)s", nothing)
    def drop(self, pusher_id: int) -> None: ...


class FailingTarget(Struct, frozen=True):
    target: str
    failing_since_ts: int
    retry_ts: int
    interval_ms: int


class PushFailures(Queries):
    """Gateways and pushers that are left alone for a while."""

    @query("select target, failing_since_ts, retry_ts, interval_ms from push_failures", many(FailingTarget))
    def all(self) -> list[FailingTarget]: ...

    @query("delete from push_failures where target = %(target)s", nothing)
    def forget(self, target: str) -> None: ...

    @query(
        """insert into push_failures (target, failing_since_ts, retry_ts, interval_ms)
           values (%(target)s, %(failing_since_ts)s, %(retry_ts)s, %(interval_ms)s)
           on conflict (target) do update set retry_ts = excluded.retry_ts, interval_ms = excluded.interval_ms""",
        nothing,
    )
    def note(self, target: str, failing_since_ts: int, retry_ts: int, interval_ms: int) -> None: ...
