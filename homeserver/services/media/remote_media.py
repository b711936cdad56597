"""Other servers' content: fetched once, kept as a copy.

https://spec.matrix.org/v1.19/server-server-api/#content-repository
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from twisted.internet.defer import Deferred
from twisted.web.http_headers import Headers

from federation.client.errors import RemoteError, Unreachable
from federation.client.federation_client import FederationClient
from federation.wire.media import LEGACY_DOWNLOAD, MEDIA_DOWNLOAD, LegacyAsking, Waiting
from federation.wire.multipart import Malformed, TwoParts, boundary_of
from homeserver.clock import Clock
from homeserver.gateways.http_client import AnswerTooLarge, HttpClient, Limits, NoAnswer, OutboundError
from homeserver.gateways.media_spool import Incoming
from homeserver.protocol import content_disposition
from homeserver.protocol.errors import (
    BadGateway,
    ElsewhereTooLarge,
    MatrixError,
    NotFound,
    NotYetUploaded,
    TooLarge,
)
from homeserver.services.media.library import Library
from homeserver.services.media.metrics import BYTES
from homeserver.services.media.model import MediaName
from storage.tables.media import MediaRows

_SECONDS: Final = 300.0
_REDIRECTS: Final = 3
_OVERHEAD: Final = 128 * 1024
"""Bytes of an answer that are not content."""
_UNRECOGNIZED: Final = "M_UNRECOGNIZED"


@dataclass(slots=True)
class _Described:
    """What the other server says of the content."""

    content_type: str | None = None
    disposition: str | None = None
    location: str | None = None


class RemoteMedia:
    """Asks the server that an address names, first as servers do today, then as they did before Matrix 1.11."""

    def __init__(
        self, client: FederationClient, http: HttpClient, library: Library, clock: Clock, max_bytes: int
    ) -> None:
        """``http`` fetches what other servers keep elsewhere."""
        self._client = client
        self._http = http
        self._library = library
        self._clock = clock
        self._max_bytes = max_bytes
        self._fetching: dict[MediaName, Deferred[MatrixError | None]] = {}

    async def fetch(self, name: MediaName, timeout_ms: int) -> None:
        """Bring a copy here; whoever asks meanwhile waits for the same one."""
        under_way = self._fetching.get(name)
        if under_way is None:
            under_way = self._fetching[name] = Deferred()
            _ = Deferred.fromCoroutine(self._run(name, timeout_ms))
        waiting: Deferred[MatrixError | None] = Deferred()

        def done(result: MatrixError | None) -> MatrixError | None:
            if not waiting.called:
                waiting.callback(result)
            return result

        _ = under_way.addCallback(done)
        error = await waiting
        if error is not None:
            raise error

    async def _run(self, name: MediaName, timeout_ms: int) -> None:
        outcome: MatrixError | None = None
        try:
            await self._fetch(name, timeout_ms)
        except MatrixError as error:
            outcome = error
        except Exception as error:
            outcome = BadGateway(f"{name.origin} gave no content: {str(error)[:200]}")
        finally:
            self._fetching.pop(name).callback(outcome)

    async def _fetch(self, name: MediaName, timeout_ms: int) -> None:
        incoming = self._library.begin(self._max_bytes)
        try:
            described = await self._download(name, timeout_ms, incoming)
            whole = await incoming.finish()
            media_type = content_disposition.content_type(described.content_type)
            filename = content_disposition.filename_in(described.disposition)
            await self._library.keep(
                whole,
                lambda tx: MediaRows(tx).add(
                    name.origin,
                    name.media_id,
                    whole.sha256,
                    None,
                    media_type,
                    filename,
                    self._clock.now_ms(),
                ),
            )
            BYTES.labels("fetched").inc(whole.size)
        except TooLarge as error:
            await incoming.discard()
            raise ElsewhereTooLarge(error.message) from error
        except BaseException:
            await incoming.discard()
            raise

    async def _download(self, name: MediaName, timeout_ms: int, incoming: Incoming) -> _Described:
        try:
            try:
                return await self._as_today(name, timeout_ms, incoming)
            except RemoteError as error:
                if not _is_unknown(error):
                    raise
                return await self._as_before(name, timeout_ms, incoming)
        except RemoteError as error:
            raise _told(error) from error
        except Unreachable as error:
            if isinstance(error.__cause__, AnswerTooLarge):
                raise ElsewhereTooLarge from error
            raise

    async def _as_today(self, name: MediaName, timeout_ms: int, incoming: Incoming) -> _Described:
        described = _Described()
        reader: TwoParts | None = None

        def opened(headers: Headers) -> Callable[[bytes], object]:
            nonlocal reader
            reader = parts = _two_parts(headers)

            def take(data: bytes) -> object:
                try:
                    content = parts.feed(data)
                except Malformed as error:
                    raise NoAnswer(f"its answer is not what it should be: {error}") from error
                return incoming.take(content) if content else None

            return take

        await self._client.download(
            MEDIA_DOWNLOAD,
            name.origin,
            opened,
            path={"media_id": name.media_id},
            query=Waiting(timeout_ms),
            limits=self._limits(timeout_ms),
        )
        if reader is None:
            raise BadGateway(f"{name.origin} gave no content")
        described.content_type = reader.headers.get("content-type")
        described.disposition = reader.headers.get("content-disposition")
        described.location = reader.headers.get("location")
        if described.location is not None:
            return await self._from_elsewhere(name, described.location, incoming)
        if not reader.complete:
            raise BadGateway(f"The answer of {name.origin} was cut")
        return described

    async def _from_elsewhere(self, name: MediaName, url: str, incoming: Incoming) -> _Described:
        """Follow where the server keeps its content, which may be anywhere: the client judges every address."""
        limits = Limits(self._max_bytes, _SECONDS, _REDIRECTS)
        described = _Described()
        try:
            answer = await self._http.request("GET", url, limits=limits, sink=_into(incoming, described))
        except OutboundError as error:
            if isinstance(error, AnswerTooLarge):
                raise ElsewhereTooLarge from error
            raise BadGateway(f"Where {name.origin} keeps its content cannot be reached: {error}") from error
        if answer.status != 200:
            raise BadGateway(f"Where {name.origin} keeps its content answered {answer.status}")
        return described

    async def _as_before(self, name: MediaName, timeout_ms: int, incoming: Incoming) -> _Described:
        described = _Described()
        await self._client.download(
            LEGACY_DOWNLOAD,
            name.origin,
            _into(incoming, described),
            path={"server_name": name.origin, "media_id": name.media_id},
            query=LegacyAsking(timeout_ms),
            limits=self._limits(timeout_ms),
        )
        return described

    def _limits(self, timeout_ms: int) -> Limits:
        return Limits(self._max_bytes + _OVERHEAD, _SECONDS + timeout_ms / 1000)


def _into(incoming: Incoming, described: _Described) -> Callable[[Headers], Callable[[bytes], object]]:
    def opened(headers: Headers) -> Callable[[bytes], object]:
        described.content_type = _last(headers, "Content-Type")
        described.disposition = _last(headers, "Content-Disposition")
        return incoming.take

    return opened


def _two_parts(headers: Headers) -> TwoParts:
    try:
        return TwoParts(boundary_of(_last(headers, "Content-Type")))
    except Malformed as error:
        raise NoAnswer(f"its answer is not what it should be: {error}") from error


def _last(headers: Headers, name: str) -> str | None:
    values = headers.getRawHeaders(name)
    return values[-1] if values else None


def _is_unknown(error: RemoteError) -> bool:
    """Whether a server does not know the endpoint. Some say so in no Matrix error at all."""
    unsaid = not error.remote_body and error.status in (400, 404, 405)
    return unsaid or error.remote_errcode == _UNRECOGNIZED


def _told(error: RemoteError) -> MatrixError:
    """What another server's refusal means for whoever asked us."""
    if error.remote_errcode == "M_NOT_YET_UPLOADED":
        return NotYetUploaded()
    if error.remote_errcode == "M_TOO_LARGE":
        return ElsewhereTooLarge()
    if error.status == 404:
        return NotFound(f"{error.server} has no such media")
    return error
