"""What the journal is given and gives back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from homeserver.protocol.identifiers import RoomID, UserID
from storage.bulk import Entry
from storage.transaction import Transaction

T = TypeVar("T")


class LostRace(Exception):
    """A guarded room changed since the write was built: build it anew on the room as it is now."""


@dataclass(frozen=True, slots=True)
class RoomGuard:
    """The write holds only if `rooms.version` still is `version`; it becomes `becomes` (None: stays).

    In one group, a second write may guard the version that the first one's guard makes.
    """

    room_id: RoomID
    version: int
    becomes: int | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """Whom a write concerns: what wakes waiting syncs and outboxes after the commit."""

    rooms: frozenset[RoomID] = frozenset()
    users: frozenset[UserID] = frozenset()
    topics: frozenset[str] = frozenset()


NO_CHANGES = Changes()


@dataclass(frozen=True, slots=True)
class RunResult(Generic[T]):
    """What `Write.run` gives back: its value, and entries decided inside the transaction."""

    value: T
    entries: Sequence[Entry] = ()


@dataclass(slots=True)
class Write(Generic[T]):
    """What is written together or not at all. `run` is executed first, in the group's transaction: it must be short."""

    entries: Sequence[Entry] = ()
    guards: Sequence[RoomGuard] = ()
    run: Callable[[Transaction], RunResult[T] | T] | None = None
    changes: Changes = NO_CHANGES
    payload: Any = None


@dataclass(frozen=True, slots=True)
class Committed(Generic[T]):
    """A durable write: `positions` of its positioned entries in order, `pos` the last position of its group."""

    value: T
    positions: range
    pos: int


class Landed(NamedTuple):
    """One write of a committed group, as listeners see it."""

    changes: Changes
    payload: Any
    positions: range


Listener = Callable[[int, int, Sequence[Landed]], None]
"""Called after a commit, in position order, with the first and last position and the group's writes.

A group that took no position gives a first one greater than the last. The writes of other nodes come in their place in
the order; what of them is not known here is told as missed.
"""

Missed = Callable[[int], None]
"""Called when something was committed that is not told: by another node, or in a group whose outcome stayed unknown.
What is in memory may be wrong by now, and what is read from now on has all up to the position.
"""


class Peers(Protocol):
    """The other nodes that write to the same database."""

    def committed(self, first: int, last: int, landed: Sequence[Landed]) -> None:
        """This node has committed a group: tell them."""

    def gap(self, upto: int) -> None:
        """What they wrote up to a position is missing, and what came after it waits: have it heard or given up, soon
        but not at once.
        """

    async def heard(self, pos: int) -> None:
        """Return when what they wrote up to a position is heard, or has not been for a while."""
