"""Bringing a room in that this server enters through another one: its state, what authorises it, and the
event by which we enter.

https://spec.matrix.org/v1.19/server-server-api/#joining-rooms. The state and its auth chain are stored first,
in pieces, as events without a place; then one write makes them the state of the room.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from homeserver.protocol.auth_rules.check import check_auth
from homeserver.protocol.auth_rules.room import NotAuthorised
from homeserver.protocol.errors import BadGateway
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import RoomID, StateKey
from homeserver.protocol.room_versions import RoomVersion
from homeserver.services.rooms.draft import RoomDraft
from homeserver.services.rooms.heads import extremity_of
from homeserver.services.rooms.ingest.checking import PduChecker
from homeserver.services.rooms.ingest.outliers import Outliers
from homeserver.services.rooms.ingest.placing import EventPlacer
from homeserver.services.rooms.state_store import StateStore
from homeserver.services.rooms.stored_event import Status, StoredEvent
from homeserver.services.rooms.writer import RoomWriter
from storage.snapshots import Snapshot

log = structlog.get_logger(__name__)

_CREATE = ("m.room.create", "")


@dataclass(frozen=True, slots=True)
class Entrance:
    """What a server that is in the room answered to our join: the state before it, and all that leads to that."""

    room_id: RoomID
    version: RoomVersion
    join: Event
    state: Sequence[Any]
    auth_chain: Sequence[Any]


class RoomImport:
    """Makes a room of another server one of ours."""

    def __init__(
        self,
        checker: PduChecker,
        outliers: Outliers,
        states: StateStore,
        placer: EventPlacer,
        writer: RoomWriter,
    ) -> None:
        self._checker = checker
        self._outliers = outliers
        self._states = states
        self._placer = placer
        self._writer = writer

    async def bring_in(self, entrance: Entrance) -> StoredEvent:
        """Store the room as of the join; gives the join. Raises BadGateway for an answer that is not the
        state of this room.
        """
        state = await self._state(entrance)
        _check_create(entrance, state.get(_CREATE))
        try:
            check_auth(entrance.join, lambda event_type, key: _event(state.get((event_type, key))))
        except NotAuthorised as error:
            raise BadGateway(f"The room's state does not allow the join: {error.message}") from error
        return await self._writer.write(
            entrance.room_id, lambda draft: self._enter(draft, entrance, state), create=entrance.version
        )

    async def _state(self, entrance: Entrance) -> dict[StateKey, StoredEvent]:
        """The state before the join, of those events that stand up to the checks."""
        checked = await self._checker.check(
            entrance.room_id,
            entrance.version,
            [*entrance.state, *entrance.auth_chain],
            limit_references=False,
        )
        if checked.failures or checked.malformed:
            log.info(
                "parts of a room's state refused",
                room_id=entrance.room_id,
                malformed=checked.malformed,
                failures=checked.failures,
            )
        saved = await self._outliers.save(checked.events)
        state: dict[StateKey, StoredEvent] = {}
        for event_id in checked.given[: len(entrance.state)]:
            stored = None if event_id is None else saved.get(event_id)
            if stored is not None and stored.event.key and stored.status is not Status.REJECTED:
                state[stored.event.key] = stored
        return state

    async def _enter(
        self, draft: RoomDraft, entrance: Entrance, state: dict[StateKey, StoredEvent]
    ) -> StoredEvent:
        join = entrance.join
        known = draft.by_id.get(join.event_id) or self._placer.known(join.event_id)
        if known is not None and not known.is_outlier:
            return known
        was = draft.state
        before = await self._states.derive(Snapshot(), {key: stored.nid for key, stored in state.items()})
        stored, after = await self._placer.put(draft, join, before, known)
        draft.extremities = (extremity_of(stored),)
        draft.state = after
        draft.gaps.extend((prev_id, join.depth) for prev_id in join.prev_event_ids)
        draft.changes.extend(await self._placer.changes_between(draft, was, after, stored))
        draft.imported_by = stored.nid
        return stored


def _check_create(entrance: Entrance, create: StoredEvent | None) -> None:
    if create is None:
        raise BadGateway("The room's state has no create event")
    if create.event.content.get("room_version", "1") != entrance.version.id:
        raise BadGateway("The room is of another version than the server said")


def _event(stored: StoredEvent | None) -> Event | None:
    return None if stored is None else stored.event
