"""Filters that clients uploaded."""

from homeserver.protocol.identifiers import UserID
from storage.query import Queries, maybe, nothing, query


class StoredFilters(Queries):
    """Reads and writes filters, which never change."""

    @query(
        """insert into filters (user_id, filter_id, content) values (%(user_id)s, %(filter_id)s, %(content)s)
           on conflict do nothing""",
        nothing,
    )
    def add(self, user_id: UserID, filter_id: str, content: bytes) -> None: ...

    @query(
        "select content from filters where user_id = %(user_id)s and filter_id = %(filter_id)s",
        maybe(bytes),
    )
    def content(self, user_id: UserID, filter_id: str) -> bytes | None: ...
