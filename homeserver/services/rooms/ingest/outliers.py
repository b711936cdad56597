"""Events without a place in their room: those that authorise others, or that a state is made of."""

from collections.abc import Mapping, Sequence

from homeserver.clock import Clock
from homeserver.protocol.auth_rules.check import check_auth
from homeserver.protocol.auth_rules.room import NotAuthorised
from homeserver.protocol.auth_rules.selection import check_auth_events_shape
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.heads import pack_nids
from homeserver.services.rooms.ingest.order import auth_first
from homeserver.services.rooms.numbers import BlockSequence
from homeserver.services.rooms.persist import event_row
from homeserver.services.rooms.stored_event import Status, StoredEvent
from storage.database import Database
from storage.journal import Journal, Write
from storage.tables.events import OUTLIER_AUTH, OUTLIERS, Events

_CHUNK = 500
"""Events a transaction, so that a large room's state does not hold up other writes."""

_BREATH = 100
"""Events after which others get their turn."""


class Outliers:
    """Stores events of which only the authorisation by their own auth events is checked."""

    def __init__(
        self, database: Database, journal: Journal, events: EventStore, nids: BlockSequence, clock: Clock
    ) -> None:
        self._database = database
        self._journal = journal
        self._events = events
        self._nids = nids
        self._clock = clock

    async def save(self, events: Sequence[Event]) -> dict[EventID, StoredEvent]:
        """Store events that passed the first checks, and give them (and those that were here) by ID.

        One that its auth events do not allow is stored as rejected. One that stands on an event which is not
        here cannot be judged, and is left out.
        """
        saved = await self._events.by_ids(event.event_id for event in events)
        ordered = auth_first(events)
        named = {auth_id for event in ordered for auth_id in _grounds(event)}
        around = await self._events.by_ids(named - {event.event_id for event in ordered}) | saved
        for start in range(0, len(ordered), _CHUNK):
            new, recorded = await self._judge(ordered[start : start + _CHUNK], around, saved)
            if recorded:
                rows = [(pack_nids(one.auth_nids), int(one.status), one.nid) for one in recorded]
                await self._journal.write(Write(entries=[OUTLIER_AUTH.row(*row) for row in rows]))
            if new:
                await self._write(new, saved)
                around |= saved
        return saved

    async def _judge(
        self,
        events: Sequence[Event],
        around: dict[EventID, StoredEvent],
        known: Mapping[EventID, StoredEvent],
    ) -> tuple[list[StoredEvent], list[StoredEvent]]:
        """Those of the events that are new, and those invites and knocks that were recorded before and can be
        judged only now.
        """
        new: list[StoredEvent] = []
        recorded: list[StoredEvent] = []
        for number, event in enumerate(events, 1):
            if number % _BREATH == 0:
                await self._clock.sleep(0)
            stored = known.get(event.event_id)
            unknown = any(ground not in around for ground in _grounds(event))
            if unknown or (stored is not None and not _may_change(stored)):
                continue
            auth = [around[auth_id].nid for auth_id in event.auth_event_ids]
            if stored is None:
                nid = await self._nids.take()
                stored = StoredEvent(event, nid, received_ts=self._clock.now_ms(), auth_nids=auth)
                new.append(stored)
            elif event.membership in ("invite", "knock"):
                stored.auth_nids = auth
                recorded.append(stored)
            if _refused(event, around):
                stored.status = Status.REJECTED
            around[event.event_id] = stored
        return new, recorded

    async def _write(self, chunk: list[StoredEvent], saved: dict[EventID, StoredEvent]) -> None:
        await self._journal.write(Write(entries=[OUTLIERS.row(*event_row(stored)) for stored in chunk]))
        event_ids = [stored.event.event_id for stored in chunk]
        numbers = dict(await self._database.read(lambda tx: Events(tx).numbers(event_ids)))
        theirs = []
        for stored in chunk:
            event_id = stored.event.event_id
            if numbers[event_id] == stored.nid:
                self._events.remember(stored)
                saved[event_id] = stored
            else:
                theirs.append(event_id)
        if theirs:
            saved |= await self._events.by_ids(theirs)


def _may_change(stored: StoredEvent) -> bool:
    return stored.is_outlier and stored.status is Status.ACCEPTED


def _grounds(event: Event) -> list[EventID]:
    """The events that one stands on: its auth events, and the create event that its room's ID implies."""
    if event.version.room_id_is_create_hash and event.type != "m.room.create":
        return [*event.auth_event_ids, EventID("$" + event.room_id[1:])]
    return event.auth_event_ids


def _refused(event: Event, around: Mapping[EventID, StoredEvent]) -> bool:
    grounds = [around[event_id] for event_id in _grounds(event)]
    rejected = {stored.event.event_id for stored in grounds if stored.status is Status.REJECTED}
    state = {stored.event.key: stored.event for stored in grounds}
    try:
        check_auth_events_shape(event, [around[one].event for one in event.auth_event_ids], rejected)
        check_auth(event, lambda event_type, state_key: state.get((event_type, state_key)))
    except NotAuthorised:
        return True
    return False
