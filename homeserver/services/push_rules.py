"""Users' push rules.

https://spec.matrix.org/v1.19/client-server-api/#push-rules
"""

from collections.abc import Callable

from msgspec import Struct

from homeserver.protocol.identifiers import UserID
from homeserver.protocol.push_rules.ruleset import Changes as RuleChanges
from homeserver.protocol.push_rules.ruleset import Ruleset, ruleset
from homeserver.services.keyed_locks import KeyedLocks
from storage.database import Database
from storage.journal import Changes, Journal, RunResult, Write
from storage.tables.push_rules import PUT_PUSH_RULES, StoredPushRules
from storage.tables.users import Users
from storage.transaction import Transaction


class RulesChanged(Struct, frozen=True, tag="rules"):
    """What a committed write did: the journal's payload."""

    user_id: UserID


class PushRules:
    """Reads and changes rules; a change reaches the user's clients as `m.push_rules`."""

    def __init__(self, database: Database, journal: Journal, *, threads: bool = False) -> None:
        """``threads``: users subscribe to threads, and there are rules for these."""
        self._database = database
        self._journal = journal
        self._threads = threads
        self._locks: KeyedLocks[UserID] = KeyedLocks()

    async def rules(self, user_id: UserID) -> Ruleset:
        """All rules of a user."""
        changes = await self._database.read(lambda tx: rule_changes(tx, user_id))
        return ruleset(user_id, changes, threads=self._threads)

    async def change(self, user_id: UserID, change: Callable[[RuleChanges], RuleChanges]) -> None:
        """Apply a change to what the user changed. Raises what `change` raises."""

        def write(tx: Transaction) -> RunResult[None]:
            Users(tx).lock_row(user_id)
            before = rule_changes(tx, user_id)
            after = change(before)
            if after == before:
                return RunResult(None)
            return RunResult(None, [PUT_PUSH_RULES.entry(user_id=user_id, changes=after.encode())])

        async with self._locks.holding(user_id):
            change(await self._database.read(lambda tx: rule_changes(tx, user_id)))
            written: Write[None] = Write(
                run=write, changes=Changes(users=frozenset((user_id,))), payload=RulesChanged(user_id)
            )
            await self._journal.write(written)


def rule_changes(tx: Transaction, user_id: UserID) -> RuleChanges:
    """What a user changed."""
    return RuleChanges.decode(StoredPushRules(tx).of_user(user_id))
