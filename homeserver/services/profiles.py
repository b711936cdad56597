"""Profiles: what users tell everybody about themselves.

https://spec.matrix.org/v1.19/client-server-api/#profiles
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from homeserver.protocol.errors import (
    BadJson,
    Forbidden,
    GuestAccessForbidden,
    InvalidParam,
    KeyTooLarge,
    MissingParam,
    NotFound,
    ProfileTooLarge,
    UserSuspended,
)
from homeserver.protocol.identifiers import ServerName, UserID, server_of
from homeserver.protocol.requester import Requester
from storage.database import Database
from storage.tables.profiles import Profiles as StoredProfiles
from storage.tables.profiles import StoredProfile
from storage.tables.users import Users
from storage.transaction import Transaction

MAX_PROFILE_BYTES = 65_536
MAX_KEY_BYTES = 255
MAX_DISPLAYNAME_LENGTH = 256
MAX_AVATAR_URL_LENGTH = 1000
DISPLAYNAME = "displayname"
AVATAR_URL = "avatar_url"
TIME_ZONE = "m.tz"
_TEXTS = {DISPLAYNAME: MAX_DISPLAYNAME_LENGTH, AVATAR_URL: MAX_AVATAR_URL_LENGTH}

# https://spec.matrix.org/v1.19/appendices/#common-namespaced-identifier-grammar
_KEY = re.compile(r"[a-z][a-z0-9_.-]*")
_NOTHING = StoredProfile(None, None, b"{}")

Profile = dict[str, Any]

ProfileChanged = Callable[[Requester, UserID, str | None, str | None], Awaitable[None]]
"""Carries a new displayname and avatar_url into the rooms of a user."""

RemoteProfile = Callable[[UserID, str | None], Awaitable[Profile]]
"""Asks another server for a profile, or one field of it. Raises NotFound, Forbidden, BadGateway."""


class Profiles:
    """Profiles of local users, and through other servers those of theirs."""

    def __init__(self, server_name: ServerName, database: Database) -> None:
        self._server_name = server_name
        self._database = database
        self._changed: list[ProfileChanged] = []
        self._remote: RemoteProfile | None = None

    def when_changed(self, changed: ProfileChanged) -> None:
        """Connect what carries names and avatars into rooms."""
        self._changed.append(changed)

    def ask_remote(self, remote: RemoteProfile) -> None:
        """Connect what asks other servers."""
        self._remote = remote

    async def profile(self, user_id: UserID) -> Profile:
        """A whole profile. Raises NotFound, and for remote users what their server says."""
        if server_of(user_id) != self._server_name:
            return await self._remote_profile(user_id, None)
        return await self.local(user_id)

    async def local(self, user_id: UserID) -> Profile:
        """The profile of a user of this server. Raises NotFound."""
        stored = await self._database.read(lambda tx: _stored(tx, user_id))
        if stored is None:
            raise NotFound("User not found")
        return _fields(stored)

    async def value(self, user_id: UserID, key: str) -> Profile:
        """One field, as an object that has only that. Raises NotFound, InvalidParam, KeyTooLarge."""
        _check_key(key)
        if server_of(user_id) != self._server_name:
            profile = await self._remote_profile(user_id, key)
        else:
            profile = await self.local(user_id)
        if key not in profile:
            raise NotFound("The profile has no such field")
        return {key: profile[key]}

    async def put(self, who: Requester, user_id: UserID, key: str, body: dict[str, Any]) -> None:
        """Set a field. An empty name or avatar, or null in their place, removes it.

        Raises Forbidden, GuestAccessForbidden, UserSuspended, InvalidParam, KeyTooLarge, MissingParam, BadJson,
        ProfileTooLarge.
        """
        _check_key(key)
        if key not in body:
            raise MissingParam(f"Missing `{key}`")
        value = body[key]
        if key in _TEXTS:
            _check_text(key, value)
        if key == TIME_ZONE and not isinstance(value, str):
            raise BadJson(f"`{key}` must be a text")
        if key in _TEXTS and not value:
            await self.delete(who, user_id, key)
        else:
            await self._change(who, user_id, key, lambda profile: profile | {key: value})

    async def delete(self, who: Requester, user_id: UserID, key: str) -> None:
        """Remove a field, if it is there. Raises Forbidden, UserSuspended, InvalidParam, KeyTooLarge."""
        _check_key(key)
        await self._change(
            who, user_id, key, lambda profile: {name: value for name, value in profile.items() if name != key}
        )

    async def _change(
        self, who: Requester, user_id: UserID, key: str, change: Callable[[Profile], Profile]
    ) -> None:
        if who.user_id != user_id and not (who.is_admin and server_of(user_id) == self._server_name):
            raise Forbidden("You can only change your own profile")
        if who.is_guest and key != DISPLAYNAME:
            raise GuestAccessForbidden("Guests can only change their display name")
        if who.is_suspended:
            raise UserSuspended
        before, after = await self._database.transact(lambda tx: _changed(tx, user_id, change))
        if key in _TEXTS and before.get(key) != after.get(key):
            for changed in self._changed:
                await changed(who, user_id, after.get(DISPLAYNAME), after.get(AVATAR_URL))

    async def _remote_profile(self, user_id: UserID, key: str | None) -> Profile:
        if self._remote is None:
            raise NotFound("User not found")
        return await self._remote(user_id, key)


def _stored(tx: Transaction, user_id: UserID) -> StoredProfile | None:
    """A profile, an empty one for a user without; None where there is no such user."""
    stored = StoredProfiles(tx).profile(user_id)
    if stored is None and Users(tx).active_among([user_id]):
        return _NOTHING
    return stored


def _changed(
    tx: Transaction, user_id: UserID, change: Callable[[Profile], Profile]
) -> tuple[Profile, Profile]:
    if not Users(tx).lock_row(user_id):
        raise NotFound("User not found")
    before = _fields(StoredProfiles(tx).profile(user_id) or _NOTHING)
    after = change(before)
    if len(orjson.dumps(after)) > MAX_PROFILE_BYTES:
        raise ProfileTooLarge(f"A profile has at most {MAX_PROFILE_BYTES} bytes")
    rest = {name: value for name, value in after.items() if name not in _TEXTS}
    StoredProfiles(tx).put(user_id, after.get(DISPLAYNAME), after.get(AVATAR_URL), orjson.dumps(rest))
    return before, after


def _fields(stored: StoredProfile) -> Profile:
    profile: Profile = {}
    if stored.displayname is not None:
        profile[DISPLAYNAME] = stored.displayname
    if stored.avatar_url is not None:
        profile[AVATAR_URL] = stored.avatar_url
    profile.update(orjson.loads(stored.fields))
    return profile


def _check_key(key: str) -> None:
    if len(key.encode()) > MAX_KEY_BYTES:
        raise KeyTooLarge(f"The name of a profile field has at most {MAX_KEY_BYTES} bytes")
    if not _KEY.fullmatch(key):
        raise InvalidParam("Not the name of a profile field")


def _check_text(key: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, str):
        raise BadJson(f"`{key}` must be a text")
    if len(value) > _TEXTS[key] or "\0" in value:
        raise InvalidParam(f"`{key}` has at most {_TEXTS[key]} characters")
