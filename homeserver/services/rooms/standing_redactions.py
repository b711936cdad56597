"""Redacting what relates to a redacted event and comes later, on behalf of who wanted that redacted too.

"If an event that matches the redaction criteria comes down federation after redaction requests has completed, the
server must attempt to redact it on behalf of the redaction request's sender."

https://github.com/matrix-org/matrix-spec-proposals/pull/3912
"""

from collections.abc import Iterable

import structlog

from homeserver.clock import Clock
from homeserver.protocol.errors import MatrixError
from homeserver.protocol.identifiers import EventID
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.after_commits import AfterCommits
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.persist import RoomCommit
from homeserver.services.rooms.redacting import Redacting
from storage.database import Database
from storage.journal import Journal
from storage.tables.redactions import StandingRedaction, StandingRedactions
from storage.tables.users import Users

log = structlog.get_logger(__name__)


class StandingRedactionsWork(AfterCommits[EventID]):
    """Looks at the events to which others relate now. Nearly none is redacted, which is known in memory."""

    def __init__(
        self, database: Database, journal: Journal, events: EventStore, redacting: Redacting, clock: Clock
    ) -> None:
        super().__init__(journal, clock)
        self._database = database
        self._events = events
        self._redacting = redacting

    async def _on_record(self) -> Iterable[EventID]:
        return await self._database.read(lambda tx: StandingRedactions(tx).with_more())

    def _asked(self, commit: RoomCommit) -> Iterable[EventID]:
        return commit.parents

    async def _do(self, wanted: list[EventID]) -> None:
        parents = await self._events.by_ids(wanted)
        redacted = [event_id for event_id, stored in parents.items() if stored.redacted_by is not None]
        if not redacted:
            return
        for standing in await self._database.read(lambda tx: StandingRedactions(tx).of(redacted)):
            who = await self._requester(standing)
            if who is None:
                continue
            content = {} if standing.reason is None else {"reason": standing.reason}
            try:
                await self._redacting.redact_children(
                    who, standing.room_id, standing.event_id, standing.rel_types, content
                )
            except (MatrixError, LookupError) as error:
                log.info("late relations stay", event_id=standing.event_id, error=str(error))

    async def _requester(self, standing: StandingRedaction) -> Requester | None:
        """Who wanted it, as they are now."""
        account = await self._database.read(lambda tx: Users(tx).account(standing.user_id))
        if account is None or account.deactivated or account.locked:
            return None
        return Requester(
            standing.user_id, None, None, is_guest=account.is_guest, is_suspended=account.suspended
        )
