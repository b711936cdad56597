"""Media for administrators, at the paths where the tools that people use expect them.

https://element-hq.github.io/synapse/latest/admin_api/media_admin_api.html
"""

from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from homeserver.http.authentication import admin_token
from homeserver.http.decoding import Natural
from homeserver.http.endpoint import Path, Query, endpoint
from homeserver.protocol.errors import InvalidParam
from homeserver.protocol.identifiers import MediaID, RoomID, ServerName, UserID
from homeserver.protocol.requester import Requester
from homeserver.services.media.inventory import FileOrder, Inventory, Media, Page, Period, Uploaded, UserOrder
from homeserver.services.media.model import MediaName
from homeserver.services.media.retention import Retention, Unwanted

_V1: Final = "/_synapse/admin/v1"
_SPEC: Final = "https://element-hq.github.io/synapse/latest/admin_api"
_NONE: Final = Natural(0)
_HUNDRED: Final = Natural(100)
_LATEST: Final = Natural((1 << 63) - 1)
_EARLIEST_MS: Final = 30_000_000_000
"""A moment before it is one in seconds: in milliseconds it would be in 1970."""

Direction = Literal["f", "b"]


class Shown(msgspec.Struct, frozen=True):
    """What the events of a room show."""

    local: list[str]
    remote: list[str]


class Known(msgspec.Struct, frozen=True):
    """What is known of an address. What of it only one's own files or only copies have is null for the others."""

    media_origin: str | None
    user_id: str | None
    media_id: str
    media_type: str
    media_length: int | None
    upload_name: str | None
    created_ts: int
    filesystem_id: str | None
    url_cache: str | None
    last_access_ts: int | None
    quarantined_by: str | None
    authenticated: bool
    safe_from_quarantine: bool | None
    sha256: str | None


class Information(msgspec.Struct, frozen=True):
    """The same, wrapped."""

    media_info: Known


class UserFile(msgspec.Struct, frozen=True):
    """A file that a user uploaded."""

    media_id: str
    media_type: str
    media_length: int
    upload_name: str | None
    created_ts: int
    last_access_ts: int | None
    quarantined_by: str | None
    safe_from_quarantine: bool


class UserFiles(msgspec.Struct, frozen=True, omit_defaults=True):
    """Some of a user's files, and where to go on."""

    media: list[UserFile]
    total: int
    next_token: int | None = None


class UserUsage(msgspec.Struct, frozen=True):
    """How much a user has uploaded."""

    user_id: str
    displayname: str | None
    media_count: int
    media_length: int


class Usages(msgspec.Struct, frozen=True, omit_defaults=True):
    """The same of some users, and where to go on."""

    users: list[UserUsage]
    total: int
    next_token: int | None = None


class Deleted(msgspec.Struct, frozen=True):
    """Which files were deleted."""

    deleted_media: list[MediaID]
    total: int


class Forgotten(msgspec.Struct, frozen=True):
    """How many copies were forgotten."""

    deleted: int


