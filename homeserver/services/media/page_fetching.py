"""Fetching what strangers' pages are made of, within limits, through the client that judges every address."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final
from urllib.parse import urlsplit

import msgspec
from twisted.web.http_headers import Headers

from homeserver.gateways.http_client import Answer, HttpClient, Limits, OutboundError, Sink, joined
from homeserver.gateways.media_processes import Made, MediaProcesses
from homeserver.gateways.media_spool import Incoming, Spooled
from homeserver.protocol.content_disposition import essence
from homeserver.protocol.errors import TooLarge
from homeserver.services.media.library import Library

_SECONDS: Final = 20.0
_REDIRECTS: Final = 5
_MOVED: Final = frozenset((301, 302, 303, 307, 308))
_MAX_OEMBED: Final = 256 * 1024
_PAGES: Final = frozenset(("text/html", "application/xhtml+xml"))
_MANY: Final = 1 << 40


@dataclass(frozen=True, slots=True)
class PageLimits:
    """How much of a page and of its picture is read, and in which languages pages are asked for."""

    page_bytes: int
    image_bytes: int
    accept_language: str
    deny_hosts: tuple[str, ...]
    allow_hosts: tuple[str, ...] = ()

    def permits(self, host: str) -> bool:
        """Whether a host may be asked at all."""
        host = host.lower().rstrip(".")
        if self.allow_hosts and not _is_among(host, self.allow_hosts):
            return False
        return not _is_among(host, self.deny_hosts)


def _is_among(host: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(host, pattern.lower()) for pattern in patterns)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that was fetched: a temporary file, and what it is."""

    whole: Spooled
    made: Made


