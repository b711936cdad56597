"""Construction of what users do in rooms, and of its endpoints."""

from dataclasses import dataclass
from typing import Any

from homeserver.app.core import Core
from homeserver.app.wiring_rooms_core import RoomsCore
from homeserver.client_api.aliases import AliasesApi
from homeserver.client_api.context import ContextApi
from homeserver.client_api.create_room import CreateRoomApi
from homeserver.client_api.directory import DirectoryApi
from homeserver.client_api.members import MembersApi
from homeserver.client_api.membership import MembershipApi
from homeserver.client_api.messages import MessagesApi
from homeserver.client_api.redact import RedactApi
from homeserver.client_api.relations import RelationsApi
from homeserver.client_api.room_state import RoomStateApi
from homeserver.client_api.sending import SendingApi
from homeserver.client_api.threads import ThreadsApi
from homeserver.gateways.identity_server import IdentityServers
from homeserver.http.endpoint import BoundEndpoint, collect
from homeserver.protocol.identifiers import ServerName
from homeserver.services.delayed_events import DelayedEvents, Limits
from homeserver.services.rooms.access import Access
from homeserver.services.rooms.actions import RoomActions
from homeserver.services.rooms.after_commits import AfterCommits
from homeserver.services.rooms.aggregations import Aggregations
from homeserver.services.rooms.aliases import Aliases
from homeserver.services.rooms.closed_rooms import ClosedRooms
from homeserver.services.rooms.context import Contexts
from homeserver.services.rooms.creation import Creation
from homeserver.services.rooms.directory import Directory
from homeserver.services.rooms.founding import Founding
from homeserver.services.rooms.gaps import Gaps
from homeserver.services.rooms.guest_departure import GuestDeparture
from homeserver.services.rooms.history import History
from homeserver.services.rooms.invite_permission import InvitePermission
from homeserver.services.rooms.joining import Joining
from homeserver.services.rooms.local_events import Author
from homeserver.services.rooms.member_contents import MemberContents
from homeserver.services.rooms.membership import Membership
from homeserver.services.rooms.outside_rooms import OutsideRooms
from homeserver.services.rooms.owed_redactions import OwedRedactionsWork
from homeserver.services.rooms.own_leaves import OwnLeaves
from homeserver.services.rooms.profile_changes import ProfileChanges
from homeserver.services.rooms.redacting import Redacting
from homeserver.services.rooms.relation_rules import RelationRules
from homeserver.services.rooms.relations import Related
from homeserver.services.rooms.remote import Backfill, RemoteDirectory, RemoteMembership
from homeserver.services.rooms.rendering import Renderer
from homeserver.services.rooms.restricted_joins import RestrictedJoins
from homeserver.services.rooms.sending import Sending
from homeserver.services.rooms.shown_state import ShownState
from homeserver.services.rooms.standing_redactions import StandingRedactionsWork
from homeserver.services.rooms.state_reading import StateReading
from homeserver.services.rooms.third_party_invites import ThirdPartyInvites
from homeserver.services.rooms.threads import Threads
from homeserver.services.rooms.transactions import Transactions


@dataclass(frozen=True, slots=True)
class Remotes:
    """What rooms have of other servers; nothing where the server does not federate."""

    membership: RemoteMembership | None = None
    directory: RemoteDirectory | None = None
    backfill: Backfill | None = None
    identity_servers: IdentityServers | None = None


@dataclass(frozen=True, slots=True)
class Rooms:
    """The services of rooms that others build on, and the endpoints."""

    access: Access
    renderer: Renderer
    actions: RoomActions
    creation: Creation
    membership: Membership
    joining: Joining
    sending: Sending
    delayed: DelayedEvents
    history: History
    aliases: Aliases
    directory: Directory
    restricted_joins: RestrictedJoins
    transactions: Transactions
    invite_permission: InvitePermission
    profile_changes: ProfileChanges
    third_party_invites: ThirdPartyInvites | None
    followers: tuple[AfterCommits[Any], ...]
    endpoints: list[BoundEndpoint]


