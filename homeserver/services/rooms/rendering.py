"""Events as one reader sees them: the bytes that all readers share, with the reader's own `unsigned` spliced
in.

https://spec.matrix.org/v1.19/client-server-api/#room-event-format
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from homeserver.clock import Clock
from homeserver.protocol.canonical_json import encode_canonical
from homeserver.protocol.events.client_format import client_event_bytes
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.sticky import REMAINING, STICKY, sticky_until
from homeserver.protocol.identifiers import DeviceID, UserID
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.access import Seen
from homeserver.services.rooms.aggregations import Aggregations, Bundle
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.state_store import StateStore
from homeserver.services.rooms.stored_event import StoredEvent
from storage.snapshots import Snapshot

_ROOM_ID = b',"room_id":"'


@dataclass(frozen=True, slots=True)
class Viewer:
    """For whom events are rendered. ``transactions`` is the prefix of the transactions of the viewer's own
    device.
    """

    user_id: UserID
    transactions: str | None = None

    @classmethod
    def of(cls, who: Requester) -> "Viewer":
        return cls(who.user_id, transaction_prefix(who.device_id))


class Renderer:
    """Renders events. What all viewers see alike is made once an event and kept with it."""

    def __init__(
        self, clock: Clock, events: EventStore, states: StateStore, aggregations: Aggregations
    ) -> None:
        self._clock = clock
        self._events = events
        self._states = states
        self.aggregations = aggregations

    async def timeline(
        self, viewer: Viewer, seen: Sequence[Seen], *, with_room_id: bool = True, bundled: bool = True
    ) -> list[bytes]:
        """Events of a timeline: with what they replaced, why they were redacted, the viewer's own
        transaction IDs and, if they are ``bundled``, the aggregations of their children.
        """
        await self._prepare([each.stored for each in seen])
        relations = await self._relations(viewer, [each.stored for each in seen]) if bundled else {}
        now = self._clock.now_ms()
        return [
            _rendered(
                stored,
                viewer,
                b',"membership":"%b"%b' % (membership.encode(), relations.get(stored.nid, b"")),
                now,
                with_room_id,
            )
            for stored, membership in seen
        ]

    async def _relations(self, viewer: Viewer, events: Sequence[StoredEvent]) -> dict[int, bytes]:
        """`m.relations` of those events that have some, with the key."""
        bundles = await self.aggregations.of(viewer.user_id, events)
        if not bundles:
            return {}
        edits = [each.replaced_by for each in bundles.values() if each.replaced_by is not None]
        replies = [each.thread.latest for each in bundles.values() if each.thread is not None]
        shown = dict(
            zip(
                [each.stored.nid for each in (*edits, *replies)],
                # A reply begins no thread, and an edit has neither: so this ends.
                [
                    *await self.timeline(viewer, edits, bundled=False),
                    *await self.timeline(viewer, replies, bundled=bool(replies)),
                ],
                strict=True,
            )
        )
        return {nid: b',"m.relations":{%b}' % _relations(bundle, shown) for nid, bundle in bundles.items()}

    async def state(
        self, events: Sequence[StoredEvent], viewer: Viewer | None = None, *, with_room_id: bool = True
    ) -> list[bytes]:
        """Events as parts of a room's state: without what they replaced."""
        now = self._clock.now_ms()
        redacted = [stored for stored in events if stored.redacted_by is not None]
        if redacted:
            await self._prepare(redacted)
        nobody = viewer or Viewer(UserID(""))
        return [_rendered(stored, nobody, b"", now, with_room_id) for stored in events]

    async def _prepare(self, events: Sequence[StoredEvent]) -> None:
        """Make the shared part of `unsigned` of those events that have none yet."""
        todo = [
            stored
            for stored in events
            if stored.shared_unsigned is None
            and (stored.event.state_key is not None or stored.redacted_by is not None)
        ]
        if not todo:
            return
        replaced = await self._replaced([stored for stored in todo if stored.event.state_key is not None])
        redactions = await self._events.by_ids({s.redacted_by for s in todo if s.redacted_by is not None})
        for stored in todo:
            redaction = redactions.get(stored.redacted_by) if stored.redacted_by is not None else None
            stored.shared_unsigned = _shared(replaced.get(stored.nid), redaction)

    async def _replaced(self, events: Sequence[StoredEvent]) -> dict[int, StoredEvent]:
        """The state events that others took the place of, by the number of the later one."""
        snapshots = await self._states.snapshots(
            {stored.state_before for stored in events if stored.state_before is not None}
        )
        keys = {stored.event.key for stored in events if stored.event.key is not None}
        key_ids = await self._states.known_key_ids(keys)
        nids: dict[int, int] = {}
        for stored in events:
            snapshot = snapshots.get(stored.state_before or 0, Snapshot())
            key_id = key_ids.get(stored.event.key) if stored.event.key is not None else None
            nid = None if key_id is None else snapshot.find(key_id)
            if nid is not None:
                nids[stored.nid] = nid
        found = await self._events.by_nids(set(nids.values()))
        return {later: found[nid] for later, nid in nids.items() if nid in found}


