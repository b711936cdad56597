"""Making events of our own users within a draft: selected auth events, hash, signature, the rules."""

from dataclasses import dataclass
from typing import Any, Protocol

from homeserver.clock import Clock, Randomness
from homeserver.protocol.auth_rules.check import check_auth
from homeserver.protocol.auth_rules.selection import auth_types
from homeserver.protocol.base64 import encode_base64
from homeserver.protocol.events.building import build_event
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.hashes import reference_hash
from homeserver.protocol.identifiers import EventID, RoomID, ServerName, UserID, server_of
from homeserver.protocol.partial_state import UnableDueToPartialState
from homeserver.protocol.room_versions import EventFormat, EventIDFormat, RoomVersion
from homeserver.protocol.signing_keys import SigningKey
from homeserver.services.rooms.draft import RoomDraft
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.numbers import BlockSequence
from homeserver.services.rooms.redactions import RedactionEffects
from homeserver.services.rooms.state_change import StateChange
from homeserver.services.rooms.state_store import StateStore
from homeserver.services.rooms.stored_event import StoredEvent

MEMBER = "m.room.member"
REDACTION = "m.room.redaction"
_CREATE = ("m.room.create", "")


@dataclass(frozen=True, slots=True)
class EventIntent:
    """An event that a local user wants to send. Its content must be canonical JSON (`check_canonical`)."""

    type: str
    content: dict[str, Any]
    sender: UserID
    state_key: str | None = None
    redacts: EventID | None = None
    origin_server_ts: int | None = None
    sticky_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Author:
    """This server as the author of events: its name and key, and what dates and names them."""

    server_name: ServerName
    signing_key: SigningKey
    clock: Clock
    random: Randomness


class Approver(Protocol):
    """Who has a say before events are sent (see `PolicyServers`)."""

    async def approved(self, draft: RoomDraft, event: Event) -> Event:
        """The event as it may be sent. Raises MatrixError if it may not."""


