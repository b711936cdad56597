"""Questions to servers that need no signature, and what to do when there is no answer."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar

import msgspec

from config.config import Config
from federation.wire.route import Route
from homeserver.app.outside import Outside
from homeserver.app.wiring_federation_transport import SOFTWARE
from homeserver.gateways.addresses import AddressPolicy
from homeserver.gateways.http_client import Answer, HttpClient, Limits, Manners, OutboundError, Target
from homeserver.gateways.tls import ClientTls

T = TypeVar("T")

GUIDE: Final = "docs/how-to/delegation.md"
_SECONDS: Final = 10.0


def asking_client(config: Config, outside: Outside, policy: AddressPolicy, *, verify: bool) -> HttpClient:
    """What asks. Raises ValueError or OSError for a bad `federation.ca_file`."""
    file = config.federation.ca_file
    tls = ClientTls(None if file is None else file.read_bytes()) if verify else ClientTls(verify=False)
    manners = Manners(f"{SOFTWARE.name}/{SOFTWARE.version} doctor")
    return HttpClient(outside.reactor, outside.resolver, policy, tls, manners)


async def told(http: HttpClient, route: Route[T], target: Target) -> tuple[T, Answer]:
    """The answer of an endpoint that needs no signature, parsed and as it came. Raises OutboundError, or ValueError for
    what is none.
    """
    limits = Limits(route.max_answer_bytes, _SECONDS)
    answer = await http.send(target, route.method, route.path, headers={}, limits=limits)
    if answer.status != 200:
        raise ValueError(f"{route.path} answers {answer.status}")
    return msgspec.json.decode(answer.body, type=route.answer), answer


def clock_of(answer: Answer) -> datetime | None:
    """What the clock of who answered said, to the second."""
    try:
        at = parsedate_to_datetime(answer.header("Date") or "")
    except (ValueError, TypeError, OverflowError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def is_about_tls(error: OutboundError) -> bool:
    """Whether it was not the network but the certificate."""
    text = str(error).lower()
    return "certificate" in text or "ssl" in text or "tls" in text
