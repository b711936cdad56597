"""Construction of federation above its transport: rooms shared with other servers, the inbox and the outbox."""

from dataclasses import dataclass

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from federation.inbox.early_events import EarlyEventRetries
from federation.inbox.edus import EduDispatch
from federation.inbox.rooms import Rooms as InboxRooms
from federation.inbox.transactions import TransactionInbox
from federation.sender.greetings import Greetings
from federation.sender.presence_lane import PresenceLane
from federation.sender.recipients import Recipients
from federation.sender.sender import FederationSender, Outside
from federation.server_api.backfill import BackfillApi
from federation.server_api.events import EventsApi
from federation.server_api.inviting import InvitingApi
from federation.server_api.joining import JoiningApi
from federation.server_api.knocking import KnockingApi
from federation.server_api.leaving import LeavingApi
from federation.server_api.public_rooms import PublicRoomsApi
from federation.server_api.queries import QueriesApi
from federation.server_api.state import StateApi
from federation.server_api.transactions import TransactionsApi
from homeserver.app.core import Core
from homeserver.app.wiring_accounts import AccountsArea
from homeserver.app.wiring_federation_transport import FederationTransport
from homeserver.app.wiring_rooms import Remotes, Rooms
from homeserver.app.wiring_rooms_core import RoomsCore
from homeserver.app.wiring_sync import SyncArea
from homeserver.clock import OffReactor
from homeserver.gateways.identity_server import IdentityServers
from homeserver.http.endpoint import BoundEndpoint, collect
from homeserver.services.ephemeral_exchange import EphemeralExchange
from homeserver.services.presence_exchange import PresenceExchange
from homeserver.services.remote_queries import RemoteQueries
from homeserver.services.rooms.completing import Completing
from homeserver.services.rooms.exports import RoomExports
from homeserver.services.rooms.inbound_invites import InboundInvites
from homeserver.services.rooms.ingest.backfill import Backfilling, PastEvents
from homeserver.services.rooms.ingest.checking import PduChecker
from homeserver.services.rooms.ingest.completion import Completion
from homeserver.services.rooms.ingest.early import EarlyEvents
from homeserver.services.rooms.ingest.entering import Entering
from homeserver.services.rooms.ingest.finishing import Finishing, Reading
from homeserver.services.rooms.ingest.importing import LargeState, RoomImport
from homeserver.services.rooms.ingest.missing import MissingHistory
from homeserver.services.rooms.ingest.outliers import Outliers
from homeserver.services.rooms.ingest.placing import EventPlacer
from homeserver.services.rooms.ingest.receiving import EventReceiver
from homeserver.services.rooms.ingest.second_looks import SecondLooks
from homeserver.services.rooms.invite_permission import InvitePermission
from homeserver.services.rooms.join_answers import JoinAnswers
from homeserver.services.rooms.local_events import Author
from homeserver.services.rooms.membership_requests import MembershipRequests
from homeserver.services.rooms.numbers import BlockSequence
from homeserver.services.rooms.outbound_invites import OutboundInvites
from homeserver.services.rooms.outside_memberships import OutsideMembershipRecords
from homeserver.services.rooms.policy_servers import PolicyServers
from homeserver.services.rooms.remote_joining import Doors, RemoteJoining
from homeserver.services.rooms.remote_joins import RemoteJoins
from homeserver.services.rooms.remote_leaving import RemoteLeaving
from homeserver.services.rooms.remote_membership import RemoteMemberships
from homeserver.services.rooms.remote_servers import RemoteServers
from homeserver.services.rooms.resident import ResidentServer
from homeserver.services.rooms.resolver import StateResolver
from homeserver.services.rooms.restricted_joins import RestrictedJoins
from homeserver.services.rooms.room_preview import RoomPreview
from homeserver.services.rooms.server_access import ServerAccess


@dataclass(frozen=True, slots=True)
class SharedRooms:
    """Rooms shared with other servers: how events come in, and what others may have."""

    access: ServerAccess
    servers: RemoteServers
    exports: RoomExports
    join_answers: JoinAnswers
    preview: RoomPreview
    checker: PduChecker
    receiver: EventReceiver
    second_looks: SecondLooks
    resident: ResidentServer
    invites: InboundInvites
    leaving: RemoteLeaving
    joins: RemoteJoins
    completing: Completing
    queries: RemoteQueries
    remotes: Remotes


