"""One queue of writes a room on this node: each is built on what the one before it made of the room.

Jobs that wait are built together into one draft and committed together, so a busy room costs one commit for many
events. A draft that lost its race against another node is built anew; jobs that fail are the only ones to fail.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred

from homeserver.protocol.identifiers import RoomID
from homeserver.protocol.room_versions import RoomVersion
from homeserver.services.rooms.draft import RoomDraft
from homeserver.services.rooms.heads import RoomHead, RoomHeads, empty_head
from homeserver.services.rooms.partial_rooms import PartialRooms
from homeserver.services.rooms.persist import Persister
from storage.journal import LostRace

T = TypeVar("T")
Job = Callable[[RoomDraft], Awaitable[T]]
"""Adds events to a draft. It may run more than once, and must touch nothing but the draft."""

MAX_JOBS = 100
"""Jobs that one commit of a room takes at most."""


class _Waiting(Generic[T]):
    __slots__ = ("alone", "done", "job")

    def __init__(self, job: Job[T]) -> None:
        self.job = job
        self.done: Deferred[T] = Deferred()
        self.alone = False


class RoomWriter:
    """Runs jobs on rooms. A job's result is given once what it wrote is committed."""

    def __init__(self, heads: RoomHeads, persister: Persister, partial: PartialRooms) -> None:
        """``partial`` are the rooms in which jobs that need all members have to wait."""
        self.partial = partial
        self._heads = heads
        self._persister = persister
        self._queues: dict[RoomID, deque[_Waiting[Any]]] = {}

    async def write(
        self, room_id: RoomID, job: Job[T], *, create: RoomVersion | None = None, alone: bool = False
    ) -> T:
        """Run a job on the room and commit what it drafted. Raises whatever the job raises.

        ``create`` is the version of a room that this server may not know yet; without it, an unknown room is a
        LookupError. ``alone``: no other job is to be in the same draft.
        """
        waiting = _Waiting(job)
        waiting.alone = alone
        queue = self._queues.get(room_id)
        if queue is not None:
            queue.append(waiting)
        else:
            self._queues[room_id] = deque((waiting,))
            _ = Deferred.fromCoroutine(self._work(room_id, create))
        return await waiting.done

    async def _work(self, room_id: RoomID, create: RoomVersion | None) -> None:
        queue = self._queues[room_id]
        while queue:
            batch = _next_batch(queue)
            try:
                await self._run(room_id, create, batch)
            except LostRace:
                queue.extendleft(reversed(batch))
            except Exception as error:
                if len(batch) == 1:
                    batch[0].done.errback(error)
                else:
                    for waiting in batch:
                        waiting.alone = True
                    queue.extendleft(reversed(batch))
        del self._queues[room_id]

    async def _run(self, room_id: RoomID, create: RoomVersion | None, batch: list[_Waiting[Any]]) -> None:
        head = await self._head(room_id, create)
        draft = RoomDraft(head)
        results: list[tuple[_Waiting[Any], Any]] = []
        while batch:
            waiting = batch[0]
            point = draft.checkpoint()
            try:
                results.append((waiting, await waiting.job(draft)))
            except Exception as error:
                draft.restore(point)
                waiting.done.errback(error)
            batch.pop(0)
        batch.extend(waiting for waiting, _ in results)
        if draft.events or draft.entries:
            await self._persister.commit(draft)
        for waiting, result in results:
            waiting.done.callback(result)

    async def _head(self, room_id: RoomID, create: RoomVersion | None) -> RoomHead:
        head = await self._heads.find(room_id)
        if head is not None:
            return head
        if create is None:
            raise LookupError(f"room {room_id} is not known here")
        return empty_head(room_id, create)


def _next_batch(queue: deque[_Waiting[Any]]) -> list[_Waiting[Any]]:
    """What to run together: many jobs, or one of those that failed together and are tried one by one."""
    batch = [queue.popleft()]
    while queue and len(batch) < MAX_JOBS and not batch[0].alone and not queue[0].alone:
        batch.append(queue.popleft())
    return batch