class OEmbed(msgspec.Struct, frozen=True):
    """What a site tells of one of its pages: https://oembed.com/"""

    title: str | None = None
    author_name: str | None = None
    provider_name: str | None = None
    thumbnail_url: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A page: where it was in the end, its properties, or the one picture that it is."""

    url: str
    properties: dict[str, str]
    picture: Picture | None = None


class NothingToTell(Exception):
    """The page cannot be fetched, or is of no kind that anything can be told of."""


class PageFetcher:
    """Fetches pages and pictures."""

    def __init__(
        self, http: HttpClient, library: Library, processes: MediaProcesses, limits: PageLimits
    ) -> None:
        self._http = http
        self._library = library
        self._processes = processes
        self._limits = limits

    def permits(self, host: str) -> bool:
        """Whether a host may be asked at all."""
        return self._limits.permits(host)

    async def page(self, url: str) -> Page:
        """Fetch a page, or a picture. Raises NothingToTell."""
        fetched = await self._fetch(url, self._limits.page_bytes)
        if fetched.is_page:
            return await self._read(fetched)
        picture = await self._measured(fetched.whole)
        return Page(fetched.url, {}, picture)

    async def picture(self, url: str) -> Picture:
        """Fetch a picture. Raises NothingToTell."""
        fetched = await self._fetch(url, 0)
        return await self._measured(fetched.whole)

    async def discard(self, picture: Picture) -> None:
        """Let go of a picture that is not wanted."""
        await self._library.discard(picture.whole.path)

    async def _read(self, fetched: "_Fetched") -> Page:
        try:
            read = await self._processes.read_page(fetched.whole.path, fetched.content_type)
        finally:
            await self._library.discard(fetched.whole.path)
        if read.failure is not None:
            raise NothingToTell("the page cannot be read")
        properties = dict(read.properties)
        if read.oembed is not None:
            await self._add_oembed(properties, fetched.url, read.oembed)
        return Page(fetched.url, properties)

    async def _add_oembed(self, properties: dict[str, str], page_url: str, reference: str) -> None:
        """What the page itself says counts first."""
        try:
            answer = await self._ask([joined(page_url, reference)], _MAX_OEMBED, {})
            told = msgspec.json.decode(answer.body, type=OEmbed) if answer.status == 200 else OEmbed()
        except (OutboundError, msgspec.MsgspecError, ValueError):
            return
        for name, value in (
            ("og:title", told.title),
            ("og:site_name", told.provider_name),
            ("og:image", told.thumbnail_url),
            ("og:article:author", told.author_name),
        ):
            if value and "\0" not in value:
                properties.setdefault(name, value[:1000])

    async def _measured(self, whole: Spooled) -> Picture:
        made = await self._processes.measure(whole.path)
        if made.failure is not None:
            await self._library.discard(whole.path)
            raise NothingToTell("it is no picture")
        return Picture(whole, made)

    async def _fetch(self, url: str, page_bytes: int) -> "_Fetched":
        """Fetch a page (not with `page_bytes` 0) or a picture as a temporary file. Raises NothingToTell."""
        incoming = self._library.begin(self._limits.image_bytes + self._limits.page_bytes)
        taker = _Taker(incoming, page_bytes, self._limits.image_bytes)
        headers = {
            "Accept-Language": self._limits.accept_language,
            "Accept": "text/html, image/*;q=0.9, */*;q=0.1",
        }
        trail = [url]
        try:
            try:
                answer = await self._ask(trail, _MANY, headers, taker.opened)
                if answer.status != 200:
                    raise NothingToTell(f"it answered {answer.status}")
            except OutboundError as error:
                if not taker.cut:
                    raise NothingToTell(str(error)) from error
            return _Fetched(trail[-1], taker.content_type, taker.is_page, await incoming.finish())
        except (TooLarge, NothingToTell) as error:
            await incoming.discard()
            raise NothingToTell(str(error)) from error
        except BaseException:
            await incoming.discard()
            raise

    async def _ask(
        self, trail: list[str], max_bytes: int, headers: Mapping[str, str], sink: Sink | None = None
    ) -> Answer:
        """Ask the last URL of a trail, and make it longer by redirects. Raises OutboundError."""
        while True:
            url = trail[-1]
            if not self._limits.permits(_host_of(url)):
                raise OutboundError("its host is not to be asked")
            limits = Limits(max_bytes, _SECONDS)
            answer = await self._http.request("GET", url, headers=headers, limits=limits, sink=sink)
            location = answer.header("Location")
            if answer.status not in _MOVED or location is None:
                return answer
            if len(trail) > _REDIRECTS:
                raise OutboundError("it redirects too often")
            trail.append(joined(url, location))


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        raise OutboundError("it is no URL") from None


@dataclass(frozen=True, slots=True)
class _Fetched:
    url: str
    content_type: str
    is_page: bool
    whole: Spooled


class _Taker:
    """Takes as much as is wanted of a page, all of a picture, and nothing of anything else."""

    def __init__(self, incoming: Incoming, page_bytes: int, image_bytes: int) -> None:
        self._incoming = incoming
        self._page_bytes = page_bytes
        self._image_bytes = image_bytes
        self._taken = 0
        self.content_type = ""
        self.is_page = False
        self.cut = False

    def opened(self, headers: Headers) -> Callable[[bytes], object]:
        """Look at the headers. Raises NothingToTell."""
        values = headers.getRawHeaders("Content-Type")
        self.content_type = values[-1] if values else ""
        kind = essence(self.content_type)
        self.is_page = kind in _PAGES and self._page_bytes > 0
        if not self.is_page and not kind.startswith("image/"):
            raise OutboundError("it is neither a page nor a picture")
        return self._take

    def _take(self, data: bytes) -> object:
        most = self._page_bytes if self.is_page else self._image_bytes
        self._taken += len(data)
        if self._taken > most:
            if not self.is_page:
                raise OutboundError("the picture is too large")
            self.cut = True
            _ = self._incoming.take(data[: len(data) - (self._taken - most)])
            raise OutboundError("that is enough of the page")
        return self._incoming.take(data)