@dataclass(frozen=True, slots=True)
class Federation:
    """What other areas connect to: `edus` takes EDUs by type, `sender` sends them and has durable lanes."""

    shared: SharedRooms
    inbox: TransactionInbox
    early_events: EarlyEventRetries
    edus: EduDispatch
    sender: FederationSender
    greetings: Greetings
    endpoints: list[BoundEndpoint]
    _background: list[Deferred[None]]

    async def start(self) -> None:
        """Go on in the background. What is owed is sent by one node: see `FederationSender.start`."""
        shared = self.shared
        await shared.second_looks.start()
        works = (shared.leaving.keep_trying(), shared.joins.keep_trying(), self.early_events.keep_trying())
        others = (self.inbox.expire(), self.greetings.keep_up(), shared.completing.keep_going())
        for work in (*works, *others):
            self._background.append(Deferred.fromCoroutine(work))

    async def stop(self) -> None:
        """End what works in the background."""
        self.shared.second_looks.stop()
        for task in self._background:
            _ = task.addErrback(_trap_cancellation)
            task.cancel()
        await self.shared.completing.stop()
        await self.shared.joins.stop()
        await self.sender.stop()


@dataclass(frozen=True, slots=True)
class _Ingest:
    checker: PduChecker
    outliers: Outliers
    placer: EventPlacer
    missing: MissingHistory
    receiver: EventReceiver
    entering: Entering
    resolver: StateResolver


def build_shared_rooms(
    core: Core, rooms: RoomsCore, transport: FederationTransport, off_reactor: OffReactor
) -> SharedRooms:
    """Construct what rooms have of other servers; before the services that users' clients ask."""
    name, database = core.server_name, core.database
    author = Author(name, core.signing_key, core.clock, core.random)
    ingest = _ingest(core, rooms, transport, PduChecker(transport.keyring, off_reactor))
    access = ServerAccess(name, database, core.caches, rooms.heads, rooms.states, rooms.events)
    restricted = RestrictedJoins(database, rooms.heads, rooms.states, name)
    preview = RoomPreview(rooms.states)
    records = OutsideMembershipRecords(
        database, core.journal, rooms.events, rooms.nids, core.clock, rooms.forgetting
    )
    servers = RemoteServers(name, database, rooms.events)
    requests = MembershipRequests(transport.client, author)
    leaving = RemoteLeaving(database, requests, servers, core.clock)
    queries = RemoteQueries(transport.client)
    joins = _joins(core, rooms, requests, ingest, restricted)
    memberships = RemoteMemberships(
        requests,
        servers,
        joins,
        leaving,
        _outbound_invites(core, rooms, transport, ingest, preview),
        records,
        core.clock,
    )
    return SharedRooms(
        access=access,
        servers=servers,
        exports=RoomExports(access, rooms.events, rooms.states, core.threaded_reads, rooms.partial),
        join_answers=JoinAnswers(database, rooms.events, rooms.states, core.threaded_reads),
        preview=preview,
        checker=ingest.checker,
        receiver=ingest.receiver,
        second_looks=SecondLooks(database, core.journal, rooms.writer, ingest.placer, core.clock),
        resident=ResidentServer(
            access, rooms.local_events, restricted, ingest.receiver, ingest.checker, author
        ),
        invites=InboundInvites(
            database, access, ingest.checker, InvitePermission(database, name), records, author
        ),
        leaving=leaving,
        joins=joins,
        completing=_completing(core, rooms, ingest),
        queries=queries,
        remotes=_remotes(core, rooms, transport, ingest, memberships, queries, servers),
    )


def _joins(
    core: Core,
    rooms: RoomsCore,
    requests: MembershipRequests,
    ingest: _Ingest,
    restricted: RestrictedJoins,
) -> RemoteJoins:
    joining = RemoteJoining(
        requests,
        ingest.checker,
        _doors(core, rooms, restricted, ingest),
        core.clock,
        without_members=core.config.federation.partial_state_joins,
    )
    return RemoteJoins(core.database, joining, rooms.partial, core.clock)


def _outbound_invites(
    core: Core, rooms: RoomsCore, transport: FederationTransport, ingest: _Ingest, preview: RoomPreview
) -> OutboundInvites:
    client, keyring = transport.client, transport.keyring
    return OutboundInvites(
        core.server_name, client, keyring, rooms.local_events, ingest.receiver, preview, rooms.partial
    )


