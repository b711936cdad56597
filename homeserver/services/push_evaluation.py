"""Users' push rules, compiled and kept, and what else it takes to judge events by them."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from homeserver.protocol.identifiers import EventID, RoomID, UserID
from homeserver.protocol.push_rules.conditions import Circumstances
from homeserver.protocol.push_rules.evaluation import PushRules, compiled, default_rules
from homeserver.protocol.push_rules.ruleset import NO_CHANGES, Changes, ruleset
from homeserver.services.push_rules import RulesChanged, rule_changes
from homeserver.services.rooms.heads import RoomHeads
from homeserver.services.rooms.powers import POWER_KEYS, power_levels_in
from homeserver.services.rooms.state_store import StateStore
from homeserver.services.rooms.stored_event import StoredEvent
from homeserver.services.thread_subscribers import ThreadSubscribers
from storage.caches import CacheBudget
from storage.database import Database
from storage.journal import Journal, Landed

_PLAIN_BYTES = 2000
_RULES_BYTES = 8000


class UserRules:
    """The rules of one user. ``plain``: they changed none."""

    __slots__ = ("_changes", "_rules", "_threads", "_user_id", "plain")

    def __init__(self, user_id: UserID, changes: Changes, *, threads: bool = False) -> None:
        self._user_id = user_id
        self._changes = changes
        self._threads = threads
        self._rules: PushRules | None = None
        self.plain = changes == NO_CHANGES

    @property
    def all(self) -> PushRules:
        """All of them, compiled when somebody asks."""
        if self._rules is None:
            self._rules = compiled(ruleset(self._user_id, self._changes, threads=self._threads))
        return self._rules

    def in_room(self, room_id: RoomID) -> PushRules | None:
        """The rules that matter in a room; None if they count there as the default ones do."""
        if self.plain:
            return None
        here = self.all.in_room(room_id)
        usual = default_rules(self._user_id, threads=self._threads).in_room(room_id)
        return None if here.counts_like(usual) else here


class PushEvaluation:
    """Finds rules and circumstances."""

    def __init__(
        self,
        database: Database,
        journal: Journal,
        heads: RoomHeads,
        states: StateStore,
        caches: CacheBudget,
        subscribers: ThreadSubscribers,
    ) -> None:
        self.subscribers = subscribers
        self._database = database
        self._heads = heads
        self._states = states
        self._rules = caches.cache("push_rules", lambda rules: _PLAIN_BYTES if rules.plain else _RULES_BYTES)
        self._changes = 0
        journal.listen(self._landed, self._missed)

    async def rules(self, user_id: UserID) -> UserRules:
        """The rules of a user as they are now; the same object until they change."""
        known: UserRules | None = self._rules.get(user_id)
        if known is not None:
            return known
        before = self._changes
        changes = await self._database.read(lambda tx: rule_changes(tx, user_id))
        rules = UserRules(user_id, changes, threads=self.subscribers.enabled)
        if self._changes == before:
            self._rules.put(user_id, rules)
        return rules

    async def circumstances(self, user_id: UserID, room_id: RoomID, rules: PushRules) -> Circumstances:
        """What a room is like for a user's rules, now."""
        head = await self._heads.find(room_id)
        if head is None:
            return Circumstances(user_id, 0, lambda sender, key: False)
        member = ("m.room.member", user_id)
        keys = (*POWER_KEYS, member) if rules.asks_display_name else POWER_KEYS
        found = await self._states.lookup(head.state, keys)
        levels = power_levels_in(head.room_version, found)
        name = found[member].event.content.get("displayname") if member in found else None
        return Circumstances(
            user_id,
            head.summary.joined_members,
            lambda sender, key: levels.user(sender) >= levels.notification(key),
            name if isinstance(name, str) else None,
        )

    def _landed(self, first: int, last: int, landed: Sequence[Landed]) -> None:
        for each in landed:
            if isinstance(each.payload, RulesChanged):
                self._rules.pop(each.payload.user_id)
                self._changes += 1

    def _missed(self, upto: int) -> None:
        self._rules.clear()
        self._changes += 1


def at_event(
    circumstances: Circumstances, stored: StoredEvent, subscribed: Collection[EventID] | None
) -> Circumstances:
    """The circumstances of one event, where the user is ``subscribed`` to some threads (see `ThreadSubscribers`)."""
    if stored.thread is None or subscribed is None:
        return circumstances
    return replace(circumstances, subscribed=stored.thread in subscribed)
