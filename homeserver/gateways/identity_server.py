"""Asking identity servers: who has an e-mail address or a phone number, and keeping invites for who has none yet.

https://spec.matrix.org/v1.19/identity-service-api/
"""

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

import msgspec
import orjson

from homeserver.gateways.http_client import HttpClient, Limits, OutboundError
from homeserver.protocol.errors import BadGateway, Forbidden
from homeserver.protocol.identifiers import ServerName, UserID, is_user_id

T = TypeVar("T")

_LIMITS: Final = Limits(max_bytes=1_000_000, seconds=20.0)
_HASHED: Final = "sha256"
_PLAIN: Final = "none"


@dataclass(frozen=True, slots=True)
class Threepid:
    """A third-party identifier, and the identity server that is to know it, with a token of the asking user."""

    id_server: ServerName
    id_access_token: str
    medium: str
    address: str


class StoredKey(msgspec.Struct, frozen=True):
    """A key with which the redemption of an invite is signed."""

    public_key: str
    key_validity_url: str


class StoredInvite(msgspec.Struct, frozen=True):
    """What an identity server made of an invite."""

    token: str
    display_name: str
    public_keys: list[StoredKey] = []


class _HashDetails(msgspec.Struct, frozen=True):
    lookup_pepper: str
    algorithms: list[str]


class _Mappings(msgspec.Struct, frozen=True):
    mappings: dict[str, str | None] = {}


class _Validity(msgspec.Struct, frozen=True):
    valid: bool


class IdentityServers:
    """Speaks with them on behalf of users."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    async def lookup(self, threepid: Threepid) -> UserID | None:
        """The user who has the identifier. Raises BadGateway, Forbidden."""
        details = await self._ask("GET", threepid, "hash_details", None, _HashDetails)
        plain = f"{threepid.address} {threepid.medium}"
        if _HASHED in details.algorithms:
            digest = hashlib.sha256(f"{plain} {details.lookup_pepper}".encode()).digest()
            algorithm, asked = _HASHED, urlsafe_b64encode(digest).rstrip(b"=").decode()
        elif _PLAIN in details.algorithms:
            algorithm, asked = _PLAIN, plain
        else:
            raise BadGateway(f"{threepid.id_server} offers no way to look up identifiers that is known here")
        body = {"addresses": [asked], "algorithm": algorithm, "pepper": details.lookup_pepper}
        found = (await self._ask("POST", threepid, "lookup", body, _Mappings)).mappings.get(asked)
        return UserID(found) if found is not None and is_user_id(found) else None

    async def store_invite(self, threepid: Threepid, invite: Mapping[str, Any]) -> StoredInvite:
        """Have the owner of the identifier invited once they have an account. Raises BadGateway, Forbidden."""
        body = {"medium": threepid.medium, "address": threepid.address, **invite}
        return await self._ask("POST", threepid, "store-invite", body, StoredInvite)

    async def is_key_valid(self, validity_url: str, public_key: str) -> bool:
        """Whether an identity server still answers for a key. One that cannot be reached does not."""
        separator = "&" if "?" in validity_url else "?"
        url = f"{validity_url}{separator}{urlencode({'public_key': public_key}, quote_via=quote)}"
        try:
            answer = await self._http.request("GET", url, limits=_LIMITS)
            return answer.status == 200 and msgspec.json.decode(answer.body, type=_Validity).valid
        except (OutboundError, msgspec.MsgspecError, ValueError):
            return False

    async def _ask(
        self, method: str, threepid: Threepid, path: str, body: Mapping[str, Any] | None, answer_type: type[T]
    ) -> T:
        url = f"https://{threepid.id_server}/_matrix/identity/v2/{path}"
        headers = {"Authorization": f"Bearer {threepid.id_access_token}", "Content-Type": "application/json"}
        encoded = None if body is None else orjson.dumps(body)
        try:
            answer = await self._http.request(method, url, headers=headers, body=encoded, limits=_LIMITS)
        except OutboundError as error:
            raise BadGateway(f"{threepid.id_server} cannot be reached: {error}") from error
        if answer.status in (401, 403):
            raise Forbidden(f"{threepid.id_server} does not accept the token")
        if answer.status != 200:
            raise BadGateway(f"{threepid.id_server} answered with status {answer.status}")
        try:
            return msgspec.json.decode(answer.body, type=answer_type)
        except (msgspec.MsgspecError, ValueError) as error:
            raise BadGateway(f"{threepid.id_server} gave no answer that can be read") from error
