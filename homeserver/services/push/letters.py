"""The bodies of requests to push gateways, for what a pusher is owed as things are when it is sent.

Between an event and its push may lie hours in which the gateway did not answer. So everything is looked at again: what
was redacted, what the user has read, and what is in rooms that they have left, is pushed no more.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.services.push.badges import Badge
from homeserver.services.push.describing import Describer
from homeserver.services.push.standing import Standing
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.stored_event import StoredEvent
from storage.database import Database
from storage.tables.badges import OpenRooms
from storage.tables.push_outbox import OwedPush
from storage.tables.pushers import PusherRow
from storage.tables.unread import Unread
from storage.transaction import Transaction

EVENT_ID_ONLY: Final = "event_id_only"
_ENCRYPTED: Final = "m.room.encrypted"


@dataclass(frozen=True, slots=True)
class Letter:
    """An event to push."""

    pos: int
    stored: StoredEvent
    actions: Sequence[Any]


class Letters:
    """Writes them."""

    def __init__(
        self, database: Database, events: EventStore, describer: Describer, *, include_content: bool
    ) -> None:
        self._database = database
        self._events = events
        self._describer = describer
        self._include_content = include_content

    async def still_due(self, user_id: UserID, owed: Iterable[OwedPush]) -> list[Letter]:
        """Those events that are still news to the user, in order."""
        rows = [row for row in owed if row.event_nid is not None]
        stored = await self._events.by_nids(row.event_nid for row in rows if row.event_nid is not None)
        if not stored:
            return []
        rooms = list({each.event.room_id for each in stored.values()})
        return await self.due(rows, await self._database.read(lambda tx: _standing(tx, user_id, rooms)))

    async def due(self, owed: Iterable[OwedPush], standing: Standing) -> list[Letter]:
        """Those events that are still news to a user who stands like this to their rooms, in order."""
        rows = {row.event_nid: row for row in owed if row.event_nid is not None}
        stored = await self._events.by_nids(rows)
        letters = []
        for nid, row in rows.items():
            each = stored.get(nid)
            if each is not None and standing.wants(each, row.pos):
                letters.append(Letter(row.pos, each, orjson.loads(row.actions or "[]")))
        return letters

    async def about(self, pusher: PusherRow, letter: Letter, badge: Badge) -> bytes:
        """The push of an event."""
        event, tweaks = letter.stored.event, _tweaks(letter.actions)
        data = orjson.loads(pusher.data)
        if data.get("format") == EVENT_ID_ONLY or not self._include_content:
            told: dict[str, Any] = {"event_id": event.event_id, "room_id": event.room_id}
        else:
            told = await self._describer.event(pusher.user_id, letter.stored)
        urgent = event.type == _ENCRYPTED or "sound" in tweaks or tweaks.get("highlight") is True
        told["prio"] = "high" if urgent else "low"
        told["counts"] = badge.json()
        told["devices"] = [_device(pusher, data, tweaks)]
        return orjson.dumps({"notification": told})

    def counts(self, pusher: PusherRow, badge: Badge) -> bytes:
        """The push of nothing but counts."""
        device = _device(pusher, orjson.loads(pusher.data), {})
        told = {"counts": badge.json(with_zero=True), "prio": "low", "devices": [device]}
        return orjson.dumps({"notification": told})


def _standing(tx: Transaction, user_id: UserID, rooms: list[RoomID]) -> Standing:
    memberships = {row.room_id: row.membership for row in OpenRooms(tx).of_user_in(user_id, rooms)}
    reads = Unread(tx).reads(user_id, rooms)
    return Standing(memberships, {(row.room_id, row.thread_id): row.pos for row in reads})


def _tweaks(actions: Iterable[Any]) -> dict[str, Any]:
    """https://spec.matrix.org/v1.19/client-server-api/#actions"""
    tweaks = {}
    for action in actions:
        name = action.get("set_tweak") if isinstance(action, dict) else None
        if isinstance(name, str):
            value = action.get("value")
            tweaks[name] = True if value is None and name == "highlight" else value
    return {name: value for name, value in tweaks.items() if value is not None}


def _device(pusher: PusherRow, data: Mapping[str, Any], tweaks: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "app_id": pusher.app_id,
        "pushkey": pusher.pushkey,
        "pushkey_ts": pusher.set_ts // 1000,
        "data": {key: value for key, value in data.items() if key != "url"},
        "tweaks": tweaks,
    }
