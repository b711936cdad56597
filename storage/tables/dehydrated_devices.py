"""Dehydrated devices."""

from homeserver.protocol.identifiers import DeviceID, UserID
from storage.query import Queries, affected, maybe, nothing, query


class DehydratedDevices(Queries):
    """At most one a user."""

    @query(
        "select device_id, device_data from dehydrated_devices where user_id = %(user_id)s",
        maybe(tuple[DeviceID, str]),
    )
    def find(self, user_id: UserID) -> tuple[DeviceID, str] | None: ...

    @query(
        """insert into dehydrated_devices (user_id, device_id, device_data)
           values (%(user_id)s, %(device_id)s, %(device_data)s)
           on conflict (user_id) do update
           set device_id = excluded.device_id, device_data = excluded.device_data""",
        nothing,
    )
    def put(self, user_id: UserID, device_id: DeviceID, device_data: str) -> None: ...

    @query(
        "delete from dehydrated_devices where user_id = %(user_id)s and device_id = any(%(device_ids)s)",
        affected,
    )
    def delete(self, user_id: UserID, device_ids: list[DeviceID]) -> int: ...
