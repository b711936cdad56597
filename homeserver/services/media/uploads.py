"""Content that our users bring, at once or for an address that they were given before.

https://spec.matrix.org/v1.19/client-server-api/#content-repository
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from homeserver.clock import Clock, Randomness
from homeserver.gateways.media_spool import Incoming, Spooled
from homeserver.protocol import content_disposition
from homeserver.protocol.errors import CannotOverwriteMedia, Forbidden, LimitExceeded, NotFound, UserSuspended
from homeserver.protocol.identifiers import MediaID, ServerName
from homeserver.protocol.requester import Requester
from homeserver.services.media.arrivals import Arrivals
from homeserver.services.media.fullness import Fullness
from homeserver.services.media.library import Library
from homeserver.services.media.metrics import BYTES
from homeserver.services.media.model import MediaName
from storage.database import Database
from storage.tables.media import Media, MediaRows
from storage.tables.media_quarantine import MediaQuarantine
from storage.transaction import Transaction

_ID_LETTERS = 24
_IN_QUARANTINE = "This content is in quarantine"


@dataclass(frozen=True, slots=True)
class UploadRules:
    """Whose server it is, and how much a user and all of them may bring."""

    server_name: ServerName
    max_bytes: int
    max_user_bytes: int | None
    max_server_bytes: int | None
    max_pending: int
    pending_lifetime_ms: int


@dataclass(frozen=True, slots=True)
class Brought:
    """Content on its way in, with what the client says of it."""

    body: AsyncIterator[bytes]
    content_type: str | None
    filename: str | None


@dataclass(frozen=True, slots=True)
class Reserved:
    """An address, and until when (ms since the epoch) its content may be uploaded."""

    name: MediaName
    expires_ts: int


class Uploads:
    """Takes content."""

    def __init__(
        self,
        rules: UploadRules,
        database: Database,
        library: Library,
        arrivals: Arrivals,
        clock: Clock,
        random: Randomness,
    ) -> None:
        self._rules = rules
        self._database = database
        self._library = library
        self._arrivals = arrivals
        self._clock = clock
        self._random = random
        self._fullness = Fullness(database, clock)

    async def upload(self, who: Requester, brought: Brought) -> MediaName:
        """Take content and give it an address. Raises TooLarge, Forbidden, UserSuspended."""
        _check(who)
        await self._check_quota(who)
        name = self._new_name()
        media_type = content_disposition.content_type(brought.content_type)
        filename = content_disposition.filename(brought.filename)

        def refer(whole: Spooled, tx: Transaction) -> None:
            now = self._clock.now_ms()
            self._check_room(who, whole, tx)
            if not MediaRows(tx).add_allowed(
                name.origin, name.media_id, whole.sha256, who.user_id, media_type, filename, now
            ):
                raise Forbidden(_IN_QUARANTINE)

        def forget(tx: Transaction) -> None:
            MediaRows(tx).delete(name.origin, name.media_id)

        async with self._taken(brought.body) as incoming:
            await self._library.keep_unheard(incoming, refer, forget)
        return name

    async def reserve(self, who: Requester) -> Reserved:
        """Give an address for content that will come. Raises LimitExceeded, UserSuspended."""
        _check(who)
        name, now = self._new_name(), self._clock.now_ms()
        expires_ts = now + self._rules.pending_lifetime_ms

        def reserve(tx: Transaction) -> None:
            rows = MediaRows(tx)
            rows.lock_uploads(who.user_id)
            pending = rows.pending(who.user_id, now)
            if pending is not None and pending.number >= self._rules.max_pending:
                soonest = pending.first_expires_ts or expires_ts
                raise LimitExceeded(
                    "Too many addresses still wait for their content", retry_after_ms=max(1, soonest - now)
                )
            rows.reserve(name.origin, name.media_id, who.user_id, now, expires_ts)

        await self._database.transact(reserve)
        return Reserved(name, expires_ts)

    async def fill(self, who: Requester, name: MediaName, brought: Brought) -> None:
        """Take the content of an address. Raises NotFound, Forbidden, CannotOverwriteMedia, TooLarge."""
        _check(who)
        self._check_fillable(who, name, await self._database.read(lambda tx: _find(tx, name)))
        await self._check_quota(who)
        media_type = content_disposition.content_type(brought.content_type)
        filename = content_disposition.filename(brought.filename)

        def refer(whole: Spooled, tx: Transaction) -> None:
            now = self._clock.now_ms()
            if MediaQuarantine(tx).is_forbidden(whole.sha256):
                raise Forbidden(_IN_QUARANTINE)
            self._check_room(who, whole, tx)
            filled = MediaRows(tx).fill(name.origin, name.media_id, whole.sha256, media_type, filename, now)
            if not filled:
                self._check_fillable(who, name, _find(tx, name))

        async with self._taken(brought.body) as incoming:
            whole = await incoming.finish()
            await self._library.keep(whole, lambda tx: refer(whole, tx))
        self._arrivals.arrived(name)

    async def expire(self) -> int:
        """Forget the addresses whose content did not come in time; how many that were."""
        now = self._clock.now_ms()
        return await self._database.transact(lambda tx: MediaRows(tx).expire(now))

    async def _check_quota(self, who: Requester) -> None:
        """Refuse before anything is read what cannot be kept."""
        most = self._rules.max_server_bytes
        if most is not None and await self._fullness.bytes() >= most:
            raise Forbidden("This server has no room for more files")
        quota = self._rules.max_user_bytes
        if quota is not None:
            if await self._database.read(lambda tx: MediaRows(tx).bytes_of_user(who.user_id)) >= quota:
                raise Forbidden("You have uploaded as much as you may")

    def _check_room(self, who: Requester, whole: Spooled, tx: Transaction) -> None:
        """Refuse what is known to be too much only now, and let nobody else count meanwhile."""
        quota = self._rules.max_user_bytes
        if quota is not None:
            MediaRows(tx).lock_uploads(who.user_id)
            if MediaRows(tx).bytes_of_user(who.user_id) + whole.size > quota:
                raise Forbidden("This would be more than you may upload")

    def _check_fillable(self, who: Requester, name: MediaName, media: Media | None) -> None:
        if media is None or media.origin != self._rules.server_name:
            raise NotFound("There is no such media ID")
        if media.user_id != who.user_id:
            raise Forbidden("Somebody else was given this media ID")
        if media.sha256 is not None:
            raise CannotOverwriteMedia
        if media.expires_ts is not None and media.expires_ts <= self._clock.now_ms():
            raise NotFound("The media ID has expired")

    @asynccontextmanager
    async def _taken(self, body: AsyncIterator[bytes]) -> AsyncIterator[Incoming]:
        """The body as a file in the making, of which nothing is left if it cannot be kept."""
        incoming = self._library.begin(self._rules.max_bytes)
        try:
            async for piece in body:
                await incoming.write(piece)
            yield incoming
        except BaseException:
            await incoming.discard()
            raise
        self._fullness.add(incoming.size)
        BYTES.labels("uploaded").inc(incoming.size)

    def _new_name(self) -> MediaName:
        return MediaName(self._rules.server_name, MediaID(self._random.letters(_ID_LETTERS)))


def _find(tx: Transaction, name: MediaName) -> Media | None:
    return MediaRows(tx).find(name.origin, name.media_id)


def _check(who: Requester) -> None:
    if who.is_suspended:
        raise UserSuspended
