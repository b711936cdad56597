"""Credentials for the TURN server.

https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3voipturnserver
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from homeserver.clock import Clock
from homeserver.protocol.identifiers import UserID


@dataclass(frozen=True, slots=True)
class TurnServer:
    """A TURN server, or none where there are no `uris`. `lifetime_ms` is how long credentials are good.

    With a `shared_secret` each user gets credentials of their own, made as TURN servers do it ("REST API"
    of coturn): the user name is the time of expiry and the user, the password its HMAC-SHA1.
    """

    uris: Sequence[str]
    shared_secret: str | None
    lifetime_ms: int
    clock: Clock

    def credentials(self, user_id: UserID) -> dict[str, Any]:
        """What a client needs to use the server."""
        if not self.uris or self.shared_secret is None:
            return {}
        expires = (self.clock.now_ms() + self.lifetime_ms) // 1000
        username = f"{expires}:{user_id}"
        digest = hmac.new(self.shared_secret.encode(), username.encode(), hashlib.sha1).digest()
        return {
            "username": username,
            "password": base64.b64encode(digest).decode(),
            "uris": list(self.uris),
            "ttl": self.lifetime_ms // 1000,
        }
