"""Identity keys of local devices, cross-signing keys of local users, and the signatures that they make."""

from msgspec import Struct

from homeserver.protocol.identifiers import DeviceID, UserID
from storage.query import Queries, affected, bulk, many, maybe, nothing, query


class DeviceKeysRow(Struct, frozen=True):
    """`json` is what its owner signed, None for a device without keys."""

    user_id: UserID
    device_id: DeviceID
    json: str | None
    display_name: str | None


class CrossSigningRow(Struct, frozen=True):
    """`usage` is `master`, `self_signing` or `user_signing`."""

    user_id: UserID
    usage: str
    public_key: str
    json: str


class SignatureRow(Struct, frozen=True):
    """A signature of a user over somebody's master key."""

    user_id: UserID
    public_key: str
    signer_key_id: str
    signature: str


USER_SIGNATURES = bulk(
    "user_signatures",
    ("signer", "signer_key_id", "user_id", "public_key", "signature"),
    """on conflict (signer, user_id, public_key, signer_key_id) do update
       set signature = excluded.signature, pos = excluded.pos""",
    position="pos",
)
DEVICE_WRITES = bulk(
    "device_writes",
    ("only_row",),
    "on conflict (only_row) do update set pos = excluded.pos",
    position="pos",
    latest=True,
)
"""Takes a position for writes to tables that have none of their own."""


class DeviceKeys(Queries):
    """Reads and writes keys."""

    @query(
        "select device_id from devices where user_id = %(user_id)s and device_id = %(device_id)s for update",
        maybe(DeviceID),
    )
    def lock_device(self, user_id: UserID, device_id: DeviceID) -> DeviceID | None: ...

    @query(
        "select json from device_keys where user_id = %(user_id)s and device_id = %(device_id)s", maybe(str)
    )
    def json(self, user_id: UserID, device_id: DeviceID) -> str | None: ...

    @query(
        """insert into device_keys (user_id, device_id, json) values (%(user_id)s, %(device_id)s, %(json)s)
           on conflict (user_id, device_id) do update set json = excluded.json""",
        nothing,
    )
    def put(self, user_id: UserID, device_id: DeviceID, json: str) -> None: ...

    @query(
        """with wanted as materialized (
             select * from unnest(%(users)s::text[], %(devices)s::text[]) as wanted (user_id, device_id)),
           found as (
             select k.* from wanted
             join device_keys k on k.user_id = wanted.user_id and k.device_id = wanted.device_id
             union all
             select k.* from wanted
             join device_keys k on k.user_id = wanted.user_id where wanted.device_id = '')
           select k.user_id, k.device_id, k.json, d.display_name from found k
           left join devices d on d.user_id = k.user_id and d.device_id = k.device_id""",
        many(DeviceKeysRow),
    )
    def of_devices(self, users: list[UserID], devices: list[str]) -> list[DeviceKeysRow]:
        """The keys of some devices; an empty device ID stands for all of a user's."""

    @query(
        """select d.user_id, d.device_id, k.json, d.display_name from devices d
           left join device_keys k on k.user_id = d.user_id and k.device_id = d.device_id
           where d.user_id = %(user_id)s order by d.device_id""",
        many(DeviceKeysRow),
    )
    def all_devices(self, user_id: UserID) -> list[DeviceKeysRow]: ...

    @query(
        "delete from device_keys where user_id = %(user_id)s and device_id = any(%(device_ids)s)", affected
    )
    def delete(self, user_id: UserID, device_ids: list[DeviceID]) -> int: ...


class CrossSigningKeys(Queries):
    """Reads and writes cross-signing keys."""

    @query(
        "select user_id, usage, public_key, json from cross_signing_keys where user_id = any(%(users)s)",
        many(CrossSigningRow),
    )
    def of_users(self, users: list[UserID]) -> list[CrossSigningRow]: ...

    @query(
        """insert into cross_signing_keys (user_id, usage, public_key, json)
           values (%(user_id)s, %(usage)s, %(public_key)s, %(json)s)
           on conflict (user_id, usage) do update
           set public_key = excluded.public_key, json = excluded.json""",
        nothing,
    )
    def put(self, user_id: UserID, usage: str, public_key: str, json: str) -> None: ...

    @query(
        """with signed as (delete from user_signatures where signer = %(user_id)s)
           delete from cross_signing_keys where user_id = %(user_id)s""",
        affected,
    )
    def delete(self, user_id: UserID) -> int:
        """Delete all keys of a user, and what they signed of others; how many keys there were."""

    @query(
        """select user_id, public_key, signer_key_id, signature from user_signatures
           where signer = %(signer)s and user_id = any(%(users)s)""",
        many(SignatureRow),
    )
    def signatures(self, signer: UserID, users: list[UserID]) -> list[SignatureRow]: ...

    @query(
        "select distinct user_id from user_signatures where signer = %(signer)s and pos > %(since)s",
        many(UserID),
    )
    def signed_since(self, signer: UserID, since: int) -> list[UserID]: ...
