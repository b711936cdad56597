"""What there is of media, for administrators: of a user, in a room, and how much everybody has."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from homeserver.protocol.errors import InvalidParam, NotFound
from homeserver.protocol.identifiers import RoomID, ServerName, UserID, server_of
from homeserver.services.media.mentions import names_in
from homeserver.services.media.model import MediaName
from storage.database import Database
from storage.tables.media import Media, MediaRows
from storage.tables.media_inventory import MediaInventory, Mention, Uploaded, Usage
from storage.tables.users import Users
from storage.transaction import Transaction

__all__ = ["Inventory", "Media", "Page", "Period", "Uploaded", "Usage"]

FileOrder = Literal[
    "media_id",
    "upload_name",
    "created_ts",
    "last_access_ts",
    "media_length",
    "media_type",
    "quarantined_by",
    "safe_from_quarantine",
]
UserOrder = Literal["user_id", "displayname", "media_length", "media_count"]

MOST_ROWS: Final = 10_000
_EVENTS_AT_ONCE: Final = 500
_LATEST: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Page:
    """Which rows of how many: after so many of them, at most so many, from the last one on if `down`."""

    skip: int = 0
    limit: int = 100
    down: bool = False

    @property
    def rows(self) -> int:
        """How many rows are read at most."""
        return min(self.limit, MOST_ROWS)


@dataclass(frozen=True, slots=True)
class Period:
    """From one moment to another (ms since the epoch), both included."""

    since: int = 0
    until: int = _LATEST


class Inventory:
    """Looks."""

    def __init__(self, server_name: ServerName, database: Database) -> None:
        self._server_name = server_name
        self._database = database

    async def media(self, name: MediaName) -> Media:
        """What is known of an address whose content is here. Raises NotFound."""
        media = await self._database.read(lambda tx: MediaRows(tx).find(name.origin, name.media_id))
        if media is None or media.sha256 is None:
            raise NotFound("There is no such media")
        return media

    async def of_user(self, user_id: UserID, order: FileOrder, page: Page) -> tuple[list[Uploaded], int]:
        """Some of a user's files, and how many there are. Raises InvalidParam, NotFound."""
        await self.check_user(user_id)

        def read(tx: Transaction) -> tuple[list[Uploaded], int]:
            table = MediaInventory(tx)
            files = table.of_user(user_id, order, page.down, page.rows, min(page.skip, _LATEST))
            return files, table.count_of_user(user_id)

        return await self._database.read(read)

    async def usage(
        self, search: str, period: Period, order: UserOrder, page: Page
    ) -> tuple[list[Usage], int]:
        """How much some users have, and how many users have anything."""
        since, until = min(period.since, _LATEST), min(period.until, _LATEST)

        def read(tx: Transaction) -> tuple[list[Usage], int]:
            table = MediaInventory(tx)
            skip = min(page.skip, _LATEST)
            users = table.usage(since, until, search, order, page.down, page.rows, skip)
            return users, table.users(since, until, search)

        return await self._database.read(read)

    async def in_room(self, room_id: RoomID) -> tuple[list[MediaName], list[MediaName]]:
        """What the events of a room show, as far as they can be read: of ours, and of other servers."""
        shown: dict[MediaName, None] = {}
        async for names in self.shown_in(room_id):
            shown |= dict.fromkeys(names)
        ours = [name for name in shown if name.origin == self._server_name]
        return ours, [name for name in shown if name.origin != self._server_name]

    async def shown_in(self, room_id: RoomID) -> AsyncIterator[list[MediaName]]:
        """The same, some events at a time."""
        state = await self._database.read(lambda tx: MediaInventory(tx).state_mentions(room_id))
        yield _names(state)
        depth, ordering = -1, -_LATEST
        while mentions := await self._mentions(room_id, depth, ordering):
            yield _names([each.json for each in mentions if each.json is not None])
            depth, ordering = mentions[-1].depth, mentions[-1].ordering

    async def check_user(self, user_id: UserID) -> None:
        """Raises InvalidParam for a user of another server, NotFound for one who never was here."""
        if server_of(user_id) != self._server_name:
            raise InvalidParam("The user is not of this server")
        if await self._database.read(lambda tx: Users(tx).account(user_id)) is None:
            raise NotFound("User not found")

    async def _mentions(self, room_id: RoomID, depth: int, ordering: int) -> list[Mention]:
        return await self._database.read(
            lambda tx: MediaInventory(tx).mentions(room_id, depth, ordering, _EVENTS_AT_ONCE)
        )


def _names(events: list[str]) -> list[MediaName]:
    found: Mapping[MediaName, None] = dict.fromkeys(name for json in events for name in names_in(json))
    return list(found)
