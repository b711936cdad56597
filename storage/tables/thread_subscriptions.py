"""Which threads users follow, and which they do not follow any more."""

from msgspec import Struct

from homeserver.protocol.identifiers import EventID, RoomID, UserID
from storage.query import Queries, affected, bulk, many, maybe, query

PUT_THREAD_SUBSCRIPTION = bulk(
    "thread_subscriptions",
    ("thread", "room_id", "user_id", "subscribed", "automatic"),
    """on conflict (thread, room_id, user_id) do update
       set subscribed = excluded.subscribed, automatic = excluded.automatic, pos = excluded.pos""",
    position="pos",
)


class SubscriptionRow(Struct, frozen=True):
    """How a user stands to a thread since a position."""

    subscribed: bool
    automatic: bool
    pos: int


class SubscriptionChangeRow(Struct, frozen=True):
    room_id: RoomID
    thread: EventID
    subscribed: bool
    automatic: bool
    pos: int


class ThreadSubscriptions(Queries):
    """Reads subscriptions; writes go through the journal with `PUT_THREAD_SUBSCRIPTION`."""

    @query(
        """select subscribed, automatic, pos from thread_subscriptions
           where thread = %(thread)s and room_id = %(room_id)s and user_id = %(user_id)s""",
        maybe(SubscriptionRow),
    )
    def find(self, user_id: UserID, room_id: RoomID, thread: EventID) -> SubscriptionRow | None: ...

    @query(
        """select room_id, thread, subscribed, automatic, pos from thread_subscriptions
           where user_id = %(user_id)s and pos > %(since)s and pos <= %(upto)s
           order by pos desc limit %(limit)s""",
        many(SubscriptionChangeRow),
    )
    def changes(self, user_id: UserID, since: int, upto: int, limit: int) -> list[SubscriptionChangeRow]:
        """The last changes between two positions, the latest first."""

    @query(
        """select distinct room_id from thread_subscriptions
           where user_id = %(user_id)s and pos > %(since)s and pos <= %(upto)s""",
        many(RoomID),
    )
    def rooms(self, user_id: UserID, since: int, upto: int) -> list[RoomID]:
        """The rooms in which the user follows other threads than before."""

    @query(
        """select thread, user_id from thread_subscriptions where thread = any(%(threads)s) and subscribed""",
        many(tuple[EventID, UserID]),
    )
    def subscribers(self, threads: list[EventID]) -> list[tuple[EventID, UserID]]:
        """Who follows some threads."""

    @query("delete from thread_subscriptions where user_id = %(user_id)s", affected)
    def delete_all(self, user_id: UserID) -> int: ...
