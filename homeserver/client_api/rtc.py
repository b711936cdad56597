"""Calls of many people: the services that carry them.

https://github.com/matrix-org/matrix-spec-proposals/pull/4143
"""

from collections.abc import Mapping, Sequence
from typing import Any

from homeserver.http.authentication import access_token_or_guest
from homeserver.http.encoding import RawJson, encode_json
from homeserver.http.endpoint import endpoint
from homeserver.protocol.requester import Requester


class RtcApi:
    """What the configuration says, as clients ask for it."""

    def __init__(self, transports: Sequence[Mapping[str, Any]]) -> None:
        self._transports = RawJson(encode_json({"rtc_transports": list(transports)}))

    @endpoint(
        "GET",
        "/_matrix/client/unstable/org.matrix.msc4143/rtc/transports",
        auth=access_token_or_guest,
        spec="https://github.com/matrix-org/matrix-spec-proposals/pull/4143",
    )
    async def transports(self, who: Requester) -> RawJson:
        """The services that carry the calls of our users."""
        return self._transports
