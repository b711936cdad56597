"""One request and its answer on a connection: what Twisted's channel fills in, as small as a waiting one must be.

A request's headers, body and query are dropped as soon as its arguments are decoded; a long poll that waits is an
exchange, a task and the frames of its coroutines.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from twisted.internet.defer import CancelledError

from homeserver.http.bodies import BodyStream
from homeserver.http.encoding import Stream
from homeserver.http.heads import Heads
from homeserver.http.pipeline import Answer, Pipeline, Prepared
from homeserver.http.request import Request
from homeserver.http.router import Match, Router
from homeserver.http.streams import StreamSender
from homeserver.http.task import Task
from homeserver.protocol.errors import InvalidParam, MatrixError, TooLarge

_PREFLIGHT: Final = Answer(200, (("Access-Control-Max-Age", "86400"),), b"{}")
_WITHOUT_CORS: Final = ("/_matrix/federation/", "/metrics", "/_meridian/metrics")
# A request that has arrived gets no further headers: all that wait share these.
_NO_HEADERS: Final[dict[bytes, list[bytes]]] = {}
_NO_GZIP: Final = re.compile(rb"gzip[ \t]*;[ \t]*q=0(?:\.0*)?[ \t]*(?:,|$)", re.IGNORECASE)
_NO_BODY: Final = frozenset((204, 304))


@dataclass(slots=True)
class Serving:
    """What every exchange of a listener needs. `closing` tells that no connection shall be used again."""

    router: Router[Prepared]
    pipeline: Pipeline
    heads: Heads
    x_forwarded: bool = False
    closing: bool = False


class Connection(Protocol):
    """The connection of an exchange: Twisted's channel, as far as it is used here."""

    serving: Serving
    persistent: bool
    peer_address: str

    def write(self, data: bytes) -> None: ...

    def requestDone(self, request: Any) -> None: ...

    def registerProducer(self, producer: Any, streaming: bool) -> None: ...

    def unregisterProducer(self) -> None: ...

    def drain(self) -> None: ...

    def hold_body(self) -> None: ...

    def go_on_with_body(self) -> None: ...


