"""Delegation by `/.well-known/matrix/server`, remembered for as long as it may be.

https://spec.matrix.org/v1.19/server-server-api/#getwell-knownmatrixserver
"""

import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from federation.client.server_names import HostAndPort, split_server_name
from federation.wire.version import WELL_KNOWN, WellKnown
from homeserver.clock import Clock
from homeserver.gateways.http_client import Answer, HttpClient, Limits, OutboundError
from homeserver.protocol.errors import InvalidParam

DEFAULT_LIFETIME_S: Final = 24 * 3600.0
MAX_LIFETIME_S: Final = 48 * 3600.0
MIN_LIFETIME_S: Final = 300.0
FIRST_ERROR_LIFETIME_S: Final = 60.0
MAX_ERROR_LIFETIME_S: Final = 3600.0
TIMEOUT_S: Final = 10.0

_MAX_AGE: Final = re.compile(r"(?:^|[\s,])max-age\s*=\s*\"?(\d{1,9})", re.IGNORECASE)
_NO_STORE: Final = re.compile(r"(?:^|[\s,])no-(?:store|cache)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Delegation:
    """What a host's file said at the time `fetched`: where it delegates to, or None. Ask again when it `expires`.

    Times are the clock's seconds. `failures` counts the errors in a row; after an error `to` is what was said before,
    as long as that may be used.
    """

    to: HostAndPort | None
    fetched: float
    expires: float
    failures: int = 0


class WellKnownFetcher:
    """Asks for the file. What is remembered of it is the caller's to keep."""

    def __init__(self, http: HttpClient, clock: Clock, timeout_s: float = TIMEOUT_S) -> None:
        self._http = http
        self._clock = clock
        self._limits = Limits(WELL_KNOWN.max_answer_bytes, timeout_s, redirects=5, https_only=True)

    async def delegation(self, host: str, previous: Delegation | None) -> Delegation:
        """Ask the host. Never raises: an error is a result, that is remembered for a while."""
        try:
            answer = await self._http.request("GET", f"https://{host}{WELL_KNOWN.path}", limits=self._limits)
            to = _delegate(answer)
        except (OutboundError, InvalidParam, msgspec.MsgspecError, ValueError):
            return self._failed(previous)
        now = self._clock.seconds()
        lifetime = lifetime_s(answer, self._clock.now_ms())
        return Delegation(to, now, now + lifetime)

    def _failed(self, previous: Delegation | None) -> Delegation:
        now = self._clock.seconds()
        failures = previous.failures if previous else 0
        expires = now + min(FIRST_ERROR_LIFETIME_S * 2.0 ** min(failures, 10), MAX_ERROR_LIFETIME_S)
        if previous is not None and now < previous.fetched + MAX_LIFETIME_S:
            return Delegation(previous.to, previous.fetched, expires, failures + 1)
        return Delegation(None, now, expires, failures + 1)


def _delegate(answer: Answer) -> HostAndPort:
    if answer.status != 200:
        raise InvalidParam("no such file")
    return split_server_name(msgspec.json.decode(answer.body, type=WellKnown).server)


def lifetime_s(answer: Answer, now_ms: int) -> float:
    """How long the headers allow to keep an answer, within our bounds."""
    control = answer.header("Cache-Control") or ""
    if _NO_STORE.search(control):
        return MIN_LIFETIME_S
    age = _MAX_AGE.search(control)
    if age is not None:
        return min(max(float(age[1]), MIN_LIFETIME_S), MAX_LIFETIME_S)
    expires = answer.header("Expires")
    if expires is None:
        return DEFAULT_LIFETIME_S
    try:
        left = parsedate_to_datetime(expires).timestamp() - now_ms / 1000
    except (ValueError, TypeError, OverflowError):
        left = 0.0  # "0" and other nonsense mean: expired
    return min(max(left, MIN_LIFETIME_S), MAX_LIFETIME_S)
