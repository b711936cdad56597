"""Sends a body that comes in pieces, no faster than the client takes it."""

from collections.abc import Callable
from typing import Any

import structlog
from twisted.internet.defer import CancelledError, Deferred

from homeserver.http.encoding import Stream
from homeserver.http.task import Task

log = structlog.get_logger(__name__)


class StreamSender:
    """A push producer for Twisted's transports. `complete` tells afterwards whether all that was promised was sent.

    Without `write` nothing is sent and the source is closed: nobody is there to take the first piece.
    """

    def __init__(
        self,
        stream: Stream,
        write: Callable[[bytes], None] | None,
        finished: Callable[[], None],
        request_id: str,
    ) -> None:
        self._stream = stream
        self._write = write
        self._finished = finished
        self._resumed: Deferred[None] | None = None
        self._stopped = write is None
        self._task = Task(self._pump(), self._done, request_id)
        self.complete = False

    def start(self) -> None:
        """Begin to send; `finished` is called at the end, however it came."""
        self._task.start()

    def cancel(self) -> None:
        """Stop: the client is gone."""
        self._stopped = True
        self._task.cancel()

    def pauseProducing(self) -> None:
        """Hold back: the client is slower than we are."""
        if self._resumed is None:
            self._resumed = Deferred()

    def resumeProducing(self) -> None:
        """Go on."""
        resumed, self._resumed = self._resumed, None
        if resumed is not None and not resumed.called:
            resumed.callback(None)

    def stopProducing(self) -> None:
        """Stop: the connection is lost."""
        self.cancel()

    async def _pump(self) -> None:
        if not self._stopped:
            await self._send()
        await _closed(self._stream.chunks)

    async def _send(self) -> None:
        chunked = self._stream.length is None
        sent = 0
        try:
            async for chunk in self._stream.chunks:
                if self._stopped or self._write is None:
                    break
                if chunk:
                    sent += len(chunk)
                    self._write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
                if self._resumed is not None:
                    await self._resumed
            else:
                self.complete = chunked or sent == self._stream.length
                if chunked and self._write is not None:
                    self._write(b"0\r\n\r\n")
        except CancelledError:
            self._stopped = True
        except Exception:
            log.exception("an answer broke off")

    def _done(self, _result: None) -> None:
        self._finished()


async def _closed(chunks: Any) -> None:
    close = getattr(chunks, "aclose", None)
    if close is not None:
        await close()
