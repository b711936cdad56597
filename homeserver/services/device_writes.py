"""What a write did to devices: the journal's payload for those who follow them in memory."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from msgspec import Struct, field

from homeserver.protocol.identifiers import DeviceID, RoomID, ServerName, UserID
from storage.journal import Journal, RunResult, Write
from storage.transaction import Transaction

T = TypeVar("T")

Device = tuple[UserID, DeviceID]


class ListChange(Struct, frozen=True):
    """The devices or the cross-signing keys of a user changed: whoever is in one of the rooms has to look. With
    ``only_for`` it is a matter between the two.
    """

    user_id: UserID
    rooms: frozenset[RoomID]
    only_for: UserID | None = None


class DeviceWrite(Struct, tag="devices"):
    """Filled by the transaction. ``counts``: devices that have more or fewer keys to give away; ``messages``:
    those with new messages; ``destinations``: servers that are owed something now.
    """

    lists: list[ListChange] = field(default_factory=list)
    counts: list[Device] = field(default_factory=list)
    messages: list[Device] = field(default_factory=list)
    destinations: set[ServerName] = field(default_factory=set)

    def begin(self) -> None:
        """The transaction begins, perhaps anew."""
        self.lists.clear()
        self.counts.clear()
        self.messages.clear()
        self.destinations.clear()

    def concerned(self, members: Mapping[RoomID, Iterable[UserID]]) -> set[UserID]:
        """The users who have something to be told, of those who are here by room."""
        found = {user_id for user_id, _ in self.messages}
        for change in self.lists:
            if change.only_for is not None:
                found.add(change.only_for)
                continue
            found.add(change.user_id)
            for room_id in change.rooms:
                found.update(members.get(room_id, ()))
        return found


async def written(journal: Journal, run: Callable[[Transaction, DeviceWrite], RunResult[T]]) -> T:
    """Have a transaction done that changes something about devices, and says what; gives its value."""
    what = DeviceWrite()

    def once(tx: Transaction) -> RunResult[T]:
        what.begin()
        return run(tx, what)

    write: Write[T] = Write(run=once, payload=what)
    return (await journal.write(write)).value
