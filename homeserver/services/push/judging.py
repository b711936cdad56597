"""Which of some events a user is to be told of, and how."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.protocol.push_rules.evaluation import Verdict
from homeserver.services.push_evaluation import PushEvaluation, at_event
from homeserver.services.rooms.access import MEMBER, Access, Reader
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.stored_event import StoredEvent


@dataclass(frozen=True, slots=True)
class Told:
    """An event that a user is told of."""

    user_id: UserID
    nid: int
    pos: int
    ts: int
    verdict: Verdict


class PushJudge:
    """Judges events by the user's rules as they are now, and by what the user may see."""

    def __init__(self, evaluation: PushEvaluation, events: EventStore, access: Access) -> None:
        self._evaluation = evaluation
        self._events = events
        self._access = access

    async def load(self, nids: Iterable[int]) -> Mapping[int, StoredEvent]:
        """Events by number."""
        return await self._events.by_nids(nids)

    async def told(
        self, user_id: UserID, room_id: RoomID, events: Sequence[StoredEvent], ignored: frozenset[str]
    ) -> list[Told]:
        """Those events of a room that notify a user who is in it."""
        heard = [each for each in events if each.event.sender not in ignored]
        seen = await self._access.select(Reader(user_id, room_id, inf), heard)
        return await self._judged(
            user_id, room_id, [stored for stored, membership in seen if membership == "join"]
        )

    async def invited(
        self, user_id: UserID, room_id: RoomID, invite: StoredEvent, pos: int, ignored: frozenset[str]
    ) -> list[Told]:
        """Whether an invite notifies. Its room may be one of which this server knows nothing else."""
        event = invite.event
        if event.sender in ignored or event.key != (MEMBER, user_id) or event.membership != "invite":
            return []
        return await self._judged(user_id, room_id, [invite], pos)

    async def _judged(
        self, user_id: UserID, room_id: RoomID, events: Sequence[StoredEvent], at: int | None = None
    ) -> list[Told]:
        if not events:
            return []
        rules = (await self._evaluation.rules(user_id)).all
        circumstances = await self._evaluation.circumstances(user_id, room_id, rules)
        subscribed = await self._evaluation.subscribers.among(user_id, events)
        told = []
        for stored in events:
            verdict = rules.evaluate(stored.event, at_event(circumstances, stored, subscribed))
            pos = stored.pos if at is None else at
            if verdict.notify and pos is not None:
                told.append(Told(user_id, stored.nid, pos, stored.received_ts, verdict))
        return told
