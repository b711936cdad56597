"""`/health`: whether this node should be sent traffic, for load balancers and service managers."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog

from homeserver.http.authentication import no_auth
from homeserver.http.encoding import Response, encode_json
from homeserver.http.endpoint import endpoint

log = structlog.get_logger(__name__)

Check = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class HealthApi:
    """Asks every check; one that raises makes the node unhealthy. Why is told to the log, not to whoever asks."""

    checks: Mapping[str, Check]

    @endpoint("GET", "/health", "/_meridian/health", auth=no_auth, spec="")
    async def health(self) -> Response:
        """200 when all is well, 503 and the names of what is not."""
        failing = [name for name, check in self.checks.items() if not await _passes(name, check)]
        body = {"status": "failing" if failing else "ok", "failing": failing}
        return Response(503 if failing else 200, (), encode_json(body))


async def _passes(name: str, check: Check) -> bool:
    try:
        await check()
    except Exception as error:  # whatever is wrong with it, it is not well
        log.warning("health check failed", check=name, error=repr(error))
        return False
    return True
