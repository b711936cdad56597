"""Messages to devices.

https://spec.matrix.org/v1.19/client-server-api/#send-to-device-messaging
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.http.authentication import access_token_or_guest
from homeserver.http.endpoint import Body, Path, endpoint
from homeserver.protocol.requester import Requester
from homeserver.services.to_device import ToDevice


class Sending(msgspec.Struct, frozen=True):
    """Contents by user and device."""

    messages: dict[str, dict[str, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class ToDeviceApi:
    """The endpoint that sends them."""

    to_device: ToDevice

    @endpoint(
        "PUT",
        "/_matrix/client/{v3,r0,unstable}/sendToDevice/{event_type}/{txn_id}",
        auth=access_token_or_guest,
        spec="client-server-api/#put_matrixclientv3sendtodeviceeventtypetxnid",
    )
    async def send(
        self, who: Requester, event_type: Path[str], txn_id: Path[str], body: Body[Sending]
    ) -> None:
        """Send a message to each of some devices."""
        await self.to_device.send(who, event_type, txn_id, body.messages)
