"""Backups of room keys.

https://spec.matrix.org/v1.19/client-server-api/#server-side-key-backups
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import msgspec
import orjson

from homeserver.http.authentication import access_token
from homeserver.http.encoding import RawJson, Stream
from homeserver.http.endpoint import Body, Path, Query, endpoint
from homeserver.protocol.errors import InvalidParam, NotFound
from homeserver.protocol.identifiers import RoomID
from homeserver.protocol.requester import Requester
from homeserver.services.key_backup import ALL, AT_A_TIME, BackedUp, Backup, KeyBackup, shown

Json = dict[str, Any]
_JSON: Final = (("Content-Type", "application/json"),)


class NewBackup(msgspec.Struct, frozen=True):
    """A version of a backup; `version` is only looked at where one is updated."""

    algorithm: str
    auth_data: Any
    version: str | None = None


class RoomSessions(msgspec.Struct, frozen=True):
    """Sessions of a room."""

    sessions: Json


class AllSessions(msgspec.Struct, frozen=True):
    """Sessions by room."""

    rooms: Json


@dataclass(frozen=True, slots=True)
class KeyBackupApi:
    """Endpoints about backups."""

    backup: KeyBackup

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0,unstable}/room_keys/version",
        auth=access_token,
        spec="client-server-api/#post_matrixclientv3room_keysversion",
    )
    async def create(self, who: Requester, body: Body[NewBackup]) -> Json:
        """Begin a new version."""
        return {"version": await self.backup.create(who.user_id, body.algorithm, body.auth_data)}

    @endpoint(
        "GET",
        "/_matrix/client/{v3,r0,unstable}/room_keys/version",
        auth=access_token,
        spec="client-server-api/#get_matrixclientv3room_keysversion",
    )
    async def current(self, who: Requester) -> Json:
        """The current version."""
        return _info(await self.backup.info(who.user_id, None))

    @endpoint(
        "GET",
        "/_matrix/client/{v3,r0,unstable}/room_keys/version/{version}",
        auth=access_token,
        spec="client-server-api/#get_matrixclientv3room_keysversionversion",
    )
    async def one(self, who: Requester, version: Path[str]) -> Json:
        """A version."""
        return _info(await self.backup.info(who.user_id, version))

    @endpoint(
        "PUT",
        "/_matrix/client/{v3,r0,unstable}/room_keys/version/{version}",
        auth=access_token,
        spec="client-server-api/#put_matrixclientv3room_keysversionversion",
    )
    async def update(self, who: Requester, version: Path[str], body: Body[NewBackup]) -> None:
        """Replace what a version is signed with."""
        if body.version is not None and body.version != version:
            raise InvalidParam("The versions in path and body differ")
        await self.backup.update(who.user_id, version, body.algorithm, body.auth_data)

    @endpoint(
        "DELETE",
        "/_matrix/client/{v3,r0,unstable}/room_keys/version/{version}",
        auth=access_token,
        spec="client-server-api/#delete_matrixclientv3room_keysversionversion",
    )
    async def delete(self, who: Requester, version: Path[str]) -> None:
        """Delete a version with its keys."""
        await self.backup.delete(who.user_id, version)

    @endpoint(
        "PUT",
        "/_matrix/client/{v3,r0,unstable}/room_keys/keys",
        auth=access_token,
        spec="client-server-api/#put_matrixclientv3room_keyskeys",
    )
    async def put_all(self, who: Requester, version: Query[str], body: Body[AllSessions]) -> Json:
        """Add sessions of rooms."""
        return await self._put(who, version, body.rooms)

    @endpoint(
        "PUT",
        "/_matrix/client/{v3,r0,unstable}/room_keys/keys/{room_id}",
        auth=access_token,
        spec="client-server-api/#put_matrixclientv3room_keyskeysroomid",
    )
    async def put_room(
        self, who: Requester, room_id: Path[RoomID], version: Query[str], body: Body[RoomSessions]
    ) -> Json:
        """Add sessions of a room."""
        return await self._put(who, version, {room_id: {"sessions": body.sessions}})

    @endpoint(
        "PUT",
        "/_matrix/client/{v3,r0,unstable}/room_keys/keys/{room_id}/{session_id}",
        auth=access_token,
        spec="client-server-api/#put_matrixclientv3room_keyskeysroomidsessionid",
    )
    async def put_session(
        self,
        who: Requester,
        room_id: Path[RoomID],
        session_id: Path[str],
        version: Query[str],
        body: Body[Json],
    ) -> Json:
        """Add a session."""
        return await self._put(who, version, {room_id: {"sessions": {session_id: body}}})

    @endpoint(
        "GET",
        "/_matrix/client/{v3,r0,unstable}/room_keys/keys",
        auth=access_token,
        spec="client-server-api/#get_matrixclientv3room_keyskeys",
    )
    async def all_sessions(self, who: Requester, version: Query[str]) -> RawJson | Stream:
        """All sessions by room."""
        first = await self.backup.sessions(who.user_id, version)
        if len(first) < AT_A_TIME:
            return RawJson(b'{"rooms":{%b}}' % b"".join(_by_room(first, None)))
        return Stream(self._all(who, version, first), headers=_JSON)

    @endpoint(
        "GET",
        "/_matrix/client/{v3,r0,unstable}/room_keys/keys/{room_id}",
        auth=access_token,
        spec="client-server-api/#get_matrixclientv3room_keyskeysroomid",
    )
    async def room_sessions(
        self, who: Requester, room_id: Path[RoomID], version: Query[str]
    ) -> RawJson | Stream:
        """The sessions of a room."""
        first = await self.backup.sessions(who.user_id, version, room_id)
        if len(first) < AT_A_TIME:
            return RawJson(b'{"sessions":{%b}}' % b",".join(map(_member, first)))
        return Stream(self._of_room(who, version, room_id, first), headers=_JSON)

    @endpoint(
        "GET",
        "/_matrix/client/{v3,r0,unstable}/room_keys/keys/{room_id}/{session_id}",
        auth=access_token,
        spec="client-server-api/#get_matrixclientv3room_keyskeysroomidsessionid",
    )
    async def session(
        self, who: Requester, room_id: Path[RoomID], session_id: Path[str], version: Query[str]
    ) -> RawJson:
        """One session."""
        sessions = await self.backup.sessions(who.user_id, version, room_id, session_id)
        if not sessions:
            raise NotFound("No such session in the backup")
        return RawJson(orjson.dumps(shown(sessions[0])))

    @endpoint(
        "DELETE",
        "/_matrix/client/{v3,r0,unstable}/room_keys/keys",
        auth=access_token,
        spec="client-server-api/#delete_matrixclientv3room_keyskeys",
    )
    async def delete_all(self, who: Requester, version: Query[str]) -> Json:
        """Delete all sessions."""
        return asdict(await self.backup.remove(who.user_id, version))

    @endpoint(
        "DELETE",
        "/_matrix/client/{v3,r0,unstable}/room_keys/keys/{room_id}",
        auth=access_token,
        spec="client-server-api/#delete_matrixclientv3room_keyskeysroomid",
    )
    async def delete_room(self, who: Requester, room_id: Path[RoomID], version: Query[str]) -> Json:
        """Delete the sessions of a room."""
        return asdict(await self.backup.remove(who.user_id, version, room_id))

    @endpoint(
        "DELETE",
        "/_matrix/client/{v3,r0,unstable}/room_keys/keys/{room_id}/{session_id}",
        auth=access_token,
        spec="client-server-api/#delete_matrixclientv3room_keyskeysroomidsessionid",
    )
    async def delete_session(
        self, who: Requester, room_id: Path[RoomID], session_id: Path[str], version: Query[str]
    ) -> Json:
        """Delete a session."""
        return asdict(await self.backup.remove(who.user_id, version, room_id, session_id))

    async def _all(self, who: Requester, version: str, sessions: list[BackedUp]) -> AsyncIterator[bytes]:
        room: RoomID | None = None
        yield b'{"rooms":{'
        while sessions:
            yield b"".join(_by_room(sessions, room, ends=False))
            room = sessions[-1].room_id
            sessions = await self.backup.after(who.user_id, version, ALL, sessions)
        yield b"}}}}"

    async def _of_room(
        self, who: Requester, version: str, room_id: RoomID, sessions: list[BackedUp]
    ) -> AsyncIterator[bytes]:
        lead = b'{"sessions":{'
        while sessions:
            yield lead + b",".join(map(_member, sessions))
            lead = b","
            sessions = await self.backup.after(who.user_id, version, room_id, sessions)
        yield b"}}"

    async def _put(self, who: Requester, version: str, rooms: Mapping[str, Any]) -> Json:
        return asdict(await self.backup.put(who.user_id, version, rooms))


def _member(session: BackedUp) -> bytes:
    return b"%b:%b" % (orjson.dumps(session.session_id), orjson.dumps(shown(session)))


def _by_room(sessions: Sequence[BackedUp], room: RoomID | None, *, ends: bool = True) -> Iterator[bytes]:
    """Sessions in the order of rooms as members of a JSON object; ``room``: whose are open already."""
    for session in sessions:
        if session.room_id == room:
            yield b","
        else:
            yield b'%b%b:{"sessions":{' % (b"" if room is None else b"}},", orjson.dumps(session.room_id))
        room = session.room_id
        yield _member(session)
    if ends and sessions:
        yield b"}}"


def _info(backup: Backup) -> Json:
    return {
        "algorithm": backup.algorithm,
        "auth_data": orjson.loads(backup.auth_data),
        "count": backup.session_count,
        "etag": str(backup.etag),
        "version": str(backup.version),
    }
