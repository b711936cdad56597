"""When there is a mail about what, as a function of what waits and when rooms were mailed about before."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.protocol.identifiers import RoomID
from homeserver.services.push.letters import Letter
from storage.tables.push_mails import RestingRoom

GROWTH: Final = 4


@dataclass(frozen=True, slots=True)
class Pacing:
    """What is read within ``delay_ms`` is not mailed. After a mail about a room there is none for ``pause_ms``, for
    longer each time that nobody has read the room since, up to ``longest_pause_ms``.
    """

    delay_ms: int
    pause_ms: int
    longest_pause_ms: int

    def rested(self, rooms: Iterable[RestingRoom], read: Mapping[RoomID, int], now: int) -> list[RoomID]:
        """The rooms that begin anew: they were read since, or have been left alone for long."""
        return [
            room.room_id
            for room in rooms
            if read.get(room.room_id, 0) >= room.last_pos or room.ready_ts + self.longest_pause_ms < now
        ]

    def next_pause(self, resting: RestingRoom | None) -> int:
        """How long to leave a room alone that is mailed about now."""
        if resting is None:
            return self.pause_ms
        return min(max(resting.pause_ms, self.pause_ms) * GROWTH, self.longest_pause_ms)

    def plan(
        self, news: Mapping[RoomID, Sequence[Letter]], resting: Mapping[RoomID, RestingRoom], now: int
    ) -> "Plan":
        """What to mail now: once anything has waited long enough, all there is of rooms that do not rest."""
        ready = [room_id for room_id in news if room_id not in resting or resting[room_id].ready_ts <= now]
        due = {
            room_id: max(letters[0].stored.received_ts + self.delay_ms, _ready_ts(resting.get(room_id)))
            for room_id, letters in news.items()
        }
        mailed = ready if any(ts <= now for ts in due.values()) else []
        waiting = [ts for room_id, ts in due.items() if room_id not in mailed]
        return Plan({room_id: news[room_id] for room_id in mailed}, min(waiting, default=None))


@dataclass(frozen=True, slots=True)
class Plan:
    """What to mail now, and when to look again for the rest (None: nothing else waits)."""

    mailed: Mapping[RoomID, Sequence[Letter]]
    next_ts: int | None


def _ready_ts(resting: RestingRoom | None) -> int:
    return 0 if resting is None else resting.ready_ts
