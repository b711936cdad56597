"""Mails about what users have not read: when each pusher that mails is looked at, and which rooms it leaves alone."""

from msgspec import Struct

from homeserver.protocol.identifiers import RoomID, UserID
from storage.query import Queries, affected, bulk, many, maybe, nothing, query
from storage.tables.push_outbox import OwedPush


class MailPusher(Struct, frozen=True):
    """A pusher that mails. `wanted`: it is enabled, and the address is its user's. `failing_ms` is the last pause."""

    id: int
    user_id: UserID
    address: str
    wanted: bool
    failing_ms: int


class RestingRoom(Struct, frozen=True):
    """A room of which there was a mail. `last_pos` is of the last event that was mailed."""

    room_id: RoomID
    last_pos: int
    pause_ms: int
    ready_ts: int


RESTING_ROOMS = bulk(
    "push_mail_rooms",
    ("pusher_id", "room_id", "last_pos", "pause_ms", "ready_ts"),
    """on conflict (pusher_id, room_id) do update set last_pos = excluded.last_pos, pause_ms = excluded.pause_ms,
         ready_ts = excluded.ready_ts""",
    key=("pusher_id", "room_id"),
)


class PushMails(Queries):
    @query(
        """select pushers.id from pushers left join push_mails on push_mails.pusher_id = pushers.id
           where pushers.kind = 'email'
             and (push_mails.next_ts <= %(now)s
                  or coalesce(push_mails.failing_ms, 0) = 0
                     and exists (select from push_outbox where push_outbox.pusher_id = pushers.id
                                   and push_outbox.pos > coalesce(push_mails.looked_pos, -1)))
           order by push_mails.next_ts nulls first limit %(limit)s""",
        many(int),
    )
    def due(self, now: int, limit: int) -> list[int]:
        """The pushers to look at: something has come for them, or the time has."""

    @query(
        """select pushers.id, pushers.user_id, pushers.pushkey as address,
                  pushers.enabled and exists (
                    select from threepids where threepids.medium = 'email' and threepids.address = pushers.pushkey
                      and threepids.user_id = pushers.user_id) as wanted,
                  coalesce(push_mails.failing_ms, 0) as failing_ms
           from pushers left join push_mails on push_mails.pusher_id = pushers.id
           where pushers.id = %(pusher_id)s and pushers.kind = 'email'""",
        maybe(MailPusher),
    )
    def pusher(self, pusher_id: int) -> MailPusher | None: ...

    @query(
        """select pos, event_nid, actions, ts from push_outbox where pusher_id = %(pusher_id)s
           order by pos desc limit %(limit)s""",
        many(OwedPush),
    )
    def latest(self, pusher_id: int, limit: int) -> list[OwedPush]:
        """What is owed, the latest first."""

    @query(
        "select room_id, last_pos, pause_ms, ready_ts from push_mail_rooms where pusher_id = %(pusher_id)s",
        many(RestingRoom),
    )
    def resting(self, pusher_id: int) -> list[RestingRoom]: ...

    @query(
        """insert into push_mails (pusher_id, looked_pos, next_ts, failing_ms)
             select id, %(looked_pos)s, %(next_ts)s, %(failing_ms)s from pushers where id = %(pusher_id)s for key share
           on conflict (pusher_id) do update set
             looked_pos = greatest(push_mails.looked_pos, excluded.looked_pos), next_ts = excluded.next_ts,
             failing_ms = excluded.failing_ms""",
        affected,
    )
    def note(self, pusher_id: int, looked_pos: int, next_ts: int | None, failing_ms: int) -> int:
        """Note a look; 0 if the pusher is gone."""

    @query(
        "delete from push_outbox where pusher_id = %(pusher_id)s and (pos = any(%(positions)s) or pos < %(before)s)",
        nothing,
    )
    def strike(self, pusher_id: int, positions: list[int], before: int) -> None: ...

    @query(
        "delete from push_mail_rooms where pusher_id = %(pusher_id)s and room_id = any(%(rooms)s)", nothing
    )
    def wake(self, pusher_id: int, rooms: list[RoomID]) -> None: ...

    @query(
        """update pushers set badge = (select count(*) from push_mail_rooms where pusher_id = %(pusher_id)s)
           where id = %(pusher_id)s""",
        nothing,
    )
    def count(self, pusher_id: int) -> None:
        """Have the pusher told when its user reads, as long as it leaves any room alone."""


class MailUnsubscribes(Queries):
    @query(
        """insert into mail_unsubscribes (token_hash, user_id, address, created_ts)
           values (%(token_hash)s, %(user_id)s, %(address)s, %(now)s)""",
        nothing,
    )
    def add(self, token_hash: bytes, user_id: UserID, address: str, now: int) -> None: ...

    @query(
        "select user_id, address from mail_unsubscribes where token_hash = %(token_hash)s",
        maybe(tuple[UserID, str]),
    )
    def find(self, token_hash: bytes) -> tuple[UserID, str] | None: ...

    @query("delete from mail_unsubscribes where created_ts <= %(before)s", nothing)
    def expire(self, before: int) -> None: ...