def transaction_prefix(device_id: DeviceID | None) -> str | None:
    """How the transactions of a device begin in `StoredEvent.transaction`."""
    return None if device_id is None else f"{device_id} "


def without_room_id(client_bytes: bytes) -> bytes:
    """The bytes of an event without its room ID, as events stand in `/sync`.

    Keys are sorted and quotes within texts escaped, so the last `room_id` is the event's own: what comes
    after it are texts.
    """
    start = client_bytes.rfind(_ROOM_ID)
    end = client_bytes.index(b',"sender":', start)
    return client_bytes[:start] + client_bytes[end:]


def _rendered(stored: StoredEvent, viewer: Viewer, membership: bytes, now: int, with_room_id: bool) -> bytes:
    event = stored.event
    shown = stored.client_bytes() if with_room_id else without_room_id(stored.client_bytes())
    age = max(now - event.origin_server_ts, 0)
    return b'%b,"unsigned":{"age":%d%b%b%b%b}}' % (
        shown[:-1],
        age,
        membership,
        _remaining(stored, now) if STICKY in event.pdu else b"",
        stored.shared_unsigned or b"",
        _transaction(stored, event, viewer),
    )


def _remaining(stored: StoredEvent, now: int) -> bytes:
    """How long the event is still sticky. https://github.com/matrix-org/matrix-spec-proposals/pull/4354"""
    left = sticky_until(stored.event, stored.received_ts) - now
    return b',"%b":%d' % (REMAINING.encode(), left) if left > 0 else b""


def _relations(bundle: Bundle, shown: Mapping[int, bytes]) -> bytes:
    """https://spec.matrix.org/v1.19/client-server-api/#aggregations-of-child-events"""
    pieces = []
    if bundle.replaced_by is not None:
        pieces.append(b'"m.replace":' + shown[bundle.replaced_by.stored.nid])
    if bundle.thread is not None:
        thread = bundle.thread
        pieces.append(
            b'"m.thread":{"latest_event":%b,"count":%d,"current_user_participated":%b}'
            % (
                shown[thread.latest.stored.nid],
                thread.count,
                b"true" if thread.participated else b"false",
            )
        )
    if bundle.references:
        chunk = [{"event_id": event_id} for event_id in bundle.references]
        pieces.append(b'"m.reference":' + orjson.dumps({"chunk": chunk}))
    return b",".join(pieces)


def _transaction(stored: StoredEvent, event: Event, viewer: Viewer) -> bytes:
    """The transaction ID for the device that sent the event; the delay ID of a delayed one for its sender (MSC4140)."""
    transaction, prefix = stored.transaction, viewer.transactions
    if transaction is None or event.sender != viewer.user_id:
        return b""
    if " " not in transaction:
        return b',"org.matrix.msc4140.delay_id":' + orjson.dumps(transaction)
    if prefix is None or not transaction.startswith(prefix):
        return b""
    return b',"transaction_id":' + orjson.dumps(transaction[len(prefix) :])


def _shared(replaced: StoredEvent | None, redaction: StoredEvent | None) -> bytes:
    """https://spec.matrix.org/v1.19/client-server-api/#definition-clientevent_unsigneddata, from the second
    key on.
    """
    shared = b""
    if replaced is not None:
        # Clients find out by `prev_sender` who invited somebody who has joined.
        shared += b',"prev_content":%b,"prev_sender":%b,"replaces_state":%b' % (
            encode_canonical(replaced.event.content),
            orjson.dumps(replaced.event.sender),
            orjson.dumps(replaced.event.event_id),
        )
    if redaction is not None:
        shared += b',"redacted_because":' + client_event_bytes(redaction.event)
        shared += b',"redacted_by":' + orjson.dumps(redaction.event.event_id)  # older clients look here
    return shared
