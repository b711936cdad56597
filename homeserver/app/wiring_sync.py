"""Construction of syncing, and of what goes with it: receipts, typing notices, presence."""

from dataclasses import dataclass

from homeserver.app.core import Core
from homeserver.app.wiring_accounts import AccountsArea
from homeserver.app.wiring_rooms import Rooms
from homeserver.app.wiring_rooms_core import RoomsCore
from homeserver.client_api.notifications import NotificationsApi
from homeserver.client_api.presence import PresenceApi
from homeserver.client_api.read_markers import ReadMarkersApi
from homeserver.client_api.receipts import ReceiptsApi
from homeserver.client_api.sync import SyncApi
from homeserver.client_api.typing import TypingApi
from homeserver.http.endpoint import BoundEndpoint, collect
from homeserver.notifier import Notifier
from homeserver.services.ephemeral_stream import EphemeralStream
from homeserver.services.notifications import Notifications
from homeserver.services.presence import Presence
from homeserver.services.presence_nodes import PresenceNodes
from homeserver.services.presence_record import PresenceRecord
from homeserver.services.push_evaluation import PushEvaluation
from homeserver.services.read_markers import ReadMarkers
from homeserver.services.receipts import Receipts
from homeserver.services.sticky_events import StickyEvents
from homeserver.services.sync.following import Following
from homeserver.services.sync.gather import Gatherer
from homeserver.services.sync.here import Here
from homeserver.services.sync.lazy_members import LazyMembers
from homeserver.services.sync.live import Live
from homeserver.services.sync.named_members import NamedMembers
from homeserver.services.sync.recent import RecentRooms
from homeserver.services.sync.rendering import RoomRenderer
from homeserver.services.sync.room_states import RoomStates
from homeserver.services.sync.rooms_of_user import RoomsOfUser
from homeserver.services.sync.sources import Sources
from homeserver.services.sync.stripped import StrippedStates
from homeserver.services.sync.summaries import Summaries
from homeserver.services.sync.sync import Sync
from homeserver.services.sync.timelines import Timelines
from homeserver.services.sync.unread import UnreadCounts
from homeserver.services.thread_subscribers import ThreadSubscribers
from homeserver.services.typing import Typing
from homeserver.services.typing_nodes import TypingNodes

_LIVE_SHARE = 8
"""Records of live users may take an eighth of what caches may."""


@dataclass(frozen=True, slots=True)
class SyncArea:
    """Syncing, and what other areas connect to: see the `when_...` methods of the services, and
    `Sync.extend`.
    """

    sync: Sync
    following: Following
    notifier: Notifier
    here: Here
    sources: Sources
    receipts: Receipts
    typing: Typing
    presence: Presence
    presence_record: PresenceRecord
    typing_nodes: TypingNodes
    presence_nodes: PresenceNodes
    evaluation: PushEvaluation
    endpoints: list[BoundEndpoint]

    def closing(self) -> None:
        """Answer all long polls: the program is about to end."""
        self.notifier.close()

    def stop(self) -> None:
        """Let the timers go."""
        self.notifier.close()
        self.typing_nodes.stop()
        self.presence_nodes.stop()
        self.presence.stop()


def build_sync(core: Core, accounts: AccountsArea, rooms_core: RoomsCore, rooms: Rooms) -> SyncArea:
    """Construct the area; after the rooms, whose heads must follow the journal first."""
    name, database, journal, clock = core.server_name, core.database, core.journal, core.clock
    notifier = Notifier(clock)
    ephemeral = EphemeralStream(core.random.letters(6), clock.now_ms())
    presence = Presence(name, ephemeral, clock, enabled=core.config.presence.enabled)
    typing = Typing(name, rooms.access, ephemeral, clock)
    receipts = Receipts(name, database, journal, rooms.access, rooms_core.events, clock)
    share = core.caches.limit // _LIVE_SHARE
    live = Live(database, journal, notifier, share, core.config.presence.largest_room)
    threads = core.config.thread_subscriptions.enabled
    here = Here(live, typing, presence, ephemeral, threads)
    subscribers = ThreadSubscribers(database, journal, core.caches, enabled=threads)
    evaluation = PushEvaluation(
        database, journal, rooms_core.heads, rooms_core.states, core.caches, subscribers
    )
    sources = _sources(core, rooms_core, rooms, here, evaluation)
    following = Following(journal, here, sources.recent, notifier)
    sync = Sync(journal, notifier, following, sources, core.config.limits.sync_timeout_ms)
    read_markers = ReadMarkers(rooms.access, receipts)
    return SyncArea(
        sync=sync,
        following=following,
        notifier=notifier,
        here=here,
        sources=sources,
        receipts=receipts,
        typing=typing,
        presence=presence,
        presence_record=PresenceRecord(database, presence, clock),
        typing_nodes=TypingNodes(core.bus, typing, clock),
        presence_nodes=PresenceNodes(core.bus, presence, clock),
        evaluation=evaluation,
        endpoints=collect(
            SyncApi(sync, accounts.filters),
            ReceiptsApi(receipts, read_markers),
            ReadMarkersApi(read_markers),
            TypingApi(typing),
            PresenceApi(presence, here.live),
            NotificationsApi(Notifications(database, evaluation, rooms_core.events, rooms.renderer)),
        ),
    )


def _sources(
    core: Core, rooms_core: RoomsCore, rooms: Rooms, here: Here, evaluation: PushEvaluation
) -> Sources:
    database = core.database
    summaries = Summaries(database)
    lazy_members = LazyMembers(core.caches)
    named = NamedMembers(rooms_core.events, rooms_core.partial)
    timelines = Timelines(database, rooms_core.events, rooms.access)
    recent = RecentRooms(core.caches)
    states = RoomStates(database, rooms_core.states, rooms_core.events)
    return Sources(
        clock=core.clock,
        database=database,
        states=rooms_core.states,
        rooms_of_user=RoomsOfUser(database),
        gatherer=Gatherer(database, timelines, states, summaries, lazy_members, named),
        summaries=summaries,
        stripped=StrippedStates(rooms_core.heads, rooms_core.states, rooms_core.events),
        renderer=RoomRenderer(rooms.renderer),
        lazy_members=lazy_members,
        recent=recent,
        unread=UnreadCounts(database, core.journal, evaluation, rooms_core.events, recent, core.caches),
        sticky=StickyEvents(database, rooms_core.events, core.clock),
        here=here,
        partial=rooms_core.partial,
        named=named,
    )
