"""Answers of sliding sync as bytes, in the two shapes that clients know: the accepted one (MSC4186), and the one that
was deployed before it was accepted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, TypeAlias

import orjson

from homeserver.services.rooms.rendering import Renderer, Viewer
from homeserver.services.sliding_sync.model import ListResult, Result, RoomResult

MAX_OPS_ROOMS: Final = 200
"""Rooms of a list that are named in `ops`: clients that look there have small windows."""

Rendered: TypeAlias = tuple[list[bytes], list[bytes]]
"""The state and the timeline of a room."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What differs between the shapes."""

    stripped: str
    expanded: str
    stubs: bool
    ops: bool


ACCEPTED: Final = Shape("stripped_state", "expanded_timeline", stubs=True, ops=False)
DEPLOYED: Final = Shape("invite_state", "unstable_expanded_timeline", stubs=False, ops=True)


class SlidingRenderer:
    """Renders answers."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    async def body(self, result: Result, viewer: Viewer, shape: Shape, txn_id: str | None = None) -> bytes:
        """The body of an answer."""
        shown: dict[str, object] = {"pos": result.pos}
        if txn_id is not None:
            shown["txn_id"] = txn_id
        shown["lists"] = {name: _list(each, shape) for name, each in result.lists.items()}
        rendered = await self._events(result.rooms, viewer)
        shown["rooms"] = {
            each.room_id: _room(each, events, shape)
            for each, events in zip(result.rooms, rendered, strict=True)
        }
        shown["extensions"] = {name: orjson.Fragment(body) for name, body in result.extensions.items()}
        return orjson.dumps(shown)

    async def _events(self, rooms: Sequence[RoomResult], viewer: Viewer) -> list[Rendered]:
        """The events of all rooms, rendered together."""
        timelines = [each.timeline.events if each.timeline is not None else () for each in rooms]
        seen = [event for events in timelines for event in events]
        state = [event for each in rooms for event in each.state]
        shown = iter(await self._renderer.timeline(viewer, seen, with_room_id=False))
        told = iter(await self._renderer.state(state, viewer, with_room_id=False))
        return [
            ([*islice(told, len(each.state))], [*islice(shown, len(events))])
            for each, events in zip(rooms, timelines, strict=True)
        ]


def _room(room: RoomResult, events: Rendered, shape: Shape) -> dict[str, Any]:
    shown: dict[str, Any] = {"bump_stamp": room.bump_stamp, "membership": room.membership}
    if room.initial:
        shown["initial"] = True
    if room.lists:
        shown["lists"] = list(room.lists)
    if room.is_dm is not None:
        shown["is_dm"] = room.is_dm
    if room.stripped is not None:
        shown[shape.stripped] = orjson.Fragment(room.stripped)
        return shown
    if room.expanded:
        shown[shape.expanded] = True
    named = ((room.name_told, "name", room.name), (room.avatar_told, "avatar", room.avatar))
    shown |= {n: value for told, n, value in named if told and (value is not None or not room.initial)}
    _add_people(shown, room)
    _add_events(shown, room, events, shape)
    return shown


def _add_events(shown: dict[str, Any], room: RoomResult, events: Rendered, shape: Shape) -> None:
    state, timeline = events
    required: list[Any] = [orjson.Fragment(event) for event in state]
    if shape.stubs:
        required += [{"type": kind, "state_key": key} for kind, key in room.gone]
    if required:
        shown["required_state"] = required
    if room.timeline is None:
        return
    if timeline:
        shown["timeline"] = [orjson.Fragment(event) for event in timeline]
    shown["prev_batch"] = room.timeline.prev_batch
    shown["limited"] = room.timeline.limited
    shown["num_live"] = room.num_live


def _add_people(shown: dict[str, Any], room: RoomResult) -> None:
    if room.heroes is not None:
        shown["heroes"] = [_hero(each.user_id, each.displayname, each.avatar_url) for each in room.heroes]
    if room.counts is not None:
        shown["joined_count"], shown["invited_count"] = room.counts
    if room.unread is not None:
        shown["notification_count"], shown["highlight_count"] = room.unread


def _list(result: ListResult, shape: Shape) -> Mapping[str, object]:
    shown: dict[str, object] = {"count": result.count}
    if shape.ops and sum(len(rooms) for _, rooms in result.windows) <= MAX_OPS_ROOMS:
        shown["ops"] = [
            {"op": "SYNC", "range": list(window), "room_ids": rooms} for window, rooms in result.windows
        ]
    return shown


def _hero(user_id: str, displayname: str | None, avatar_url: str | None) -> dict[str, str]:
    shown = {"user_id": user_id}
    if displayname is not None:
        shown["displayname"] = displayname
    if avatar_url is not None:
        shown["avatar_url"] = avatar_url
    return shown
