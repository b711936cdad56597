"""The counter of what is only kept in memory: typing notices and presence.

It means something on this node and until it restarts; a sync token says whose counter its part comes from.
A client whose token comes from elsewhere is told everything anew.
"""

from typing import Final

from homeserver.protocol.stream_tokens import SyncToken

NOTHING: Final = -1
"""The position of a client that has been told nothing, and believes of nobody that they type."""
ASTRAY: Final = -2
"""The position of a client that was told elsewhere, or too long ago, of people who type."""


class EphemeralStream:
    """Positions of ephemeral changes on this run of this node."""

    def __init__(self, node: str, start: int) -> None:
        """`node` is the node's name for tokens (visible ASCII), `start` tells its runs apart."""
        self._node = node
        self._start = start
        self._floor = 0
        self.position = 0

    def advance(self) -> int:
        """The position of the next change."""
        self.position += 1
        return self.position

    def forget(self, position: int) -> None:
        """Changes up to a position may not be remembered any more."""
        self._floor = max(self._floor, position)

    def token(self, pos: int, ephemeral: int, *, typing: bool = False) -> SyncToken:
        """A sync token for a position of the stream and one of this counter; ``typing``: its client was told of
        people who type.
        """
        return SyncToken(pos, self._node, self._start, ephemeral, typing)

    def gave(self, token: SyncToken) -> bool:
        """Whether a token is of this run of this node."""
        return token.node == self._node and token.start == self._start

    def known_to(self, token: SyncToken | None) -> int:
        """Up to which of our positions a client with this token was told; `NOTHING`, `ASTRAY`."""
        if token is None:
            return NOTHING
        if self.gave(token) and token.ephemeral >= self._floor:
            return token.ephemeral
        return ASTRAY if token.typing else NOTHING
