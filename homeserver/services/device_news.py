"""What syncs tell of devices: messages to them, whose lists changed, how many keys are left.

All of it is known in memory as long as nothing happens, so that an idle client costs no query.

https://spec.matrix.org/v1.19/client-server-api/#e2e-extensions-to-sync,
https://spec.matrix.org/v1.19/client-server-api/#send-to-device-messaging
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from homeserver.protocol.device_messages import delivered_together
from homeserver.protocol.identifiers import DeviceID, RoomID, UserID, is_user_id
from homeserver.protocol.requester import Requester
from homeserver.services.device_writes import Device, DeviceWrite, ListChange
from homeserver.services.lost_pasts import LostPasts
from homeserver.services.one_time_keys import ALWAYS_COUNTED, counts
from homeserver.services.rooms.persist import RoomCommit
from homeserver.services.rooms.room_elsewhere import RoomElsewhere
from homeserver.services.sync.live import Live, LiveUser
from homeserver.services.sync.model import Asking
from homeserver.services.sync.rendering import Answer
from storage.caches import CacheBudget
from storage.database import Database
from storage.journal import Journal, Landed
from storage.tables.device_keys import CrossSigningKeys
from storage.tables.device_lists import DeviceLists
from storage.tables.memberships import Memberships
from storage.tables.to_device import ToDevice
from storage.transaction import Transaction

MAX_MESSAGES: Final = 100
"""Messages in one answer: "100 messages is recommended as a reasonable limit"."""
MAX_MOVES: Final = 20_000
_IN: Final = ("join", "invite")
"""Who is invited to a room is encrypted for already."""
_NO_KEYS: Final = {ALWAYS_COUNTED: 0}


@dataclass(frozen=True, slots=True)
class Move:
    """Somebody came into a room or went out of it."""

    user_id: UserID
    room_id: RoomID
    came: bool


@dataclass(slots=True)
class Changes:
    """Users whose devices a client has to look at, and those of whom it need not know any more."""

    changed: set[UserID]
    left: set[UserID]


class DeviceNews:
    """Follows the journal, and adds to syncs."""

    def __init__(self, database: Database, journal: Journal, live: Live, caches: CacheBudget) -> None:
        self._database = database
        self._journal = journal
        self._live = live
        self._lost_pasts = LostPasts(database, journal)
        self._counts = caches.cache("one_time_key_counts", len)
        self._inboxes = caches.cache("to_device_inboxes", lambda bounds: 120)
        self._recent: deque[tuple[int, ListChange | Move]] = deque()
        self._heard_since: int | None = None
        journal.listen(self._landed, self._forget)

    # What syncs ask.

    def has_news(self, who: Requester, user: LiveUser, pos: int, messages_since: int) -> bool:
        """Whether there may be something to tell after a position."""
        if who.device_id is not None:
            bounds = self._inboxes.get((who.user_id, who.device_id))
            if bounds is None:
                return self._journal.position > messages_since
            if bounds[1] > messages_since or 0 < bounds[0] <= messages_since:
                return True
        if pos < self._floor():
            return True
        for at, change in reversed(self._recent):
            if at <= pos:
                return False
            if _concerns(change, user):
                return True
        return False

    async def add(self, who: Requester, asking: Asking, answer: Answer) -> None:
        """Tell what is new."""
        if who.device_id is not None:
            await self._add_messages((who.user_id, who.device_id), asking, answer)
        if asking.since:
            user = await self._live.user(asking.user_id)
            _add_lists(await self.changes(user, asking.since), answer)
        elif asking.anew:
            _add_lists(await self._database.read(lambda tx: _all_changed(tx, asking.user_id)), answer)

    async def standing(self, who: Requester) -> bytes:
        """What every answer tells: how many one-time keys are left, and which fallback keys are unused, as
        members of a JSON object.
        """
        if who.device_id is None:
            return _rendered(_NO_KEYS, [])
        device = (who.user_id, who.device_id)
        known: bytes | None = self._counts.get(device)
        if known is not None:
            return known

        async def load() -> bytes:
            return _rendered(*await self._database.read(lambda tx: counts(tx, *device)))

        loaded: bytes = await self._counts.fetch(device, load)
        return loaded

    async def changes_behind(self, user_id: UserID, since: int) -> Changes:
        """What changed after the position of a client's token: everything if that is from a past that was lost."""
        if await self._lost_pasts.hold(since):
            return await self._database.read(lambda tx: _all_changed(tx, user_id))
        return await self.changes(await self._live.user(user_id), since)

    async def changes(self, user: LiveUser, since: int) -> Changes:
        """What changed after a position, up to now."""
        if since < self._floor():
            return await self._stored_changes(user.user_id, since)
        changed: set[UserID] = set()
        went: set[UserID] = set()
        for at, change in reversed(self._recent):
            if at <= since:
                break
            if not _concerns(change, user):
                continue
            if isinstance(change, ListChange):
                changed.add(change.user_id)
            elif change.user_id == user.user_id:
                return await self._stored_changes(user.user_id, since)
            else:
                (changed if change.came else went).add(change.user_id)
        if not went:
            return Changes(changed, set())
        others = sorted(went)
        shared = set(await self._database.read(lambda tx: DeviceLists(tx).sharing(user.user_id, others)))
        left = went - shared
        return Changes(changed - left, left)

    def _floor(self) -> int:
        """The position after which memory has everything."""
        if self._heard_since is None:
            self._heard_since = self._journal.position
        return self._heard_since

    # What the journal tells.

    def _landed(self, first: int, last: int, landed: Sequence[Landed]) -> None:
        if self._heard_since is None:
            self._heard_since = first - 1
        for _, payload, _ in landed:
            if isinstance(payload, DeviceWrite):
                self._note_write(payload, last)
            elif isinstance(payload, RoomCommit) and payload.changes:
                self._note_moves(payload, last)
            elif isinstance(payload, RoomElsewhere):
                for user_id, was, now in payload.moves:
                    self._note_move(payload.room_id, user_id, (was, now), last)
        while len(self._recent) > MAX_MOVES:
            self._heard_since = self._recent.popleft()[0]

    def _note_write(self, write: DeviceWrite, last: int) -> None:
        for device in write.counts:
            self._counts.pop(device)
        for device in write.messages:
            self._inboxes.pop(device)
        self._recent.extend((last, change) for change in write.lists)

    def _note_moves(self, commit: RoomCommit, last: int) -> None:
        for change in commit.changes:
            if change.key[0] == "m.room.member" and is_user_id(change.key[1]):
                self._note_move(commit.head.room_id, UserID(change.key[1]), change.memberships, last)

    def _note_move(self, room_id: RoomID, user_id: UserID, memberships: tuple[str, str], last: int) -> None:
        was, now = memberships
        if was != now and (was in _IN or now in _IN):
            self._recent.append((last, Move(user_id, room_id, now in _IN)))

    def _forget(self, pos: int) -> None:
        """Others may have written what this memory was not told of."""
        self._heard_since = pos
        self._recent.clear()
        self._counts.clear()
        self._inboxes.clear()

    # Messages.

    async def _add_messages(self, device: Device, asking: Asking, answer: Answer) -> None:
        messages, answer.messages_upto = await self.messages(
            device, asking.messages_since, asking.upto, MAX_MESSAGES
        )
        if messages:
            answer.extensions["to_device"] = b'{"events":[%b]}' % ",".join(messages).encode()

    async def messages(
        self, device: Device, since: int, upto: int, limit: int
    ) -> tuple[list[str], int | None]:
        """The messages that wait for a device after a position, as JSON; those up to it the device has. If there are
        more than ``limit``, or than belong into one answer, also the position up to which they are told.
        """
        bounds = self._inboxes.get(device)
        if bounds is not None and 0 < bounds[0] <= since:
            self._inboxes.pop(device)  # the client's token proves that it has these
            bounds = None
        if bounds is None:

            async def load() -> tuple[int, int]:
                if since:
                    return await self._database.transact(lambda tx: _delivered(tx, device, since))
                return await self._database.read(lambda tx: ToDevice(tx).bounds(*device))

            bounds = await self._inboxes.fetch(device, load)
        if bounds[1] <= since:
            return [], None
        found = await self._database.read(lambda tx: ToDevice(tx).waiting(*device, since, upto, limit + 1))
        if not found and bounds[1] <= upto:
            self._inboxes.pop(device)  # somebody else has taken them
        texts = [text for _, text in found[:limit]]
        told = delivered_together(texts)
        return texts[:told], found[told - 1][0] if told < len(found) else None

    # Changes that are only in the database.

    async def _stored_changes(self, user_id: UserID, since: int) -> Changes:
        return await self._database.read(lambda tx: _stored_changes(tx, user_id, since))


