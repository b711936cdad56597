"""How long content stays: copies of other servers' content, files of our users, and taking content away by hand."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from homeserver.clock import Clock
from homeserver.protocol.errors import NotFound
from homeserver.protocol.identifiers import MediaID, ServerName
from homeserver.services.media.model import MediaName
from storage.database import Database
from storage.tables.media import Copy, MediaRows
from storage.tables.media_contents import MediaContents
from storage.tables.media_inventory import MediaInventory
from storage.transaction import Transaction

_PAGE: Final = 100
_FOREVER: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class RetentionRules:
    """Whose server it is, how much copies may take, and how long (ms) an unused copy and an unused file of our users
    are kept (None: for ever).
    """

    server_name: ServerName
    max_bytes: int
    copy_lifetime_ms: int | None
    own_lifetime_ms: int | None


@dataclass(frozen=True, slots=True)
class Unwanted:
    """Files of our users that nobody got since a moment (ms since the epoch) and that are larger than a size."""

    before: int
    larger_than: int = 0
    keep_avatars: bool = True
    keep_quarantined: bool = False


class Retention:
    """Lets go of content; its bytes are deleted when nothing else needs them."""

    def __init__(self, rules: RetentionRules, database: Database, clock: Clock) -> None:
        self._rules = rules
        self._database = database
        self._clock = clock

    async def shrink(self) -> int:
        """Forget what is too old, and more copies if there are too many; how many addresses those were."""
        now, forgotten = self._clock.now_ms(), 0
        if self._rules.own_lifetime_ms is not None:
            unwanted = Unwanted(now - self._rules.own_lifetime_ms, -1, keep_quarantined=True)
            forgotten += len(await self.delete_unwanted(unwanted))
        if self._rules.copy_lifetime_ms is not None:
            forgotten += await self.forget_copies(now - self._rules.copy_lifetime_ms)
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

    async def delete_ours(self, media_ids: Sequence[MediaID]) -> list[MediaID]:
        """Take away addresses of ours; those that there were."""
        deleted: list[MediaID] = []
        for start in range(0, len(media_ids), _PAGE):
            some = list(media_ids[start : start + _PAGE])
            deleted += await self._database.transact(partial(self._delete, media_ids=some))
        return deleted

    async def delete_unwanted(self, unwanted: Unwanted) -> list[MediaID]:
        """Take away what users uploaded and nobody wanted for long; protected files stay."""
        deleted: list[MediaID] = []
        while some := await self._database.transact(lambda tx: self._delete_unwanted(tx, unwanted)):
            deleted += some
        return deleted

    async def forget_copies(self, before: int) -> int:
        """Forget copies that were not used since a moment; how many those were."""
        now, forgotten = self._clock.now_ms(), 0
        while count := await self._database.transact(
            lambda tx: self._forget(tx, min(before, _FOREVER), _FOREVER, now)
        ):
            forgotten += count
        return forgotten

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

    def _delete_unwanted(self, tx: Transaction, unwanted: Unwanted) -> list[MediaID]:
        return self._delete(
            tx,
            MediaInventory(tx).unwanted(
                self._rules.server_name,
                min(unwanted.before, _FOREVER),
                min(unwanted.larger_than, _FOREVER),
                unwanted.keep_avatars,
                unwanted.keep_quarantined,
                _PAGE,
            ),
        )

    def _delete(self, tx: Transaction, media_ids: list[MediaID]) -> list[MediaID]:
        gone = MediaRows(tx).delete_ours(self._rules.server_name, media_ids)
        MediaContents(tx).suspect([each.sha256 for each in gone], self._clock.now_ms())
        return [each.media_id for each in gone]


def _up_to(copies: Iterable[Copy], enough: int) -> Iterable[Copy]:
    for copy in copies:
        if enough <= 0:
            return
        enough -= copy.size
        yield copy
