"""Keeping the directory of users: entries are made anew of what the server knows whenever something of it changes.

Two things tell whose entries are stale: the changes of rooms since a position on record, and marks that are made
together with each change of a profile or an account. Both are in the database, so nothing is missed by a restart.
"""

from collections.abc import Iterable

from homeserver.protocol.identifiers import ServerName, UserID, is_user_id, localpart_of, server_of
from homeserver.protocol.search_text import pieces_of, stored_pieces, stored_text, words_of
from homeserver.services.behind_journal import BehindJournal
from storage.database import Database
from storage.journal import Journal, Stream
from storage.tables.user_directory import ENTRIES, KnownUserRow, KnownUsers, StaleUsers, UserDirectory
from storage.transaction import Transaction

POSITIONS_AT_ONCE = 1000
USERS_AT_ONCE = 100
_MAX_NAME = 300
_STEPS_AT_ONCE = 5
"""How many a reader waits for."""


class UserDirectoryUpkeep(BehindJournal):
    """Makes entries anew, some at a time. Any node may, at any time."""

    def __init__(self, server_name: ServerName, database: Database, journal: Journal) -> None:
        super().__init__(database, journal)
        self._server_name = server_name

    async def _do_some(self) -> bool:
        if not await self._database.read(_is_behind):
            self._position = self._journal.position
            return False
        self._position, more = await self._database.transact(self._step)
        return more

    async def catch_up(self) -> None:
        """Do what is missing if that is little, so that who searches finds what just happened."""
        for _ in range(_STEPS_AT_ONCE):
            if not await self.step():
                return

    async def rebuild(self) -> None:
        """Let all entries be made anew."""
        await self._database.transact(_begin_anew)

    def _step(self, tx: Transaction) -> tuple[int, bool]:
        stale = StaleUsers(tx)
        pos = stale.lock_position()
        now = Stream(tx).position()
        upto = min(now, pos + POSITIONS_AT_ONCE)
        if upto > pos:
            stale.mark_moved(pos, upto)
            if rooms := stale.changed_rooms(self._server_name, pos, upto):
                stale.mark_members(rooms)
            stale.set_position(upto)
        users = stale.take(USERS_AT_ONCE)
        if users:
            self._refresh(tx, users)
        return upto, upto < now or len(users) == USERS_AT_ONCE

    def _refresh(self, tx: Transaction, stale: Iterable[UserID]) -> None:
        users = [user_id for user_id in stale if is_user_id(user_id)]
        ours = [user_id for user_id in users if server_of(user_id) == self._server_name]
        theirs = [user_id for user_id in users if server_of(user_id) != self._server_name]
        known = KnownUsers(tx)
        local = known.ours(ours) if ours else []
        rows = [*local, *(known.theirs(theirs) if theirs else [])]
        ours_known = {row.user_id for row in local}
        found = {row.user_id for row in rows}
        if gone := [user_id for user_id in users if user_id not in found]:
            UserDirectory(tx).remove(gone)
        ENTRIES.execute(tx, [_entry(row, local=row.user_id in ours_known) for row in rows])


def _entry(row: KnownUserRow, *, local: bool) -> tuple[object, ...]:
    name_words = words_of((row.displayname or "")[:_MAX_NAME])
    id_words = words_of(localpart_of(row.user_id))
    return (
        row.user_id,
        local,
        row.displayname,
        row.avatar_url,
        row.public,
        stored_text(name_words),
        stored_text(id_words),
        stored_pieces(pieces_of([*name_words, *id_words])),
    )


def _is_behind(tx: Transaction) -> bool:
    stale = StaleUsers(tx)
    return stale.any() is not None or stale.position() < Stream(tx).position()


def _begin_anew(tx: Transaction) -> None:
    stale = StaleUsers(tx)
    stale.lock_position()
    stale.set_position(Stream(tx).position())
    UserDirectory(tx).clear()
    stale.mark_all()
