"""Where clients find this server.

https://spec.matrix.org/v1.19/client-server-api/#well-known-uris
"""

from collections.abc import Mapping, Sequence
from typing import Any

from homeserver.http.authentication import no_auth
from homeserver.http.encoding import RawJson, encode_json
from homeserver.http.endpoint import endpoint
from homeserver.protocol.errors import NotFound


class WellKnownApi:
    """Documents that depend only on the configuration."""

    def __init__(self, public_baseurl: str, rtc_transports: Sequence[Mapping[str, Any]] = ()) -> None:
        """``rtc_transports`` are told here to clients that do not know the endpoint for them (MSC4143)."""
        document: dict[str, Any] = {"m.homeserver": {"base_url": public_baseurl.rstrip("/")}}
        if rtc_transports:
            document["org.matrix.msc4143.rtc_foci"] = list(rtc_transports)
        self._client = RawJson(encode_json(document))

    @endpoint(
        "GET", "/.well-known/matrix/client", auth=no_auth, spec="client-server-api/#getwell-knownmatrixclient"
    )
    async def client(self) -> RawJson:
        """The base URL for clients."""
        return self._client


class SupportApi:
    """Whom to ask; only where the configuration says so."""

    def __init__(self, page: str | None, contacts: Sequence[Mapping[str, str]]) -> None:
        document: dict[str, Any] = {"contacts": list(contacts)} if contacts else {}
        if page is not None:
            document["support_page"] = page
        self._support = RawJson(encode_json(document)) if document else None

    @endpoint(
        "GET",
        "/.well-known/matrix/support",
        auth=no_auth,
        spec="client-server-api/#getwell-knownmatrixsupport",
    )
    async def support(self) -> RawJson:
        """Contacts of the administrators, and a page with help."""
        if self._support is None:
            raise NotFound("This server does not say whom to ask")
        return self._support
