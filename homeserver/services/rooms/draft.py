"""What one write will make of a room: events, the states they lead to, and the room's next head."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from homeserver.protocol.identifiers import EventID, StateKey
from homeserver.services.rooms.heads import Extremity, RoomHead, extremity_of
from homeserver.services.rooms.state_change import StateChange
from homeserver.services.rooms.stored_event import Status, StoredEvent
from storage.bulk import Entry
from storage.snapshots import Layer, Snapshot

MAX_PREV_EVENTS = 20
"""https://spec.matrix.org/v1.19/rooms/v12/#event-format: at most 20 `prev_events`."""

MAX_EXTREMITIES = 50
"""A room's forks that are kept apart. Each costs with every event, as the state is resolved over all of them, and a
server can make as many as it likes. Those that came first are given up; an event that builds on them brings them back.
"""


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    events: int
    layers: int
    changes: int
    entries: int
    redacted: int
    filled_gaps: int
    behind_gaps: int
    gaps: int
    learned: int
    restated: int
    imported_by: int | None
    partial: bool
    state: Snapshot
    extremities: tuple[Extremity, ...]


class RoomDraft:
    """Collects the events of one write over a committed head.

    ``state`` and ``extremities`` are those after the events so far; ``unsaved`` and ``by_id`` are these events
    by number and by ID. ``redacted`` are events written before that a redaction in this write strikes, in their
    redacted form. ``imported_by`` is the number of the event, if there is one, that brings the whole state of
    the room with it; of that, ``written_ahead`` is what has its rows of current state already. ``gaps`` are missing
    events with the depths of those that follow them, ``behind_gaps`` such of these as clients see as new, by number.

    ``partial``: the room's members are not known yet. When they are, ``learned`` is how the current state differs by
    it, and ``restated`` are events written before as they are on the state that is known now; the rows for it are
    among ``entries``.
    """

    def __init__(self, head: RoomHead) -> None:
        self.head = head
        self.state = head.state
        self.partial = head.partial
        self.extremities = head.extremities
        self.events: list[StoredEvent] = []
        self.unsaved: dict[int, StoredEvent] = {}
        self.by_id: dict[EventID, StoredEvent] = {}
        self.redacted: list[StoredEvent] = []
        self.layers: list[Layer] = []
        self.changes: list[StateChange] = []
        self.learned: list[StateChange] = []
        self.restated: list[StoredEvent] = []
        self.entries: list[Entry] = []
        self.gaps: list[tuple[EventID, int]] = []
        self.filled_gaps: list[EventID] = []
        self.behind_gaps: list[int] = []
        self.imported_by: int | None = None
        self.written_ahead: Collection[StateKey] = ()
        self._seen_layers: set[int] = set()

    @property
    def depth(self) -> int:
        """The depth of the next event."""
        deepest = max((extremity.depth for extremity in self.extremities), default=0)
        return min(deepest + 1, self.head.room_version.max_depth)

    def prev_events(self) -> list[EventID]:
        """The events that the next one names as its previous ones: the deepest extremities."""
        if len(self.extremities) <= MAX_PREV_EVENTS:
            return [extremity.event_id for extremity in self.extremities]
        deepest = sorted(self.extremities, key=lambda extremity: extremity.depth, reverse=True)
        return [extremity.event_id for extremity in deepest[:MAX_PREV_EVENTS]]

    def add(self, stored: StoredEvent, *states: Snapshot) -> None:
        """Add an event, and the snapshots that it needs stored. It does not change the room's head by itself."""
        self.events.append(stored)
        self.unsaved[stored.nid] = stored
        self.by_id[stored.event.event_id] = stored
        for state in states:
            self.keep_snapshot(state)

    def keep_snapshot(self, state: Snapshot) -> None:
        """Have what is new of a snapshot stored. A stored layer lies on stored ones."""
        for layer in state.layers:
            if layer.stored or layer.snapshot_id in self._seen_layers:
                break
            self._seen_layers.add(layer.snapshot_id)
            self.layers.append(layer)

    def advance(self, stored: StoredEvent, state: Snapshot, changes: Sequence[StateChange]) -> None:
        """Make an accepted event, added before, an extremity in place of its previous ones, and ``state`` the
        current state.
        """
        previous = set(stored.event.prev_event_ids)
        kept = [extremity for extremity in self.extremities if extremity.event_id not in previous]
        self.extremities = (*kept[-(MAX_EXTREMITIES - 1) :], extremity_of(stored))
        self.state = state
        self.changes.extend(changes)

    def checkpoint(self) -> _Checkpoint:
        """Where the draft is, for `restore`."""
        return _Checkpoint(
            len(self.events),
            len(self.layers),
            len(self.changes),
            len(self.entries),
            len(self.redacted),
            len(self.filled_gaps),
            len(self.behind_gaps),
            len(self.gaps),
            len(self.learned),
            len(self.restated),
            self.imported_by,
            self.partial,
            self.state,
            self.extremities,
        )

    def restore(self, point: _Checkpoint) -> None:
        """Drop what came after ``point``."""
        for stored in self.events[point.events :]:
            del self.unsaved[stored.nid]
            del self.by_id[stored.event.event_id]
        del self.events[point.events :]
        del self.redacted[point.redacted :]
        for layer in self.layers[point.layers :]:
            self._seen_layers.discard(layer.snapshot_id)
        del self.layers[point.layers :]
        del self.changes[point.changes :]
        del self.entries[point.entries :]
        del self.filled_gaps[point.filled_gaps :]
        del self.behind_gaps[point.behind_gaps :]
        del self.gaps[point.gaps :]
        del self.learned[point.learned :]
        del self.restated[point.restated :]
        self.imported_by = point.imported_by
        self.partial = point.partial
        self.state = point.state
        self.extremities = point.extremities

    def next_head(self) -> RoomHead:
        """The head once this is written, but for its position and summary."""
        return replace(
            self.head,
            version=self.head.version + 1,
            state=self.state,
            extremities=self.extremities,
            partial=self.partial,
        )

    def timeline(self) -> list[StoredEvent]:
        """The events that clients see as new, in order."""
        return [stored for stored in self.events if is_new(stored)]


def is_new(stored: StoredEvent) -> bool:
    """Whether a written event takes a position: it is accepted, has a place, and is not of the past."""
    return stored.status is Status.ACCEPTED and stored.state_before is not None and stored.ordering is None
