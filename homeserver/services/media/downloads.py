"""Finding content: ours, copies of other servers' content, and what is still to come.

https://spec.matrix.org/v1.19/client-server-api/#content-repository
"""

from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from homeserver.clock import Clock
from homeserver.gateways.media_files import FileLost, Reading
from homeserver.protocol.errors import NotFound, NotYetUploaded
from homeserver.protocol.identifiers import ServerName
from homeserver.services.media.arrivals import Arrivals
from homeserver.services.media.library import Library
from homeserver.services.media.metrics import BYTES, LOOKUPS, LOST
from homeserver.services.media.model import MediaName, Shown
from storage.database import Database
from storage.tables.media import Media, MediaRows

log = structlog.get_logger(__name__)

LONGEST_WAIT_MS: Final = 60_000
_USED_EVERY_MS: Final = 3_600_000
"""When content was last used is put on record once an hour."""


@dataclass(frozen=True, slots=True)
class Asking:
    """How somebody asks for content.

    `timeout_ms`: how long they wait for what is not uploaded yet. `remote`: whether other servers may be asked.
    `named`: whether they say who they are (a user or another server); otherwise they get only what came to this server
    before the day from which everybody has to. `even_quarantined`: whether they are an administrator who wants to see
    what nobody gets.
    """

    timeout_ms: int = 20_000
    remote: bool = True
    named: bool = True
    even_quarantined: bool = False


class Elsewhere(Protocol):
    """Other servers' content."""

    async def fetch(self, name: MediaName, timeout_ms: int) -> None:
        """Bring a copy here. Raises NotFound, NotYetUploaded, ElsewhereTooLarge, BadGateway."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """Whose server it is, and what came from this moment (ms) on is only for those who say who they are."""

    server_name: ServerName
    since_ms: int


class Downloads:
    """Gives content."""

    def __init__(
        self,
        frozen: Frozen,
        database: Database,
        library: Library,
        arrivals: Arrivals,
        elsewhere: Elsewhere | None,
        clock: Clock,
    ) -> None:
        """``elsewhere``: None when this server knows no others."""
        self._frozen = frozen
        self._database = database
        self._library = library
        self._arrivals = arrivals
        self._elsewhere = elsewhere
        self._clock = clock

    def is_ours(self, name: MediaName) -> bool:
        """Whether the content was uploaded here."""
        return name.origin == self._frozen.server_name

    async def find(self, name: MediaName, asking: Asking) -> Shown:
        """Find content. Raises NotFound, NotYetUploaded, and what comes of asking another server."""
        outcome = "none"
        try:
            outcome, shown = await self._find(name, asking)
        finally:
            LOOKUPS.labels(outcome).inc()
        return shown

    async def _find(self, name: MediaName, asking: Asking) -> tuple[str, Shown]:
        outcome = "ours" if self.is_ours(name) else "copy"
        timeout_ms = min(asking.timeout_ms, LONGEST_WAIT_MS)
        media = await self._known(name, timeout_ms)
        if media is None and self._may_ask(name, asking):
            if self._elsewhere is not None:
                await self._elsewhere.fetch(name, timeout_ms)
                media, outcome = await self._known(name, 0), "fetched"
        if media is None or (media.quarantined_by is not None and not asking.even_quarantined):
            raise NotFound("There is no such media")
        private = media.created_ts >= self._frozen.since_ms
        if private and not asking.named:
            raise NotFound("This media is only for users who say who they are")
        await self._note_use(media)
        return outcome, _shown(media, private)

    async def open(self, shown: Shown, start: int, length: int) -> Reading:
        """Read bytes of content. Raises NotFound when it is lost."""
        try:
            reading = await self._library.open(shown.file, start, length)
        except FileLost as error:
            LOST.inc()
            log.error("media_file_lost", file=shown.file, reason=str(error))
            raise NotFound("The content of this media is lost") from error
        BYTES.labels("given").inc(length)
        return reading

    def public_url(self, shown: Shown, disposition: str) -> str | None:
        """Where a client can fetch the content by itself, if there is such a place."""
        return self._library.public_url(shown.file, shown.content_type, disposition)

    def _may_ask(self, name: MediaName, asking: Asking) -> bool:
        """What would be fetched now is new, so that whoever does not say who they are would not get it."""
        fresh_is_private = self._clock.now_ms() >= self._frozen.since_ms
        return not self.is_ours(name) and asking.remote and (asking.named or not fresh_is_private)

    async def _known(self, name: MediaName, timeout_ms: int) -> Media | None:
        """What is on record, once its content is there."""
        until = self._clock.seconds() + timeout_ms / 1000
        while True:
            media = await self._database.read(lambda tx: MediaRows(tx).find(name.origin, name.media_id))
            if media is None or media.sha256 is not None:
                return media
            if media.expires_ts is not None and media.expires_ts <= self._clock.now_ms():
                return None
            left = until - self._clock.seconds()
            if left <= 0:
                raise NotYetUploaded
            await self._arrivals.wait(name, left)

    async def _note_use(self, media: Media) -> None:
        now = self._clock.now_ms()
        if media.last_used_ts < now - _USED_EVERY_MS:
            await self._database.transact(lambda tx: MediaRows(tx).used(media.origin, media.media_id, now))


def _shown(media: Media, private: bool) -> Shown:
    if media.sha256 is None or media.size is None or media.file is None:
        raise NotFound("There is no such media")
    return Shown(media.sha256, media.size, media.file, media.content_type, media.filename, private)
