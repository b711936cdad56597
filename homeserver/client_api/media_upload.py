"""Bringing content: https://spec.matrix.org/v1.19/client-server-api/#post_matrixmediav3upload"""

from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from homeserver.gateways.media_processes import Made
from homeserver.http.authentication import access_token
from homeserver.http.bodies import BodyStream
from homeserver.http.endpoint import Body, Header, Path, Query, endpoint, named
from homeserver.protocol.identifiers import MediaID, ServerName
from homeserver.protocol.requester import Requester
from homeserver.services.media.descriptions import Descriptions
from homeserver.services.media.model import MediaName
from homeserver.services.media.uploads import Brought, Uploads

_SPEC: Final = "client-server-api/#"


class Info(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a file is, whatever was said of it: mostly what goes into the `info` of an event that shows it."""

    mimetype: str
    w: int = 0
    h: int = 0
    duration: int | None = None
    codecs: list[str] = []


class Sound(msgspec.Struct, frozen=True):
    """How long a recording is and how loud it is when: https://github.com/matrix-org/matrix-spec-proposals/pull/3246"""

    duration: int
    waveform: list[int]


class Described(msgspec.Struct, frozen=True, omit_defaults=True):
    """What of this was asked for, of a picture, a film or a recording."""

    blurhash: str | None = msgspec.field(name="xyz.amorgan.blurhash", default=None)
    thumbhash: str | None = msgspec.field(name="xyz.amorgan.thumbhash", default=None)
    info: Info | None = msgspec.field(name="org.meridian.info", default=None)
    sound: Sound | None = msgspec.field(name="org.matrix.msc1767.audio", default=None)


class Uploaded(Described, frozen=True, omit_defaults=True, kw_only=True):
    """Where the content is, and what it is."""

    content_uri: str


class Created(msgspec.Struct, frozen=True):
    """Where the content will be, if it comes in time."""

    content_uri: str
    unused_expires_at: int


@dataclass(frozen=True, slots=True)
class MediaUploadApi:
    """For our users."""

    uploads: Uploads
    descriptions: Descriptions

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
        generate_info: Annotated[Query[bool], named("org.meridian.generate_info")] = False,
    ) -> Uploaded:
        """Upload content, and be told what it is if that is wanted."""
        name = await self.uploads.upload(who, Brought(body, content_type, filename))
        described = await self._described(name, generate_blurhash, generate_info)
        return Uploaded(content_uri=str(name), **msgspec.structs.asdict(described))

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
        generate_blurhash: Annotated[Query[bool], named("xyz.amorgan.generate_blurhash")] = False,
        generate_info: Annotated[Query[bool], named("org.meridian.generate_info")] = False,
    ) -> Described:
        """Upload the content of an address that was got before."""
        name = MediaName(server_name, media_id)
        await self.uploads.fill(who, name, Brought(body, content_type, filename))
        return await self._described(name, generate_blurhash, generate_info)

    async def _described(self, name: MediaName, hashes: bool, info: bool) -> Described:
        found = await self.descriptions.of(name) if hashes or info else None
        if found is None:
            return Described()
        return Described(
            found.blurhash if hashes else None,
            found.thumbhash if hashes else None,
            Info(found.type, found.width, found.height, found.duration, found.codecs) if info else None,
            _sound(found) if info else None,
        )


def _sound(found: Made) -> Sound | None:
    if found.duration is None or found.waveform is None:
        return None
    return Sound(found.duration, found.waveform)
