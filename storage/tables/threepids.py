"""E-mail addresses of users, and the proofs that they are theirs."""

from msgspec import Struct

from homeserver.protocol.identifiers import UserID
from storage.query import Queries, affected, many, maybe, nothing, one, query


class ThreepidRow(Struct, frozen=True):
    """An identifier of a user. Times are in milliseconds since the epoch."""

    medium: str
    address: str
    validated_ts: int
    added_ts: int


class ProofRow(Struct, frozen=True):
    """A proof that is under way, or given."""

    sid: str
    send_attempt: int
    sent: int
    validated_ts: int | None


class GivenProof(Struct, frozen=True):
    """A proof that was given, and may be used now."""

    address: str
    validated_ts: int


class Threepids(Queries):
    @query(
        """select medium, address, validated_ts, added_ts from threepids
           where user_id = %(user_id)s order by added_ts, address""",
        many(ThreepidRow),
    )
    def of_user(self, user_id: UserID) -> list[ThreepidRow]: ...

    @query(
        """select t.user_id from threepids t join users u using (user_id)
           where t.medium = %(medium)s and t.address = %(address)s and not u.deactivated""",
        maybe(UserID),
    )
    def owner(self, medium: str, address: str) -> UserID | None: ...

    @query(
        """insert into threepids (medium, address, user_id, validated_ts, added_ts)
           values (%(medium)s, %(address)s, %(user_id)s, %(validated_ts)s, %(added_ts)s)
           on conflict (medium, address) do update set validated_ts = excluded.validated_ts
             where threepids.user_id = excluded.user_id""",
        affected,
    )
    def add(self, medium: str, address: str, user_id: UserID, validated_ts: int, added_ts: int) -> int:
        """0 if it is somebody else's."""

    @query(
        "delete from threepids where medium = %(medium)s and address = %(address)s and user_id = %(user_id)s",
        affected,
    )
    def remove(self, medium: str, address: str, user_id: UserID) -> int: ...

    @query("delete from threepids where user_id = %(user_id)s", nothing)
    def remove_all(self, user_id: UserID) -> None: ...


class EmailProofs(Queries):
    @query(
        """select sid, send_attempt, sent, validated_ts from email_proofs
           where purpose = %(purpose)s and address = %(address)s and secret_hash = %(secret_hash)s and not used
             and created_ts > %(since)s
           order by created_ts desc limit 1 for update""",
        maybe(ProofRow),
    )
    def under_way(self, purpose: str, address: str, secret_hash: bytes, since: int) -> ProofRow | None: ...

    @query(
        "select coalesce(sum(sent), 0) from email_proofs where address = %(address)s and created_ts > %(since)s",
        one(int),
    )
    def mails_to(self, address: str, since: int) -> int: ...

    @query(
        """insert into email_proofs (sid, purpose, address, secret_hash, token_hash, send_attempt, sent, created_ts)
           values (%(sid)s, %(purpose)s, %(address)s, %(secret_hash)s, %(token_hash)s, %(send_attempt)s, 1, %(now)s)
           on conflict (sid) do update set token_hash = excluded.token_hash, send_attempt = excluded.send_attempt,
             sent = email_proofs.sent + 1""",
        nothing,
    )
    def put(
        self,
        sid: str,
        purpose: str,
        address: str,
        secret_hash: bytes,
        token_hash: bytes,
        send_attempt: int,
        now: int,
    ) -> None: ...

    @query(
        """update email_proofs set validated_ts = coalesce(validated_ts, %(now)s)
           where sid = %(sid)s and token_hash = %(token_hash)s and not used and created_ts > %(since)s""",
        affected,
    )
    def validate(self, sid: str, token_hash: bytes, now: int, since: int) -> int: ...

    @query(
        """update email_proofs set used = true
           where sid = %(sid)s and purpose = %(purpose)s and secret_hash = %(secret_hash)s and not used
             and validated_ts is not null and created_ts > %(since)s
           returning address, validated_ts""",
        maybe(GivenProof),
    )
    def take(self, sid: str, purpose: str, secret_hash: bytes, since: int) -> GivenProof | None:
        """A proof that was given; it is good no more afterwards."""

    @query("delete from email_proofs where created_ts <= %(before)s", nothing)
    def expire(self, before: int) -> None: ...
