"""The pushers of this server's users."""

from msgspec import Struct

from homeserver.protocol.identifiers import DeviceID, UserID
from storage.query import Queries, affected, many, nothing, one, query

COLUMNS = """id, user_id, app_id, pushkey, kind, device_id, enabled, app_display_name, device_display_name,
              profile_tag, lang, url, data, set_ts, badge"""
_WITH_OUTBOX = "delete from push_outbox where pusher_id in (select id from gone)"


class PusherRow(Struct, frozen=True):
    """One pusher. `data` is a JSON object, `set_ts` in milliseconds since the epoch, `badge` the count that it was last
    told.
    """

    id: int
    user_id: UserID
    app_id: str
    pushkey: str
    kind: str
    device_id: DeviceID | None
    enabled: bool
    app_display_name: str
    device_display_name: str
    profile_tag: str | None
    lang: str
    url: str | None
    data: str
    set_ts: int
    badge: int


class Pushers(Queries):
    """Reads and writes pushers. What is owed to one that is deleted goes with it."""

    @query(f"select {COLUMNS} from pushers where user_id = %(user_id)s order by id", many(PusherRow))
    def of_user(self, user_id: UserID) -> list[PusherRow]: ...

    @query(
        """select count(*) from pushers
           where user_id = %(user_id)s and (app_id, pushkey) <> (%(app_id)s, %(pushkey)s)""",
        one(int),
    )
    def number_of_others(self, user_id: UserID, app_id: str, pushkey: str) -> int:
        """How many a user has beside one."""

    @query(
        """insert into pushers (user_id, app_id, pushkey, kind, device_id, enabled, app_display_name,
                                device_display_name, profile_tag, lang, url, data, set_ts, since)
           values (%(user_id)s, %(app_id)s, %(pushkey)s, %(kind)s, %(device_id)s, %(enabled)s, %(app_display_name)s,
                   %(device_display_name)s, %(profile_tag)s, %(lang)s, %(url)s, %(data)s, %(set_ts)s,
                   (select pos from stream))
           on conflict (user_id, app_id, pushkey) do update set
             kind = excluded.kind, device_id = excluded.device_id, enabled = excluded.enabled,
             app_display_name = excluded.app_display_name, device_display_name = excluded.device_display_name,
             profile_tag = excluded.profile_tag, lang = excluded.lang, url = excluded.url, data = excluded.data,
             set_ts = excluded.set_ts,
             since = case when pushers.enabled then pushers.since else excluded.since end""",
        nothing,
    )
    def put(
        self,
        user_id: UserID,
        app_id: str,
        pushkey: str,
        kind: str,
        device_id: DeviceID | None,
        enabled: bool,
        app_display_name: str,
        device_display_name: str,
        profile_tag: str | None,
        lang: str,
        url: str | None,
        data: str,
        set_ts: int,
    ) -> None: ...

    @query(
        f"""with gone as (delete from pushers where user_id = %(user_id)s and app_id = %(app_id)s
                            and pushkey = %(pushkey)s returning id)
            {_WITH_OUTBOX}""",
        nothing,
    )
    def delete(self, user_id: UserID, app_id: str, pushkey: str) -> None: ...

    @query(
        f"""with gone as (delete from pushers where app_id = %(app_id)s and pushkey = %(pushkey)s
                            and user_id <> %(user_id)s returning id)
            {_WITH_OUTBOX}""",
        nothing,
    )
    def delete_of_others(self, user_id: UserID, app_id: str, pushkey: str) -> None:
        """Delete those of the same key of other users."""

    @query(
        f"""with gone as (delete from pushers where user_id = %(user_id)s and device_id = any(%(device_ids)s)
                            returning id)
            {_WITH_OUTBOX}""",
        nothing,
    )
    def delete_of_devices(self, user_id: UserID, device_ids: list[DeviceID]) -> None: ...

    @query(
        f"""with gone as (delete from pushers where user_id = %(user_id)s returning id)
            {_WITH_OUTBOX}""",
        nothing,
    )
    def delete_all(self, user_id: UserID) -> None: ...

    @query(
        """delete from pushers where app_id = %(app_id)s and pushkey = any(%(pushkeys)s) and url = %(url)s""",
        affected,
    )
    def delete_rejected(self, app_id: str, pushkeys: list[str], url: str) -> int:
        """Delete those that a gateway knows no more. Another gateway's word does not count."""
