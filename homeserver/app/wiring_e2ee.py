"""Construction of what end-to-end encryption asks of a server: keys, device lists, messages to devices, backups."""

from collections.abc import Sequence
from dataclasses import dataclass

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from federation.sender.device_lanes import DeviceListLane, ToDeviceLane
from federation.sender.mailbox import EduLane
from federation.server_api.devices import FederationDevicesApi
from homeserver.app.core import Core
from homeserver.app.wiring_accounts import AccountsArea
from homeserver.app.wiring_federation import Federation
from homeserver.app.wiring_federation_transport import FederationTransport
from homeserver.app.wiring_sync import SyncArea
from homeserver.background.device_upkeep import DeviceUpkeep
from homeserver.client_api.dehydrated_device import DehydratedDeviceApi
from homeserver.client_api.key_backup import KeyBackupApi
from homeserver.client_api.keys import KeysApi
from homeserver.client_api.to_device import ToDeviceApi
from homeserver.http.endpoint import BoundEndpoint, collect
from homeserver.services.cross_signing import CrossSigning
from homeserver.services.dehydrated_devices import DehydratedDevices
from homeserver.services.device_keys import DeviceKeys
from homeserver.services.device_list_exchange import DeviceListExchange
from homeserver.services.device_lists import DeviceLists
from homeserver.services.device_news import DeviceNews
from homeserver.services.device_writes import DeviceWrite
from homeserver.services.encryption_removal import EncryptionRemoval
from homeserver.services.inactive_devices import InactiveDevices
from homeserver.services.key_backup import KeyBackup
from homeserver.services.key_exchange import Elsewhere, KeyExchange
from homeserver.services.one_time_keys import OneTimeKeys
from homeserver.services.remote_device_lists import RemoteDeviceLists
from homeserver.services.rooms.detached import detach
from homeserver.services.to_device import ToDevice
from storage.journal import Landed
from storage.leases import Leases

_EXPIRE_EVERY_S = 3600.0


@dataclass(frozen=True, slots=True)
class Encryption:
    """The area. `federation_endpoints` are for other servers."""

    core: Core
    lists: DeviceLists
    device_keys: DeviceKeys
    one_time_keys: OneTimeKeys
    to_device: ToDevice
    news: DeviceNews
    remote: RemoteDeviceLists
    exchange: DeviceListExchange
    federation: Federation
    lane: ToDeviceLane
    endpoints: list[BoundEndpoint]
    federation_endpoints: list[BoundEndpoint]
    upkeep: DeviceUpkeep | None
    _background: list[Deferred[None]]

    async def start(self) -> None:
        """Go on in the background."""
        self._background.append(Deferred.fromCoroutine(self._expire()))
        if self.core.config.federation.enabled:
            self.remote.start()
            if not self.core.bus.is_shared:
                await self.begin_sending()
        if self.upkeep is not None:
            self.upkeep.start()

    async def begin_sending(self) -> None:
        """Tell other servers what they are owed, from now on: one node does."""
        await self.exchange.start()
        await self.look_into_lanes()

    async def look_into_lanes(self) -> None:
        """Have everything sent that waits for other servers."""
        self.federation.sender.lane_filled(await self.lane.destinations())

    async def stop(self) -> None:
        """End what works in the background."""
        if self.upkeep is not None:
            await self.upkeep.stop()
        await self.exchange.stop()
        await self.remote.stop()
        for task in self._background:
            _ = task.addErrback(_trap_cancellation)
            task.cancel()

    async def _expire(self) -> None:
        while True:
            await self.core.clock.sleep(_EXPIRE_EVERY_S)
            await self.to_device.expire()


def build_e2ee(
    core: Core,
    accounts: AccountsArea,
    sync: SyncArea,
    transport: FederationTransport,
    federation: Federation,
) -> Encryption:
    """Construct the area, and connect it to what is there."""
    name, database, journal = core.server_name, core.database, core.journal
    lists = DeviceLists(name, database, journal)
    device_keys = DeviceKeys(database, journal, lists)
    one_time = OneTimeKeys(journal)
    to_device = ToDevice(name, database, journal, core.clock, core.random)
    live = sync.here.live
    news = DeviceNews(database, journal, live, core.caches)
    remote = RemoteDeviceLists(database, journal, transport.client, lists, core.clock)
    exchange = DeviceListExchange(name, database, journal, lists, remote, core.clock)
    federating = core.config.federation.enabled
    elsewhere = Elsewhere(transport.client, remote, core.clock) if federating else None
    keys = KeyExchange(name, device_keys, one_time, elsewhere)
    cross_signing = CrossSigning(name, database, journal, lists)
    dehydrated = DehydratedDevices(database, journal, accounts.devices, device_keys, core.clock)
    lane = ToDeviceLane(database)
    sync.sync.extend(news)
    accounts.devices.when_removed(lists.removed)
    accounts.devices.when_changed(lists.changed)
    accounts.login.when_started(lists.changed)
    accounts.accounts.when_closed(EncryptionRemoval(database, journal, lists).remove)
    _connect(core, federation, lane, DeviceListLane(exchange), to_device, remote)
    return Encryption(
        core=core,
        lists=lists,
        device_keys=device_keys,
        one_time_keys=one_time,
        to_device=to_device,
        news=news,
        remote=remote,
        exchange=exchange,
        federation=federation,
        lane=lane,
        endpoints=collect(
            KeysApi(device_keys, keys, cross_signing, news, accounts.ui_auth),
            ToDeviceApi(to_device),
            KeyBackupApi(KeyBackup(database)),
            DehydratedDeviceApi(dehydrated),
        ),
        federation_endpoints=collect(FederationDevicesApi(name, device_keys, one_time, exchange)),
        upkeep=_upkeep(core, accounts),
        _background=[],
    )


def _upkeep(core: Core, accounts: AccountsArea) -> DeviceUpkeep | None:
    after_ms = core.config.sessions.expire_inactive_devices_after_ms
    if after_ms is None:
        return None
    inactive = InactiveDevices(core.database, accounts.devices, after_ms, core.clock)
    leases = Leases(core.database, core.clock, core.holder("devices"))
    return DeviceUpkeep(inactive, leases, core.clock)


def _connect(
    core: Core,
    federation: Federation,
    lane: ToDeviceLane,
    lists: EduLane,
    to_device: ToDevice,
    remote: RemoteDeviceLists,
) -> None:
    """Let other servers be told, and what they tell be taken."""
    federation.sender.lanes += [lane, lists]
    federation.edus.connect("m.direct_to_device", to_device.receive)
    federation.edus.connect("m.device_list_update", remote.update_received)
    federation.edus.connect("m.signing_key_update", remote.signing_keys_received)
    federation.edus.connect("org.matrix.signing_key_update", remote.signing_keys_received)

    def landed(first: int, last: int, writes: Sequence[Landed]) -> None:
        for each in writes:
            if isinstance(each.payload, DeviceWrite) and each.payload.destinations:
                federation.sender.lane_filled(each.payload.destinations)

    def missed(upto: int) -> None:
        detach("look for what waits for other servers", look())

    async def look() -> None:
        federation.sender.lane_filled(await lane.destinations())

    if core.config.federation.enabled:
        core.journal.listen(landed, missed)


def _trap_cancellation(failure: Failure) -> Failure | None:
    return None if isinstance(failure.value, CancelledError) else failure
