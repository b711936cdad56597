"""Ephemeral data units: each goes to whoever understands its type, and is judged by itself.

https://spec.matrix.org/v1.19/server-server-api/#edus
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog
from twisted.internet.defer import CancelledError

from homeserver.protocol.errors import MatrixError
from homeserver.protocol.identifiers import ServerName

log = structlog.get_logger(__name__)

EduReceiver = Callable[[ServerName, dict[str, Any]], Awaitable[None]]
"""Takes the content of one EDU of a server. What is malformed in it, and what that server may not say, it
passes over or refuses by a `MatrixError`.
"""


class EduDispatch:
    """Knows who receives which type of EDU."""

    def __init__(self) -> None:
        self._receivers: dict[str, EduReceiver] = {}

    def connect(self, edu_type: str, receiver: EduReceiver) -> None:
        """Have a type of EDU taken by a service; the last one connected gets it."""
        self._receivers[edu_type] = receiver

    async def take(self, origin: ServerName, edus: Sequence[Any]) -> None:
        """Take EDUs in their order. One that fails does not keep the others from being taken."""
        for edu in edus:
            if not isinstance(edu, dict):
                continue
            edu_type, content = edu.get("edu_type"), edu.get("content")
            receiver = self._receivers.get(edu_type) if isinstance(edu_type, str) else None
            if receiver is None or not isinstance(content, dict):
                continue
            try:
                await receiver(origin, content)
            except MatrixError as error:
                log.info("EDU refused", origin=origin, edu_type=edu_type, error=error.message)
            except CancelledError:
                raise
            except Exception:
                log.exception("EDU set aside by a bug", origin=origin, edu_type=edu_type)
