"""The two orders of state resolution: reverse topological power ordering and mainline ordering.

Both are total: ties end at the event ID, so the order of the inputs never shows.

Spec: https://spec.matrix.org/latest/rooms/v12/#definitions
"""

import heapq
import math
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from homeserver.protocol.events.content import PowerLevels
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID
from homeserver.protocol.state_resolution.sources import EventSource

_OFF_MAINLINE: Final = math.inf


def reverse_topological_power_ordering(events: Mapping[EventID, Event], source: EventSource) -> list[Event]:
    """Order events from earliest to latest: auth events first, then by power, time and ID.

    "At each step selecting, among all the candidate vertices, the smallest vertex", by Kahn's
    algorithm with a heap of candidates. The auth events of `events` must be loaded.
    """
    waiting_for: dict[EventID, int] = {}
    followers: dict[EventID, list[EventID]] = {}
    for event_id, event in events.items():
        needed = {auth_id for auth_id in event.auth_event_ids if auth_id in events}
        waiting_for[event_id] = len(needed)
        for auth_id in needed:
            followers.setdefault(auth_id, []).append(event_id)

    rank = {
        event_id: (-sender_power(event, source), event.origin_server_ts, event_id)
        for event_id, event in events.items()
    }
    candidates = [rank[event_id] for event_id, count in waiting_for.items() if count == 0]
    heapq.heapify(candidates)
    ordered: list[Event] = []
    while candidates:
        event_id = heapq.heappop(candidates)[2]
        ordered.append(events[event_id])
        for follower in followers.get(event_id, ()):
            waiting_for[follower] -= 1
            if waiting_for[follower] == 0:
                heapq.heappush(candidates, rank[follower])
    return ordered


def sender_power(event: Event, source: EventSource) -> float:
    """The sender's power level "when looking at their respective `auth_event`s"."""
    return PowerLevels.of(event.version, source.power_levels_of(event), source.create_of(event)).user(
        event.sender
    )


def mainline_ordering(events: Collection[Event], head: Event | None, source: EventSource) -> list[Event]:
    """Order events by the mainline of `head`, the resolved `m.room.power_levels` event.

    Events that stand on an older power levels event of the mainline come first, those that stand
    on none of it before all. The auth events of `events` must be loaded.
    """
    cited = {event.event_id: source.power_levels_of(event) for event in events}
    positions = _mainline_positions(head, [power for power in cited.values() if power], source)

    def rank(event: Event) -> tuple[float, int, EventID]:
        power = cited[event.event_id]
        position = _OFF_MAINLINE if power is None else positions[power.event_id]
        return (-position, event.origin_server_ts, event.event_id)

    return sorted(events, key=rank)


def _mainline_positions(
    head: Event | None, starts: Collection[Event], source: EventSource
) -> dict[EventID, float]:
    """For each power levels event of `starts`: the mainline position of an event that cites it."""
    if head is None:
        return {start.event_id: _OFF_MAINLINE for start in starts}
    mainline, before = _explore(head, starts, source)
    positions: dict[EventID, float] = dict(mainline)
    for start in starts:
        path: dict[EventID, None] = {}
        at: EventID | None = start.event_id
        while at is not None and at not in positions and at not in path:
            path[at] = None
            at = before.get(at)
        position = _OFF_MAINLINE if at is None else positions.get(at, _OFF_MAINLINE)
        positions.update(dict.fromkeys(path, position))
    return positions


def _explore(
    head: Event, starts: Iterable[Event], source: EventSource
) -> tuple[dict[EventID, int], dict[EventID, EventID | None]]:
    """Follow the power levels events back until every one of `starts` has met the mainline.

    Returns the index of each mainline event seen, and for each event seen the power levels event
    before it. All walks go back one step in a round, with one fetch a round, and the mainline
    runs ahead where the walks have been: so the work is bounded by how far the forks lie apart,
    not by how often the room changed its power levels.
    """
    before: dict[EventID, EventID | None] = {}
    mainline: dict[EventID, int] = {}
    seen = {start.event_id for start in starts}
    walking: list[EventID] = sorted(seen)
    ended: set[EventID] = set()
    tip: EventID | None = head.event_id
    while True:
        tip = _run_along(tip, mainline, before)
        walking = [at for at in walking if at not in mainline]
        ended = {at for at in ended if at not in mainline}
        if not walking and (tip is None or not ended):
            return mainline, before
        _step_back(walking if tip is None else [*walking, tip], before, source)
        ended.update(at for at in walking if before[at] is None)
        walking = _advance(walking, before, seen)


def _run_along(
    tip: EventID | None, mainline: dict[EventID, int], before: Mapping[EventID, EventID | None]
) -> EventID | None:
    """Lengthen the mainline as far as is known; return its last event, or None at its end."""
    if tip in mainline and tip in before:
        tip = before[tip]
    while tip is not None and tip not in mainline:
        mainline[tip] = len(mainline)
        if tip not in before:
            return tip
        tip = before[tip]
    return None


def _step_back(
    steps: Collection[EventID], before: dict[EventID, EventID | None], source: EventSource
) -> None:
    """Note the power levels event before each of `steps`, with one fetch."""
    events = source.among(steps)
    source.load_auth_events(events)
    before.update(dict.fromkeys(steps))
    for event in events:
        power = source.power_levels_of(event)
        before[event.event_id] = None if power is None else power.event_id


def _advance(
    walking: Iterable[EventID], before: Mapping[EventID, EventID | None], seen: set[EventID]
) -> list[EventID]:
    """Move each walk one event back; a walk that comes where another has been is at its end."""
    moved: list[EventID] = []
    for at in walking:
        earlier = before[at]
        if earlier is not None and earlier not in seen:
            seen.add(earlier)
            moved.append(earlier)
    return moved
