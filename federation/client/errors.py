"""What can become of a request to another server, other than an answer.

Both are kinds of `BadGateway`: a caller that does not care for the difference lets them pass, and its client is told.
"""

from homeserver.protocol.errors import BadGateway
from homeserver.protocol.identifiers import ServerName


class Unreachable(BadGateway):
    """The server gave no usable answer, or has failed so often that it is not asked before `retry_at_ms`."""

    def __init__(self, server: ServerName, reason: str, retry_at_ms: int | None = None) -> None:
        super().__init__(f"Server {server} cannot be reached: {reason}")
        self.server = server
        self.retry_at_ms = retry_at_ms


class RemoteError(BadGateway):
    """The server answered with an error: its HTTP status, and `errcode` and `error` where it gave them.

    `body` is the whole JSON of the answer, empty when it was none.
    """

    def __init__(
        self,
        server: ServerName,
        status: int,
        remote_errcode: str,
        remote_error: str,
        body: dict[str, object] | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(f"Server {server} answered {status} {remote_errcode}: {remote_error[:500]}")
        self.server = server
        self.status = status
        self.remote_errcode = remote_errcode
        self.remote_error = remote_error
        self.remote_body = body or {}
        self.retry_after_ms = retry_after_ms
