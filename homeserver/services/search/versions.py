"""Messages that were edited are found by their newest version that the reader sees, and shown as the message itself.

https://spec.matrix.org/v1.19/client-server-api/#event-replacements
"""

from collections.abc import Iterable, Mapping, Sequence

from homeserver.protocol.events.content import relation_of
from homeserver.protocol.identifiers import EventID, RoomID, UserID
from homeserver.services.rooms.access import Access, Reader, Seen
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.stored_event import StoredEvent
from storage.database import Database
from storage.tables.search import MatchRow, MessageSearch


class Versions:
    """Tells which of the versions in the index are those that a reader goes by."""

    def __init__(self, database: Database, events: EventStore, access: Access) -> None:
        self._database = database
        self._events = events
        self._access = access

    async def current(
        self,
        user_id: UserID,
        readers: Mapping[RoomID, Reader],
        rows: Sequence[MatchRow],
        unindexed: Mapping[EventID, Sequence[int]],
    ) -> dict[int, tuple[Seen, StoredEvent]]:
        """Of matching versions, by number, the message to show and the version, where that is what the reader sees.

        ``unindexed`` are edits by message that the index does not have yet.
        """
        matching = await self._events.by_nids([row.nid for row in rows])
        originals = await self._events.by_ids({row.replaces for row in rows if row.replaces is not None})
        edited = {nid: _edited_id(stored) for nid, stored in matching.items()}
        ids = {nid: edited[nid] or stored.event.event_id for nid, stored in matching.items()}
        messages = list(dict.fromkeys(ids.values()))
        others = await self._database.read(lambda tx: MessageSearch(tx).versions(messages))
        fresh = {nid for message in messages for nid in unindexed.get(message, ())}
        edits = await self._events.by_nids({row.nid for row in others} | fresh)
        seen = await self._seen(user_id, readers, {**matching, **_by_nid(originals.values()), **edits})
        newest = _newest(edits.values(), seen, originals, matching)
        found = {}
        for nid, stored in matching.items():
            if nid not in seen:
                continue
            version = newest.get(ids[nid])
            if version is None or version.nid != nid:
                if version is not None or edited[nid] in originals:
                    continue
            shown = self._shown(stored, edited[nid], originals, seen)
            if shown is not None:
                found[nid] = (shown, seen[nid].stored)
        return found

    def _shown(
        self,
        version: StoredEvent,
        edited: EventID | None,
        originals: Mapping[EventID, StoredEvent],
        seen: Mapping[int, Seen],
    ) -> Seen | None:
        """The message itself; an edit of something that is not here, or not for this reader, stands for it."""
        original = None if edited is None else originals.get(edited)
        if original is None:
            return seen[version.nid]
        if original.redacted_by is not None:
            return None
        return seen.get(original.nid, seen[version.nid])

    async def _seen(
        self, user_id: UserID, readers: Mapping[RoomID, Reader], events: Mapping[int, StoredEvent]
    ) -> dict[int, Seen]:
        by_room: dict[RoomID, list[StoredEvent]] = {}
        for stored in events.values():
            if stored.event.room_id in readers and stored.redacted_by is None:
                by_room.setdefault(stored.event.room_id, []).append(stored)
        groups = [(readers[room_id], each) for room_id, each in by_room.items()]
        return {
            seen.stored.nid: seen for each in await self._access.select_each(user_id, groups) for seen in each
        }


def _newest(
    edits: Iterable[StoredEvent],
    seen: Mapping[int, Seen],
    originals: Mapping[EventID, StoredEvent],
    matching: Mapping[int, StoredEvent],
) -> dict[EventID, StoredEvent]:
    """By message the newest of its edits that the reader sees and that are valid."""
    messages = {**{stored.event.event_id: stored for stored in matching.values()}, **originals}
    newest: dict[EventID, StoredEvent] = {}
    for edit in edits:
        edited = _edited_id(edit)
        original = None if edited is None else messages.get(edited)
        if edited is None or edit.nid not in seen or (original and not _may_replace(edit, original)):
            continue
        if edited not in newest or _age(edit) > _age(newest[edited]):
            newest[edited] = edit
    return newest


def _may_replace(edit: StoredEvent, original: StoredEvent) -> bool:
    new, old = edit.event, original.event
    return (
        new.sender == old.sender
        and new.room_id == old.room_id
        and new.type == old.type
        and not old.is_state
        and _edited_id(original) is None
    )


def _age(stored: StoredEvent) -> tuple[int, str]:
    return stored.event.origin_server_ts, stored.event.event_id


def _edited_id(stored: StoredEvent) -> EventID | None:
    relation = relation_of(stored.event)
    return relation.event_id if relation is not None and relation.rel_type == "m.replace" else None


def _by_nid(events: Iterable[StoredEvent]) -> dict[int, StoredEvent]:
    return {stored.nid: stored for stored in events}
