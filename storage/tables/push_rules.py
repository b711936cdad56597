"""Users' push rules: what they changed against the defaults."""

from homeserver.protocol.identifiers import UserID
from storage.query import Queries, bulk, maybe, query

PUT_PUSH_RULES = bulk(
    "push_rules",
    ("user_id", "changes"),
    "on conflict (user_id) do update set changes = excluded.changes, pos = excluded.pos",
    position="pos",
)


class StoredPushRules(Queries):
    """Reads push rules; writes go through the journal with `PUT_PUSH_RULES`."""

    @query("select changes from push_rules where user_id = %(user_id)s", maybe(bytes))
    def of_user(self, user_id: UserID) -> bytes | None: ...
