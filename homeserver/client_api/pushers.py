"""Pushers.

https://spec.matrix.org/v1.19/client-server-api/#push-notifications
"""

from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from homeserver.http.authentication import access_token
from homeserver.http.endpoint import Body, endpoint
from homeserver.protocol.errors import MissingParam
from homeserver.protocol.requester import Requester
from homeserver.services.pushers import Pushers, PusherWish


class PusherBody(msgspec.Struct, frozen=True):
    """The body of a change. A `kind` of null deletes the pusher; else all but `profile_tag` and `append` are needed.

    `enabled` is MSC3881's.
    """

    kind: str | None
    app_id: str
    pushkey: str
    app_display_name: str | None = None
    device_display_name: str | None = None
    profile_tag: str | None = None
    lang: str | None = None
    data: dict[str, Any] | None = None
    append: bool = False
    enabled: bool = msgspec.field(name="org.matrix.msc3881.enabled", default=True)

    def wish(self, kind: str) -> PusherWish:
        """The pusher that is wanted. Raises MissingParam."""
        needed = ("app_display_name", "device_display_name", "lang", "data")
        if missing := [name for name in needed if getattr(self, name) is None]:
            raise MissingParam(f"Missing parameters: {', '.join(missing)}")
        return PusherWish(
            kind=kind,
            app_id=self.app_id,
            pushkey=self.pushkey,
            app_display_name=self.app_display_name or "",
            device_display_name=self.device_display_name or "",
            profile_tag=self.profile_tag,
            lang=self.lang or "",
            data=self.data or {},
            append=self.append,
            enabled=self.enabled,
        )


@dataclass(frozen=True, slots=True)
class PushersApi:
    """Endpoints about the user's own pushers."""

    pushers: Pushers

    @endpoint(
        "GET",
        "/_matrix/client/{v3,r0}/pushers",
        auth=access_token,
        spec="client-server-api/#get_matrixclientv3pushers",
    )
    async def all_pushers(self, who: Requester) -> dict[str, Any]:
        """All pushers of the user."""
        shown = []
        for row in await self.pushers.of_user(who.user_id):
            pusher = {
                "app_id": row.app_id,
                "pushkey": row.pushkey,
                "kind": row.kind,
                "app_display_name": row.app_display_name,
                "device_display_name": row.device_display_name,
                "profile_tag": row.profile_tag,
                "lang": row.lang,
                "data": orjson.Fragment(row.data),
                "org.matrix.msc3881.enabled": row.enabled,
                "org.matrix.msc3881.device_id": row.device_id,
            }
            shown.append({name: value for name, value in pusher.items() if value is not None})
        return {"pushers": shown}

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/pushers/set",
        auth=access_token,
        limit="profile",
        spec="client-server-api/#post_matrixclientv3pushersset",
    )
    async def set_pusher(self, who: Requester, body: Body[PusherBody]) -> None:
        """Add, change or delete a pusher."""
        if body.kind is None:
            await self.pushers.delete(who.user_id, body.app_id, body.pushkey)
        else:
            await self.pushers.put(who, body.wish(body.kind))
