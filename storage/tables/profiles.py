"""What local users tell about themselves."""

from msgspec import Struct

from homeserver.protocol.identifiers import UserID
from storage.query import Queries, many, maybe, nothing, query

# The directory of users follows profiles by this mark, made in the same statement.
_STALE = """with stale as (insert into user_directory_stale (user_id) values (%(user_id)s)
            on conflict (user_id) do update set user_id = excluded.user_id)"""


class StoredProfile(Struct, frozen=True):
    """A profile: `fields` is the JSON object of all fields but the two."""

    displayname: str | None
    avatar_url: str | None
    fields: bytes


class NameAndAvatar(Struct, frozen=True):
    """The part of a profile that goes into the user's membership events."""

    user_id: UserID
    displayname: str | None
    avatar_url: str | None


class Profiles(Queries):
    """Reads and writes profiles."""

    @query(
        "select displayname, avatar_url, fields from profiles where user_id = %(user_id)s",
        maybe(StoredProfile),
    )
    def profile(self, user_id: UserID) -> StoredProfile | None: ...

    @query(
        "select user_id, displayname, avatar_url from profiles where user_id = any(%(user_ids)s)",
        many(NameAndAvatar),
    )
    def names_and_avatars(self, user_ids: list[UserID]) -> list[NameAndAvatar]: ...

    @query(
        f"""{_STALE}
           insert into profiles (user_id, displayname, avatar_url, fields)
           values (%(user_id)s, %(displayname)s, %(avatar_url)s, %(fields)s)
           on conflict (user_id) do update set
               displayname = excluded.displayname, avatar_url = excluded.avatar_url, fields = excluded.fields""",
        nothing,
    )
    def put(
        self, user_id: UserID, displayname: str | None, avatar_url: str | None, fields: bytes
    ) -> None: ...

    @query(f"{_STALE} delete from profiles where user_id = %(user_id)s", nothing)
    def delete(self, user_id: UserID) -> None: ...
