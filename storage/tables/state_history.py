"""How the state of a room came to be as it is."""

from msgspec import Struct

from homeserver.protocol.identifiers import EventID, RoomID
from storage.query import Queries, many, query


class StateHistoryRow(Struct, frozen=True):
    """One change of an entry, from ``previous`` to ``current`` (None: no entry), at a position of the stream; ``cause``
    is the event that arrived then, at ``received_ts`` (ms), which is ``current`` itself unless state was resolved.
    """

    pos: int
    type: str
    state_key: str
    current: EventID | None
    previous: EventID | None
    cause: EventID
    sender: str | None
    cause_sender: str
    received_ts: int


class StateHistory(Queries):
    """Reads it."""

    @query(
        """select c.pos, c.type, c.state_key, now.event_id as current, was.event_id as previous,
             cause.event_id as cause, now.sender,
             cause.sender as cause_sender, cause.received_ts
           from state_changes c
           join events cause on cause.nid = c.cause_nid
           left join events now on now.nid = c.event_nid
           left join events was on was.nid = c.previous_nid
           where c.room_id = %(room_id)s and (%(type)s = '' or c.type = %(type)s)
             and (%(any_key)s or c.state_key = %(state_key)s)
           order by c.pos desc, c.type, c.state_key limit %(limit)s""",
        many(StateHistoryRow),
    )
    def latest(
        self, room_id: RoomID, type: str, state_key: str, any_key: bool, limit: int
    ) -> list[StateHistoryRow]:
        """The last changes, the latest first; an empty type stands for all."""
