"""The keys of other servers: known from memory, from the database, from their server or from a notary, in this order.

The signatures of requests are checked here; those of events by who takes them in, with the keys they get here.

https://spec.matrix.org/v1.19/server-server-api/#retrieving-server-keys
"""

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from federation.client.key_documents import PublishedKeys
from federation.client.key_fetching import KeyFetcher, Wanted
from homeserver.clock import Clock
from homeserver.protocol.base64 import decode_base64
from homeserver.protocol.errors import InvalidParam, Unauthorized
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.signing_keys import VerifyKey
from storage.caches import CacheBudget
from storage.database import Database
from storage.tables.server_keys import SERVER_KEYS, ServerKeys
from storage.transaction import Transaction

ASKING_WINDOW_MS: Final = 30_000
ASKED_IN_A_WINDOW: Final = 4
SECOND_FAILURE_WAIT_MS: Final = 2_000
LONGEST_WAIT_MS: Final = 3_600_000
STRANGERS_AT_ONCE: Final = 200
REMEMBERED_FAILURES: Final = 20_000
BYTES_PER_SERVER: Final = 400
BYTES_PER_KEY: Final = 300

ANY_KEY: Final = ""
"""As the ID of a wanted key: whatever the server has."""


@dataclass(slots=True)
class _Known:
    """What we know of one server. `current_until_ms` is how long its last document is good for."""

    keys: dict[str, VerifyKey] = field(default_factory=dict)
    current_until_ms: int = 0

    def has(self, key_id: str, until_ms: int) -> bool:
        """Whether a key is known that is (or, for an old one, was, or never will be) good until then."""
        if key_id == ANY_KEY:
            return self.current_until_ms >= until_ms
        key = self.keys.get(key_id)
        return key is not None and (
            key.expired or key.valid_until_ts is None or key.valid_until_ts >= until_ms
        )


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """Keys that are wanted of a server, and the time (ms) at which they must have been valid."""

    server: ServerName
    key_ids: Collection[str]
    valid_at_ts: int


@dataclass(frozen=True, slots=True)
class _Asked:
    """How often a server was asked for its keys lately, and from when it may be asked again; times are ms."""

    failures: int = 0
    window_start: int = 0
    in_window: int = 0
    again: int = 0

    def succeeded(self, now: int) -> "_Asked":
        """It answered: it may be asked a few times in a row, as what is wanted of it differs."""
        if now - self.window_start >= ASKING_WINDOW_MS:
            return _Asked(0, now, 1, now)
        used_up = self.in_window + 1 >= ASKED_IN_A_WINDOW
        again = self.window_start + ASKING_WINDOW_MS if used_up else now
        return _Asked(0, self.window_start, self.in_window + 1, again)

    def failed(self, now: int) -> "_Asked":
        """It did not: once more at once, and then less and less."""
        failures = min(self.failures + 1, 20)
        wait = SECOND_FAILURE_WAIT_MS * 2 ** (failures - 2) if failures > 1 else 0
        return _Asked(failures, now, 0, now + min(wait, LONGEST_WAIT_MS))


NEVER_ASKED: Final = _Asked()


