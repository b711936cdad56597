"""Telling of the threads that a user follows.

Told are the latest changes only; for those before them there is a token, with which the client asks for more when it
likes.

https://github.com/matrix-org/matrix-spec-proposals/pull/4308
"""

from collections.abc import Iterable
from typing import Any, Final

import orjson

from homeserver.protocol.stream_tokens import SubscriptionsToken
from homeserver.services.sliding_sync.gather import Reading
from homeserver.services.sync.live import LiveUser
from homeserver.services.thread_subscriptions import ThreadSubscriptions
from storage.tables.thread_subscriptions import SubscriptionChangeRow

MAX_SUBSCRIPTIONS: Final = 500
"""Changes that one answer tells at most."""
EXTENSION: Final = "io.element.msc4308.thread_subscriptions"


class SubscriptionsExtension:
    """Reads what has changed; only where anything of the user's own has."""

    def __init__(self, subscriptions: ThreadSubscriptions) -> None:
        self._subscriptions = subscriptions

    async def tell(self, reading: Reading, user: LiveUser, limit: int) -> bytes | None:
        """What is new; None if nothing is."""
        if reading.since and user.data_pos <= reading.since:
            return None
        found = await self._subscriptions.page(reading.user_id, reading.since, reading.upto, limit)
        members = changes_json(found.changes)
        if found.end is not None:
            members.append(b'"prev_batch":' + orjson.dumps(token_of(found.end)))
        return b"{%b}" % b",".join(members) if members else None


def changes_json(changes: Iterable[SubscriptionChangeRow]) -> list[bytes]:
    """Changes as members of a JSON object."""
    subscribed: dict[str, dict[str, Any]] = {}
    unsubscribed: dict[str, dict[str, Any]] = {}
    for change in changes:
        stamp = {"bump_stamp": change.pos}
        if change.subscribed:
            now = {"automatic": change.automatic, **stamp}
            subscribed.setdefault(change.room_id, {})[change.thread] = now
        else:
            unsubscribed.setdefault(change.room_id, {})[change.thread] = stamp
    told = (("subscribed", subscribed), ("unsubscribed", unsubscribed))
    return [b'"%b":%b' % (name.encode(), orjson.dumps(rooms)) for name, rooms in told if rooms]


def token_of(pos: int) -> str:
    """Where the next page begins: its first change is at a position."""
    return str(SubscriptionsToken(pos))
