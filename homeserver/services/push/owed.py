"""What pushers are owed, found out behind the journal: who sends a message is not kept waiting for it.

A position on record says up to where everything was looked at. Behind it a step reads the new events, the users with
pushers who are in their rooms, and who has read something, left a room or changed their rules meanwhile. What they are
owed becomes rows of the outbox, in one transaction with the progress: a restart at any instant loses nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson

from homeserver.clock import Clock
from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.services.push.judging import PushJudge, Told
from homeserver.services.rooms.invite_permission import unwanted_inviters
from homeserver.services.rooms.notability import NOTIFIES, NOTIFIES_SUBSCRIBERS
from storage.database import Database
from storage.journal import Journal, Stream
from storage.tables.push_outbox import (
    OWED_PUSHES,
    EarRow,
    FreshEvent,
    InviteRow,
    ListenerRow,
    PushOutbox,
    PushProgress,
)
from storage.transaction import Transaction

EVENTS_AT_ONCE: Final = 200
NOTE_EVERY: Final = 1000
"""Progress over so many positions is noted even where nobody is owed anything."""
_USERS_A_TURN: Final = 20
"""After so many users other work gets its turn."""
_REDACTION: Final = "m.room.redaction"


@dataclass(frozen=True, slots=True)
class Found:
    """What a step found: whether there is more to do, and the pushers to which something is owed now. The ``urgent``
    ones of them, by number, make a sound or name the user.
    """

    more: bool
    ears: Sequence[EarRow] = ()
    urgent: frozenset[int] = frozenset()


@dataclass(slots=True)
class _Work:
    was: int
    upto: int
    more: bool
    events: Sequence[FreshEvent] = ()
    listeners: Sequence[ListenerRow] = ()
    named: frozenset[tuple[UserID, int]] = frozenset()
    """Who is mentioned by which event, or subscribed to its thread."""
    invites: Sequence[InviteRow] = ()
    counting: Sequence[EarRow] = ()
    ignored: Mapping[UserID, frozenset[str]] = field(default_factory=dict)


class PushesOwed:
    """Fills the outbox, some events at a time. One node does it: the one that holds the lease."""

    def __init__(
        self, database: Database, journal: Journal, judge: PushJudge, clock: Clock, give_up_after_ms: int
    ) -> None:
        self._database = database
        self._journal = journal
        self._judge = judge
        self._clock = clock
        self._give_up_after_ms = give_up_after_ms
        self._at: int | None = None

    @property
    def lag(self) -> int:
        """Positions that were not looked at yet; 0 on a node that does not look."""
        return 0 if self._at is None else max(self._journal.position - self._at, 0)

    def begin(self) -> None:
        """This node has the lease now: go on from what is on record."""
        self._at = 0

    def end(self) -> None:
        """Another node may do it now."""
        self._at = None

    async def step(self) -> Found:
        """Look at what is new."""
        at, now = self._at or 0, self._journal.position
        work = await self._database.read(lambda tx: _next_work(tx, at))
        if work is None:
            self._at = max(at, now)  # what was written since it was read is still to be looked at
            return Found(more=False)
        told = await self._told(work)
        ears: Sequence[EarRow] = ()
        loud = {each.user_id for each in told if is_loud(each.verdict.actions)}
        if told or work.counting or work.upto - work.was >= NOTE_EVERY:
            now = self._clock.now_ms()
            written = await self._database.transact(lambda tx: _write(tx, work, told, now))
            if written is None:
                self._at = 0
                return Found(more=True)
            ears = written
        self._at = work.upto
        return Found(work.more, ears, frozenset(ear.id for ear in ears if ear.user_id in loud))

    async def _told(self, work: _Work) -> list[Told]:
        """Judge the new events for everybody who may be told of them."""
        oldest = self._clock.now_ms() - self._give_up_after_ms
        by_room: dict[RoomID, list[FreshEvent]] = {}
        for fresh in work.events:
            if fresh.received_ts >= oldest:
                by_room.setdefault(fresh.room_id, []).append(fresh)
        told: list[Told] = []
        for number, listener in enumerate(work.listeners, 1):
            if number % _USERS_A_TURN == 0:
                await self._clock.sleep(0)
            user_id = listener.user_id
            wanted = [
                fresh.nid
                for fresh in by_room.get(listener.room_id, ())
                if fresh.sender != user_id and (listener.judges or _notifies(fresh, user_id, work.named))
            ]
            if wanted:
                events = await self._judge.load(wanted)
                ignored = work.ignored.get(user_id, frozenset())
                told += await self._judge.told(user_id, listener.room_id, list(events.values()), ignored)
        return told + await self._invited(work.invites, work.ignored)

    async def _invited(
        self, invites: Iterable[InviteRow], ignored: Mapping[UserID, frozenset[str]]
    ) -> list[Told]:
        told: list[Told] = []
        for row in invites:
            invite = (await self._judge.load((row.event_nid,))).get(row.event_nid)
            if invite is not None and not await self._is_hidden(row.user_id, UserID(invite.event.sender)):
                unheard = ignored.get(row.user_id, frozenset())
                told += await self._judge.invited(row.user_id, row.room_id, invite, row.pos, unheard)
        return told

    async def _is_hidden(self, user_id: UserID, inviter: UserID) -> bool:
        """Whether a user does not want to see invites of somebody."""
        hidden = await self._database.read(lambda tx: unwanted_inviters(tx, user_id, (inviter,)))
        return inviter in hidden


def is_loud(actions: Iterable[object]) -> bool:
    """Whether the actions of a rule make a sound, or highlight."""
    tweaks = [action for action in actions if isinstance(action, dict)]
    return any(tweak.get("set_tweak") == "sound" for tweak in tweaks) or any(
        tweak.get("set_tweak") == "highlight" and tweak.get("value", True) is True for tweak in tweaks
    )


def _notifies(fresh: FreshEvent, user_id: UserID, named: frozenset[tuple[UserID, int]]) -> bool:
    """Whether an event may notify somebody who has the default rules."""
    return fresh.notable & NOTIFIES > 0 or (user_id, fresh.pos) in named


def _next_work(tx: Transaction, at: int) -> _Work | None:
    progress = PushProgress(tx)
    was, now, first = progress.position(), Stream(tx).position(), progress.first_needed()
    after = max(was, at, first)
    if first < 0 or after >= now:
        return None
    events = progress.events(after, now, EVENTS_AT_ONCE)
    more = len(events) == EVENTS_AT_ONCE
    upto = events[-1].pos if more else now
    work = _Work(was, upto, more, events)
    work.invites = progress.invites(after, upto)
    if events:
        work.listeners = progress.listeners(list({each.room_id for each in events}))
    if work.listeners:
        named = progress.mentioned([each.nid for each in events])
        threaded = [each.nid for each in events if each.notable & NOTIFIES_SUBSCRIBERS]
        work.named = frozenset([*named, *(progress.subscribed(threaded) if threaded else ())])
    work.counting = _counting(tx, work, after)
    users = {each.user_id for each in work.listeners} | {each.user_id for each in work.invites}
    if users:
        lists = progress.ignored_lists(list(users))
        work.ignored = {user_id: _ignored(content) for user_id, content in lists}
    return work


def _counting(tx: Transaction, work: _Work, after: int) -> list[EarRow]:
    """The pushers whose user's counts may be others now."""
    progress, outbox = PushProgress(tx), PushOutbox(tx)
    readers = {*progress.readers(after, work.upto), *(each.sender for each in work.events)}
    struck = {each.room_id for each in work.events if each.type == _REDACTION}
    readers.update(each.user_id for each in work.listeners if each.room_id in struck)
    deciders = progress.deciders(after, work.upto)
    return [
        *(outbox.counting_ears(list(readers)) if readers else ()),
        *(outbox.ears(deciders) if deciders else ()),
    ]


