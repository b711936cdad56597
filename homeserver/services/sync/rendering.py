"""Answers of `/sync` as bytes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import orjson

from homeserver.protocol.events.sticky import STICKY
from homeserver.protocol.filters import Filter, select_fields
from homeserver.protocol.identifiers import RoomID
from homeserver.protocol.stream_tokens import LiveToken
from homeserver.services.rooms.access import Seen
from homeserver.services.rooms.rendering import Renderer, Viewer
from homeserver.services.rooms.stored_event import StoredEvent
from homeserver.services.sync.model import RoomUpdate, Timeline


@dataclass(slots=True)
class Answer:
    """What one answer holds, in pieces: rooms as members of JSON objects, the others as events."""

    join: list[bytes] = field(default_factory=list)
    leave: list[bytes] = field(default_factory=list)
    invite: list[bytes] = field(default_factory=list)
    knock: list[bytes] = field(default_factory=list)
    account_data: list[bytes] = field(default_factory=list)
    presence: list[bytes] = field(default_factory=list)
    extensions: dict[str, bytes] = field(default_factory=dict)
    messages_upto: int | None = None
    """How far messages to the device are in it, if more of them wait."""
    presence_upto: int | None = None
    """The ephemeral position up to which it tells of presence, if there is more to tell."""

    @property
    def is_news(self) -> bool:
        """Whether there is anything to tell."""
        return bool(
            self.join
            or self.leave
            or self.invite
            or self.knock
            or self.account_data
            or self.presence
            or self.extensions
        )

    def json(self, next_batch: str) -> bytes:
        """The body."""
        pieces = [b'{"next_batch":"%b"' % next_batch.encode()]
        rooms = (("join", self.join), ("invite", self.invite), ("knock", self.knock), ("leave", self.leave))
        if self.join or self.invite or self.knock or self.leave:
            inner = b",".join(b'"%b":{%b}' % (name.encode(), b",".join(each)) for name, each in rooms if each)
            pieces.append(b'"rooms":{%b}' % inner)
        if self.account_data:
            pieces.append(b'"account_data":{"events":[%b]}' % b",".join(self.account_data))
        if self.presence:
            pieces.append(b'"presence":{"events":[%b]}' % b",".join(self.presence))
        for name, value in self.extensions.items():
            pieces.append(b'"%b":%b' % (name.encode(), value))
        return b",".join(pieces) + b"}"


class RoomRenderer:
    """Renders rooms."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    async def joined(self, update: RoomUpdate, viewer: Viewer, filter: Filter, *, state_name: str) -> bytes:
        """A room that the user is in, as a member of a JSON object."""
        history = await self.history(update, viewer, filter, state_name=state_name)
        return joined_room(update, history, await self.sticky(update, viewer, filter))

    async def left(self, update: RoomUpdate, viewer: Viewer, filter: Filter, *, state_name: str) -> bytes:
        """A room that the user has left."""
        history = await self.history(update, viewer, filter, state_name=state_name)
        return b'%b:{%b,"account_data":{"events":[%b]}}' % (
            orjson.dumps(update.room_id),
            history,
            b",".join(update.account_data),
        )

    async def history(self, update: RoomUpdate, viewer: Viewer, filter: Filter, *, state_name: str) -> bytes:
        """A room's timeline and state, which all may share who see the same of it."""
        timeline, state = update.timeline, update.state
        return b'"timeline":{"events":[%b],"limited":%b,"prev_batch":"%b"},"%b":{"events":[%b]}' % (
            b",".join(await self._timeline(timeline, viewer, filter)) if timeline.events else b"",
            b"true" if timeline.limited else b"false",
            timeline.prev_batch.encode(),
            state_name.encode(),
            b",".join(await self._state(state, viewer, filter)) if state else b"",
        )

    async def sticky(self, update: RoomUpdate, viewer: Viewer, filter: Filter) -> bytes:
        """What is sticky beside the timeline, as a member of a JSON object; empty if nothing is.

        https://github.com/matrix-org/matrix-spec-proposals/pull/4354
        """
        if not update.sticky:
            return b""
        seen = [Seen(stored, "join") for stored in update.sticky]
        events = await self._timeline(Timeline(seen, False, 0), viewer, filter)
        return b',"%b":{"events":[%b]}' % (STICKY.encode(), b",".join(events))

    def differ_by_reader(self, timeline: Timeline) -> bool:
        """Whether those who may see the same of a timeline may be told different things of it."""
        if not timeline.limited:
            return False
        return self._renderer.aggregations.differ_by_reader(seen.stored for seen in timeline.events)

    async def _timeline(self, timeline: Timeline, viewer: Viewer, filter: Filter) -> list[bytes]:
        """Without a gap before it, clients have seen all children and sum them up by themselves."""
        seen = timeline.events
        shown = await self._renderer.timeline(viewer, seen, with_room_id=False, bundled=timeline.limited)
        if filter.event_format == "federation":
            shown = [_federation_format(each.stored, event) for each, event in zip(seen, shown, strict=True)]
        return _selected(shown, filter)

    async def _state(self, events: Iterable[StoredEvent], viewer: Viewer, filter: Filter) -> list[bytes]:
        state = list(events)
        shown = await self._renderer.state(state, viewer, with_room_id=False)
        if filter.event_format == "federation":
            shown = [_federation_format(each, event) for each, event in zip(state, shown, strict=True)]
        return _selected(shown, filter)


def no_history(upto: int, state_name: str) -> bytes:
    """An empty timeline at a position, and no state."""
    return b'"timeline":{"events":[],"limited":false,"prev_batch":"%b"},"%b":{"events":[]}' % (
        str(LiveToken(upto)).encode(),
        state_name.encode(),
    )


def joined_room(update: RoomUpdate, history: bytes, sticky: bytes = b"") -> bytes:
    """A room that the user is in, around the bytes of `RoomRenderer.history` and `RoomRenderer.sticky`."""
    return b'%b:{%b,"ephemeral":{"events":[%b]},"account_data":{"events":[%b]},%b,"summary":%b%b}' % (
        orjson.dumps(update.room_id),
        history,
        b",".join(update.ephemeral),
        b",".join(update.account_data),
        update.unread,
        update.summary,
        sticky,
    )


def stripped_rooms(rooms: Mapping[RoomID, bytes], name: str) -> list[bytes]:
    """Rooms of invites or knocks; `name` is `invite_state` or `knock_state`."""
    return [
        b'%b:{"%b":{"events":%b}}' % (orjson.dumps(room_id), name.encode(), events)
        for room_id, events in rooms.items()
    ]


def _federation_format(stored: StoredEvent, shown: bytes) -> bytes:
    """The event as other servers get it, with what the reader's `unsigned` says."""
    event = dict(stored.event.pdu)
    event["event_id"] = stored.event.event_id
    event["unsigned"] = orjson.loads(shown).get("unsigned", {})
    return orjson.dumps(event)


def _selected(events: list[bytes], filter: Filter) -> list[bytes]:
    if filter.event_fields is None:
        return events
    return [orjson.dumps(select_fields(orjson.loads(event), filter.event_fields)) for event in events]