def build_rooms(core: Core, rooms: RoomsCore, remotes: Remotes | None = None) -> Rooms:
    """Build them; without ``remotes`` rooms are only those of this server."""
    remotes = remotes or Remotes()
    name, database, remote = core.server_name, core.database, remotes.membership
    actions = _actions(core, rooms)
    access = Access(database, rooms.heads, rooms.states, rooms.events, core.clock)
    renderer = _renderer(core, rooms, access)
    contents, permission = MemberContents(database, name), InvitePermission(database, name)
    restricted = RestrictedJoins(database, rooms.heads, rooms.states, name)
    aliases = Aliases(name, database, access, actions, remote)
    outside = _outside_rooms(core, rooms, remotes)
    joining = Joining(actions, aliases, contents, restricted, outside, remote)
    membership = Membership(name, actions, contents, permission, outside, remote, core.notices_user)
    transactions = Transactions(database, core.caches, core.clock)
    redacting = Redacting(database, actions, rooms.events, transactions)
    sending = Sending(actions, transactions, redacting, membership, joining, aliases)
    delayed = _delayed_events(core)
    creation = _creation(core, rooms, contents, permission, remote)
    history = History(database, rooms.events, access, Gaps(database, remotes.backfill))
    directory = Directory(name, database, access, actions, remotes.directory)
    third_party = _third_party_invites(name, actions, membership, contents, remotes)
    return Rooms(
        access=access,
        renderer=renderer,
        actions=actions,
        creation=creation,
        membership=membership,
        joining=joining,
        sending=sending,
        delayed=delayed,
        history=history,
        aliases=aliases,
        directory=directory,
        restricted_joins=restricted,
        transactions=transactions,
        invite_permission=permission,
        profile_changes=ProfileChanges(database, actions),
        third_party_invites=third_party,
        followers=_followers(core, rooms, redacting, membership),
        endpoints=collect(
            CreateRoomApi(creation, third_party),
            MembershipApi(joining, membership, third_party),
            SendingApi(sending, delayed),
            RedactApi(redacting),
            *_reading_endpoints(core, rooms, access, renderer, history),
            AliasesApi(aliases),
            DirectoryApi(directory),
        ),
    )


def _actions(core: Core, rooms: RoomsCore) -> RoomActions:
    rules = RelationRules(core.database, rooms.events)
    return RoomActions(
        rooms.heads, rooms.states, rooms.writer, rooms.local_events, rules, ClosedRooms(core.database)
    )


def _creation(
    core: Core,
    rooms: RoomsCore,
    contents: MemberContents,
    permission: InvitePermission,
    remote: RemoteMembership | None,
) -> Creation:
    name, version = core.server_name, core.config.default_room_version
    founding = Founding(name, core.clock, core.random, rooms.writer, rooms.local_events)
    return Creation(name, core.database, founding, contents, permission, remote, version)


def _followers(
    core: Core, rooms: RoomsCore, redacting: Redacting, membership: Membership
) -> tuple[AfterCommits[Any], ...]:
    """What follows commits by itself, and what has to be started for it."""
    database, journal, clock = core.database, core.journal, core.clock
    GuestDeparture(database, journal, membership)
    return (
        OwedRedactionsWork(database, journal, rooms.writer, rooms.redactions, clock),
        StandingRedactionsWork(database, journal, rooms.events, redacting, clock),
    )


def _renderer(core: Core, rooms: RoomsCore, access: Access) -> Renderer:
    aggregations = Aggregations(core.database, core.journal, rooms.events, access, core.caches)
    return Renderer(core.clock, rooms.events, rooms.states, aggregations)


def _delayed_events(core: Core) -> DelayedEvents:
    limits = core.config.delayed_events
    return DelayedEvents(
        core.database, core.clock, core.random, Limits(limits.max_delay_ms, limits.max_scheduled)
    )


def _outside_rooms(core: Core, rooms: RoomsCore, remotes: Remotes) -> OutsideRooms:
    author = Author(core.server_name, core.signing_key, core.clock, core.random)
    leaves = OwnLeaves(rooms.events, rooms.nids, author)
    return OutsideRooms(rooms.forgetting, core.database, core.journal, leaves, remotes.membership)


def _third_party_invites(
    name: ServerName, actions: RoomActions, membership: Membership, contents: MemberContents, remotes: Remotes
) -> ThirdPartyInvites | None:
    if remotes.identity_servers is None:
        return None
    return ThirdPartyInvites(
        name, actions, membership, contents, remotes.identity_servers, remotes.membership
    )


def _reading_endpoints(
    core: Core, rooms: RoomsCore, access: Access, renderer: Renderer, history: History
) -> tuple[object, ...]:
    shown_state = ShownState(rooms.states, rooms.events)
    state_reading = StateReading(core.database, rooms.states, rooms.events, access, rooms.partial)
    return (
        RoomStateApi(access, state_reading, renderer),
        MessagesApi(history, shown_state, renderer),
        ContextApi(Contexts(access, history, shown_state), renderer),
        MembersApi(state_reading, renderer),
        RelationsApi(Related(core.database, rooms.events, access), renderer),
        ThreadsApi(Threads(core.database, rooms.events, access), renderer),
    )
