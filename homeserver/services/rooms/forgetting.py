"""Whether rooms are forgotten as they are left, as if the user had asked for that too.

Incremental syncs read how memberships changed, not whether a room is forgotten: so every device still hears of the
leave.

https://spec.matrix.org/v1.19/client-server-api/#mforget_forced_upon_leave-capability
"""

from dataclasses import dataclass

from homeserver.protocol.identifiers import ServerName, server_of


@dataclass(frozen=True, slots=True)
class Forgetting:
    """What the operator decided for this server's users."""

    server_name: ServerName
    upon_leave: bool = False

    def is_forced(self, user_id: str, membership: str) -> bool:
        """Whether a room is to be forgotten for somebody whose membership is now such."""
        return self.upon_leave and membership in ("leave", "ban") and server_of(user_id) == self.server_name
