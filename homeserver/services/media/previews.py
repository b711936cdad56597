"""Previews of pages: fetched once for everybody, and kept for a while.

https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediapreview_url
"""

import json
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urldefrag, urlsplit

import structlog
from twisted.internet.defer import Deferred, DeferredSemaphore

from homeserver.clock import Clock, Randomness
from homeserver.gateways.http_client import OutboundError, joined
from homeserver.protocol.errors import Forbidden, InvalidParam, LimitExceeded
from homeserver.protocol.identifiers import MediaID, ServerName
from homeserver.services.media.library import Library
from homeserver.services.media.page_fetching import NothingToTell, Page, PageFetcher, Picture
from storage.database import Database
from storage.tables.media import MediaRows
from storage.tables.media_contents import MediaContents
from storage.tables.url_previews import UrlPreviews
from storage.transaction import Transaction

log = structlog.get_logger(__name__)

MAX_URL: Final = 2048
AT_ONCE: Final = 4
MOST_UNDER_WAY: Final = 100
"""Pages that are fetched or wait for it; whoever asks for one more is to come again."""
_COME_AGAIN_MS: Final = 2000
NOTHING_LIFETIME_MS: Final = 5 * 60_000
"""That nothing can be told of a page is kept for so long."""
_PAGE: Final = 100
_ID_LETTERS: Final = 24


@dataclass(frozen=True, slots=True)
class PreviewRules:
    """Whose server it is, and how long previews are kept."""

    server_name: ServerName
    lifetime_ms: int


class Previews:
    """Tells what pages say of themselves."""

    def __init__(
        self,
        rules: PreviewRules,
        database: Database,
        library: Library,
        fetcher: PageFetcher,
        clock: Clock,
        random: Randomness,
    ) -> None:
        self._rules = rules
        self._database = database
        self._library = library
        self._fetcher = fetcher
        self._clock = clock
        self._random = random
        self._slots = DeferredSemaphore(AT_ONCE)
        self._under_way: dict[str, list[Deferred[None]]] = {}

    async def of(self, url: str) -> dict[str, Any]:
        """What a page says of itself; nothing if it cannot be asked. Raises InvalidParam, Forbidden,
        LimitExceeded.
        """
        url = self._checked(url)
        known = await self._known(url)
        if known is None:
            await self._make_once(url)
            known = await self._known(url)
        return known or {}

    async def expire(self) -> None:
        """Forget what is old, with its pictures."""
        name, now = self._rules.server_name, self._clock.now_ms()

        def expire(tx: Transaction) -> int:
            pictures = UrlPreviews(tx).expire(now, _PAGE)
            gone = UrlPreviews(tx).delete_pictures(name, [each for each in pictures if each])
            MediaContents(tx).suspect(gone, now)
            return len(pictures)

        while await self._database.transact(expire) == _PAGE:
            pass

    def _checked(self, url: str) -> str:
        try:
            url = urldefrag(url.strip())[0]
            parts = urlsplit(url)
            host = (parts.hostname or "").rstrip(".")
        except ValueError:
            raise InvalidParam("Not a URL") from None
        if (
            parts.scheme not in ("http", "https")
            or not host
            or len(url) > MAX_URL
            or parts.username is not None
        ):
            raise InvalidParam("Not a URL of which there are previews")
        if not self._fetcher.permits(host):
            raise Forbidden("There are no previews of this host")
        return url

    async def _known(self, url: str) -> dict[str, Any] | None:
        found = await self._database.read(lambda tx: UrlPreviews(tx).find(url))
        if found is None or found.expires_ts <= self._clock.now_ms():
            return None
        answer: dict[str, Any] = json.loads(found.answer) if found.answer else {}
        return answer

    async def _make_once(self, url: str) -> None:
        """Make it; whoever asks meanwhile waits for the same one."""
        others = self._under_way.get(url)
        if others is not None:
            waiting: Deferred[None] = Deferred()
            others.append(waiting)
            await waiting
            return
        if len(self._under_way) >= MOST_UNDER_WAY:
            raise LimitExceeded("Too many pages wait to be fetched", retry_after_ms=_COME_AGAIN_MS)
        self._under_way[url] = []
        await self._slots.acquire()
        try:
            await self._make(url)
        finally:
            self._slots.release()
            for each in self._under_way.pop(url):
                each.callback(None)

    async def _make(self, url: str) -> None:
        try:
            page = await self._fetcher.page(url)
            picture = page.picture or await self._picture_of(page)
        except NothingToTell as error:
            log.info("no_preview", reason=str(error)[:200])
            await self._database.transact(lambda tx: self._put(tx, url, "", None))
            return
        answer: dict[str, Any] = dict(page.properties)
        answer.pop("og:image", None)
        if picture is None:
            text = json.dumps(answer)
            await self._database.transact(lambda tx: self._put(tx, url, text, None))
            return
        media_id = MediaID(self._random.letters(_ID_LETTERS))
        answer |= {
            "og:image": f"mxc://{self._rules.server_name}/{media_id}",
            "og:image:type": picture.made.type,
            "og:image:width": picture.made.width,
            "og:image:height": picture.made.height,
            "matrix:image:size": picture.whole.size,
        }
        text = json.dumps(answer)
        await self._library.keep(picture.whole, lambda tx: self._put(tx, url, text, (media_id, picture)))

    async def _picture_of(self, page: Page) -> Picture | None:
        source = page.properties.get("og:image")
        if source is None:
            return None
        try:
            return await self._fetcher.picture(self._checked(joined(page.url, source)))
        except (NothingToTell, OutboundError, InvalidParam, Forbidden):
            return None

    def _put(self, tx: Transaction, url: str, text: str, picture: tuple[MediaID, Picture] | None) -> None:
        name, now, previews = self._rules.server_name, self._clock.now_ms(), UrlPreviews(tx)
        MediaContents(tx).suspect(previews.delete_pictures(name, previews.pictures_of(url)), now)
        lifetime = self._rules.lifetime_ms if text else NOTHING_LIFETIME_MS
        previews.put(url, text, None if picture is None else picture[0], now + lifetime)
        if picture is not None:
            media_id, kept = picture
            MediaRows(tx).add(name, media_id, kept.whole.sha256, None, kept.made.type, None, now)
