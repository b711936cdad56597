"""Joining rooms that let in the members of other rooms.

https://spec.matrix.org/v1.19/client-server-api/#restricted-rooms,
https://spec.matrix.org/v1.19/server-server-api/#restricted-rooms
"""

from homeserver.protocol.errors import Forbidden, UnableToAuthoriseJoin, UnableToGrantJoin
from homeserver.protocol.events.content import PowerLevels, allowed_rooms_of, join_rule_of
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import ServerName, UserID, server_of
from homeserver.services.rooms.draft import RoomDraft
from homeserver.services.rooms.heads import RoomHeads
from homeserver.services.rooms.state_store import StateStore
from storage.database import Database
from storage.tables.memberships import Memberships

_CREATE = ("m.room.create", "")
_JOIN_RULES = ("m.room.join_rules", "")
_POWER_LEVELS = ("m.room.power_levels", "")


class RestrictedJoins:
    """Finds the user of this server on whose authority somebody may join."""

    def __init__(
        self, database: Database, heads: RoomHeads, states: StateStore, server_name: ServerName
    ) -> None:
        self._database = database
        self._heads = heads
        self._states = states
        self._server_name = server_name

    async def authorising_user(self, draft: RoomDraft, user_id: UserID) -> UserID | None:
        """Who authorises the join of a user (of any server); None if the join needs nobody's authority.

        Raises Forbidden if no condition is met, UnableToAuthoriseJoin if we cannot tell, UnableToGrantJoin if
        it is met and none of our users may invite.
        """
        member_key = ("m.room.member", user_id)
        keys = {_CREATE, _JOIN_RULES, _POWER_LEVELS, member_key}
        found = await self._states.lookup(draft.state, keys, draft.unsaved)
        events = {key: stored.event for key, stored in found.items()}
        create, member = events.get(_CREATE), events.get(member_key)
        if create is None or (member is not None and member.membership in ("invite", "join")):
            return None
        if not _is_restricted(create, events.get(_JOIN_RULES)):
            return None
        if member is not None and member.membership == "ban":
            raise Forbidden("You are banned from this room")
        await self._check_conditions(events[_JOIN_RULES], user_id)
        levels = PowerLevels.of(create.version, events.get(_POWER_LEVELS), create)
        return await self._inviter(draft, levels)

    async def _check_conditions(self, join_rules: Event, user_id: UserID) -> None:
        unknown = False
        for room_id in allowed_rooms_of(join_rules):
            head = await self._heads.find(room_id)
            if head is None or head.summary.local_members == 0:
                unknown = True
                continue
            member = await self._states.find(head.state, "m.room.member", user_id)
            if member is not None and member.event.membership == "join":
                return
        if unknown and server_of(user_id) != self._server_name:
            raise UnableToAuthoriseJoin
        raise Forbidden("You are in none of the rooms whose members may join")

    async def _inviter(self, draft: RoomDraft, levels: PowerLevels) -> UserID:
        """The most powerful of our users in the room, if they may invite."""
        named = [user for user in {*levels.creators, *levels.listed_users()} if self._is_ours(user)]
        members = await self._states.lookup(
            draft.state, [("m.room.member", user) for user in named], draft.unsaved
        )
        joined = [UserID(key[1]) for key, member in members.items() if member.event.membership == "join"]
        able = [user for user in joined if levels.user(user) >= levels.invite]
        if able:
            return max(able, key=levels.user)
        if levels.users_default >= levels.invite:
            room_id = draft.head.room_id
            somebody = await self._database.read(lambda tx: Memberships(tx).first_local_joined(room_id))
            if somebody is not None and levels.user(somebody) >= levels.invite:
                return somebody
        raise UnableToGrantJoin

    def _is_ours(self, user_id: UserID) -> bool:
        return server_of(user_id) == self._server_name


def _is_restricted(create: Event, join_rules: Event | None) -> bool:
    rule = join_rule_of(join_rules)
    version = create.version
    return (rule == "restricted" and version.restricted_joins) or (
        rule == "knock_restricted" and version.knock_restricted
    )