class LocalEvents:
    """Appends events of local users to drafts."""

    def __init__(
        self,
        events: EventStore,
        states: StateStore,
        nids: BlockSequence,
        redactions: RedactionEffects,
        author: Author,
    ) -> None:
        self._events = events
        self._states = states
        self._nids = nids
        self._redactions = redactions
        self._author = author
        self._approver: Approver | None = None

    def approve_by(self, approver: Approver) -> None:
        """Let events of our users be approved before they are added; templates for other servers are not sent by us."""
        self._approver = approver

    async def append(
        self, draft: RoomDraft, intent: EventIntent, transaction: str | None = None
    ) -> StoredEvent:
        """Build an event on the draft's state and add it.

        Raises `NotAuthorised` where the rules forbid it, `EventTooLarge`, `BadJson`, and what the approver does; and
        UnableDueToPartialState where it is not known yet what the one is in the room whom it is about, or whether
        what it redacts stays so.

        ``transaction`` is "device_id txn_id" of the client."""
        version = draft.head.room_version
        keys = auth_types(intent.type, intent.sender, intent.state_key, intent.content, version)
        own_key = [] if intent.state_key is None else [(intent.type, intent.state_key)]
        state = await self._states.lookup(draft.state, {*keys, _CREATE, *own_key}, draft.unsaved)
        if draft.partial and _needs_member(intent) and (MEMBER, intent.state_key) not in state:
            raise UnableDueToPartialState
        if (
            draft.partial
            and intent.type == REDACTION
            and not await self._redactions.is_final(draft, intent.sender)
        ):
            raise UnableDueToPartialState
        event = await self._build(draft, intent, [state[key].event for key in keys if key in state])
        check_auth(event, lambda event_type, state_key: _event(state.get((event_type, state_key))))
        if self._approver is not None and server_of(event.sender) == self._author.server_name:
            event = await self._approver.approved(draft, event)
        return await self.append_built(draft, event, state.get(event.key) if event.key else None, transaction)

    async def append_built(
        self, draft: RoomDraft, event: Event, replaced: StoredEvent | None, transaction: str | None = None
    ) -> StoredEvent:
        """Add an event that was built on the draft's state and authorised by it.

        ``replaced`` is the state event it takes the place of.
        """
        before = after = draft.state
        nid = await self._nids.take()
        if event.key is not None:
            after = await self._states.derive(before, {event.key: nid})
        stored = StoredEvent(
            event,
            nid,
            received_ts=self._author.clock.now_ms(),
            outbound=True,
            state_before=before.id,
            state_after=after.id,
            transaction=transaction,
            auth_nids=await self._auth_nids(draft, event) if event.is_state else (),
        )
        draft.add(stored, before, after)
        changes = [] if event.key is None else [StateChange(event.key, replaced, stored, stored)]
        if event.type == REDACTION:
            changes += await self._redactions.redaction_arrived(draft, stored)
        elif event.type == MEMBER:
            changes += await self._redactions.member_ousted(draft, stored, changes)
        draft.advance(stored, after, changes)
        return stored

    async def _auth_nids(self, draft: RoomDraft, event: Event) -> list[int]:
        named = event.auth_event_ids
        ours = [draft.by_id[auth_id].nid for auth_id in named if auth_id in draft.by_id]
        stored = await self._events.by_ids(auth_id for auth_id in named if auth_id not in draft.by_id)
        return [*ours, *(one.nid for one in stored.values())]

    def create_event(self, version: RoomVersion, room_id: RoomID | None, intent: EventIntent) -> Event:
        """The create event of a new room; ``room_id`` is None where the version makes it of this event.

        Raises as `append` does.
        """
        event = build_event(
            version,
            room_id=room_id,
            sender=intent.sender,
            type=intent.type,
            content=intent.content,
            state_key="",
            prev_events=(),
            auth_events=(),
            depth=1,
            origin_server_ts=intent.origin_server_ts or self._author.clock.now_ms(),
            server_name=self._author.server_name,
            signing_key=self._author.signing_key,
            event_id=self._chosen_id(version),
        )
        check_auth(event, lambda event_type, state_key: None)
        return event

    def _chosen_id(self, version: RoomVersion) -> EventID | None:
        if version.event_id_format is not EventIDFormat.CHOSEN_BY_SENDER:
            return None
        return EventID(f"${self._author.random.letters(24)}:{self._author.server_name}")

    async def _build(self, draft: RoomDraft, intent: EventIntent, auth_events: list[Event]) -> Event:
        version = draft.head.room_version
        prev_events = draft.prev_events()
        hashes: dict[EventID, str] = {}
        if version.event_format is EventFormat.HASHED_REFERENCES:
            hashes = await self._reference_hashes(draft, prev_events, auth_events)
        return build_event(
            version,
            room_id=draft.head.room_id,
            sender=intent.sender,
            type=intent.type,
            content=intent.content,
            state_key=intent.state_key,
            prev_events=prev_events,
            auth_events=[event.event_id for event in auth_events],
            depth=draft.depth,
            origin_server_ts=intent.origin_server_ts or self._author.clock.now_ms(),
            server_name=self._author.server_name,
            signing_key=self._author.signing_key,
            redacts=intent.redacts,
            event_id=self._chosen_id(version),
            sticky_ms=intent.sticky_ms,
            reference_hashes=hashes,
        )

    async def _reference_hashes(
        self, draft: RoomDraft, prev_events: list[EventID], auth_events: list[Event]
    ) -> dict[EventID, str]:
        known = {stored.event.event_id: stored.event for stored in draft.events}
        missing = [event_id for event_id in prev_events if event_id not in known]
        known |= {event_id: stored.event for event_id, stored in (await self._events.by_ids(missing)).items()}
        return {
            event.event_id: encode_base64(reference_hash(event.pdu, event.version))
            for event in (*known.values(), *auth_events)
        }


def _event(stored: StoredEvent | None) -> Event | None:
    return None if stored is None else stored.event


def _needs_member(intent: EventIntent) -> bool:
    """Whether what the rules say depends on what the one whom it is about has been so far."""
    return intent.type == MEMBER and intent.content.get("membership") != "ban"
