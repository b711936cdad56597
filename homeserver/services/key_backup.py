"""Backups of room keys, encrypted by their owner.

https://spec.matrix.org/v1.19/client-server-api/#server-side-key-backups
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from homeserver.protocol.canonical_json import encode_canonical
from homeserver.protocol.errors import (
    BadJson,
    InvalidParam,
    NotFound,
    UserDeactivated,
    WrongRoomKeysVersion,
)
from homeserver.protocol.identifiers import RoomID, UserID, is_room_id
from storage.database import Database
from storage.tables.key_backup import BackedUp as BackedUp
from storage.tables.key_backup import Backup as Backup
from storage.tables.key_backup import KeyBackups, span
from storage.tables.users import Users
from storage.transaction import Transaction

Json = dict[str, Any]

ALL: Final = ""
"""In the place of a room or a session."""
AT_A_TIME: Final = 500
"""Sessions that are read together."""
MAX_SESSION_BYTES: Final = 65_536
MAX_ID_BYTES: Final = 255


@dataclass(frozen=True, slots=True)
class State:
    """What a client is told after a change."""

    etag: str
    count: int


class KeyBackup:
    """The backups of local users: versions, of which the latest takes keys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, user_id: UserID, algorithm: str, auth_data: object) -> str:
        """Begin a new version. Raises InvalidParam."""
        if not algorithm or len(algorithm.encode()) > MAX_ID_BYTES or "\0" in algorithm:
            raise InvalidParam("Not the name of an algorithm")
        text = encode_canonical(auth_data).decode()

        def run(tx: Transaction) -> int:
            if not Users(tx).lock_active(user_id):
                raise UserDeactivated
            return KeyBackups(tx).create(user_id, algorithm, text)

        return str(await self._database.transact(run))

    async def info(self, user_id: UserID, version: str | None) -> Backup:
        """A version; None: the current one. Raises NotFound."""

        def run(tx: Transaction) -> Backup | None:
            backups = KeyBackups(tx)
            return backups.current(user_id) if version is None else backups.version(user_id, _number(version))

        found = await self._database.read(run)
        if found is None:
            raise NotFound("No such backup")
        return found

    async def update(self, user_id: UserID, version: str, algorithm: str, auth_data: object) -> None:
        """Replace what a version is signed with. Raises NotFound, InvalidParam."""
        found = await self.info(user_id, version)
        if algorithm != found.algorithm:
            raise InvalidParam("The algorithm of a backup cannot change")
        text = encode_canonical(auth_data).decode()
        await self._database.transact(lambda tx: KeyBackups(tx).put_auth_data(user_id, found.version, text))

    async def delete(self, user_id: UserID, version: str) -> None:
        """Delete a version and its keys; one that is gone stays so. Raises NotFound for one that never was."""
        number = _number(version)

        def run(tx: Transaction) -> int:
            KeyBackups(tx).lock_all(user_id)  # sessions that are being added go too
            return KeyBackups(tx).delete(user_id, number)

        if not await self._database.transact(run):
            raise NotFound("No such backup")

    async def put(self, user_id: UserID, version: str, rooms: Mapping[str, Any]) -> State:
        """Add sessions, by room and session, where they are better than those there.

        Raises WrongRoomKeysVersion, NotFound, BadJson.
        """
        sessions = list(_sessions(rooms))

        def run(tx: Transaction) -> State:
            backups = KeyBackups(tx)
            backup = backups.lock_current(user_id)
            if backup is None:
                raise NotFound("There is no backup")
            if str(backup.version) != version:
                raise WrongRoomKeysVersion(current_version=str(backup.version))
            changed = backups.put(user_id, backup.version, *_columns(sessions)) if sessions else []
            if not changed:
                return State(str(backup.etag), backup.session_count)
            etag, count = backups.count(user_id, backup.version, sum(changed))
            return State(str(etag), count)

        return await self._database.transact(run)

    async def sessions(
        self, user_id: UserID, version: str, room_id: str = ALL, session_id: str = ALL
    ) -> list[BackedUp]:
        """The first sessions of a version, at most `AT_A_TIME` of them, perhaps only of a room, or a single one.
        Raises NotFound for no such version.
        """
        found = await self.info(user_id, version)
        return await self._page(user_id, found.version, room_id, session_id, ("", ""))

    async def after(
        self, user_id: UserID, version: str, room_id: str, sessions: list[BackedUp]
    ) -> list[BackedUp]:
        """The sessions that follow on some; empty if these were the last."""
        if len(sessions) < AT_A_TIME:
            return []
        last = (str(sessions[-1].room_id), sessions[-1].session_id)
        return await self._page(user_id, _number(version), room_id, ALL, last)

    async def _page(
        self, user_id: UserID, version: int, room_id: str, session_id: str, after: tuple[str, str]
    ) -> list[BackedUp]:
        return await self._database.read(
            lambda tx: KeyBackups(tx).sessions(
                user_id, version, *span(room_id), *span(session_id), *after, AT_A_TIME
            )
        )

    async def remove(self, user_id: UserID, version: str, room_id: str = ALL, session_id: str = ALL) -> State:
        """Delete sessions. Raises NotFound for no such version."""
        number = _number(version)

        def run(tx: Transaction) -> State:
            backups = KeyBackups(tx)
            backups.lock_current(user_id)
            backup = backups.version(user_id, number)
            if backup is None:
                raise NotFound("No such backup")
            gone = backups.remove(user_id, number, *span(room_id), *span(session_id))
            if not gone:
                return State(str(backup.etag), backup.session_count)
            etag, count = backups.count(user_id, number, -gone)
            return State(str(etag), count)

        return await self._database.transact(run)


