"""What a client of sliding sync was told so far: compact, as it is kept with each position; pure.

A room that was told of is at the position of the connection, unless something happened in it that was withheld because
it was out of sight. So a record changes only when rooms come into sight or fall behind, not with every message.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from homeserver.protocol.identifiers import RoomID
from homeserver.services.sliding_sync.required_state import RequiredState, Wanted

ALL: Final = 2**31
"""A client that knows so many of the latest events knows all that there are."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What was told of a room: all up to position ``behind`` (0: up to that of the connection), ``seen`` of the
    latest events at least, the state that the config of that number asks for. ``inside``: as to a member.
    """

    behind: int
    seen: int
    config: int
    is_dm: bool
    inside: bool


@dataclass(frozen=True, slots=True)
class Connection:
    """A client's knowledge at a position."""

    rooms: Mapping[RoomID, Sent] = field(default_factory=dict)
    configs: tuple[Wanted, ...] = ()

    def encoded(self) -> bytes:
        """As it is stored."""
        rooms = {
            room_id: (sent.behind, sent.seen, sent.config, sent.is_dm, sent.inside)
            for room_id, sent in self.rooms.items()
        }
        configs = [
            [(list(rule.include), list(rule.exclude), rule.lazy) for rule in wanted.rules]
            for wanted in self.configs
        ]
        return zlib.compress(msgspec.msgpack.encode((rooms, configs)), 1)

    @classmethod
    def decoded(cls, stored: bytes) -> "Connection":
        """One that was stored."""
        rooms, configs = _DECODER.decode(zlib.decompress(stored))
        return cls(
            {RoomID(room_id): Sent(*sent) for room_id, sent in rooms.items()},
            tuple(
                Wanted(frozenset(RequiredState(frozenset(i), frozenset(e), lazy) for i, e, lazy in rules))
                for rules in configs
            ),
        )


def after(
    connection: Connection, told: Mapping[RoomID, tuple[Sent, Wanted] | None], behind: Mapping[RoomID, int]
) -> Connection:
    """The connection when rooms were ``told`` of (None: the room is to be forgotten), and others fell ``behind`` at
    a position. The same object if nothing changed.
    """
    changed: dict[RoomID, Sent | None] = {}
    configs = {wanted: index for index, wanted in enumerate(connection.configs)}
    for room_id, now in told.items():
        if now is None:
            changed[room_id] = None
        else:
            sent, wanted = now
            changed[room_id] = replace(sent, config=configs.setdefault(wanted, len(configs)))
    for room_id, pos in behind.items():
        changed[room_id] = replace(connection.rooms[room_id], behind=pos)
    if all(connection.rooms.get(room_id) == now for room_id, now in changed.items()):
        return connection
    merged = {**connection.rooms, **changed}
    rooms = {room_id: sent for room_id, sent in merged.items() if sent is not None}
    used = {sent.config for sent in rooms.values()}
    kept = [wanted for wanted, index in configs.items() if index in used]
    if len(kept) == len(configs):
        return Connection(rooms, tuple(kept))
    places = {configs[wanted]: place for place, wanted in enumerate(kept)}
    moved = {room_id: replace(sent, config=places[sent.config]) for room_id, sent in rooms.items()}
    return Connection(moved, tuple(kept))


_Elements = list[tuple[str | None, str | None]]
_DECODER = msgspec.msgpack.Decoder(
    tuple[dict[str, tuple[int, int, int, bool, bool]], list[list[tuple[_Elements, _Elements, bool]]]]
)
