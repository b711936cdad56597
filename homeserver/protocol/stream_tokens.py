"""Where a reader is: the tokens of `/sync` and of pagination, as clients carry them.

Clients treat tokens as opaque; ours are short and readable, and a token that we cannot have made
raises `InvalidParam`.

* `m<pos>_<node>.<start>.<ephemeral>` is a sync token: everything up to a position of the stream,
  and up to an ephemeral
  position (typing, presence), which means something only on the node that gave it and until that
  node restarts. A `t` behind it: the client was told of people who type.
* the same with `!<number>` behind it is a position of sliding sync; the number names what is kept of the connection.
* `u<pos>` is a place among the changes of a user's thread subscriptions: the last of them at that position.
* `s<pos>` is a place in the stream, between the event at `pos` and the next.
* `t<depth>_<ordering>` is a place in the order of a room's events, behind the event there:
  `ordering` is its
  position, and negative for events that were backfilled.
"""

import re
from dataclasses import dataclass
from typing import TypeAlias

from homeserver.protocol.errors import InvalidParam

_LIMIT = 2**63
_SYNC = re.compile(r"m([0-9]{1,19})_([!-~]{0,64}?)\.([0-9]{1,19})\.([0-9]{1,19})(t?)(?:~([0-9]{1,19}))?")
_SLIDING = re.compile(r"(m.+)!([0-9]{1,19})")
_SUBSCRIPTIONS = re.compile(r"u([0-9]{1,19})")
_LIVE = re.compile(r"s([0-9]{1,19})")
_TOPOLOGICAL = re.compile(r"t([0-9]{1,19})_(-?[0-9]{1,19})")


@dataclass(frozen=True, slots=True)
class SyncToken:
    """What a client has seen: `next_batch` of `/sync`."""

    pos: int
    node: str = ""
    """The node that counted `ephemeral`."""
    start: int = 0
    """Which run of that node it was."""
    ephemeral: int = 0
    typing: bool = False
    """Whether the client was told of people who type, in rooms of whose end of typing it was not."""
    messages: int | None = None
    """Up to where messages to the device were delivered, if that is not `pos`: more of them wait."""

    def __str__(self) -> str:
        rest = "" if self.messages is None else f"~{self.messages}"
        typing = "t" if self.typing else ""
        return f"m{self.pos}_{self.node}.{self.start}.{self.ephemeral}{typing}{rest}"


@dataclass(frozen=True, slots=True)
class SubscriptionsToken:
    """A place among the changes of a user's thread subscriptions."""

    pos: int

    def __str__(self) -> str:
        return f"u{self.pos}"


@dataclass(frozen=True, slots=True)
class LiveToken:
    """A place in the stream."""

    pos: int

    def __str__(self) -> str:
        return f"s{self.pos}"


@dataclass(frozen=True, slots=True, order=True)
class TopologicalToken:
    """A place in the order of a room's events."""

    depth: int
    ordering: int

    def __str__(self) -> str:
        return f"t{self.depth}_{self.ordering}"


PageToken: TypeAlias = LiveToken | TopologicalToken
"""`from`, `to`, `start`, `end`, `prev_batch`: where a page of events begins or ends."""


def parse_sync_token(text: str) -> SyncToken:
    """A token that `/sync` gave. Raises `InvalidParam`."""
    match = _SYNC.fullmatch(text)
    if match is None:
        raise InvalidParam("Not a sync token")
    messages = None if match[6] is None else _number(match[6])
    return SyncToken(
        _number(match[1]), match[2], _number(match[3]), _number(match[4]), bool(match[5]), messages
    )


def parse_sliding_position(text: str) -> tuple[SyncToken, int]:
    """A position that sliding sync gave, and the number of what is kept with it. Raises `InvalidParam`."""
    match = _SLIDING.fullmatch(text)
    if match is None:
        raise InvalidParam("Not a position of sliding sync")
    return parse_sync_token(match[1]), _number(match[2])


def parse_subscriptions_token(text: str) -> int:
    """The position of a `SubscriptionsToken`. Raises `InvalidParam`."""
    match = _SUBSCRIPTIONS.fullmatch(text)
    if match is None:
        raise InvalidParam("Not a token of thread subscriptions")
    return _number(match[1])


def parse_page_token(text: str) -> PageToken:
    """A token that pagination or `/sync` gave; a sync token is a place in the stream. Raises
    `InvalidParam`.
    """
    if match := _LIVE.fullmatch(text):
        return LiveToken(_number(match[1]))
    if match := _TOPOLOGICAL.fullmatch(text):
        return TopologicalToken(_number(match[1]), _number(match[2]))
    if match := _SLIDING.fullmatch(text):
        text = match[1]
    if text[:1] == "m":
        return LiveToken(parse_sync_token(text).pos)
    raise InvalidParam("Not a pagination token")


def _number(text: str) -> int:
    """An integer that the database can compare positions with."""
    number = int(text)
    if not -_LIMIT <= number < _LIMIT:
        raise InvalidParam("The token is out of range")
    return number