def _completing(core: Core, rooms: RoomsCore, ingest: _Ingest) -> Completing:
    finishing = Finishing(
        Reading(core.database, rooms.events, rooms.states, ingest.placer),
        Completion(rooms.states, ingest.placer, ingest.resolver),
        LargeState(core.journal, core.server_name),
        rooms.redactions,
        rooms.partial,
        rooms.writer,
        core.server_name,
    )
    return Completing(
        core.database, rooms.partial, ingest.missing, finishing, rooms.heads, core.clock, core.random
    )


def _remotes(
    core: Core,
    rooms: RoomsCore,
    transport: FederationTransport,
    ingest: _Ingest,
    memberships: RemoteMemberships,
    queries: RemoteQueries,
    servers: RemoteServers,
) -> Remotes:
    past = PastEvents(
        ingest.placer, rooms.writer, BlockSequence(core.database, "backfill_orderings"), rooms.partial
    )
    backfilling = Backfilling(ingest.receiver, ingest.missing, servers, past, core.clock)
    return Remotes(memberships, queries, backfilling, IdentityServers(transport.http))


def _doors(core: Core, rooms: RoomsCore, restricted: RestrictedJoins, ingest: _Ingest) -> Doors:
    return Doors(
        rooms.writer,
        rooms.local_events,
        restricted,
        ingest.receiver,
        RoomImport(
            ingest.outliers,
            rooms.states,
            ingest.placer,
            rooms.writer,
            LargeState(core.journal, core.server_name),
            rooms.partial,
            core.clock,
        ),
        ingest.entering,
    )


def build_federation(
    core: Core,
    transport: FederationTransport,
    shared: SharedRooms,
    accounts: AccountsArea,
    rooms: Rooms,
    sync: SyncArea,
) -> Federation:
    """Construct the rest, which builds on those services."""
    name, database = core.server_name, core.database
    recipients = Recipients(name, database, core.caches)
    outside = Outside(name, transport.client, transport.health)
    sender = FederationSender(outside, database, core.journal, recipients, core.clock, core.random)
    edus = EduDispatch()
    inbox_rooms = InboxRooms(
        shared.receiver, shared.access, shared.invites, EarlyEvents(database, core.clock)
    )
    inbox = TransactionInbox(database, core.journal, inbox_rooms, edus, core.clock)
    accounts.profiles.ask_remote(shared.queries.profile)
    exchange = EphemeralExchange(shared.access, sync.typing, sync.receipts, sender)
    exchange.connect()
    edus.connect("m.typing", exchange.typing_received)
    edus.connect("m.receipt", exchange.receipts_received)
    if core.config.presence.federate:
        presence = PresenceExchange(name, database, sync.presence, sender, core.clock)
        presence.connect(core.journal)
        edus.connect("m.presence", presence.received)
        sender.lanes.append(PresenceLane(presence))
    return Federation(
        shared=shared,
        inbox=inbox,
        early_events=EarlyEventRetries(inbox_rooms, shared.servers, core.clock),
        edus=edus,
        sender=sender,
        greetings=Greetings(name, transport.client, database, core.clock, core.random),
        endpoints=collect(
            TransactionsApi(inbox),
            JoiningApi(name, shared.resident, shared.join_answers),
            LeavingApi(shared.resident),
            KnockingApi(shared.resident, shared.preview),
            InvitingApi(shared.invites),
            EventsApi(name, shared.exports, core.clock),
            StateApi(shared.exports),
            BackfillApi(name, shared.exports, core.clock),
            QueriesApi(name, rooms.aliases, accounts.profiles),
            PublicRoomsApi(rooms.directory),
        ),
        _background=[],
    )


def _ingest(core: Core, rooms: RoomsCore, transport: FederationTransport, checker: PduChecker) -> _Ingest:
    outliers = Outliers(core.database, core.journal, rooms.events, rooms.nids, core.clock)
    resolver = StateResolver(
        core.threaded_reads,
        rooms.events,
        rooms.states,
        core.caches,
        core.config.federation.max_resolution_steps,
    )
    policy = PolicyServers(core.database, rooms.events, rooms.states, transport.client)
    if core.config.federation.enabled:
        rooms.local_events.approve_by(policy)
    placer = EventPlacer(
        rooms.events, rooms.states, rooms.nids, rooms.redactions, resolver, core.clock, policy
    )
    missing = MissingHistory(core.database, transport.client, checker, rooms.events, rooms.states, outliers)
    entering = Entering()
    receiver = EventReceiver(rooms.heads, rooms.writer, placer, checker, missing, entering)
    return _Ingest(checker, outliers, placer, missing, receiver, entering, resolver)


def _trap_cancellation(failure: Failure) -> Failure | None:
    return None if isinstance(failure.value, CancelledError) else failure
