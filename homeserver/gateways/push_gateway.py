"""Asking push gateways to tell phones something.

https://spec.matrix.org/v1.19/push-gateway-api/
"""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from homeserver.gateways.http_client import Answer, HttpClient, Limits, OutboundError

_TOO_MANY: Final = 429
_UNAVAILABLE: Final = 503
_LONGEST_WISH_S: Final = 3600
_MAX_BYTES: Final = 100_000
_SECONDS: Final = 30.0


class PushFailed(Exception):
    """A gateway did not take a push. `everybody`: it will take none of others either for now; it asked to be left
    alone for `pause_ms`.
    """

    def __init__(self, why: str, *, everybody: bool, pause_ms: int = 0) -> None:
        super().__init__(why)
        self.everybody = everybody
        self.pause_ms = pause_ms


class PushGateways:
    """Speaks with them."""

    def __init__(self, http: HttpClient, *, allow_http: bool) -> None:
        self._http = http
        self._limits = Limits(max_bytes=_MAX_BYTES, seconds=_SECONDS, https_only=not allow_http)

    async def notify(self, url: str, body: bytes) -> Sequence[str]:
        """Push; the keys that the gateway knows no more. Raises PushFailed."""
        headers = {"Content-Type": "application/json"}
        try:
            answer = await self._http.request("POST", url, headers=headers, body=body, limits=self._limits)
        except OutboundError as error:
            raise PushFailed(str(error), everybody=True) from error
        if not 200 <= answer.status < 300:
            everybody = answer.status in (_TOO_MANY, _UNAVAILABLE)
            raise PushFailed(f"status {answer.status}", everybody=everybody, pause_ms=_asked_pause(answer))
        return _rejected(answer.body)


def gateway_of(url: str) -> str:
    """What gateways are told apart by: the scheme, host and port of a URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _rejected(body: bytes) -> Sequence[str]:
    """A gateway that took the push but answers what cannot be read has rejected nothing."""
    try:
        answer: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ()
    rejected = answer.get("rejected") if isinstance(answer, dict) else None
    return [key for key in rejected if isinstance(key, str)] if isinstance(rejected, list) else ()


def _asked_pause(answer: Answer) -> int:
    wish = (answer.header("Retry-After") or "").strip()
    return (
        min(int(wish), _LONGEST_WISH_S) * 1000 if wish.isascii() and wish.isdigit() and len(wish) < 9 else 0
    )
