"""Telling other servers that this one is here again.

A server that does not answer is left alone for longer and longer, so after an absence it may be hours until another
one tries again to send what it owes. It tries at once when it is asked something: so this server, when it was away,
sends an empty transaction to those with which it shares rooms.

https://spec.matrix.org/v1.19/server-server-api/#transactions
"""

from collections import deque
from typing import Final

import structlog
from twisted.internet.defer import CancelledError, Deferred, gatherResults

from federation.client.federation_client import FederationClient
from federation.wire.transactions import SEND
from homeserver.clock import Clock, Randomness
from homeserver.protocol.errors import MatrixError
from homeserver.protocol.identifiers import ServerName
from storage.database import Database
from storage.tables.server_alive import ServerAlive

log = structlog.get_logger(__name__)

ALIVE_EVERY_S: Final = 15.0
AWAY_MS: Final = 30_000
"""Who was away for less than that is not missed: the others still try often."""
FIRST_AFTER_S: Final = 2.0
"""The others must find it listening when they answer with what they owe."""
MAX_SERVERS: Final = 2000
AT_ONCE: Final = 8
_SECONDS: Final = 10.0


class Greetings:
    """Notes that this server runs, and greets the others where it did not for a while."""

    def __init__(
        self,
        server_name: ServerName,
        client: FederationClient,
        database: Database,
        clock: Clock,
        random: Randomness,
    ) -> None:
        self._server_name = server_name
        self._client = client
        self._database = database
        self._clock = clock
        self._random = random

    async def keep_up(self) -> None:
        """Greet if it is time to, and note until cancelled that this server runs."""
        before = await self._seen()
        await self._clock.sleep(FIRST_AFTER_S)
        if before is not None and self._clock.now_ms() - before > AWAY_MS + 1000 * FIRST_AFTER_S:
            await self._greet_all()
        while True:
            await self._clock.sleep(ALIVE_EVERY_S)
            try:
                await self._seen()
            except CancelledError:
                raise
            except Exception:
                log.exception("it could not be noted that this server runs")

    async def _seen(self) -> int | None:
        now = self._clock.now_ms()
        return await self._database.transact(lambda tx: ServerAlive(tx).seen(now))

    async def _greet_all(self) -> None:
        own = self._server_name
        found = await self._database.read(lambda tx: ServerAlive(tx).acquaintances(own, MAX_SERVERS))
        left = deque(found)
        log.info("greeting other servers after an absence", servers=len(left))
        await gatherResults([Deferred.fromCoroutine(self._greet(left)) for _ in range(AT_ONCE)])

    async def _greet(self, left: deque[ServerName]) -> None:
        while left:
            server, now = left.popleft(), self._clock.now_ms()
            body = {"origin": self._server_name, "origin_server_ts": now, "pdus": [], "edus": []}
            path = {"txn_id": f"{now}{self._random.letters(8)}"}
            try:
                await self._client.request(SEND, server, path=path, body=body, timeout_s=_SECONDS)
            except MatrixError as error:
                log.debug("greeting not taken", server=server, error=error.message)