def shown(session: BackedUp) -> Json:
    """A session as a client gets it."""
    return {
        "first_message_index": session.first_message_index,
        "forwarded_count": session.forwarded_count,
        "is_verified": session.is_verified,
        "session_data": orjson.Fragment(session.session_data),
    }


def _number(version: str) -> int:
    """Raises NotFound for a version that we cannot have made."""
    if not version.isascii() or not version.isdigit() or len(version) > 18:
        raise NotFound("No such backup")
    return int(version)


def _sessions(rooms: Mapping[str, Any]) -> Iterable[BackedUp]:
    for room_id, room in rooms.items():
        sessions = room.get("sessions") if isinstance(room, dict) else None
        if not is_room_id(room_id) or not isinstance(sessions, dict):
            raise BadJson("`rooms` must be objects with `sessions`, by room ID")
        for session_id, session in sessions.items():
            yield _session(RoomID(room_id), session_id, session)


def _session(room_id: RoomID, session_id: str, session: object) -> BackedUp:
    if not isinstance(session, dict) or not isinstance(session.get("session_data"), dict | str):
        raise BadJson("A session must be an object with `session_data`")
    if not session_id or len(session_id.encode()) > MAX_ID_BYTES or "\0" in session_id:
        raise BadJson("Not the ID of a session")
    index, forwarded = session.get("first_message_index"), session.get("forwarded_count")
    verified = session.get("is_verified")
    if type(index) is not int or type(forwarded) is not int or type(verified) is not bool:
        raise BadJson("A session needs `first_message_index`, `forwarded_count` and `is_verified`")
    if not (0 <= index < 2**53 and 0 <= forwarded < 2**53):
        raise BadJson("A number is out of range")
    data = encode_canonical(session["session_data"]).decode()
    if len(data) > MAX_SESSION_BYTES:
        raise BadJson("The session is too large")
    return BackedUp(room_id, session_id, index, forwarded, verified, data)


def _columns(
    sessions: list[BackedUp],
) -> tuple[list[RoomID], list[str], list[int], list[int], list[bool], list[str]]:
    return (
        [each.room_id for each in sessions],
        [each.session_id for each in sessions],
        [each.first_message_index for each in sessions],
        [each.forwarded_count for each in sessions],
        [each.is_verified for each in sessions],
        [each.session_data for each in sessions],
    )
