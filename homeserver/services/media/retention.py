"""What copies of other servers' content may take, and taking content away by hand."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from homeserver.clock import Clock
from homeserver.protocol.errors import NotFound
from homeserver.protocol.identifiers import ServerName
from homeserver.services.media.model import MediaName
from storage.database import Database
from storage.tables.media import Copy, MediaRows
from storage.tables.media_contents import MediaContents
from storage.transaction import Transaction

_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class CopyRules:
    """Whose server it is, how much copies may take, and how long (ms) an unused one is kept (None: for ever)."""

    server_name: ServerName
    max_bytes: int
    lifetime_ms: int | None


class Retention:
    """Lets go of content; its bytes are deleted when nothing else needs them."""

    def __init__(self, rules: CopyRules, database: Database, clock: Clock) -> None:
        self._rules = rules
        self._database = database
        self._clock = clock

    async def shrink(self) -> int:
        """Forget copies that are old, and more if there are too many; how many those were."""
        now, forgotten = self._clock.now_ms(), 0
        if self._rules.lifetime_ms is not None:
            before = now - self._rules.lifetime_ms
            while count := await self._database.transact(lambda tx: self._forget(tx, before, 1 << 62, now)):
                forgotten += count
        while (over := await self._over()) > 0:
            count = await self._database.transact(lambda tx: self._forget(tx, now, over, now))
            if count == 0:
                break
            forgotten += count
        return forgotten

    async def delete(self, name: MediaName) -> None:
        """Take away an address with its content. Raises NotFound."""
        now = self._clock.now_ms()

        def delete(tx: Transaction) -> int:
            media = MediaRows(tx).find(name.origin, name.media_id)
            if media is not None and media.sha256 is not None:
                MediaContents(tx).suspect([media.sha256], now)
            return MediaRows(tx).delete(name.origin, name.media_id)

        if not await self._database.transact(delete):
            raise NotFound(f"There is no {name}")

    async def quarantine(self, name: MediaName, by: str | None) -> int:
        """Keep content from everybody under every address, or (`by` None) let go of it; how many addresses it has.

        Raises NotFound.
        """
        count = await self._database.transact(
            lambda tx: MediaRows(tx).quarantine(name.origin, name.media_id, by)
        )
        if not count:
            raise NotFound(f"There is no {name}")
        return count

    async def _over(self) -> int:
        taken = await self._database.read(lambda tx: MediaRows(tx).bytes_of_copies(self._rules.server_name))
        return taken - self._rules.max_bytes

    def _forget(self, tx: Transaction, before: int, enough: int, now: int) -> int:
        """Forget some of the least recently used, until `enough` bytes are gone."""
        rows = MediaRows(tx)
        chosen = list(_up_to(rows.least_used(self._rules.server_name, before, _PAGE), enough))
        for copy in chosen:
            rows.delete(copy.origin, copy.media_id)
        MediaContents(tx).suspect([copy.sha256 for copy in chosen], now)
        return len(chosen)


def _up_to(copies: Iterable[Copy], enough: int) -> Iterable[Copy]:
    for copy in copies:
        if enough <= 0:
            return
        enough -= copy.size
        yield copy