def _concerns(change: ListChange | Move, user: LiveUser) -> bool:
    if isinstance(change, Move):
        return change.room_id in user.rooms or change.user_id == user.user_id
    if change.only_for is not None:
        return change.only_for == user.user_id
    return change.user_id == user.user_id or not change.rooms.isdisjoint(user.rooms)


def _add_lists(changes: Changes, answer: Answer) -> None:
    lists = {
        name: sorted(users) for name, users in (("changed", changes.changed), ("left", changes.left)) if users
    }
    if lists:
        answer.extensions["device_lists"] = orjson.dumps(lists)


def _all_changed(tx: Transaction, user_id: UserID) -> Changes:
    """For a client that believes things of devices which are no more true."""
    rooms = Memberships(tx).joined_rooms(user_id)
    return Changes({user_id, *DeviceLists(tx).people(list(rooms), 2**62)}, set())


def _delivered(tx: Transaction, device: tuple[UserID, DeviceID], upto: int) -> tuple[int, int]:
    """Delete what a device has; gives the positions of the first and the last of the rest."""
    messages = ToDevice(tx)
    messages.delivered(*device, upto)
    return messages.bounds(*device)


def _rendered(left: dict[str, int], unused: Sequence[str]) -> bytes:
    return b'"device_one_time_keys_count":%b,"device_unused_fallback_key_types":%b' % (
        orjson.dumps(left),
        orjson.dumps(list(unused)),
    )


def _stored_changes(tx: Transaction, user_id: UserID, since: int) -> Changes:
    lists, memberships = DeviceLists(tx), Memberships(tx)
    now = set(memberships.joined_rooms(user_id))
    touched = {change.room_id for change in memberships.changes(user_id, since, 2**62)}
    before = {
        row.room_id for row in memberships.at_in(user_id, list(touched), since) if row.membership == "join"
    }
    signed = set(CrossSigningKeys(tx).signed_since(user_id, since))
    changed = set(lists.changed(user_id, since))
    went: set[UserID] = set()
    if stayed := list(now - touched):
        for other, joined in lists.moved(stayed, since):
            (changed if joined else went).add(other)
    if came := list(now & touched):
        changed.update(lists.people(came, 2**62))
    if was_in := list(before & touched):
        went.update(lists.people(was_in, since))
    shared = set(lists.sharing(user_id, list(changed | went))) if now else set()
    own = changed & {user_id}
    return Changes((changed & shared) | own | signed, (went - shared) - {user_id})
