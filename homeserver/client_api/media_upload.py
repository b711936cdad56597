"""Bringing content: https://spec.matrix.org/v1.19/client-server-api/#post_matrixmediav3upload"""

from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from homeserver.http.authentication import access_token
from homeserver.http.bodies import BodyStream
from homeserver.http.endpoint import Body, Header, Path, Query, endpoint, named
from homeserver.protocol.identifiers import MediaID, ServerName
from homeserver.protocol.requester import Requester
from homeserver.services.media.blurhashes import Blurhashes
from homeserver.services.media.model import MediaName
from homeserver.services.media.uploads import Brought, Uploads

_SPEC: Final = "client-server-api/#"


class Uploaded(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where the content is, and what it looks like from far away if that was asked for and it is a picture."""

    content_uri: str
    blurhash: str | None = msgspec.field(name="xyz.amorgan.blurhash", default=None)


class Created(msgspec.Struct, frozen=True):
    """Where the content will be, if it comes in time."""

    content_uri: str
    unused_expires_at: int


@dataclass(frozen=True, slots=True)
class MediaUploadApi:
    """For our users."""

    uploads: Uploads
    blurhashes: Blurhashes

    @endpoint(
        "POST",
        "/_matrix/media/{v3,r0,v1}/upload",
        auth=access_token,
        limit="uploads",
        body_limit="media",
        spec=f"{_SPEC}post_matrixmediav3upload",
    )
    async def upload(
        self,
        who: Requester,
        body: Body[BodyStream],
        content_type: Header[str | None] = None,
        filename: Query[str | None] = None,
        generate_blurhash: Annotated[Query[bool], named("xyz.amorgan.generate_blurhash")] = False,
    ) -> Uploaded:
        """Upload content."""
        name = await self.uploads.upload(who, Brought(body, content_type, filename))
        return Uploaded(str(name), await self.blurhashes.of(name) if generate_blurhash else None)

    @endpoint(
        "POST",
        "/_matrix/media/v1/create",
        auth=access_token,
        limit="uploads",
        spec=f"{_SPEC}post_matrixmediav1create",
    )
    async def create(self, who: Requester) -> Created:
        """Get an address for content that will be uploaded later."""
        reserved = await self.uploads.reserve(who)
        return Created(str(reserved.name), reserved.expires_ts)

    @endpoint(
        "PUT",
        "/_matrix/media/v3/upload/{server_name}/{media_id}",
        auth=access_token,
        limit="uploads",
        body_limit="media",
        spec=f"{_SPEC}put_matrixmediav3uploadservernamemediaid",
    )
    async def fill(
        self,
        who: Requester,
        server_name: Path[ServerName],
        media_id: Path[MediaID],
        body: Body[BodyStream],
        content_type: Header[str | None] = None,
        filename: Query[str | None] = None,
    ) -> None:
        """Upload the content of an address that was got before."""
        brought = Brought(body, content_type, filename)
        await self.uploads.fill(who, MediaName(server_name, media_id), brought)