class Keyring:
    """Gets keys wherever they are to be had. `own` are the keys of this server."""

    def __init__(
        self,
        own: tuple[ServerName, Mapping[str, VerifyKey]],
        fetcher: KeyFetcher,
        database: Database,
        caches: CacheBudget,
        clock: Clock,
    ) -> None:
        self._own_name, self._own_keys = own
        self._fetcher = fetcher
        self._database = database
        self._known = caches.cache(
            "server_keys", lambda known: BYTES_PER_SERVER + BYTES_PER_KEY * len(known.keys)
        )
        self._clock = clock
        self._strangers = 0
        self._asked: OrderedDict[ServerName, _Asked] = OrderedDict()

    async def check_request(
        self, server: ServerName, signatures: Sequence[tuple[str, str]], message: bytes
    ) -> None:
        """Check a request's signatures, (key ID, base64) each: one must be right. Raises Unauthorized."""
        now = self._clock.now_ms()
        wanted = {server: {key_id: now for key_id, _ in signatures}}
        if self._unknown(wanted):
            await self._meet(wanted)
        known = self._keys(server)
        for key_id, text in signatures:
            key = known.get(key_id)
            if key is None or key.expired or (key.valid_until_ts is not None and key.valid_until_ts < now):
                continue
            try:
                signature = decode_base64(text)
            except InvalidParam:
                continue
            if key.verifies(message, signature):
                return
        raise Unauthorized(f"No valid signature of {server} by a key that could be had")

    async def verify_keys(
        self, requests: Collection[KeyRequest]
    ) -> dict[ServerName, Mapping[str, VerifyKey]]:
        """Get the keys of many servers together.

        Returns what is known of each; what could not be had is not there.
        """
        wanted: dict[ServerName, dict[str, int]] = {}
        for request in requests:
            keys = wanted.setdefault(request.server, {})
            for key_id in request.key_ids:
                keys[key_id] = max(request.valid_at_ts, keys.get(key_id, 0))
        await self._ensure(wanted, despite_pause=False)
        return {server: self._keys(server) for server in wanted}

    async def documents(self, wanted: Wanted) -> list[dict[str, Any]]:
        """The documents of other servers that have the wanted keys (or `ANY_KEY`), fetched anew where ours are too
        old.

        Those of servers that cannot be reached are the last we got from them.
        """
        await self._ensure(wanted, despite_pause=False)
        stored = await self._database.read(lambda tx: ServerKeys(tx).documents(list(wanted)))
        latest: dict[ServerName, int] = {}
        chosen: dict[int, bytes] = {}
        for row in stored:
            last = latest.setdefault(row.server_name, row.document_id)
            keys = wanted[row.server_name]
            if row.key_id in keys or (ANY_KEY in keys and row.document_id == last):
                chosen[row.document_id] = row.json
        return [orjson.loads(json) for json in chosen.values()]

    async def _meet(self, wanted: Wanted) -> None:
        """Get the keys of whoever makes a request. Anybody can claim to be anybody, so there is a limit."""
        if self._strangers >= STRANGERS_AT_ONCE:
            raise Unauthorized("Too many servers whose keys are not known yet ask at once")
        self._strangers += 1
        try:
            await self._ensure(wanted, despite_pause=True)
        finally:
            self._strangers -= 1

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
        due = {
            server: keys for server, keys in left.items() if self._asked.get(server, NEVER_ASKED).again <= now
        }
        if due:
            found = await self._fetcher.fetch(due, despite_pause)
            await self._learn(due, found)

    def _unknown(self, wanted: Wanted) -> dict[ServerName, Mapping[str, int]]:
        left: dict[ServerName, Mapping[str, int]] = {}
        for server, keys in wanted.items():
            if server == self._own_name or not keys:
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
            if not row.expired:
                known.current_until_ms = max(known.current_until_ms, row.valid_until_ts)
        for server, known in loaded.items():
            if self._known.get(server) is None:
                self._known.put(server, known)

    async def _learn(self, asked: Collection[ServerName], found: Sequence[PublishedKeys]) -> None:
        """Keep what was fetched, and remember what was not, so as not to ask for it all the time."""
        new = [each for published in found if (each := self._merge(published)) is not None]
        if new:
            await self._database.transact(lambda tx: _store(tx, new))
        now = self._clock.now_ms()
        answered = {published.server for published in found}
        for server in asked:
            before = self._asked.get(server, NEVER_ASKED)
            self._asked[server] = before.succeeded(now) if server in answered else before.failed(now)
            self._asked.move_to_end(server)
        while len(self._asked) > REMEMBERED_FAILURES:
            self._asked.popitem(last=False)

    def _merge(self, published: PublishedKeys) -> tuple[PublishedKeys, list[VerifyKey]] | None:
        """Take a document into memory; return it with the keys of it that are news, None if none is.

        What a server itself says now holds. A notary's document holds where it is younger than what we have.
        """
        known = self._known.get(published.server) or _Known()
        newer = published.direct or published.valid_until_ts >= known.current_until_ms
        keys = {**known.keys, **published.keys} if newer else {**published.keys, **known.keys}
        until = published.valid_until_ts if newer else known.current_until_ms
        self._known.put(published.server, _Known(keys, until))
        news = [key for key_id, key in keys.items() if known.keys.get(key_id) is not key]
        return (published, news) if news else None

    def heard_from(self, server: ServerName) -> None:
        """Ask the server again at once if a key of it is wanted: it is there."""
        if self._asked.get(server, NEVER_ASKED).failures:
            del self._asked[server]


def _store(tx: Transaction, found: Sequence[tuple[PublishedKeys, list[VerifyKey]]]) -> None:
    table = ServerKeys(tx)
    for published, keys in found:
        json = orjson.dumps(published.document)
        document = table.add_document(published.server, published.fetched_ts, published.valid_until_ts, json)
        SERVER_KEYS.execute(
            tx,
            [
                (published.server, key.key_id, key.public, key.valid_until_ts, key.expired, document)
                for key in keys
            ],
        )
        table.drop_unused_documents(published.server)
