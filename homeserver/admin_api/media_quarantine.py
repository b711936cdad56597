"""The quarantine of media for administrators, at the paths where the tools that people use expect it.

https://element-hq.github.io/synapse/latest/admin_api/media_admin_api.html#quarantine-media
"""

import re
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from homeserver.http.authentication import admin_token
from homeserver.http.decoding import Natural
from homeserver.http.endpoint import Path, Query, endpoint
from homeserver.protocol.identifiers import MediaID, RoomID, ServerName, UserID
from homeserver.protocol.requester import Requester
from homeserver.services.media.model import MediaName
from homeserver.services.media.quarantine import Quarantine

_V1: Final = "/_synapse/admin/v1"
_SPEC: Final = "https://element-hq.github.io/synapse/latest/admin_api/media_admin_api.html"
_HASHES: Final = "/_meridian/admin/v1/media/hash/{sha256}"
_NONE: Final = Natural(0)
_HASH: Final = re.compile(r"[0-9a-f]{64}")


class Sha256(str):
    """The SHA-256 of bytes, in hexadecimal."""

    @classmethod
    def parse(cls, text: str) -> "Sha256":
        """Raises ValueError."""
        if _HASH.fullmatch(text.lower()) is None:
            raise ValueError("Not a SHA-256 in hexadecimal")
        return cls(text.lower())


class Closed(msgspec.Struct, frozen=True):
    """How many addresses nobody gets any more."""

    num_quarantined: int


class Opened(msgspec.Struct, frozen=True):
    """How many addresses are open again."""

    num_unquarantined: int


class Change(msgspec.Struct, frozen=True):
    """An address that was closed or opened."""

    origin: str
    media_id: str
    quarantined: bool


class Changes(msgspec.Struct, frozen=True):
    """Some of them, and where to go on."""

    next_batch: int
    changes: list[Change]


@dataclass(frozen=True, slots=True)
class MediaQuarantineApi:
    """Keeping media from everybody, and letting go of them."""

    server_name: ServerName
    quarantine: Quarantine

    @endpoint(
        "POST",
        f"{_V1}/media/quarantine/{{server_name}}/{{media_id}}",
        auth=admin_token,
        spec=f"{_SPEC}#quarantining-media-by-id",
    )
    async def close(
        self, who: Requester, server_name: Path[ServerName], media_id: Path[MediaID]
    ) -> dict[str, Any]:
        """Keep the bytes of an address from everybody."""
        await self.quarantine.address(MediaName(server_name, media_id), who.user_id)
        return {}

    @endpoint(
        "POST",
        f"{_V1}/media/unquarantine/{{server_name}}/{{media_id}}",
        auth=admin_token,
        spec=f"{_SPEC}#remove-media-from-quarantine-by-id",
    )
    async def open(
        self, who: Requester, server_name: Path[ServerName], media_id: Path[MediaID]
    ) -> dict[str, Any]:
        """Let go of the bytes of an address."""
        await self.quarantine.release(MediaName(server_name, media_id))
        return {}

    @endpoint(
        "POST",
        f"{_V1}/room/{{room_id}}/media/quarantine",
        f"{_V1}/quarantine_media/{{room_id}}",
        auth=admin_token,
        spec=f"{_SPEC}#quarantining-media-in-a-room",
    )
    async def close_room(self, who: Requester, room_id: Path[RoomID]) -> Closed:
        """Keep from everybody what the events of a room show."""
        return Closed(await self.quarantine.room(room_id, who.user_id))

    @endpoint(
        "POST",
        f"{_V1}/user/{{user_id}}/media/quarantine",
        auth=admin_token,
        spec=f"{_SPEC}#quarantining-all-media-of-a-user",
    )
    async def close_user(self, who: Requester, user_id: Path[UserID]) -> Closed:
        """Keep from everybody what a user uploaded."""
        return Closed(await self.quarantine.user(user_id, who.user_id))

    @endpoint(
        "POST",
        f"{_HASHES}/quarantine",
        auth=admin_token,
        spec=f"{_SPEC}#quarantine-media",
    )
    async def close_hash(self, who: Requester, sha256: Path[Sha256]) -> Closed:
        """Keep bytes from everybody, whether they are here already or not."""
        return Closed(await self.quarantine.content(sha256, who.user_id))

    @endpoint(
        "POST",
        f"{_HASHES}/unquarantine",
        auth=admin_token,
        spec=f"{_SPEC}#quarantine-media",
    )
    async def open_hash(self, who: Requester, sha256: Path[Sha256]) -> Opened:
        """Let go of bytes."""
        return Opened(await self.quarantine.release_content(sha256))

    @endpoint(
        "POST",
        f"{_V1}/media/protect/{{media_id}}",
        auth=admin_token,
        spec=f"{_SPEC}#protecting-media-from-being-quarantined",
    )
    async def protect(self, who: Requester, media_id: Path[MediaID]) -> dict[str, Any]:
        """Let a file of ours stay open whatever is kept from everybody from now on."""
        await self.quarantine.protect(MediaName(self.server_name, media_id), True)
        return {}

    @endpoint(
        "POST",
        f"{_V1}/media/unprotect/{{media_id}}",
        auth=admin_token,
        spec=f"{_SPEC}#unprotecting-media-from-being-quarantined",
    )
    async def unprotect(self, who: Requester, media_id: Path[MediaID]) -> dict[str, Any]:
        """Treat a file of ours as any other again."""
        await self.quarantine.protect(MediaName(self.server_name, media_id), False)
        return {}

    @endpoint(
        "GET",
        f"{_V1}/media/quarantine_changes",
        auth=admin_token,
        spec=f"{_SPEC}#listing-quarantined-media-changes",
    )
    async def changes(self, who: Requester, from_: Query[Natural] = _NONE) -> Changes:
        """What was kept from everybody and let go of, the oldest first."""
        found = await self.quarantine.changes(from_)
        shown = [Change(each.origin, each.media_id, each.quarantined) for each in found]
        return Changes(found[-1].number if found else from_, shown)
