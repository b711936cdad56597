"""Content for clients: https://spec.matrix.org/v1.19/client-server-api/#content-repository"""

from dataclasses import dataclass
from typing import Final

import msgspec

from homeserver.client_api.media_answers import content_answer
from homeserver.http.authentication import access_token_or_guest, no_auth
from homeserver.http.decoding import Natural
from homeserver.http.encoding import Response, Stream
from homeserver.http.endpoint import Path, Query, endpoint
from homeserver.http.request import Request
from homeserver.protocol.identifiers import MediaID, ServerName
from homeserver.protocol.requester import Requester
from homeserver.services.media.downloads import Asking, Downloads
from homeserver.services.media.model import MediaName
from homeserver.services.media.thumbnail_sizes import Method
from homeserver.services.media.thumbnails import Thumbnails, wished

_SPEC: Final = "client-server-api/#"
_WAIT: Final = Natural(20_000)


class MediaConfigAnswer(msgspec.Struct, frozen=True):
    """What a client should know before it uploads."""

    upload_size: int = msgspec.field(name="m.upload.size")


@dataclass(frozen=True, slots=True)
class MediaApi:
    """For users with a token."""

    downloads: Downloads
    thumbnails: Thumbnails
    max_upload_bytes: int

    @endpoint(
        "GET",
        "/_matrix/client/v1/media/download/{server_name}/{media_id}",
        "/_matrix/client/v1/media/download/{server_name}/{media_id}/{file_name}",
        auth=access_token_or_guest,
        limit="downloads",
        spec=f"{_SPEC}get_matrixclientv1mediadownloadservernamemediaid",
    )
    async def download(
        self,
        who: Requester,
        request: Request,
        server_name: Path[ServerName],
        media_id: Path[MediaID],
        file_name: Path[str | None] = None,
        timeout_ms: Query[Natural] = _WAIT,
        admin_unsafely_bypass_quarantine: Query[bool] = False,
    ) -> Response | Stream:
        """Download content, under its own name or another one."""
        asking = Asking(timeout_ms, even_quarantined=who.is_admin and admin_unsafely_bypass_quarantine)
        shown = await self.downloads.find(MediaName(server_name, media_id), asking)
        return await content_answer(self.downloads, shown, request, file_name)

    @endpoint(
        "GET",
        "/_matrix/client/v1/media/thumbnail/{server_name}/{media_id}",
        auth=access_token_or_guest,
        limit="downloads",
        spec=f"{_SPEC}get_matrixclientv1mediathumbnailservernamemediaid",
    )
    async def thumbnail(
        self,
        who: Requester,
        request: Request,
        server_name: Path[ServerName],
        media_id: Path[MediaID],
        width: Query[int],
        height: Query[int],
        method: Query[Method] = "scale",
        animated: Query[bool] = False,
        timeout_ms: Query[Natural] = _WAIT,
    ) -> Response | Stream:
        """Download a thumbnail."""
        name, wish = MediaName(server_name, media_id), wished(width, height, method, animated)
        shown = await self.downloads.find(name, Asking(timeout_ms))
        thumbnail = await self.thumbnails.of(shown, wish, ours=self.downloads.is_ours(name))
        return await content_answer(self.downloads, thumbnail, request)

    @endpoint(
        "GET",
        "/_matrix/client/v1/media/config",
        "/_matrix/media/{v3,r0,v1}/config",
        auth=access_token_or_guest,
        spec=f"{_SPEC}get_matrixclientv1mediaconfig",
    )
    async def config(self, who: Requester) -> MediaConfigAnswer:
        """Tell how large an upload may be."""
        return MediaConfigAnswer(self.max_upload_bytes)


@dataclass(frozen=True, slots=True)
class OldMediaApi:
    """For whoever has no token: only content that came here before the day from which everybody needs one.

    https://spec.matrix.org/v1.19/client-server-api/#content-repo-client-behaviour
    """

    downloads: Downloads
    thumbnails: Thumbnails

    @endpoint(
        "GET",
        "/_matrix/media/{v3,r0,v1}/download/{server_name}/{media_id}",
        "/_matrix/media/{v3,r0,v1}/download/{server_name}/{media_id}/{file_name}",
        auth=no_auth,
        limit="downloads",
        spec=f"{_SPEC}get_matrixmediav3downloadservernamemediaid",
    )
    async def download(
        self,
        request: Request,
        server_name: Path[ServerName],
        media_id: Path[MediaID],
        file_name: Path[str | None] = None,
        allow_remote: Query[bool] = True,
        allow_redirect: Query[bool] = False,
        timeout_ms: Query[Natural] = _WAIT,
    ) -> Response | Stream:
        """Download older content without a token."""
        asking = Asking(timeout_ms, remote=allow_remote, named=False)
        shown = await self.downloads.find(MediaName(server_name, media_id), asking)
        return await content_answer(self.downloads, shown, request, file_name, redirect=allow_redirect)

    @endpoint(
        "GET",
        "/_matrix/media/{v3,r0,v1}/thumbnail/{server_name}/{media_id}",
        auth=no_auth,
        limit="downloads",
        spec=f"{_SPEC}get_matrixmediav3thumbnailservernamemediaid",
    )
    async def thumbnail(
        self,
        request: Request,
        server_name: Path[ServerName],
        media_id: Path[MediaID],
        width: Query[int],
        height: Query[int],
        method: Query[Method] = "scale",
        animated: Query[bool] = False,
        allow_remote: Query[bool] = True,
        allow_redirect: Query[bool] = False,
        timeout_ms: Query[Natural] = _WAIT,
    ) -> Response | Stream:
        """Download a thumbnail of older content without a token."""
        name, wish = MediaName(server_name, media_id), wished(width, height, method, animated)
        shown = await self.downloads.find(name, Asking(timeout_ms, remote=allow_remote, named=False))
        thumbnail = await self.thumbnails.of(shown, wish, ours=self.downloads.is_ours(name))
        return await content_answer(self.downloads, thumbnail, request, redirect=allow_redirect)
