"""The devices of this server's users."""

from msgspec import Struct

from homeserver.protocol.identifiers import DeviceID, UserID
from storage.query import Queries, affected, each, many, maybe, one, query


class Device(Struct, frozen=True):
    """One device. Times are in milliseconds since the epoch."""

    device_id: DeviceID
    display_name: str | None
    last_seen_ts: int | None
    last_seen_ip: str | None


class SeenDevice(Struct, frozen=True):
    """Where a device was last seen. The time is in milliseconds since the epoch."""

    device_id: DeviceID
    last_seen_ts: int | None
    last_seen_ip: str | None
    last_seen_user_agent: str | None


LAST_SEEN = each(
    """update devices set last_seen_ts = %(ts)s, last_seen_ip = %(ip)s, last_seen_user_agent = %(user_agent)s
       where user_id = %(user_id)s and device_id = %(device_id)s and coalesce(last_seen_ts, 0) < %(ts)s""",
    ("user_id", "device_id", "ts", "ip", "user_agent"),
)


class Devices(Queries):
    """Reads and writes devices."""

    @query(
        """insert into devices (user_id, device_id, display_name, created_ts, last_seen_ts, last_seen_ip,
                                last_seen_user_agent)
           values (%(user_id)s, %(device_id)s, %(display_name)s, %(now)s, %(now)s, %(ip)s, %(user_agent)s)
           on conflict (user_id, device_id) do update set last_seen_ts = excluded.last_seen_ts,
               last_seen_ip = excluded.last_seen_ip, last_seen_user_agent = excluded.last_seen_user_agent
           returning xmax = 0""",
        one(bool),
    )
    def enter(
        self,
        user_id: UserID,
        device_id: DeviceID,
        display_name: str | None,
        now: int,
        ip: str | None,
        user_agent: str | None,
    ) -> bool:
        """Create a device, or see it again; whether it is a new one."""

    @query(
        """select device_id, display_name, last_seen_ts, last_seen_ip from devices
           where user_id = %(user_id)s order by created_ts, device_id""",
        many(Device),
    )
    def of_user(self, user_id: UserID) -> list[Device]: ...

    @query(
        """select device_id, last_seen_ts, last_seen_ip, last_seen_user_agent from devices
           where user_id = %(user_id)s order by created_ts, device_id""",
        many(SeenDevice),
    )
    def seen(self, user_id: UserID) -> list[SeenDevice]: ...

    @query(
        """select device_id, display_name, last_seen_ts, last_seen_ip from devices
           where user_id = %(user_id)s and device_id = %(device_id)s""",
        maybe(Device),
    )
    def device(self, user_id: UserID, device_id: DeviceID) -> Device | None: ...

    @query(
        """select user_id, device_id from devices d
           where (d.user_id, d.device_id) > (%(user_id)s, %(device_id)s)
             and greatest(d.created_ts, coalesce(d.last_seen_ts, 0)) < %(before)s
             and not exists (select from users u where u.user_id = d.user_id and u.appservice_id is not null)
             and not exists (select from dehydrated_devices z
                             where z.user_id = d.user_id and z.device_id = d.device_id)
           order by user_id, device_id limit %(limit)s""",
        many(tuple[UserID, DeviceID]),
    )
    def unseen_since(
        self, before: int, user_id: UserID, device_id: DeviceID, limit: int
    ) -> list[tuple[UserID, DeviceID]]:
        """Devices behind a place, in the order of IDs, that people have and that were not seen since a time."""

    @query(
        "update devices set display_name = %(display_name)s where user_id = %(user_id)s and device_id = %(device_id)s",
        affected,
    )
    def rename(self, user_id: UserID, device_id: DeviceID, display_name: str) -> int: ...

    @query(
        "delete from devices where user_id = %(user_id)s and device_id = any(%(device_ids)s) returning device_id",
        many(DeviceID),
    )
    def delete(self, user_id: UserID, device_ids: list[DeviceID]) -> list[DeviceID]: ...

    @query(
        """delete from devices where user_id = %(user_id)s and device_id is distinct from %(keep)s
           returning device_id""",
        many(DeviceID),
    )
    def delete_all(self, user_id: UserID, keep: DeviceID | None) -> list[DeviceID]: ...
