"""Keys that are given away once, and those that stand in when they run out."""

from msgspec import Struct

from homeserver.protocol.identifiers import DeviceID, UserID
from storage.query import Queries, many, nothing, query


class KeyRow(Struct, frozen=True):
    """A key of a device."""

    user_id: UserID
    device_id: DeviceID
    algorithm: str
    key_id: str
    json: str


_WANTED = """unnest(%(users)s::text[], %(devices)s::text[], %(algorithms)s::text[])
             as wanted (user_id, device_id, algorithm)"""


class OneTimeKeys(Queries):
    """Takes keys in, and gives them away."""

    @query(
        """select algorithm, key_id, digest from one_time_keys
           where user_id = %(user_id)s and device_id = %(device_id)s and key_id = any(%(key_ids)s)""",
        many(tuple[str, str, bytes]),
    )
    def known(self, user_id: UserID, device_id: DeviceID, key_ids: list[str]) -> list[tuple[str, str, bytes]]:
        """Algorithms, IDs and digests of keys that wait to be given away."""

    @query(
        """select digest from used_one_time_keys
           where user_id = %(user_id)s and device_id = %(device_id)s and digest = any(%(digests)s)""",
        many(bytes),
    )
    def used(self, user_id: UserID, device_id: DeviceID, digests: list[bytes]) -> list[bytes]: ...

    @query(
        "select count(*) from one_time_keys where user_id = %(user_id)s and device_id = %(device_id)s",
        many(int),
    )
    def total(self, user_id: UserID, device_id: DeviceID) -> list[int]: ...

    @query(
        """insert into one_time_keys (user_id, device_id, algorithm, key_id, json, digest)
           select %(user_id)s, %(device_id)s, algorithm, key_id, json, digest
           from unnest(%(algorithms)s::text[], %(key_ids)s::text[], %(jsons)s::text[], %(digests)s::bytea[])
             with ordinality as new (algorithm, key_id, json, digest, place) order by place""",
        nothing,
    )
    def add(
        self,
        user_id: UserID,
        device_id: DeviceID,
        algorithms: list[str],
        key_ids: list[str],
        jsons: list[str],
        digests: list[bytes],
    ) -> None: ...

    @query(
        f"""with picked as materialized (
              select oldest.* from {_WANTED}
              cross join lateral (
                select k.user_id, k.device_id, k.algorithm, k.key_id from one_time_keys k
                where k.user_id = wanted.user_id and k.device_id = wanted.device_id
                  and k.algorithm = wanted.algorithm
                order by k.uploaded limit 1 for update skip locked
              ) oldest
            ), given as (
              delete from one_time_keys k using picked p
              where k.user_id = p.user_id and k.device_id = p.device_id and k.algorithm = p.algorithm
                and k.key_id = p.key_id
              returning k.user_id, k.device_id, k.algorithm, k.key_id, k.json, k.digest
            ), kept as (
              insert into used_one_time_keys (user_id, device_id, digest)
              select user_id, device_id, digest from given on conflict do nothing
            )
            select user_id, device_id, algorithm, key_id, json from given""",
        many(KeyRow),
    )
    def claim(self, users: list[UserID], devices: list[DeviceID], algorithms: list[str]) -> list[KeyRow]:
        """Give away the oldest key of each of some devices and algorithms, where there is one. What another
        transaction is giving away is passed over.
        """

    @query(
        f"""with found as (
              select f.user_id, f.device_id, f.algorithm, f.key_id, f.json, f.used from {_WANTED}
              join fallback_keys f on f.user_id = wanted.user_id and f.device_id = wanted.device_id
                and f.algorithm = wanted.algorithm
            ), marked as (
              update fallback_keys f set used = true from found
              where not found.used and f.user_id = found.user_id and f.device_id = found.device_id
                and f.algorithm = found.algorithm and f.key_id = found.key_id
            )
            select user_id, device_id, algorithm, key_id, json from found""",
        many(KeyRow),
    )
    def fall_back(self, users: list[UserID], devices: list[DeviceID], algorithms: list[str]) -> list[KeyRow]:
        """The fallback keys of some devices and algorithms, which are used from now on."""

    @query(
        """insert into fallback_keys (user_id, device_id, algorithm, key_id, json)
           select %(user_id)s, %(device_id)s, algorithm, key_id, json
           from unnest(%(algorithms)s::text[], %(key_ids)s::text[], %(jsons)s::text[])
             as new (algorithm, key_id, json)
           on conflict (user_id, device_id, algorithm) do update
           set key_id = excluded.key_id, json = excluded.json, used = false
           where (fallback_keys.key_id, fallback_keys.json) <> (excluded.key_id, excluded.json)""",
        nothing,
    )
    def put_fallback(
        self,
        user_id: UserID,
        device_id: DeviceID,
        algorithms: list[str],
        key_ids: list[str],
        jsons: list[str],
    ) -> None:
        """Replace fallback keys. The same one again stays used if it is."""

    @query(
        """select algorithm, count(*) from one_time_keys
           where user_id = %(user_id)s and device_id = %(device_id)s group by algorithm""",
        many(tuple[str, int]),
    )
    def counts(self, user_id: UserID, device_id: DeviceID) -> list[tuple[str, int]]: ...

    @query(
        """select algorithm from fallback_keys
           where user_id = %(user_id)s and device_id = %(device_id)s and not used order by algorithm""",
        many(str),
    )
    def unused_fallbacks(self, user_id: UserID, device_id: DeviceID) -> list[str]: ...

    @query(
        """with a as (delete from one_time_keys
                      where user_id = %(user_id)s and device_id = any(%(device_ids)s)),
                b as (delete from used_one_time_keys
                      where user_id = %(user_id)s and device_id = any(%(device_ids)s))
           delete from fallback_keys where user_id = %(user_id)s and device_id = any(%(device_ids)s)""",
        nothing,
    )
    def delete(self, user_id: UserID, device_ids: list[DeviceID]) -> None: ...

    @query("delete from one_time_keys", nothing)
    def forget_all(self) -> None:
        """After a backup of the database was restored: what it holds may have been given away since."""
