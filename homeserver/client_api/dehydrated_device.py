"""Dehydrated devices.

https://github.com/matrix-org/matrix-spec-proposals/pull/3814
"""

from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from homeserver.http.authentication import access_token
from homeserver.http.encoding import RawJson
from homeserver.http.endpoint import Body, Path, Query, endpoint
from homeserver.protocol.identifiers import DeviceID, parse_device_id
from homeserver.protocol.requester import Requester
from homeserver.services.dehydrated_devices import DehydratedDevices

Json = dict[str, Any]

_PATH = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device"
_SPEC = "https://github.com/matrix-org/matrix-spec-proposals/pull/3814"


class NewDevice(msgspec.Struct, frozen=True):
    """A device to be kept."""

    device_id: str
    device_data: Json
    device_keys: Json
    initial_device_display_name: str | None = None
    one_time_keys: Json = {}
    fallback_keys: Json = {}


class NextEvents(msgspec.Struct, frozen=True):
    """From where messages are wanted."""

    next_batch: str | None = None


@dataclass(frozen=True, slots=True)
class DehydratedDeviceApi:
    """Endpoints about them."""

    dehydrated: DehydratedDevices

    @endpoint("PUT", _PATH, auth=access_token, spec=_SPEC)
    async def put(self, who: Requester, body: Body[NewDevice]) -> Json:
        """Keep a device."""
        device_id = parse_device_id(body.device_id)
        await self.dehydrated.put(
            who.user_id,
            device_id,
            body.device_data,
            body.initial_device_display_name,
            body.device_keys,
            body.one_time_keys,
            body.fallback_keys,
        )
        return {"device_id": device_id}

    @endpoint("GET", _PATH, auth=access_token, spec=_SPEC)
    async def device(self, who: Requester) -> Json:
        """The device that is kept."""
        device_id, data = await self.dehydrated.device(who.user_id)
        return {"device_id": device_id, "device_data": data}

    @endpoint("DELETE", _PATH, auth=access_token, spec=_SPEC)
    async def delete(self, who: Requester) -> Json:
        """Delete it."""
        return {"device_id": await self.dehydrated.delete(who.user_id)}

    @endpoint("POST", _PATH + "/{device_id}/events", auth=access_token, empty_body_ok=True, spec=_SPEC)
    async def events(self, who: Requester, device_id: Path[DeviceID], body: Body[NextEvents]) -> RawJson:
        """Messages to it."""
        return await self._events(who, device_id, body.next_batch)

    @endpoint("GET", _PATH + "/{device_id}/events", auth=access_token, spec=_SPEC)
    async def events_by_get(
        self, who: Requester, device_id: Path[DeviceID], next_batch: Query[str | None] = None
    ) -> RawJson:
        """Messages to it, as the proposal's later text has it."""
        return await self._events(who, device_id, next_batch)

    async def _events(self, who: Requester, device_id: DeviceID, token: str | None) -> RawJson:
        events, upto = await self.dehydrated.events(who.user_id, device_id, token)
        return RawJson(b'{"events":[%b],"next_batch":%b}' % (b",".join(events), orjson.dumps(upto)))
