"""The first write of a room."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from homeserver.clock import Clock, Randomness
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import RoomID, ServerName
from homeserver.protocol.room_versions import RoomVersion
from homeserver.services.rooms.draft import RoomDraft
from homeserver.services.rooms.heads import empty_head
from homeserver.services.rooms.local_events import EventIntent, LocalEvents
from homeserver.services.rooms.writer import RoomWriter

_ATTEMPTS = 100


class _Taken(Exception):
    """Another room has that ID."""


class Founding:
    """Writes the first events of rooms."""

    def __init__(
        self,
        server_name: ServerName,
        clock: Clock,
        random: Randomness,
        writer: RoomWriter,
        local_events: LocalEvents,
    ) -> None:
        self._server_name = server_name
        self._clock = clock
        self._random = random
        self._writer = writer
        self._local_events = local_events

    async def found(
        self,
        version: RoomVersion,
        create: EventIntent,
        first: Sequence[EventIntent],
        also: Callable[[RoomDraft, Event], None],
        room_id: RoomID | None = None,
    ) -> RoomID:
        """Write a create event and the ``first`` ones after it, with what ``also`` adds to the draft; the new
        room's ID, which is ``room_id`` if that was chosen before.

        Raises `NotAuthorised`, EventTooLarge, BadJson."""
        now = self._clock.now_ms()
        for later in range(_ATTEMPTS):
            event = self._local_events.create_event(
                version, room_id or self.choose_id(version), replace(create, origin_server_ts=now + later)
            )
            try:
                await self._write(version, event, first, also)
            except _Taken:
                # Where the ID is made of the create event, the same event in the same millisecond is the same room.
                continue
            return event.room_id
        raise RuntimeError("no new room ID was found")

    async def rehearse(self, version: RoomVersion, create: EventIntent, first: Sequence[EventIntent]) -> None:
        """Build the events of a room and write nothing. Raises as `found`."""
        event = self._local_events.create_event(version, self.choose_id(version), create)
        draft = RoomDraft(empty_head(event.room_id, version))
        await self._local_events.append_built(draft, event, None)
        for intent in first:
            await self._local_events.append(draft, intent)

    def choose_id(self, version: RoomVersion) -> RoomID | None:
        """An ID for a new room; None where the version makes it of the create event."""
        if version.room_id_is_create_hash:
            return None
        return RoomID(f"!{self._random.letters(18)}:{self._server_name}")

    async def _write(
        self,
        version: RoomVersion,
        create: Event,
        first: Sequence[EventIntent],
        also: Callable[[RoomDraft, Event], None],
    ) -> None:
        async def job(draft: RoomDraft) -> None:
            if draft.extremities:
                raise _Taken
            await self._local_events.append_built(draft, create, None)
            for intent in first:
                await self._local_events.append(draft, intent)
            also(draft, create)

        await self._writer.write(create.room_id, job, create=version)