def _ignored(content: bytes) -> frozenset[str]:
    users = orjson.loads(bytes(content)).get("ignored_users")
    return frozenset(users) if isinstance(users, dict) else frozenset()


def _write(tx: Transaction, work: _Work, told: Sequence[Told], now: int) -> list[EarRow] | None:
    """Write the outbox; the pushers that are owed something. None if another node has done it."""
    if not PushProgress(tx).advance(work.was, work.upto):
        return None
    outbox = PushOutbox(tx)
    users = list({each.user_id for each in told})
    ears: dict[UserID, list[EarRow]] = {}
    for ear in outbox.ears(users) if users else ():
        ears.setdefault(ear.user_id, []).append(ear)
    rows: list[tuple[object, ...]] = []
    owed: dict[int, EarRow] = {}
    for each in told:
        actions = orjson.dumps(each.verdict.actions).decode()
        for ear in ears.get(each.user_id, ()):
            if each.pos > ear.since:
                rows.append((ear.id, each.pos, each.nid, actions, each.ts))
                owed[ear.id] = ear
    OWED_PUSHES.execute(tx, rows)
    counting = {ear.id: ear for ear in work.counting if ear.id not in owed}
    OWED_PUSHES.execute(tx, [(pusher_id, work.upto, None, None, now) for pusher_id in counting])
    return [*owed.values(), *counting.values()]
