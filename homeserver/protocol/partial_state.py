"""What can go wrong where this server does not know all members of a room yet.

To other servers it is as if it was not in the room, which they know how to deal with. Users' clients are told what it
is, by the code of https://github.com/matrix-org/matrix-spec-proposals/pull/3895.
"""

from homeserver.protocol.errors import MatrixError


class UnableDueToPartialState(
    MatrixError, errcode="M_NOT_FOUND", says="This server does not know all members of the room yet"
):
    """What needs all of a room's state, in a room that this server has just joined."""


class NotYetWhole(UnableDueToPartialState, errcode="M_UNABLE_DUE_TO_PARTIAL_STATE"):
    """The same for a user who has waited for it."""