class Exchange:
    """A request on its way in, then its answer on its way out."""

    __slots__ = (
        "_body",
        "_connection",
        "_gzip",
        "_head_only",
        "_limit",
        "_match",
        "_method",
        "_received",
        "_refused",
        "_request",
        "_stream",
        "_target",
        "_task",
        "headers",
    )

    def __init__(self, connection: Connection, _queued: object = None) -> None:
        self._connection: Connection | None = connection
        self.headers: dict[bytes, list[bytes]] = {}
        self._body: bytes | bytearray = b""
        self._received = 0
        self._limit = 0
        self._match: Match[Prepared] | MatrixError | None = None
        self._method = ""
        self._target = ""
        self._gzip = False
        self._head_only = False
        self._refused = False
        self._request: Request | None = None
        self._stream: BodyStream | None = None
        self._task: Task[Answer] | StreamSender | None = None

    # What Twisted's channel calls, by its names.

    @property
    def requestHeaders(self) -> "Exchange":
        """The headers so far: this object keeps them itself."""
        return self

    def addRawHeader(self, name: bytes, value: bytes) -> None:
        """Keep one more header."""
        self.headers.setdefault(name.lower(), []).append(value)

    def handleContentChunk(self, data: bytes) -> None:
        """Keep a piece of the body; refuse the request when it is too much."""
        self._received += len(data)
        if self._refused:
            return
        if self._received > self._limit:
            self._overflow(TooLarge(f"The body is larger than {self._limit} bytes"))
            return
        if self._stream is not None:
            self._stream.feed(data)
            return
        if not isinstance(self._match, Match):
            return
        if not self._body:
            self._body = data
        elif isinstance(self._body, bytearray):
            self._body += data
        else:
            self._body = bytearray(self._body + data)

    def requestReceived(self, _command: bytes, _path: bytes, _version: bytes) -> None:
        """Answer the request: all of it has arrived."""
        connection = self._connection
        if connection is None:
            return
        if self._refused:
            self._finish(connection)
        elif self._stream is not None:
            stream, self._stream, self.headers = self._stream, None, _NO_HEADERS
            stream.finish()
        elif self._method == "OPTIONS" and isinstance(self._match, MatrixError):
            self._send(_PREFLIGHT)
        elif isinstance(self._match, Match):
            self._answer(connection, self._match)
        elif self._match is not None:
            self._send(self._refusal(connection, self._match))

    def connectionLost(self, _reason: object) -> None:
        """Cancel what is only done for this client; anything else runs to its end."""
        self._connection = None
        match = self._match
        if self._stream is not None:
            self._break_off(CancelledError())
        if isinstance(self._task, StreamSender) or (
            isinstance(match, Match) and match.route.target.endpoint.long_poll
        ):
            self.cancel()

    # What our channel calls.

    @property
    def received(self) -> int:
        """Bytes of body so far."""
        return self._received

    @property
    def refused(self) -> bool:
        """Whether the request was answered before it had arrived."""
        return self._refused

    def begin(self, command: bytes, target: bytes, length: int | None) -> bool:
        """Look at a request whose head has arrived. False when it was refused for the size that it announces."""
        serving = self._serving()
        self._method = command.decode("ascii")
        self._target = target.decode("ascii", "replace")
        self._head_only = self._method == "HEAD"
        self._gzip = any(map(_accepts_gzip, self.headers.get(b"accept-encoding", ())))
        self._limit = serving.pipeline.default_body_limit
        try:
            self._match = _matched(serving.router, self._method, self._target)
            self._limit = self._match.route.target.body_limit
        except MatrixError as error:
            self._match = error.with_traceback(None)  # whose frames would keep this exchange alive
        if length is not None and length > self._limit:
            self._refuse(TooLarge(f"The body is larger than {self._limit} bytes"))
            return False
        if isinstance(self._match, Match) and self._match.route.target.endpoint.streamed:
            self._answer_while_arriving(self._match, length)
        return not self._refused

    def cancel(self) -> None:
        """Stop working on the answer: nobody waits for it."""
        if self._request is not None:
            self._request.abandoned = True
        if self._stream is not None:
            self._stream.fail(CancelledError())
        if self._task is not None:
            self._task.cancel()

    def _serving(self) -> Serving:
        if self._connection is None:
            raise RuntimeError("the connection is gone")
        return self._connection.serving

    def _answer(self, connection: Connection, match: Match[Prepared]) -> None:
        request = self._begun(connection, None)
        self.headers, self._body = _NO_HEADERS, b""
        self._start(connection, match, request)

    def _answer_while_arriving(self, match: Match[Prepared], length: int | None) -> None:
        connection = self._connection
        if connection is None:
            return
        self._stream = BodyStream(length, connection.hold_body, connection.go_on_with_body)
        self._start(connection, match, self._begun(connection, self._stream))

    def _begun(self, connection: Connection, stream: BodyStream | None) -> Request:
        request_id = connection.serving.pipeline.next_request_id()
        address = self._address(connection)
        body = bytes(self._body)
        return Request(self._method, self._target, self.headers, body, address, request_id, stream)

    def _start(self, connection: Connection, match: Match[Prepared], request: Request) -> None:
        self._request = request
        answering = connection.serving.pipeline.answer(match, request, self._gzip)
        task = Task(answering, self._send, request.request_id)
        self._task = task
        task.start()

    def _overflow(self, error: MatrixError) -> None:
        """Refuse a body that turns out too large: by itself, or through whoever reads it."""
        if self._stream is None:
            self._refuse(error)
        else:
            self._stream.fail(error)

    def _break_off(self, error: BaseException) -> None:
        """Tell whoever reads the body that no more of it will come."""
        if self._request is not None:
            self._request.abandoned = True
        if self._stream is not None:
            self._stream.fail(error)

    def _address(self, connection: Connection) -> str:
        """Return the client's address: the last one a trusted proxy added, for what stands before it is hearsay."""
        if connection.serving.x_forwarded:
            forwarded = self.headers.get(b"x-forwarded-for")
            if forwarded:
                return forwarded[-1].rpartition(b",")[2].strip().decode("ascii", "replace")
        return connection.peer_address

    def _refusal(self, connection: Connection, error: MatrixError) -> Answer:
        pipeline = connection.serving.pipeline
        return pipeline.refusal(
            error, self._method, self._target.partition("?")[0], self._address(connection)
        )

    def _refuse(self, error: MatrixError) -> None:
        """Answer now, and throw away for a while what is still to come, so that the client sees the answer."""
        connection = self._connection
        if connection is not None:
            self._write_early(connection, self._refusal(connection, error))

    def _write_early(self, connection: Connection, answer: Answer) -> None:
        self._refused = True
        self._body, self._stream = b"", None
        connection.persistent = False
        self._write(connection, answer)
        connection.drain()

    def _send(self, answer: Answer) -> None:
        request_id = "" if self._request is None else self._request.request_id
        self._task = self._request = None
        connection = self._connection
        if answer.stream is not None and (connection is None or self._head_only):
            StreamSender(answer.stream, None, lambda: None, request_id).start()
        if connection is None:
            return
        if self._stream is not None:
            self._write_early(connection, answer)
            return
        self._write(connection, answer)
        if answer.stream is None or self._head_only:
            self._finish(connection)
        else:
            self._send_stream(connection, answer.stream, request_id)

    def _send_stream(self, connection: Connection, stream: Stream, request_id: str) -> None:
        def finished() -> None:
            self._task = None
            if self._connection is not None:
                connection.unregisterProducer()
                connection.persistent = connection.persistent and sender.complete
                self._finish(connection)

        sender = StreamSender(stream, connection.write, finished, request_id)
        self._task = sender
        connection.registerProducer(sender, True)
        sender.start()

    def _write(self, connection: Connection, answer: Answer) -> None:
        serving = connection.serving
        close = serving.closing or not connection.persistent
        if close:
            connection.persistent = False
        length = len(answer.body) if answer.stream is None else answer.stream.length
        cors = not self._target.startswith(_WITHOUT_CORS)
        head = serving.heads.build(answer.status, answer.headers, length, cors, close)
        connection.write(head if self._head_only or answer.status in _NO_BODY else head + answer.body)

    def _finish(self, connection: Connection) -> None:
        self._connection = None
        connection.requestDone(self)


def _accepts_gzip(accepted: bytes) -> bool:
    return b"gzip" in accepted and _NO_GZIP.search(accepted) is None


def _matched(router: Router[Prepared], method: str, target: str) -> Match[Prepared]:
    path = target.partition("?")[0]
    if not path.startswith("/"):
        path = _path_of(path)
    if "\ufffd" in path:
        raise InvalidParam("The path is not ASCII")
    return router.match(method, path)


def _path_of(target: str) -> str:
    """Return the path of a request target in absolute form, as sent to proxies."""
    _, found, rest = target.partition("://")
    return f"/{rest.partition('/')[2]}" if found else target


def header_values(exchange: Exchange, name: bytes) -> Sequence[bytes]:
    """Return what a header says, before the body has arrived."""
    return exchange.headers.get(name, ())
