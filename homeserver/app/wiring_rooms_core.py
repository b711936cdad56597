"""Construction of what reads and writes rooms."""

from dataclasses import dataclass

from homeserver.app.core import Core
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.forgetting import Forgetting
from homeserver.services.rooms.heads import RoomHeads
from homeserver.services.rooms.local_events import Author, LocalEvents
from homeserver.services.rooms.notability import Notability
from homeserver.services.rooms.numbers import BlockSequence
from homeserver.services.rooms.partial_rooms import PartialRooms
from homeserver.services.rooms.persist import Persister
from homeserver.services.rooms.redactions import RedactionEffects
from homeserver.services.rooms.state_history import StateMoves
from homeserver.services.rooms.state_store import StateStore
from homeserver.services.rooms.told_powers import ToldPowers
from homeserver.services.rooms.writer import RoomWriter


@dataclass(frozen=True, slots=True)
class RoomsCore:
    """Rooms, below any use case."""

    nids: BlockSequence
    events: EventStore
    states: StateStore
    heads: RoomHeads
    redactions: RedactionEffects
    writer: RoomWriter
    local_events: LocalEvents
    state_moves: StateMoves
    partial: PartialRooms
    forgetting: Forgetting


def build_rooms_core(core: Core) -> RoomsCore:
    events = EventStore(core.database, core.caches)
    states = StateStore(core.database, events, core.caches)
    heads = RoomHeads(core.database, events, states, core.caches)
    redactions = RedactionEffects(
        core.database, events, states, ToldPowers(core.database, events, states, core.server_name)
    )
    nids = BlockSequence(core.database, "event_nids")
    author = Author(core.server_name, core.signing_key, core.clock, core.random)
    forgetting = Forgetting(core.server_name, upon_leave=core.config.rooms.forget_on_leave)
    threads = core.config.thread_subscriptions.enabled
    notability = Notability(core.server_name, events, states, threads=threads)
    persister = Persister(core.journal, heads, events, notability, forgetting)
    # Who waits for a room is told when its head is known.
    wait_s = core.config.federation.partial_state_wait_ms / 1000
    partial = PartialRooms(core.database, core.journal, core.clock, wait_s)
    return RoomsCore(
        nids=nids,
        events=events,
        states=states,
        heads=heads,
        redactions=redactions,
        writer=RoomWriter(heads, persister, partial),
        local_events=LocalEvents(events, states, nids, redactions, author),
        state_moves=StateMoves(core.journal),
        partial=partial,
        forgetting=forgetting,
    )
