"""Other servers' keys and the documents that they were published in."""

from msgspec import Struct

from homeserver.protocol.identifiers import ServerName
from storage.query import Queries, bulk, many, nothing, one, query


class StoredServerKey(Struct, frozen=True):
    """A key. `valid_until_ts` is in milliseconds; if `expired`, it is when the key went out of use."""

    server_name: ServerName
    key_id: str
    public: bytes
    valid_until_ts: int
    expired: bool


class StoredKeyDocument(Struct, frozen=True):
    """A document as its server signed it."""

    server_name: ServerName
    key_id: str
    fetched_ts: int
    valid_until_ts: int
    document_id: int
    json: bytes


SERVER_KEYS = bulk(
    "server_keys",
    ("server_name", "key_id", "public", "valid_until_ts", "expired", "document_id"),
    on_conflict="""on conflict (server_name, key_id) do update set valid_until_ts = excluded.valid_until_ts,
                   public = excluded.public, expired = excluded.expired, document_id = excluded.document_id""",
)


class ServerKeys(Queries):
    """Reads and writes keys of other servers."""

    @query(
        """select server_name, key_id, public, valid_until_ts, expired
           from server_keys where server_name = any(%(servers)s)""",
        many(StoredServerKey),
    )
    def of_servers(self, servers: list[ServerName]) -> list[StoredServerKey]: ...

    @query(
        """select k.server_name, k.key_id, d.fetched_ts, d.valid_until_ts, d.id, d.json
           from server_keys k join server_key_documents d on d.id = k.document_id
           where k.server_name = any(%(servers)s) order by d.id desc""",
        many(StoredKeyDocument),
    )
    def documents(self, servers: list[ServerName]) -> list[StoredKeyDocument]: ...

    @query(
        """insert into server_key_documents (server_name, fetched_ts, valid_until_ts, json)
           values (%(server)s, %(fetched_ts)s, %(valid_until_ts)s, %(json)s) returning id""",
        one(int),
    )
    def add_document(self, server: ServerName, fetched_ts: int, valid_until_ts: int, json: bytes) -> int: ...

    @query(
        """delete from server_key_documents d where d.server_name = %(server)s
           and not exists (select from server_keys k where k.document_id = d.id)""",
        nothing,
    )
    def drop_unused_documents(self, server: ServerName) -> None: ...
