"""The counter of what is only kept in memory: typing notices and presence.

It means something on this node and until it restarts; a sync token says whose counter its part comes from.
A client whose token comes from elsewhere is told everything anew.
"""

from homeserver.protocol.stream_tokens import SyncToken


class EphemeralStream:
    """Positions of ephemeral changes on this run of this node."""

    def __init__(self, node: str, start: int) -> None:
        """`node` is the node's name for tokens (visible ASCII), `start` tells its runs apart."""
        self._node = node
        self._start = start
        self.position = 0

    def advance(self) -> int:
        """The position of the next change."""
        self.position += 1
        return self.position

    def token(self, pos: int, ephemeral: int) -> SyncToken:
        """A sync token for a position of the stream and one of this counter."""
        return SyncToken(pos, self._node, self._start, ephemeral)

    def known_to(self, token: SyncToken) -> int:
        """Up to which of our positions a client with this token was told."""
        if token.node != self._node or token.start != self._start:
            return 0
        return token.ephemeral
