"""Pushers: where a user's devices want to be told what happens.

A pusher belongs to the device whose session set it, and goes with it: at logout, when the device is removed, when a
change of password ends the session.

https://spec.matrix.org/v1.19/client-server-api/#push-notifications
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from homeserver.clock import Clock
from homeserver.protocol.errors import InvalidParam, ThreepidNotFound, UserLimitExceeded
from homeserver.protocol.identifiers import DeviceID, UserID
from homeserver.protocol.requester import Requester
from homeserver.services.device_writes import DeviceWrite
from homeserver.services.email_proofs import EMAIL
from storage.database import Database
from storage.query import Entry
from storage.tables.pushers import PusherRow
from storage.tables.pushers import Pushers as StoredPushers
from storage.tables.threepids import Threepids
from storage.transaction import Transaction

HTTP: Final = "http"
EMAIL_APP: Final = "m.email"
"""The app of pushers of the kind `email`; their key is the address."""
NOTIFY_PATH: Final = "/_matrix/push/v1/notify"
MAX_APP_ID: Final = 64
MAX_PUSHKEY_BYTES: Final = 512
MAX_TEXT: Final = 1000
MAX_DATA_BYTES: Final = 16_384


@dataclass(frozen=True, slots=True)
class PusherWish:
    """A pusher as a client wants it."""

    kind: str
    app_id: str
    pushkey: str
    app_display_name: str
    device_display_name: str
    profile_tag: str | None
    lang: str
    data: Mapping[str, Any]
    append: bool
    enabled: bool


@dataclass(frozen=True, slots=True)
class PusherLimits:
    """What pushers may be."""

    per_user: int
    allow_http: bool
    mails: bool


class Pushers:
    """The pushers of local users."""

    def __init__(self, database: Database, limits: PusherLimits, clock: Clock) -> None:
        self._database = database
        self._limits = limits
        self._clock = clock

    async def of_user(self, user_id: UserID) -> list[PusherRow]:
        """All pushers of a user, the oldest first."""
        return await self._database.read(lambda tx: StoredPushers(tx).of_user(user_id))

    async def put(self, who: Requester, wish: PusherWish) -> None:
        """Add a pusher or change it. Raises InvalidParam, UserLimitExceeded, ThreepidNotFound."""
        _check_names(wish.app_id, wish.pushkey)
        url = self._checked_url(wish)
        wish = replace(wish, pushkey=_key(wish.app_id, wish.pushkey))
        texts = (wish.app_display_name, wish.device_display_name, wish.profile_tag or "", wish.lang)
        if any(len(text) > MAX_TEXT or "\0" in text for text in texts):
            raise InvalidParam(f"Texts have at most {MAX_TEXT} characters")
        data = orjson.dumps(dict(wish.data)).decode()
        if len(data) > MAX_DATA_BYTES:
            raise InvalidParam(f"`data` may take at most {MAX_DATA_BYTES} bytes")
        await self._database.transact(lambda tx: self._put(tx, who, wish, url, data))

    def _put(self, tx: Transaction, who: Requester, wish: PusherWish, url: str | None, data: str) -> None:
        table = StoredPushers(tx)
        user_id, app_id, pushkey = who.user_id, wish.app_id, wish.pushkey
        if table.number_of_others(user_id, app_id, pushkey) >= self._limits.per_user:
            raise UserLimitExceeded("You have too many pushers: remove one first")
        if wish.kind == EMAIL and Threepids(tx).owner(EMAIL, pushkey) != user_id:
            raise ThreepidNotFound("Mails go only to an address of your account")
        if not wish.append:
            table.delete_of_others(user_id, app_id, pushkey)
        table.put(
            user_id=user_id,
            app_id=app_id,
            pushkey=pushkey,
            kind=wish.kind,
            device_id=who.device_id,
            enabled=wish.enabled,
            app_display_name=wish.app_display_name,
            device_display_name=wish.device_display_name,
            profile_tag=wish.profile_tag,
            lang=wish.lang,
            url=url,
            data=data,
            set_ts=self._clock.now_ms(),
        )

    async def delete(self, user_id: UserID, app_id: str, pushkey: str) -> None:
        """Remove a pusher, if it is there. Raises InvalidParam."""
        _check_names(app_id, pushkey)
        key = _key(app_id, pushkey)
        await self._database.transact(lambda tx: StoredPushers(tx).delete(user_id, app_id, key))

    async def delete_all(self, user_id: UserID) -> None:
        """Remove all pushers of a user whose account was closed."""
        await self._database.transact(lambda tx: StoredPushers(tx).delete_all(user_id))

    def devices_removed(
        self, tx: Transaction, write: DeviceWrite, user_id: UserID, devices: Sequence[DeviceID]
    ) -> list[Entry]:
        """Remove what belongs to devices, in the transaction that removes these."""
        StoredPushers(tx).delete_of_devices(user_id, list(devices))
        return []

    def _checked_url(self, wish: PusherWish) -> str | None:
        """The URL of the gateway; None for mails. Raises InvalidParam."""
        if wish.kind == EMAIL and self._limits.mails:
            if wish.app_id != EMAIL_APP:
                raise InvalidParam(f"The `app_id` of mails is {EMAIL_APP}")
            return None
        if wish.kind != HTTP:
            raise InvalidParam(f"This server has no pushers of the kind {wish.kind[:50]!r}")
        url = wish.data.get("url")
        if not isinstance(url, str):
            raise InvalidParam("`data.url` must be the URL of a push gateway")
        if not isinstance(wish.data.get("format", ""), str):
            raise InvalidParam("`data.format` must be a text")
        schemes = ("https", "http") if self._limits.allow_http else ("https",)
        if len(url) > MAX_TEXT or not _is_gateway(url, schemes):
            raise InvalidParam(f"`data.url` must be an HTTPS URL with the path {NOTIFY_PATH}")
        return url


def _check_names(app_id: str, pushkey: str) -> None:
    if len(app_id) > MAX_APP_ID or "\0" in app_id:
        raise InvalidParam(f"`app_id` has at most {MAX_APP_ID} characters")
    if len(pushkey.encode()) > MAX_PUSHKEY_BYTES or "\0" in pushkey:
        raise InvalidParam(f"`pushkey` takes at most {MAX_PUSHKEY_BYTES} bytes")


def _key(app_id: str, pushkey: str) -> str:
    """A pushkey as it is kept: addresses in lower case."""
    return pushkey.lower() if app_id == EMAIL_APP else pushkey


def _is_gateway(url: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    known = parts.scheme in schemes and bool(parts.hostname) and parts.username is None
    return known and parts.path == NOTIFY_PATH and url.isascii() and url.isprintable() and " " not in url
