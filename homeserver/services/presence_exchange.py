"""Presence between servers: what others tell us of their users, and what of ours they are told.

What other servers are owed is kept by server and user, so that however often somebody comes and goes, a server is told
once how they are by then. Servers get their turn at a steady pace; one that is away is owed nothing.

https://spec.matrix.org/v1.19/server-server-api/#presence
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

from homeserver.clock import Clock, Timer
from homeserver.protocol.identifiers import RoomID, ServerName, UserID, is_user_id, server_of
from homeserver.protocol.presence import OFFLINE
from homeserver.services.presence import Presence
from homeserver.services.presence_model import IDLE_S, Status
from homeserver.services.rooms.detached import detach
from homeserver.services.rooms.persist import RoomCommit
from homeserver.services.rooms.room_elsewhere import RoomElsewhere
from storage.database import Database
from storage.journal import Journal, Landed
from storage.tables.memberships import Memberships

Content = dict[str, Any]

MAX_STATUSES: Final = 1000
"""Users of one received EDU who are looked at."""
IN_ONE_EDU: Final = 100
TURN_S: Final = 1.0
SERVERS_A_TURN: Final = 100
OWED_TO_ONE: Final = 1000
"""Users whom a server may be owed; beyond that, those of whom it was to be told first go first."""
MAX_EARLY: Final = 1000
AT_ONCE: Final = 100
"""Users whose servers are looked for with one query, and newcomers of one write who are noticed."""


class PresencePost(Protocol):
    """The way to other servers."""

    def lane_filled(self, destinations: Iterable[ServerName]) -> None:
        """There is something for these."""

    @property
    def is_sending(self) -> bool:
        """Whether it is this node that sends."""

    def is_away(self, destination: ServerName) -> bool:
        """Whether a server is left alone for now."""


class PresenceExchange:
    """Both directions."""

    def __init__(
        self,
        server_name: ServerName,
        database: Database,
        presence: Presence,
        post: PresencePost,
        clock: Clock,
    ) -> None:
        self._server_name = server_name
        self._database = database
        self._presence = presence
        self._post = post
        self._clock = clock
        self._owed: dict[ServerName, dict[UserID, None]] = {}
        self._granted: set[ServerName] = set()
        self._early: dict[UserID, Content] = {}
        """What was said of users who are in no room yet: a room may be on its way."""
        self._timer: Timer | None = None

    def connect(self, journal: Journal) -> None:
        """Have other servers told from now on."""
        self._presence.when_local_changed(self._changed)
        journal.listen(self._landed)

    async def received(self, origin: ServerName, content: Content) -> None:
        """An `m.presence` of another server: taken for its own users who are in rooms with ours."""
        push = content.get("push")
        entries = {
            UserID(entry["user_id"]): entry
            for entry in (push[:MAX_STATUSES] if isinstance(push, list) else ())
            if isinstance(entry, dict) and _is_user_of(origin, entry.get("user_id"))
        }
        if not entries:
            return
        for user_id, entry in entries.items():
            self._early[user_id] = entry
        while len(self._early) > MAX_EARLY:
            del self._early[next(iter(self._early))]
        await self._take(list(entries))

    async def _take(self, users: list[UserID]) -> None:
        """Take what was said of those of some users who are in rooms by now."""
        for user_id in await self._database.read(lambda tx: Memberships(tx).joined_strangers(users)):
            entry = self._early.pop(user_id, None)
            if entry is None:
                continue
            presence, status_msg = entry.get("presence"), entry.get("status_msg")
            ago = entry.get("last_active_ago")
            if isinstance(presence, str):
                self._presence.receive(
                    user_id,
                    presence,
                    status_msg if isinstance(status_msg, str) else None,
                    ago if type(ago) is int and 0 <= ago < 2**53 else None,
                )

    def next_for(self, destination: ServerName) -> Content | None:
        """The content of the next EDU for a server whose turn it is."""
        if destination not in self._granted:
            return None
        self._granted.discard(destination)
        users = self._owed.get(destination, {})
        told = list(users)[:IN_ONE_EDU]
        for user_id in told:
            del users[user_id]
        if not users:
            self._owed.pop(destination, None)
        if not told:
            return None
        statuses = [self._presence.of(user_id) for user_id in told]
        unknown = {"last_active_ago": int(IDLE_S * 1000)}  # it must be there
        return {
            "push": [
                {"user_id": each.user_id, **unknown, **self._presence.content(each)} for each in statuses
            ]
        }

    def _changed(self, statuses: Sequence[Status]) -> None:
        users = [status.user_id for status in statuses] if self._post.is_sending else []
        for start in range(0, len(users), AT_ONCE):
            detach("presence", self._spread(users[start : start + AT_ONCE]))

    async def _spread(self, users: list[UserID]) -> None:
        for user_id, server in await self._database.read(lambda tx: Memberships(tx).servers_around(users)):
            self._owe(server, user_id)

    def _landed(self, first: int, last: int, landed: Sequence[Landed]) -> None:
        """Who comes into a room is told to the servers there, and a server is told who is in the rooms into which its
        users come.
        """
        for each in landed:
            if isinstance(each.payload, RoomCommit):
                self._came(RoomID(each.payload.head.room_id), _newcomers(each.payload))
            elif isinstance(each.payload, RoomElsewhere):
                self._came(each.payload.room_id, each.payload.joined)

    def _came(self, room_id: RoomID, came: Sequence[UserID]) -> None:
        local = [user_id for user_id in came if server_of(user_id) == self._server_name]
        if local and self._early:
            detach("presence", self._take(list(self._early)))
        if not self._post.is_sending:
            return
        servers = {server_of(user_id) for user_id in came} - {self._server_name}
        if local:
            detach("presence", self._introduce(room_id, local[:AT_ONCE]), room=room_id)
        elif 0 < len(servers) <= AT_ONCE:
            detach("presence", self._welcome(room_id, servers), room=room_id)

    async def _introduce(self, room_id: RoomID, users: Sequence[UserID]) -> None:
        here = [user_id for user_id in users if self._presence.of(user_id).presence != OFFLINE]
        if here:
            for server in await self._database.read(lambda tx: Memberships(tx).servers(room_id, ["join"])):
                for user_id in here:
                    self._owe(server, user_id)

    async def _welcome(self, room_id: RoomID, servers: Iterable[ServerName]) -> None:
        for user_id in await self._database.read(lambda tx: Memberships(tx).local_joined(room_id)):
            if self._presence.of(user_id).presence != OFFLINE:
                for server in servers:
                    self._owe(server, user_id)

    def _owe(self, server: ServerName, user_id: UserID) -> None:
        if server == self._server_name or self._post.is_away(server):
            return
        users = self._owed.setdefault(server, {})
        users.pop(user_id, None)
        users[user_id] = None
        if len(users) > OWED_TO_ONE:
            del users[next(iter(users))]
        if self._timer is None:
            self._timer = self._clock.call_later(0, self._turn)

    def _turn(self) -> None:
        """Let some servers have their turn, those that have had none for longest."""
        self._timer = None
        servers = list(self._owed)[:SERVERS_A_TURN]
        for server in servers:
            users = self._owed.pop(server)
            if not self._post.is_away(server):
                self._owed[server] = users
                self._granted.add(server)
        if servers:
            self._timer = self._clock.call_later(TURN_S, self._turn)
            self._post.lane_filled([server for server in servers if server in self._granted])


def _newcomers(commit: RoomCommit) -> list[UserID]:
    return [
        UserID(change.key[1])
        for change in commit.changes
        if change.key[0] == "m.room.member"
        and change.memberships[1] == "join"
        and change.memberships[0] != "join"
    ]


def _is_user_of(origin: ServerName, user_id: Any) -> bool:
    return isinstance(user_id, str) and is_user_id(user_id) and server_of(user_id) == origin
