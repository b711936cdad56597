"""What other nodes are told of a commit: enough for them to know whom it concerns, and what of their memory is wrong by
it. What it says in full they read from the database.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import DecodeError, Struct
from msgspec.json import Decoder, Encoder

from homeserver.protocol.identifiers import EventID, RoomID, UserID
from homeserver.services.device_writes import DeviceWrite
from homeserver.services.push_rules import RulesChanged
from homeserver.services.receipts import ReceiptsCommit
from homeserver.services.rooms.persist import RoomCommit
from homeserver.services.rooms.room_elsewhere import RoomElsewhere
from homeserver.services.thread_subscribers import SubscriptionChanged
from storage.journal import NO_CHANGES, Changes, Landed

MAX_BYTES: Final = 1_000_000
"""Of what is larger, others are told the positions alone."""
MAX_MOVES: Final = 1000


class Stale(Struct, frozen=True, tag="stale", omit_defaults=True):
    """What was changed beside the journal: sessions of which nothing in memory holds any more (by the hashes of their
    tokens, as hexadecimal digits), and users who had themselves erased.
    """

    sessions: tuple[str, ...] = ()
    erased: tuple[UserID, ...] = ()


Payload = RoomElsewhere | ReceiptsCommit | DeviceWrite | RulesChanged | SubscriptionChanged | Stale


class _Write(Struct, frozen=True, omit_defaults=True):
    rooms: tuple[RoomID, ...] = ()
    users: tuple[UserID, ...] = ()
    topics: tuple[str, ...] = ()
    taken: int = 0
    payload: Payload | None = None


class Group(Struct, frozen=True):
    """A committed group; without ``writes`` nothing is said of it."""

    first: int
    last: int
    writes: tuple[_Write, ...] | None

    def landed(self) -> list[Landed]:
        """As the journal's listeners have it."""
        landed, at = [], self.first
        for write in self.writes or ():
            changes = NO_CHANGES
            if write.rooms or write.users or write.topics:
                changes = Changes(frozenset(write.rooms), frozenset(write.users), frozenset(write.topics))
            landed.append(Landed(changes, write.payload, range(at, at + write.taken)))
            at += write.taken
        return landed


_ENCODER: Final = Encoder()
_DECODER: Final = Decoder(Group)


def encoded(first: int, last: int, landed: Sequence[Landed]) -> bytes:
    """A group as other nodes are told it."""
    if not any(_is_large(each.payload) for each in landed):
        writes = tuple(
            _Write(
                tuple(changes.rooms),
                tuple(changes.users),
                tuple(changes.topics),
                len(positions),
                _told(payload),
            )
            for changes, payload, positions in landed
        )
        message = _ENCODER.encode(Group(first, last, writes))
        if len(message) <= MAX_BYTES:
            return message
    return _ENCODER.encode(Group(first, last, None))


def decoded(message: bytes) -> Group | None:
    """What another node tells; None if it cannot be understood."""
    try:
        group = _DECODER.decode(message)
    except DecodeError:  # what is ill-typed included
        return None
    return group if 0 < group.first <= group.last else None


def _is_large(payload: object) -> bool:
    return isinstance(payload, RoomCommit) and len(payload.changes) > MAX_MOVES


def _told(payload: object) -> Payload | None:
    if isinstance(payload, RoomCommit):
        return _room(payload)
    return payload if isinstance(payload, Payload) else None


def _room(commit: RoomCommit) -> RoomElsewhere:
    moves = [
        (UserID(change.key[1]), *change.memberships)
        for change in commit.changes
        if change.key[0] == "m.room.member" and change.memberships != ("join", "join")
    ]
    return RoomElsewhere(
        RoomID(commit.head.room_id),
        len(commit.events),
        tuple(moves),
        tuple(stored.nid for stored in commit.redacted),
        tuple(EventID(parent) for parent in commit.parents),
        commit.whole,
    )
