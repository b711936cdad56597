"""Filters that clients upload once and name afterwards.

https://spec.matrix.org/v1.19/client-server-api/#filtering
"""

import base64
import hashlib
from typing import Any

import orjson

from homeserver.protocol.errors import Forbidden, InvalidParam, NotFound
from homeserver.protocol.filters import Filter, read_filter
from homeserver.protocol.identifiers import UserID
from homeserver.protocol.requester import Requester
from storage.caches import Cache
from storage.database import Database
from storage.tables.filters import StoredFilters

_ID_BYTES = 12
NO_FILTER = Filter()


class Filters:
    """Stored filters. The ID of one is a hash of its content, so that uploading it again makes no second
    one.
    """

    def __init__(self, database: Database, cache: Cache[tuple[UserID, str], Filter]) -> None:
        self._database = database
        self._cache = cache

    async def create(self, who: Requester, user_id: UserID, body: dict[str, Any]) -> str:
        """Store a filter and return its ID. Raises Forbidden, BadJson."""
        _check_own(who, user_id)
        read_filter(body)
        content = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
        filter_id = base64.urlsafe_b64encode(hashlib.sha256(content).digest()[:_ID_BYTES]).decode()
        await self._database.transact(lambda tx: StoredFilters(tx).add(user_id, filter_id, content))
        return filter_id

    async def content(self, who: Requester, user_id: UserID, filter_id: str) -> bytes:
        """A filter as it was uploaded: JSON. Raises Forbidden, NotFound."""
        _check_own(who, user_id)
        return await self._content(user_id, filter_id)

    async def named(self, user_id: UserID, text: str | None) -> Filter:
        """The filter that a `filter` parameter means: an ID, or JSON, or nothing.

        Raises InvalidParam, BadJson, NotFound.
        """
        if not text:
            return NO_FILTER
        if text.startswith("{"):
            return read_filter(_decoded(text))
        cached = self._cache.get((user_id, text))
        if cached is None:
            cached = read_filter(orjson.loads(await self._content(user_id, text)))
            self._cache.put((user_id, text), cached)
        return cached

    async def _content(self, user_id: UserID, filter_id: str) -> bytes:
        found = await self._database.read(lambda tx: StoredFilters(tx).content(user_id, filter_id))
        if found is None:
            raise NotFound("No such filter")
        return found


def _decoded(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise InvalidParam("The filter is not JSON") from None


def _check_own(who: Requester, user_id: UserID) -> None:
    if who.user_id != user_id:
        raise Forbidden("You can only use your own filters")
