"""Asking for keys: their own server, or notaries that have asked it before.

https://spec.matrix.org/v1.19/server-server-api/#retrieving-server-keys
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import structlog
from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults

from federation.client.federation_client import FederationClient
from federation.client.key_documents import PublishedKeys, read_document
from federation.client.single_flight import SingleFlight
from federation.wire.keys import NOTARY_BATCH, OWN, KeyCriteria, KeyQuery
from homeserver.clock import Clock
from homeserver.protocol.errors import InvalidSignature, MatrixError
from homeserver.protocol.events.signing import verify_json
from homeserver.protocol.identifiers import ServerName

log = structlog.get_logger(__name__)

AT_ONCE: Final = 20
NOTARIES_FIRST_FROM: Final = 10
NOTARY_BATCH_SIZE: Final = 100
NOTARY_KEYS_LEFT_MS: Final = 60_000

Wanted = Mapping[ServerName, Mapping[str, int]]
"""Of each server the IDs of the keys that are wanted, and until when (ms) each must be valid."""


class KeyFetcher:
    """Fetches documents of keys, many at a time, each server's once at a time."""

    def __init__(self, client: FederationClient, clock: Clock, notaries: Sequence[ServerName] = ()) -> None:
        self._client = client
        self._clock = clock
        self._notaries = tuple(notaries)
        self._places = DeferredSemaphore(AT_ONCE)
        self._flights: SingleFlight[ServerName, PublishedKeys | None] = SingleFlight()
        self._notaries_own: dict[ServerName, PublishedKeys] = {}

    async def fetch(self, wanted: Wanted, despite_pause: bool) -> list[PublishedKeys]:
        """Return the documents that could be had.

        A few servers are asked themselves first. For many (those of a room that is joined, of which part is gone) the
        notaries are asked first, as they know them all in one answer.
        """
        if not self._notaries or len(wanted) < NOTARIES_FIRST_FROM:
            found = await self._all_directly(wanted, despite_pause)
            return found + await self._by_notaries(_missing(wanted, found))
        found = await self._by_notaries(wanted)
        return found + await self._all_directly(_missing(wanted, found), despite_pause)

    async def directly(self, server: ServerName, despite_pause: bool) -> PublishedKeys | None:
        """Ask a server for its own keys; None when it does not tell them."""
        return await self._flights.run(server, lambda: self._ask(server, despite_pause))

    async def _all_directly(
        self, servers: Collection[ServerName], despite_pause: bool
    ) -> list[PublishedKeys]:
        asked = [Deferred.fromCoroutine(self.directly(server, despite_pause)) for server in servers]
        return [each for each in await gatherResults(asked, consumeErrors=True) if each is not None]

    async def _ask(self, server: ServerName, despite_pause: bool) -> PublishedKeys | None:
        await self._places.acquire()
        try:
            document = await self._client.request(OWN, server, despite_pause=despite_pause)
            published = read_document(document, self._clock.now_ms(), direct=True)
        except MatrixError as error:
            log.info("a server's keys could not be had", server=server, reason=error.message)
            return None
        finally:
            self._places.release()
        if published.server != server:
            log.warning("a server gave the keys of another", server=server, other=published.server)
            return None
        return published

    async def _by_notaries(self, wanted: Wanted) -> list[PublishedKeys]:
        found: list[PublishedKeys] = []
        for notary in self._notaries:
            left = [server for server in _missing(wanted, found) if server != notary]
            for start in range(0, len(left), NOTARY_BATCH_SIZE):
                part = {server: wanted[server] for server in left[start : start + NOTARY_BATCH_SIZE]}
                found += await self._ask_notary(notary, part)
        return found

    async def _keys_of_notary(self, notary: ServerName) -> PublishedKeys | None:
        own = self._notaries_own.get(notary)
        if own is None or own.valid_until_ts < self._clock.now_ms() + NOTARY_KEYS_LEFT_MS:
            own = await self.directly(notary, despite_pause=False)
            if own is not None:
                self._notaries_own[notary] = own
        return own

    async def _ask_notary(self, notary: ServerName, wanted: Wanted) -> list[PublishedKeys]:
        """Documents that both their server and the notary have signed."""
        own = await self._keys_of_notary(notary)
        if own is None:
            return []
        criteria: dict[str, dict[str, KeyCriteria]] = {
            server: {key_id: KeyCriteria(until or None) for key_id, until in keys.items() if key_id}
            for server, keys in wanted.items()
        }
        try:
            answer = await self._client.request(NOTARY_BATCH, notary, body=KeyQuery(criteria))
        except MatrixError as error:
            log.info("a notary gave no keys", server=notary, reason=error.message)
            return []
        found = []
        for document in answer.server_keys:
            try:
                verify_json(document, notary, own.keys)
                published = read_document(document, self._clock.now_ms(), direct=False)
                if published.server not in wanted:
                    raise InvalidSignature("nobody asked for it")
            except MatrixError as error:
                log.warning("a notary gave a bad document", server=notary, reason=error.message)
            else:
                found.append(published)
        return found


def _missing(wanted: Wanted, found: Collection[PublishedKeys]) -> Wanted:
    """The servers of which a key is still wanted."""
    have: dict[ServerName, set[str]] = {}
    for each in found:
        have.setdefault(each.server, {""}).update(each.keys)
    return {server: keys for server, keys in wanted.items() if not keys.keys() <= have.get(server, set())}
