"""Content that was uploaded on another server, and thumbnails of it.

https://spec.matrix.org/v1.19/server-server-api/#content-repository
"""

from typing import Final

import msgspec

from federation.wire.route import Nothing, Route


class Waiting(msgspec.Struct, frozen=True):
    """How long (ms) to wait for content that is not uploaded yet."""

    timeout_ms: int


class LegacyAsking(msgspec.Struct, frozen=True):
    """The same for servers from before Matrix 1.11, who are not to ask further servers."""

    timeout_ms: int
    allow_remote: bool = False


MEDIA_DOWNLOAD: Final = Route(
    "GET", "/_matrix/federation/v1/media/download/{media_id}", Nothing, query=Waiting
)
MEDIA_THUMBNAIL: Final = Route("GET", "/_matrix/federation/v1/media/thumbnail/{media_id}", Nothing)
LEGACY_DOWNLOAD: Final = Route(
    "GET",
    "/_matrix/media/v3/download/{server_name}/{media_id}",
    Nothing,
    query=LegacyAsking,
    signed=False,
)
