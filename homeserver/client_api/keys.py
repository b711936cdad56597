"""End-to-end keys.

https://spec.matrix.org/v1.19/client-server-api/#key-management-api
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.http.authentication import access_token, access_token_or_guest
from homeserver.http.endpoint import Body, Path, Query, endpoint
from homeserver.http.request import Request
from homeserver.protocol.errors import BadJson, InvalidParam
from homeserver.protocol.identifiers import DeviceID, UserID, parse_user_id
from homeserver.protocol.requester import Requester
from homeserver.protocol.stream_tokens import parse_sync_token
from homeserver.services.cross_signing import CrossSigning, uploaded_keys
from homeserver.services.device_keys import DeviceKeys
from homeserver.services.device_news import DeviceNews
from homeserver.services.key_exchange import KeyExchange
from homeserver.services.to_device import device_id_of
from homeserver.services.ui_auth import UiAuth, operation_of
from homeserver.services.ui_auth_stages import PASSWORD

Json = dict[str, Any]

DEFAULT_TIMEOUT_MS = 10_000
MAX_TIMEOUT_MS = 60_000


class KeysUpload(msgspec.Struct, frozen=True):
    """The body of an upload."""

    device_keys: Json | None = None
    one_time_keys: Json = {}
    fallback_keys: Json = {}
    unstable_fallback_keys: Json = msgspec.field(default={}, name="org.matrix.msc2732.fallback_keys")


class KeysQuery(msgspec.Struct, frozen=True):
    """The body of a query: devices by user, none for all."""

    device_keys: dict[str, list[str]]
    timeout: int | None = None


class KeysClaim(msgspec.Struct, frozen=True):
    """The body of a claim: algorithms by user and device."""

    one_time_keys: dict[str, dict[str, str]]
    timeout: int | None = None


@dataclass(frozen=True, slots=True)
class KeysApi:
    """Endpoints about keys."""

    device_keys: DeviceKeys
    exchange: KeyExchange
    cross_signing: CrossSigning
    news: DeviceNews
    ui_auth: UiAuth

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0,unstable}/keys/upload",
        auth=access_token_or_guest,
        limit="keys",
        spec="client-server-api/#post_matrixclientv3keysupload",
    )
    async def upload(self, who: Requester, body: Body[KeysUpload]) -> Json:
        """Store keys of the device that asks."""
        counts = await self.device_keys.upload(
            who.user_id,
            device_id_of(who),
            body.device_keys,
            body.one_time_keys,
            body.fallback_keys or body.unstable_fallback_keys,
        )
        return {"one_time_key_counts": counts}

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/keys/upload/{device_id}",
        auth=access_token_or_guest,
        limit="keys",
        spec="client-server-api/#post_matrixclientv3keysupload",
    )
    async def upload_for(self, who: Requester, device_id: Path[DeviceID], body: Body[KeysUpload]) -> Json:
        """Store keys, as old clients do it."""
        if who.device_id is not None and who.device_id != device_id:
            raise InvalidParam("Keys can only be uploaded for the device that asks")
        return await self.upload(who, body)

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0,unstable}/keys/query",
        auth=access_token_or_guest,
        limit="keys",
        spec="client-server-api/#post_matrixclientv3keysquery",
    )
    async def query(self, who: Requester, body: Body[KeysQuery]) -> Json:
        """Give keys of devices, and cross-signing keys."""
        wanted = {
            _user(user_id): [DeviceID(device_id) for device_id in devices if "\0" not in device_id]
            for user_id, devices in body.device_keys.items()
        }
        keys = await self.exchange.query(who.user_id, wanted, _seconds(body.timeout))
        return {
            "device_keys": keys.devices,
            "failures": keys.failures,
            "master_keys": keys.signing.get("master", {}),
            "self_signing_keys": keys.signing.get("self_signing", {}),
            "user_signing_keys": keys.signing.get("user_signing", {}),
        }

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0,unstable}/keys/claim",
        auth=access_token_or_guest,
        limit="keys",
        spec="client-server-api/#post_matrixclientv3keysclaim",
    )
    async def claim(self, who: Requester, body: Body[KeysClaim]) -> Json:
        """Give one-time keys away."""
        wanted = {
            _user(user_id): {
                DeviceID(device_id): algorithm
                for device_id, algorithm in devices.items()
                if "\0" not in device_id + algorithm
            }
            for user_id, devices in body.one_time_keys.items()
        }
        found, failures = await self.exchange.claim(wanted, _seconds(body.timeout))
        return {"one_time_keys": found, "failures": failures}

    @endpoint(
        "GET",
        "/_matrix/client/{v3,r0,unstable}/keys/changes",
        auth=access_token_or_guest,
        spec="client-server-api/#get_matrixclientv3keyschanges",
    )
    async def changes(self, who: Requester, from_: Query[str], to: Query[str] = "") -> Json:
        """Whose devices changed. What changed after `to` is told too: the client will have to look anyway."""
        since = parse_sync_token(from_).pos
        if to:
            parse_sync_token(to)
        changes = await self.news.changes_behind(who.user_id, since)
        return {"changed": sorted(changes.changed), "left": sorted(changes.left)}

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0,unstable}/keys/device_signing/upload",
        auth=access_token,
        spec="client-server-api/#post_matrixclientv3keysdevice_signingupload",
    )
    async def upload_signing_keys(self, who: Requester, request: Request, body: Body[Json]) -> None:
        """Publish cross-signing keys; to replace some, the user has to prove who they are."""
        keys = uploaded_keys(body)
        if who.appservice_id is None and (
            not keys or await self.cross_signing.needs_proof(who.user_id, keys)
        ):
            operation, auth = operation_of(request.method, request.target, body, who.user_id)
            keys = uploaded_keys((await self.ui_auth.prove(operation, auth, ((PASSWORD,),))).body)
        await self.cross_signing.upload(who.user_id, keys)

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0,unstable}/keys/signatures/upload",
        auth=access_token,
        spec="client-server-api/#post_matrixclientv3keyssignaturesupload",
    )
    async def upload_signatures(self, who: Requester, body: Body[Json]) -> Json:
        """Publish signatures over keys; what cannot be taken is named."""
        return {"failures": await self.cross_signing.sign(who.user_id, body)}


def _user(text: str) -> UserID:
    try:
        return parse_user_id(text)
    except InvalidParam as error:
        raise BadJson(error.message) from error


def _seconds(timeout_ms: int | None) -> float:
    wanted = DEFAULT_TIMEOUT_MS if timeout_ms is None else timeout_ms
    return max(1, min(wanted, MAX_TIMEOUT_MS)) / 1000
