"""What is to be told of each room that is asked for: all of it, what is new, or nothing; pure."""

from dataclasses import dataclass

from homeserver.protocol.identifiers import RoomID
from homeserver.services.sliding_sync.connection import Connection, Sent
from homeserver.services.sliding_sync.model import RoomConfig
from homeserver.services.sliding_sync.required_state import Wanted
from homeserver.services.sliding_sync.room_list import Choice, activity
from storage.tables.sliding_sync import ListedRow

NOTHING_WANTED = Wanted()


@dataclass(slots=True)
class Visit:
    """A room and what to tell of it: what happened after ``base``, or with ``initial`` all. ``before`` is the state
    that was asked for so far.
    """

    row: ListedRow
    config: RoomConfig
    lists: list[str]
    is_dm: bool
    sent: Sent | None
    base: int
    before: Wanted
    initial: bool
    expanded: bool = False
    recounted: bool = False
    """Whether more or less may be unread of it though nothing was said."""

    @property
    def room_id(self) -> RoomID:
        return self.row.room_id

    @property
    def inside(self) -> bool:
        """Whether the user is in the room."""
        return self.row.membership == "join"

    @property
    def is_past(self) -> bool:
        """Whether the user was in the room, and is not any more."""
        return self.row.was_inside

    @property
    def state_grew(self) -> bool:
        """Whether state is asked for that was not before."""
        return not self.initial and self.config.state.grows_from(self.before)

    @property
    def may_have_news(self) -> bool:
        """Whether there may be something to tell."""
        if self.initial or self.expanded or self.recounted or self.sent is None or self.state_grew:
            return True
        return self.sent.is_dm != self.is_dm or max(activity(self.row), self.row.pos) > self.base


def visit(choice: Choice, connection: Connection, since: int, *, is_dm: bool) -> Visit:
    """What a client with this connection at position ``since`` is to be told of a room."""
    row = choice.row
    sent = connection.rooms.get(row.room_id)
    inside = row.membership == "join"
    base = 0 if sent is None else sent.behind or since
    if sent is None or (not sent.inside and row.pos > base):
        return Visit(row, choice.config, choice.lists, is_dm, sent, base, NOTHING_WANTED, initial=True)
    return Visit(
        row,
        choice.config,
        choice.lists,
        is_dm,
        sent,
        base=base,
        before=connection.configs[sent.config],
        initial=not inside and not row.was_inside and row.pos > base,
        expanded=inside and choice.config.limit > sent.seen,
    )
