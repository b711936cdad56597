"""What a user has been notified about, from the rows that counts come from (`storage.tables.unread`).

Each event is judged by the user's rules as they are now. `Unread.candidates` are rows behind positions: whoever pushes
to devices reads the same rows.

https://spec.matrix.org/v1.19/client-server-api/#listing-notifications
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from homeserver.protocol.errors import InvalidParam
from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.protocol.push_rules.conditions import Circumstances
from homeserver.protocol.push_rules.evaluation import Verdict
from homeserver.protocol.requester import Requester
from homeserver.services.push_evaluation import PushEvaluation, UserRules, at_event
from homeserver.services.receipts import MAIN_THREAD, UNTHREADED
from homeserver.services.rooms.access import Seen
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.ignored_users import ignored_by
from homeserver.services.rooms.rendering import Renderer, Viewer
from homeserver.services.rooms.stored_event import StoredEvent
from storage.database import Database
from storage.tables.unread import Unread

MAX_LIMIT: Final = 100
_AT_ONCE: Final = 200
_MAX_READS: Final = 5
"""How often one page looks further back for something notable; beyond, the client asks on."""
_FIRST: Final = 2**62


@dataclass(frozen=True, slots=True)
class _Notified:
    stored: StoredEvent
    pos: int
    verdict: Verdict


class Notifications:
    """Lists notifications."""

    def __init__(
        self, database: Database, evaluation: PushEvaluation, events: EventStore, renderer: Renderer
    ) -> None:
        self._database = database
        self._evaluation = evaluation
        self._events = events
        self._renderer = renderer

    async def page(self, who: Requester, from_: str | None, limit: int, *, highlights: bool) -> bytes:
        """Notifications from a token on, the latest first: a JSON object. Raises InvalidParam."""
        wanted = min(max(limit, 1), MAX_LIMIT)
        found, before = await self._found(who.user_id, _before(from_), wanted, highlights)
        shown = await self._rendered(who, found)
        token = b"" if before is None else b',"next_token":"%d"' % before
        return b'{"notifications":[%b]%b}' % (b",".join(shown), token)

    async def _found(
        self, user_id: UserID, before: int, wanted: int, highlights: bool
    ) -> tuple[list[_Notified], int | None]:
        """What notified the user before a position, and the position from which the next page goes on."""
        rules = await self._evaluation.rules(user_id)
        ignored = await self._database.read(lambda tx: ignored_by(tx, user_id))
        found: list[_Notified] = []
        for _ in range(_MAX_READS):
            rows = await self._candidates(user_id, before, all_events=not rules.plain)
            stored = await self._events.by_nids(nid for nid, _ in rows)
            for nid, pos in rows:
                before = pos
                event = stored.get(nid)
                if event is None or event.event.sender in ignored:
                    continue
                verdict = await self._verdict(user_id, rules, event)
                if verdict.notify and (verdict.highlight or not highlights):
                    found.append(_Notified(event, pos, verdict))
                    if len(found) == wanted:
                        return found, before
            if len(rows) < _AT_ONCE:
                return found, None
        return found, before

    async def _candidates(self, user_id: UserID, before: int, *, all_events: bool) -> list[tuple[int, int]]:
        return await self._database.read(
            lambda tx: Unread(tx).candidates(user_id, before, all_events, _AT_ONCE)
        )

    async def _verdict(self, user_id: UserID, rules: UserRules, stored: StoredEvent) -> Verdict:
        event = stored.event
        if event.sender == user_id or stored.redacted_by is not None:
            return Verdict("", (), False, False)
        circumstances: Circumstances = await self._evaluation.circumstances(user_id, event.room_id, rules.all)
        subscribed = await self._evaluation.subscribers.among(user_id, (stored,))
        return rules.all.evaluate(event, at_event(circumstances, stored, subscribed))

    async def _rendered(self, who: Requester, found: Sequence[_Notified]) -> list[bytes]:
        rooms = list({each.stored.event.room_id for each in found})
        rows = await self._database.read(lambda tx: Unread(tx).reads(who.user_id, rooms))
        reads = {(row.room_id, row.thread_id): row.pos for row in rows}
        seen = [Seen(each.stored, _membership(each.stored, who.user_id)) for each in found]
        events = await self._renderer.timeline(Viewer.of(who), seen, with_room_id=False)
        return [
            b'{"actions":%b,"event":%b,"read":%b,"room_id":%b,"ts":%d}'
            % (
                orjson.dumps(each.verdict.actions),
                event,
                b"true" if _is_read(each, reads) else b"false",
                orjson.dumps(each.stored.event.room_id),
                each.stored.received_ts,
            )
            for each, event in zip(found, events, strict=True)
        ]


def _is_read(each: _Notified, reads: Mapping[tuple[RoomID, str], int]) -> bool:
    room_id, thread = each.stored.event.room_id, each.stored.thread or MAIN_THREAD
    return each.pos <= max(reads.get((room_id, UNTHREADED), 0), reads.get((room_id, thread), 0))


def _membership(stored: StoredEvent, user_id: UserID) -> str:
    """The user's membership at an event that notified them."""
    invited = stored.event.key == ("m.room.member", user_id)
    return "invite" if invited else "join"


def _before(token: str | None) -> int:
    if token is None:
        return _FIRST
    if not (token.isascii() and token.isdigit() and len(token) < 19):
        raise InvalidParam("Not a token of this list")
    return int(token)
