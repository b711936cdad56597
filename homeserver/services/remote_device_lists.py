"""Devices of other servers' users: asked for once, then kept in step by what their server tells, as long as a room
is shared. A list of which something was missed is stale, and fetched anew.

Clients are told once of a change: when it is known here, so that who asks then has it. Of devices without keys, which
clients never see, they are told nothing.

https://spec.matrix.org/v1.19/server-server-api/#device-management
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import structlog
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore, gatherResults

from federation.client.federation_client import FederationClient
from federation.wire.devices import USER_DEVICES
from homeserver.clock import Clock, Timer
from homeserver.protocol.errors import MatrixError
from homeserver.protocol.identifiers import DeviceID, ServerName, UserID, server_of
from homeserver.services.device_lists import DeviceLists
from homeserver.services.device_writes import DeviceWrite, written
from homeserver.services.told_devices import DeviceUpdate, devices_of, signing_key, signing_key_of, user_of
from storage.database import Database
from storage.journal import Journal, RunResult
from storage.query import Entry
from storage.tables.remote_devices import REMOTE_DEVICES, RemoteDevice, RemoteDevices, RemoteList
from storage.transaction import Transaction

log = structlog.get_logger(__name__)

Json = dict[str, Any]

AT_A_TIME: Final = 10
FIRST_PAUSE_MS: Final = 2_000
LONGEST_PAUSE_MS: Final = 3_600_000
LOOK_EVERY_S: Final = 60.0


class RemoteDeviceLists:
    """The lists that this server keeps."""

    def __init__(
        self,
        database: Database,
        journal: Journal,
        client: FederationClient,
        lists: DeviceLists,
        clock: Clock,
    ) -> None:
        self._database = database
        self._journal = journal
        self._client = client
        self._lists = lists
        self._clock = clock
        self._fetching: dict[UserID, list[Deferred[None]]] = {}
        self._outdated: set[UserID] = set()
        self._timer: Timer | None = None
        self._running: Deferred[None] | None = None
        self._again = False
        self._stopped = True

    def start(self) -> None:
        """Fetch what is stale from before."""
        self._stopped = False
        self.wake()

    async def stop(self) -> None:
        """Fetch no more by ourselves."""
        self._stopped = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        running = self._running  # ending, it forgets itself
        if running is not None:
            running.cancel()
            await running

    async def known(self, users: Sequence[UserID]) -> tuple[dict[UserID, RemoteList], set[UserID]]:
        """The lists that are here, stale ones too; and who of the users shares a room with one of ours."""
        names = list(users)
        rows, shared = await self._database.read(
            lambda tx: (RemoteDevices(tx).lists(names), RemoteDevices(tx).shared(names))
        )
        return {row.user_id: row for row in rows}, set(shared)

    async def devices(self, users: Sequence[UserID], devices: Sequence[str]) -> list[RemoteDevice]:
        """Devices that are kept; an empty device ID stands for all of a user's."""
        return await self._database.read(lambda tx: RemoteDevices(tx).devices(list(users), list(devices)))

    async def fetch(
        self, user_id: UserID, timeout_s: float | None = None, despite_pause: bool = False
    ) -> None:
        """Fetch a list; once for all who want it meanwhile. Raises BadGateway."""
        waiting = self._fetching.get(user_id)
        if waiting is not None:
            done: Deferred[None] = Deferred()
            waiting.append(done)
            await done
            return
        self._fetching[user_id] = []
        self._outdated.discard(user_id)
        try:
            await self._fetch(user_id, timeout_s, despite_pause)
        except BaseException as error:
            for done in self._fetching.pop(user_id):
                done.errback(error)
            raise
        for done in self._fetching.pop(user_id):
            done.callback(None)

    async def update_received(self, origin: ServerName, content: Json) -> None:
        """An `m.device_list_update` of another server. Raises InvalidParam, BadJson."""
        update = DeviceUpdate(origin, content)

        def run(tx: Transaction, write: DeviceWrite) -> RunResult[bool]:
            return self._take_update(tx, write, update)

        if await written(self._journal, run):
            self._stale(update.user_id)

    async def signing_keys_received(self, origin: ServerName, content: Json) -> None:
        """An `m.signing_key_update` of another server. Raises InvalidParam, BadJson."""
        user_id = user_of(origin, content.get("user_id"))
        master = signing_key("master", user_id, content.get("master_key"))
        self_signing = signing_key("self_signing", user_id, content.get("self_signing_key"))

        def run(tx: Transaction, write: DeviceWrite) -> RunResult[bool]:
            stored = RemoteDevices(tx)
            if not stored.shared([user_id]):
                return RunResult(False)
            row = stored.lock(user_id)
            if row is None or row.stale_since is not None:
                stored.mark_stale(user_id, self._clock.now_ms(), True)
                return RunResult(True)
            stored.put_cross_signing(user_id, master, self_signing)
            return RunResult(False, self._lists.change(tx, write, user_id, ()))

        if await written(self._journal, run):
            self._stale(user_id)

    async def left(self, users: Sequence[UserID], pos: int) -> None:
        """Users of other servers went out of rooms at a position, or we did: forget whom no room is shared with
        any more. Who may have come back since may have changed unheard: that list is stale.
        """
        names = list(users)

        def run(tx: Transaction) -> list[UserID]:
            stored = RemoteDevices(tx)
            known = [row.user_id for row in stored.lists(names)]
            if not known:
                return []
            shared = set(stored.shared(known))
            gone = [user_id for user_id in known if user_id not in shared]
            if gone:
                stored.prune(gone)
            back = shared - set(stored.shared_since(sorted(shared), pos)) if shared else set()
            for user_id in back:
                stored.mark_stale(user_id, self._clock.now_ms(), False)
            return sorted(back)

        for user_id in await self._database.transact(run):
            self._stale(user_id)

    def wake(self) -> None:
        """Fetch what is stale and due."""
        if self._stopped:
            return
        self._again = True
        if self._running is None:
            self._running = Deferred()  # until the coroutine is a Deferred, it may end
            running = Deferred.fromCoroutine(self._run())
            if not running.called:
                self._running = running

    def _stale(self, user_id: UserID) -> None:
        if user_id in self._fetching:
            self._outdated.add(user_id)
        self.wake()

    def _take_update(self, tx: Transaction, write: DeviceWrite, update: DeviceUpdate) -> RunResult[bool]:
        """Whether the list is stale now."""
        stored = RemoteDevices(tx)
        if not stored.shared([update.user_id]):
            return RunResult(False)
        row = stored.lock(update.user_id)
        if row is not None and row.stale_since is None and update.stream_id <= row.stream_id:
            return RunResult(False)
        if row is None or row.stale_since is not None or update.leaves_gap(row.stream_id):
            stored.mark_stale(update.user_id, self._clock.now_ms(), update.is_seen)
            return RunResult(True)
        entries: list[Entry] = []
        had = stored.devices([update.user_id], [update.device_id])
        if update.keys is not None or any(each.json is not None for each in had):
            entries += self._lists.change(tx, write, update.user_id, ())
        if update.deleted:
            stored.remove(update.user_id, update.device_id)
        else:
            entries.append(
                REMOTE_DEVICES.row(update.user_id, update.device_id, update.display_name, update.keys)
            )
        stored.advance(update.user_id, update.stream_id)
        return RunResult(False, entries)

    async def _fetch(self, user_id: UserID, timeout_s: float | None, despite_pause: bool) -> None:
        known = await self._database.read(lambda tx: RemoteDevices(tx).lists([user_id]))
        before_asked = known[0].stale_since if known else None
        answer = await self._client.request(
            USER_DEVICES,
            server_of(user_id),
            path={"user_id": user_id},
            timeout_s=timeout_s,
            despite_pause=despite_pause,
        )
        devices = devices_of(user_id, answer)
        master = signing_key_of("master", user_id, answer.master_key)
        self_signing = signing_key_of("self_signing", user_id, answer.self_signing_key)

        def run(tx: Transaction, write: DeviceWrite) -> RunResult[None]:
            stored = RemoteDevices(tx)
            row = stored.lock(user_id)
            if not stored.shared([user_id]):
                stored.prune([user_id])
                return RunResult(None)
            before = _seen(stored.devices([user_id], [""]))
            stored.clear(user_id)
            stored.put(user_id, answer.stream_id, master, self_signing)
            announce = row is not None and row.announce
            told_meanwhile = row is not None and row.stale_since not in (None, before_asked)
            if told_meanwhile or user_id in self._outdated:
                stored.mark_stale(user_id, self._clock.now_ms(), announce)
            entries = [
                REMOTE_DEVICES.row(user_id, each.device_id, each.display_name, each.json)
                for each in devices.values()
            ]
            same = row is not None and (row.master_key, row.self_signing_key) == (master, self_signing)
            if announce or not same or before != _seen(devices.values()):
                entries = [*self._lists.change(tx, write, user_id, ()), *entries]
            return RunResult(None, entries)

        await written(self._journal, run)

    async def _run(self) -> None:
        try:
            while self._again and not self._stopped:
                self._again = False
                users = await self._due()
                slots = DeferredSemaphore(AT_A_TIME)
                await gatherResults([slots.run(self._refetch, user_id) for user_id in users])
                self._again = self._again or len(users) == AT_A_TIME * 10
            pause = await self._pause()
        except CancelledError:
            return
        except Exception:
            log.exception("stale device lists could not be fetched")
            pause = LOOK_EVERY_S
        finally:
            self._running = None
        if not self._stopped:
            if self._timer is not None and self._timer.active():
                self._timer.cancel()
            self._timer = self._clock.call_later(0.0 if self._again else pause, self.wake)

    async def _due(self) -> list[UserID]:
        now = self._clock.now_ms()
        return await self._database.read(lambda tx: RemoteDevices(tx).due(now, AT_A_TIME * 10))

    async def _pause(self) -> float:
        try:
            due = await self._database.read(lambda tx: RemoteDevices(tx).next_due())
        except Exception:
            return LOOK_EVERY_S
        if due is None:
            return LOOK_EVERY_S
        return min(LOOK_EVERY_S, max(0.5, (due - self._clock.now_ms()) / 1000))

    def _refetch(self, user_id: UserID) -> "Deferred[None]":
        return Deferred.fromCoroutine(self._try_again(user_id))

    async def _try_again(self, user_id: UserID) -> None:
        try:
            await self.fetch(user_id)
        except CancelledError:
            return
        except MatrixError as error:
            log.info("device list not fetched", user_id=user_id, error=error.message)
        except Exception:
            log.exception("device list not fetched", user_id=user_id)
        else:
            return
        rows, _ = await self.known([user_id])
        failures = rows[user_id].failures if user_id in rows else 0
        pause = min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS << min(failures, 12))
        retry_at = self._clock.now_ms() + pause
        await self._database.transact(lambda tx: RemoteDevices(tx).failed(user_id, retry_at))


def _seen(devices: Iterable[RemoteDevice]) -> dict[DeviceID, RemoteDevice]:
    """What clients see of some devices."""
    return {each.device_id: each for each in devices if each.json is not None}
