"""Finding users by what they are called.

https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3user_directorysearch
"""

from collections.abc import Sequence
from dataclasses import dataclass

from homeserver.protocol.identifiers import UserID
from homeserver.protocol.requester import Requester
from homeserver.protocol.search_text import SearchTerm
from homeserver.services.user_directory_upkeep import UserDirectoryUpkeep
from storage.database import Database
from storage.tables.user_directory import FoundUserRow
from storage.tables.user_directory import UserDirectory as StoredDirectory
from storage.transaction import Transaction

MAX_RESULTS = 50
_LEAST_LETTERS = 4
"""Of shorter terms too little is left when a letter is wrong."""


@dataclass(frozen=True, slots=True)
class FoundUsers:
    """The best results, and whether there are more."""

    users: Sequence[FoundUserRow]
    limited: bool


class UserDirectory:
    """Searches users: those that share a room with whoever asks, and those in rooms that anybody may join or read."""

    def __init__(self, database: Database, upkeep: UserDirectoryUpkeep, *, everybody: bool) -> None:
        """``everybody``: let users find all that this server knows."""
        self._database = database
        self._upkeep = upkeep
        self._everybody = everybody

    async def search(self, who: Requester, text: str, limit: int) -> FoundUsers:
        """Users whose name or ID has all words of a text, or is like it where too few have.

        The whole name goes before one that begins with the text, and who shares a room before who does not.
        """
        name, server = _parts(text)
        term = SearchTerm.of(name)
        limit = min(limit, MAX_RESULTS)
        if not term.words or limit < 1:
            return FoundUsers((), False)
        await self._upkeep.catch_up()
        found = await self._database.read(lambda tx: self._find(tx, who.user_id, term, server, limit))
        ordered = sorted(found, key=_order)
        return FoundUsers(ordered[:limit], len(ordered) > limit)

    def _find(
        self, tx: Transaction, user_id: UserID, term: SearchTerm, server: str | None, limit: int
    ) -> list[FoundUserRow]:
        table = StoredDirectory(tx)
        text = " ".join(term.words)
        sought = (f" {text} ", f" {text}%", term.pieces, term.patterns, server, limit + 1)
        rows = table.public(user_id, self._everybody, *sought) + table.sharing(user_id, *sought)
        found = {row.user_id: row for row in rows}
        if len(found) < limit and server is None and sum(map(len, term.words)) >= _LEAST_LETTERS:
            least = -(-len(term.pieces) // 2)
            for row in table.alike(user_id, self._everybody, term.pieces, least, limit + 1):
                found.setdefault(row.user_id, row)
        return list(found.values())


def _parts(text: str) -> tuple[str, str | None]:
    """What to look for in names, and a pattern of the server: a whole user ID, or one that is being typed, has both."""
    name, colon, server = text.strip().removeprefix("@").partition(":")
    if not (colon and name) or " " in server or not text.strip().startswith("@"):
        return text, None
    escaped = "".join(f"\\{letter}" if letter in "\\%_" else letter for letter in server.lower())
    return name, f"{escaped}%"


def _order(row: FoundUserRow) -> tuple[int, bool, bool, str]:
    return row.distance, not row.shares_room, row.display_name is None, row.user_id
