"""The keys of other servers: known from memory, from the database, from their server or from a notary, in this order.

All signatures of other servers, on requests and on events, are checked here.

https://spec.matrix.org/v1.19/server-server-api/#retrieving-server-keys
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from federation.client.key_documents import PublishedKeys
from federation.client.key_fetching import KeyFetcher, Wanted
from homeserver.clock import Clock
from homeserver.protocol.base64 import decode_base64
from homeserver.protocol.errors import InvalidParam, MatrixError, Unauthorized
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.signing import required_signers, signing_key_ids, verify_event, verify_json
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.signing_keys import VerifyKey
from storage.caches import CacheBudget
from storage.database import Database
from storage.tables.server_keys import SERVER_KEYS, ServerKeys, StoredKeyDocument
from storage.transaction import Transaction

ASK_AGAIN_MS: Final = 60_000
LONGEST_WAIT_MS: Final = 3_600_000
REMEMBERED_FAILURES: Final = 20_000
OFF_REACTOR_FROM: Final = 32
BYTES_PER_SERVER: Final = 400
BYTES_PER_KEY: Final = 300

OffReactor = Callable[[Callable[[], list[MatrixError | None]]], Awaitable[list[MatrixError | None]]]

ANY_KEY: Final = ""
"""As the ID of a wanted key: whatever the server has."""


@dataclass(slots=True)
class _Known:
    """What we know of one server. `current_until_ms` is how long its last document is good for."""

    keys: dict[str, VerifyKey] = field(default_factory=dict)
    current_until_ms: int = 0
    fetched_ms: int = 0

    def has(self, key_id: str, until_ms: int) -> bool:
        """Whether a key is known that is (or, for an old one, was, or never will be) good until then."""
        if key_id == ANY_KEY:
            return self.current_until_ms >= until_ms
        key = self.keys.get(key_id)
        return key is not None and (
            key.expired or key.valid_until_ts is None or key.valid_until_ts >= until_ms
        )


class Keyring:
    """Checks signatures by keys that it gets wherever they are to be had.

    `own` are the keys of this server. `off_reactor` runs long checks on a thread.
    """

    def __init__(
        self,
        own: tuple[ServerName, Mapping[str, VerifyKey]],
        fetcher: KeyFetcher,
        database: Database,
        caches: CacheBudget,
        clock: Clock,
        off_reactor: OffReactor,
    ) -> None:
        self._own_name, self._own_keys = own
        self._fetcher = fetcher
        self._database = database
        self._known = caches.cache(
            "server_keys", lambda known: BYTES_PER_SERVER + BYTES_PER_KEY * len(known.keys)
        )
        self._clock = clock
        self._off_reactor = off_reactor
        self._asked: OrderedDict[ServerName, tuple[int, int]] = (
            OrderedDict()
        )  # failures in a row, ask again at (ms)

    async def check_request(
        self, server: ServerName, signatures: Sequence[tuple[str, str]], messages: Sequence[bytes]
    ) -> None:
        """Check a request's signatures, (key ID, base64) each, over either of the messages. Raises Unauthorized."""
        now = self._clock.now_ms()
        wanted = {key_id: now for key_id, _ in signatures}
        await self._ensure({server: wanted}, despite_pause=True)
        known = self._keys(server)
        for key_id, text in signatures:
            key = known.get(key_id)
            if key is None or key.expired or (key.valid_until_ts is not None and key.valid_until_ts < now):
                continue
            try:
                signature = decode_base64(text)
            except InvalidParam:
                continue
            if any(key.verifies(message, signature) for message in messages):
                return
        raise Unauthorized(f"No valid signature of {server} by a key that could be had")

    async def check_json(self, obj: dict[str, Any], server: ServerName) -> None:
        """Check that a server has signed an object, by a key that is valid now. Raises InvalidSignature."""
        now = self._clock.now_ms()
        await self._ensure({server: dict.fromkeys(signing_key_ids(obj, server), now)}, despite_pause=False)
        keys = self._keys(server)
        valid = {
            key_id: key
            for key_id, key in keys.items()
            if not key.expired and (key.valid_until_ts is None or key.valid_until_ts >= now)
        }
        verify_json(obj, server, valid)

    async def check_event(self, event: Event) -> None:
        """Check all signatures that an event must bear. Raises InvalidSignature or InvalidEvent."""
        (error,) = await self.check_events([event])
        if error is not None:
            raise error

    async def check_events(self, events: Sequence[Event]) -> list[MatrixError | None]:
        """Check the signatures of many events, fetching all keys that are missing together.

        Returns for each event None, or what is wrong with it.
        """
        wanted: dict[ServerName, dict[str, int]] = {}
        for event in events:
            try:
                signers = required_signers(event)
            except MatrixError:
                continue  # it is found again, and told, below
            until = event.origin_server_ts if event.version.enforces_key_validity else 0
            for server in signers:
                keys = wanted.setdefault(server, {})
                for key_id in signing_key_ids(event.pdu, server):
                    keys[key_id] = max(until, keys.get(key_id, 0))
        await self._ensure(wanted, despite_pause=False)
        by_server = {server: self._keys(server) for server in wanted}
        if len(events) < OFF_REACTOR_FROM:
            return [_checked(event, by_server) for event in events]
        return await self._off_reactor(lambda: [_checked(event, by_server) for event in events])

    async def documents(self, wanted: Wanted) -> list[dict[str, Any]]:
        """The documents of other servers that have the wanted keys, fetched anew where ours are too old.

        Those of servers that cannot be reached are the last we got from them.
        """
        await self._ensure(
            {server: keys or {ANY_KEY: 0} for server, keys in wanted.items()}, despite_pause=False
        )
        stored = await self._database.read(lambda tx: ServerKeys(tx).documents(list(wanted)))
        chosen: dict[int, StoredKeyDocument] = {}
        latest: dict[ServerName, int] = {}
        for row in stored:
            last = latest.setdefault(row.server_name, row.document_id)
            keys = wanted[row.server_name]
            if row.key_id in keys or (row.document_id == last and (not keys or ANY_KEY in keys)):
                chosen[row.document_id] = row
        return [orjson.loads(row.json) for row in chosen.values()]

    def _keys(self, server: ServerName) -> Mapping[str, VerifyKey]:
        if server == self._own_name:
            return self._own_keys
        known = self._known.get(server)
        return known.keys if known is not None else {}

    async def _ensure(self, wanted: Wanted, despite_pause: bool) -> None:
        """Get the wanted keys, as far as they can be had."""
        left = self._unknown(wanted)
        if not left:
            return
        await self._load([server for server in left if self._known.get(server) is None])
        left = self._unknown(left)
        now = self._clock.now_ms()
        due = {server: keys for server, keys in left.items() if self._asked.get(server, (0, 0))[1] <= now}
        if due:
            found = await self._fetcher.fetch(due, despite_pause)
            await self._learn(due, found)

    def _unknown(self, wanted: Wanted) -> dict[ServerName, Mapping[str, int]]:
        left: dict[ServerName, Mapping[str, int]] = {}
        for server, keys in wanted.items():
            if server == self._own_name:
                continue
            known = self._known.get(server)
            if known is None or not all(known.has(key_id, until) for key_id, until in keys.items()):
                left[server] = keys
        return left

    async def _load(self, servers: list[ServerName]) -> None:
        """Take what the database knows into memory."""
        if not servers:
            return
        rows = await self._database.read(lambda tx: ServerKeys(tx).of_servers(servers))
        loaded: dict[ServerName, _Known] = {}
        for row in rows:
            known = loaded.setdefault(row.server_name, _Known())
            known.keys[row.key_id] = VerifyKey(row.key_id, row.public, row.valid_until_ts, row.expired)
            known.fetched_ms = max(known.fetched_ms, row.fetched_ts)
            if not row.expired:
                known.current_until_ms = max(known.current_until_ms, row.valid_until_ts)
        for server, known in loaded.items():
            if self._known.get(server) is None:
                self._known.put(server, known)

    async def _learn(self, asked: Collection[ServerName], found: Sequence[PublishedKeys]) -> None:
        """Keep what was fetched, and remember what was not, so as not to ask for it all the time."""
        now = self._clock.now_ms()
        if found:
            await self._database.transact(lambda tx: _store(tx, found))
        for published in found:
            known = self._known.get(published.server) or _Known()
            merged = _Known({**known.keys, **published.keys}, published.valid_until_ts, now)
            self._known.put(published.server, merged)
        answered = {published.server for published in found}
        for server in asked:
            failures = 0 if server in answered else min(self._asked.get(server, (0, 0))[0] + 1, 12)
            wait = min(ASK_AGAIN_MS * 2 ** max(failures - 1, 0), LONGEST_WAIT_MS)
            self._asked[server] = (failures, now + wait)
            self._asked.move_to_end(server)
        while len(self._asked) > REMEMBERED_FAILURES:
            self._asked.popitem(last=False)

    def heard_from(self, server: ServerName) -> None:
        """Ask the server again at once if a key of it is wanted: it is there."""
        if self._asked.get(server, (0, 0))[0]:
            del self._asked[server]


def _checked(event: Event, by_server: Mapping[ServerName, Mapping[str, VerifyKey]]) -> MatrixError | None:
    try:
        for server in required_signers(event):
            verify_event(event, server, by_server.get(server, {}))
    except MatrixError as error:
        return error
    return None


def _store(tx: Transaction, found: Sequence[PublishedKeys]) -> None:
    table = ServerKeys(tx)
    for published in found:
        json = orjson.dumps(published.document)
        document = table.add_document(published.server, published.fetched_ts, published.valid_until_ts, json)
        SERVER_KEYS.execute(
            tx,
            [
                (published.server, key.key_id, key.public, key.valid_until_ts, key.expired, document)
                for key in published.keys.values()
            ],
        )
        table.drop_unused_documents(published.server)
