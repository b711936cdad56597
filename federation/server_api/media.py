"""Our users' content for other servers: https://spec.matrix.org/v1.19/server-server-api/#content-repository"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from federation.wire.media import MEDIA_DOWNLOAD, MEDIA_THUMBNAIL
from federation.wire.multipart import closing, opening
from homeserver.clock import Randomness
from homeserver.gateways.media_files import Reading
from homeserver.http.authentication import Origin, server_signature
from homeserver.http.decoding import Natural
from homeserver.http.encoding import Response, Stream
from homeserver.http.endpoint import Path, Query, endpoint
from homeserver.protocol.content_disposition import disposition
from homeserver.protocol.identifiers import MediaID, ServerName
from homeserver.services.media.downloads import Asking, Downloads
from homeserver.services.media.model import MediaName, Shown
from homeserver.services.media.thumbnail_sizes import Method
from homeserver.services.media.thumbnails import Thumbnails, wished

_SPEC: Final = "server-server-api/#"
_WAIT: Final = Natural(20_000)
_BOUNDARY_LETTERS: Final = 32


@dataclass(frozen=True, slots=True)
class ServerMediaApi:
    """Only what was uploaded here: what other servers have is theirs to give."""

    server_name: ServerName
    downloads: Downloads
    thumbnails: Thumbnails
    random: Randomness

    @endpoint(
        MEDIA_DOWNLOAD.method,
        MEDIA_DOWNLOAD.path,
        auth=server_signature,
        spec=f"{_SPEC}get_matrixfederationv1mediadownloadmediaid",
    )
    async def download(
        self, origin: Origin, media_id: Path[MediaID], timeout_ms: Query[Natural] = _WAIT
    ) -> Response | Stream:
        """Give content."""
        name = MediaName(self.server_name, media_id)
        return await self._answer(await self.downloads.find(name, Asking(timeout_ms, remote=False)))

    @endpoint(
        MEDIA_THUMBNAIL.method,
        MEDIA_THUMBNAIL.path,
        auth=server_signature,
        spec=f"{_SPEC}get_matrixfederationv1mediathumbnailmediaid",
    )
    async def thumbnail(
        self,
        origin: Origin,
        media_id: Path[MediaID],
        width: Query[int],
        height: Query[int],
        method: Query[Method] = "scale",
        animated: Query[bool] = False,
        timeout_ms: Query[Natural] = _WAIT,
    ) -> Response | Stream:
        """Give a thumbnail."""
        name, wish = MediaName(self.server_name, media_id), wished(width, height, method, animated)
        shown = await self.downloads.find(name, Asking(timeout_ms, remote=False))
        return await self._answer(await self.thumbnails.of(shown, wish, ours=True))

    async def _answer(self, shown: Shown) -> Response | Stream:
        boundary = self.random.letters(_BOUNDARY_LETTERS)
        headers = (("Content-Type", f"multipart/mixed; boundary={boundary}"),)
        disposed = disposition(shown.content_type, shown.filename)
        url = self.downloads.public_url(shown, disposed)
        if url is not None:
            return Response(200, headers, opening(boundary, {"Location": url}) + closing(boundary))
        described = {"Content-Type": shown.content_type, "Content-Disposition": disposed}
        before, after = opening(boundary, described), closing(boundary)
        reading = await self.downloads.open(shown, 0, shown.size)
        length = len(before) + shown.size + len(after)
        return Stream(_Framed(before, reading, after), headers=headers, length=length)


class _Framed:
    """Content with what comes before it and after it."""

    def __init__(self, before: bytes, content: Reading, after: bytes) -> None:
        self._before: bytes | None = before
        self._content = content
        self._after: bytes | None = after

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        before, self._before = self._before, None
        if before is not None:
            return before
        try:
            return await self._content.__anext__()
        except StopAsyncIteration:
            after, self._after = self._after, None
            if after is None:
                raise
            return after

    async def aclose(self) -> None:
        """Let go of the content."""
        await self._content.aclose()
