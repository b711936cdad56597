"""Account data, global and of rooms."""

from msgspec import Struct

from homeserver.protocol.identifiers import RoomID, UserID
from storage.query import Queries, affected, bulk, many, maybe, query


class AccountDatum(Struct, frozen=True):
    """One piece of account data: `room_id` is empty for global data, `content` a JSON object."""

    room_id: str
    type: str
    content: bytes


PUT_ACCOUNT_DATA = bulk(
    "account_data",
    ("user_id", "room_id", "type", "content", "deleted"),
    """on conflict (user_id, room_id, type) do update
       set content = excluded.content, pos = excluded.pos, deleted = excluded.deleted""",
    position="pos",
)
"""What is deleted has the content {}: syncs tell of it so, and those that begin do not tell of it at all."""


class AccountData(Queries):
    """Reads account data; writes go through the journal with `PUT_ACCOUNT_DATA`.

    `changed_between` has the user's changes of push rules too, in the form of `push_rules.changes`.
    """

    @query(
        """select content from account_data
           where user_id = %(user_id)s and room_id = %(room_id)s and type = %(type_)s and not deleted""",
        maybe(bytes),
    )
    def content(self, user_id: UserID, room_id: RoomID | str, type_: str) -> bytes | None: ...

    @query(
        """select type from account_data
           where user_id = %(user_id)s and room_id = '' and type = any(%(types)s) and not deleted""",
        many(str),
    )
    def present(self, user_id: UserID, types: list[str]) -> list[str]:
        """Which of some types of global data are there."""

    @query(
        """select room_id, type, content from account_data
           where user_id = %(user_id)s and pos > %(since)s and pos <= %(upto)s
             and (not deleted or %(since)s > 0)
           union all
           select '', 'm.push_rules', changes from push_rules
           where user_id = %(user_id)s and pos > %(since)s and pos <= %(upto)s""",
        many(AccountDatum),
    )
    def changed_between(self, user_id: UserID, since: int, upto: int) -> list[AccountDatum]: ...

    @query(
        """select room_id, type, content from account_data
           where user_id = %(user_id)s and room_id = any(%(room_ids)s) and pos <= %(upto)s and not deleted
           order by room_id, pos""",
        many(AccountDatum),
    )
    def of_rooms(self, user_id: UserID, room_ids: list[str], upto: int) -> list[AccountDatum]: ...

    @query("delete from account_data where user_id = %(user_id)s", affected)
    def delete_all(self, user_id: UserID) -> int: ...
