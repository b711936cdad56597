"""Keeps the memory of live users and recent rooms in step with the journal, and wakes whom a change
concerns.
"""

from collections.abc import Sequence

import structlog
from twisted.internet.defer import Deferred

from homeserver.notifier import Notifier
from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.services.device_writes import DeviceWrite
from homeserver.services.receipts import READ_PRIVATE, ReceiptsCommit, placed
from homeserver.services.rooms.persist import RoomCommit
from homeserver.services.rooms.room_elsewhere import RoomElsewhere
from homeserver.services.sync.here import Here
from homeserver.services.sync.model import MEMBER
from homeserver.services.sync.recent import RecentRooms
from storage.journal import Journal, Landed

log = structlog.get_logger(__name__)


class Following:
    """Listens to the journal and to typing, and is the audience of presence."""

    def __init__(self, journal: Journal, here: Here, recent: RecentRooms, notifier: Notifier) -> None:
        self._journal = journal
        self._here = here
        self._live = here.live
        self._recent = recent
        self._notifier = notifier
        self._started = False
        journal.listen(self._landed, self._missed)
        here.typing.when_changed(self._typing)
        here.presence.tell(self)

    def start(self) -> None:
        """Follow from now on, if that has not begun."""
        if not self._started:
            self._started = True
            self._recent.start(self._journal.position)

    def is_stranger(self, user_id: UserID) -> bool:
        """Whether a user has no record: of who shares rooms with them only the database knows."""
        return self._live.present(user_id) is None

    def wake(self, user_ids: Sequence[UserID]) -> tuple[int, int]:
        """Wake those who share rooms with some users, whose presence changed; gives how many polls that were, of those
        found at once, and how many statuses they are told at most.
        """
        strangers = [user_id for user_id in user_ids if self._live.present(user_id) is None]
        if strangers and len(self._notifier):
            waking = Deferred.fromCoroutine(self._wake_sharing(strangers))
            _ = waking.addErrback(lambda failure: log.error("presence_failed", error=failure.getTraceback()))
        sharing = [user_id for user_id in self._live.sharing(user_ids) if self._notifier.is_waiting(user_id)]
        self._notifier.wake(sharing)
        told = sum(self._live.count_near(user) for each in user_ids if (user := self._live.present(each)))
        return len(sharing), min(told, len(sharing) * len(user_ids))

    def _landed(self, first: int, last: int, landed: Sequence[Landed]) -> None:
        if not self._started:
            return
        woken: set[UserID] = set()
        for each in landed:
            self._take(each, last, woken)
        if woken:
            self._notifier.wake(woken)

    def _missed(self, pos: int) -> None:
        """Something was committed that this memory was not told of: forget all, and let everybody ask anew."""
        if self._started:
            self._live.forget_all()
            self._recent.start(pos)
            self._notifier.wake_all()

    def _take(self, each: Landed, last: int, woken: set[UserID]) -> None:
        changes, payload, positions = each
        members = self._live.members
        if isinstance(payload, RoomCommit):
            self._take_room(payload, changes.users, positions, last)
        elif isinstance(payload, RoomElsewhere):
            self._take_room_elsewhere(payload, last)
        elif isinstance(payload, ReceiptsCommit):
            rows = placed(payload, positions)
            self._recent.receipts(payload.room_id, rows, watched=payload.room_id in members)
            woken.update(row.user_id for row in rows if row.receipt_type == READ_PRIVATE)
            for user_id in changes.users:
                self._live.touched(user_id, last, membership=False)
        elif isinstance(payload, DeviceWrite):
            woken.update(payload.concerned(members))
        else:
            for user_id in changes.users:
                self._live.touched(user_id, last, membership=True)
                self._live.touched(user_id, last, membership=False)
            for room_id in changes.rooms:
                self._recent.other(room_id, last)
        woken.update(changes.users)
        for room_id in changes.rooms:
            woken.update(members.get(room_id, ()))

    def _take_room(self, commit: RoomCommit, users: frozenset[UserID], positions: range, last: int) -> None:
        room_id = commit.head.room_id
        pos = positions[-1] if positions else 0
        if users:
            self._live.room_committed(commit, users, last)
            self._stop_typing(commit)
        if commit.whole:
            for user_id in self._live.members.get(room_id, ()):
                self._live.touched(user_id, last, membership=True)
            self._recent.other(room_id, last)
            return
        watched = room_id in self._live.members
        self._recent.committed(commit, positions[0] if positions else 0, pos, watched=watched)
        for stored in commit.events:
            if stored.outbound:
                self._here.presence.active(stored.event.sender)

    def _take_room_elsewhere(self, room: RoomElsewhere, last: int) -> None:
        for user_id, _, now in room.moves:
            self._live.moved(user_id, room.room_id, last, joined=now == "join")
            if now != "join":
                self._here.typing.left(room.room_id, user_id)
        if room.whole is not None:
            for user_id in self._live.members.get(room.room_id, ()):
                self._live.touched(user_id, last, membership=True)
        self._recent.other(room.room_id, last)

    def _stop_typing(self, commit: RoomCommit) -> None:
        for change in commit.changes:
            if change.key[0] == MEMBER and change.memberships[1] != "join":
                self._here.typing.left(commit.head.room_id, UserID(change.key[1]))

    def _typing(self, room_id: RoomID) -> None:
        self._notifier.wake(self._live.members.get(room_id, ()))

    async def _wake_sharing(self, strangers: list[UserID]) -> None:
        """Wake those who share rooms with users who have no record: they do not sync, or are of other servers."""
        for room_id in await self._live.rooms_of(strangers):
            self._notifier.wake(self._live.members.get(room_id, ()))