@dataclass(frozen=True, slots=True)
class MediaAdminApi:
    """Looking at media, and deleting them. What came before `private_since_ms` may be had without a token."""

    server_name: ServerName
    inventory: Inventory
    retention: Retention
    private_since_ms: int

    @endpoint(
        "GET",
        f"{_V1}/room/{{room_id}}/media",
        auth=admin_token,
        spec=f"{_SPEC}/media_admin_api.html#list-all-media-in-a-room",
    )
    async def of_room(self, who: Requester, room_id: Path[RoomID]) -> Shown:
        """What the events of a room show, as far as they are not encrypted."""
        ours, others = await self.inventory.in_room(room_id)
        return Shown([str(name) for name in ours], [str(name) for name in others])

    @endpoint(
        "GET",
        f"{_V1}/media/{{server_name}}/{{media_id}}",
        auth=admin_token,
        spec=f"{_SPEC}/media_admin_api.html#query-a-piece-of-media-by-id",
    )
    async def known(
        self, who: Requester, server_name: Path[ServerName], media_id: Path[MediaID]
    ) -> Information:
        """What is known of an address."""
        return Information(self._known(await self.inventory.media(MediaName(server_name, media_id))))

    @endpoint(
        "GET",
        f"{_V1}/users/{{user_id}}/media",
        auth=admin_token,
        spec=f"{_SPEC}/user_admin_api.html#list-media-uploaded-by-a-user",
    )
    async def of_user(
        self,
        who: Requester,
        user_id: Path[UserID],
        from_: Query[Natural] = _NONE,
        limit: Query[Natural] = _HUNDRED,
        order_by: Query[FileOrder | None] = None,
        dir_: Query[Direction | None] = None,
    ) -> UserFiles:
        """The files that a user uploaded, the newest first unless asked otherwise."""
        page = Page(from_, limit, _is_down(order_by, dir_))
        files, total = await self.inventory.of_user(user_id, order_by or "created_ts", page)
        return UserFiles([_file(each) for each in files], total, _next(from_, len(files), total))

    @endpoint(
        "DELETE",
        f"{_V1}/users/{{user_id}}/media",
        auth=admin_token,
        spec=f"{_SPEC}/user_admin_api.html#delete-media-uploaded-by-a-user",
    )
    async def delete_of_user(
        self,
        who: Requester,
        user_id: Path[UserID],
        from_: Query[Natural] = _NONE,
        limit: Query[Natural] = _HUNDRED,
        order_by: Query[FileOrder | None] = None,
        dir_: Query[Direction | None] = None,
    ) -> Deleted:
        """Delete some of the files that a user uploaded."""
        page = Page(from_, limit, _is_down(order_by, dir_))
        files, _ = await self.inventory.of_user(user_id, order_by or "created_ts", page)
        return _deleted(await self.retention.delete_ours([each.media_id for each in files]))

    @endpoint(
        "DELETE",
        f"{_V1}/media/{{server_name}}/{{media_id}}",
        auth=admin_token,
        spec=f"{_SPEC}/media_admin_api.html#delete-a-specific-local-media",
    )
    async def delete(self, who: Requester, server_name: Path[ServerName], media_id: Path[MediaID]) -> Deleted:
        """Delete a file of ours."""
        self._check_ours(server_name)
        await self.retention.delete(MediaName(server_name, media_id))
        return _deleted([media_id])

    @endpoint(
        "POST",
        f"{_V1}/media/delete",
        f"{_V1}/media/{{server_name}}/delete",
        auth=admin_token,
        spec=f"{_SPEC}/media_admin_api.html#delete-local-media-by-date-or-size",
    )
    async def delete_unwanted(
        self,
        who: Requester,
        before_ts: Query[Natural],
        server_name: Path[ServerName | None] = None,
        size_gt: Query[Natural] = _NONE,
        keep_profiles: Query[bool] = True,
    ) -> Deleted:
        """Delete files of ours that nobody used since a moment; protected ones stay."""
        if server_name is not None:
            self._check_ours(server_name)
        unwanted = Unwanted(_moment(before_ts), size_gt, keep_profiles)
        return _deleted(await self.retention.delete_unwanted(unwanted))

    @endpoint(
        "POST",
        f"{_V1}/purge_media_cache",
        auth=admin_token,
        spec=f"{_SPEC}/media_admin_api.html#purge-remote-media-api",
    )
    async def forget_copies(self, who: Requester, before_ts: Query[Natural]) -> Forgotten:
        """Forget copies of other servers' files that nobody used since a moment."""
        return Forgotten(await self.retention.forget_copies(_moment(before_ts)))

    @endpoint(
        "GET",
        f"{_V1}/statistics/users/media",
        auth=admin_token,
        spec=f"{_SPEC}/statistics.html#users-media-usage-statistics",
    )
    async def usage(
        self,
        who: Requester,
        from_: Query[Natural] = _NONE,
        limit: Query[Natural] = _HUNDRED,
        order_by: Query[UserOrder] = "user_id",
        dir_: Query[Direction] = "f",
        from_ts: Query[Natural] = _NONE,
        until_ts: Query[Natural] = _LATEST,
        search_term: Query[str] = "",
    ) -> Usages:
        """How much users have uploaded."""
        period, page = Period(from_ts, until_ts), Page(from_, limit, dir_ == "b")
        users, total = await self.inventory.usage(search_term, period, order_by, page)
        shown = [UserUsage(each.user_id, each.displayname, each.files, each.bytes) for each in users]
        return Usages(shown, total, _next(from_, len(users), total))

    def _check_ours(self, server_name: ServerName) -> None:
        if server_name != self.server_name:
            raise InvalidParam("Only files of this server can be deleted")

    def _known(self, media: Media) -> Known:
        ours = media.origin == self.server_name
        return Known(
            media_origin=None if ours else media.origin,
            user_id=media.user_id,
            media_id=media.media_id,
            media_type=media.content_type,
            media_length=media.size,
            upload_name=media.filename,
            created_ts=media.created_ts,
            filesystem_id=None if ours else media.file,
            url_cache=None,
            last_access_ts=_last_use(media.created_ts, media.last_used_ts),
            quarantined_by=media.quarantined_by,
            authenticated=media.created_ts >= self.private_since_ms,
            safe_from_quarantine=media.protected if ours else None,
            sha256=media.sha256,
        )


def _file(each: Uploaded) -> UserFile:
    return UserFile(
        each.media_id,
        each.content_type,
        each.size,
        each.filename,
        each.created_ts,
        _last_use(each.created_ts, each.last_used_ts),
        each.quarantined_by,
        each.protected,
    )


def _last_use(created_ts: int, last_used_ts: int) -> int | None:
    return last_used_ts if last_used_ts > created_ts else None


def _is_down(order_by: str | None, direction: Direction | None) -> bool:
    """Whether to begin with the last one: the newest, where nothing is said."""
    return direction == "b" or (direction is None and order_by is None)


def _next(start: int, count: int, total: int) -> int | None:
    return start + count if count and start + count < total else None


def _deleted(media_ids: list[MediaID]) -> Deleted:
    return Deleted(media_ids, len(media_ids))


def _moment(milliseconds: int) -> int:
    if milliseconds < _EARLIEST_MS:
        raise InvalidParam("before_ts is a moment of 1970: it has to be in milliseconds")
    return milliseconds
