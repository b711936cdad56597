"""Our keys, and others' as we know them. https://spec.matrix.org/v1.19/server-server-api/#retrieving-server-keys"""

from dataclasses import dataclass
from typing import Any, Final

from federation.wire.keys import NOTARY, NOTARY_BATCH, NOTARY_BY_ID, OWN, OWN_BY_ID, KeyDocuments, KeyQuery
from homeserver.http.authentication import no_auth
from homeserver.http.endpoint import Body, Path, Query, endpoint
from homeserver.protocol.identifiers import ServerName, is_server_name
from homeserver.services.server_keys import KeyNotary, OwnKeys

_SPEC: Final = "server-server-api/#"


@dataclass(frozen=True, slots=True)
class KeysApi:
    """Endpoints that anybody may ask: what they give is signed."""

    own: OwnKeys
    notary: KeyNotary

    @endpoint(OWN.method, OWN.path, OWN_BY_ID.path, auth=no_auth, spec=f"{_SPEC}get_matrixkeyv2server")
    async def server_keys(self, key_id: Path[str] = "") -> dict[str, Any]:
        """Give this server's keys. Old servers name one of them, and get all."""
        return self.own.document()

    @endpoint(
        NOTARY.method,
        NOTARY.path,
        auth=no_auth,
        limit="lookups",
        spec=f"{_SPEC}get_matrixkeyv2queryservername",
    )
    async def notarised_keys(
        self, server_name: Path[ServerName], minimum_valid_until_ts: Query[int | None] = None
    ) -> KeyDocuments:
        """Give the keys of another server, as far as they are known or to be had."""
        criteria = {} if minimum_valid_until_ts is None else {"": minimum_valid_until_ts}
        return KeyDocuments(await self.notary.documents({server_name: criteria}))

    @endpoint(
        NOTARY_BY_ID.method,
        NOTARY_BY_ID.path,
        auth=no_auth,
        limit="lookups",
        spec=f"{_SPEC}get_matrixkeyv2queryservername",
    )
    async def notarised_key(
        self,
        server_name: Path[ServerName],
        key_id: Path[str],
        minimum_valid_until_ts: Query[int | None] = None,
    ) -> KeyDocuments:
        """Give one key of another server: the form of old servers."""
        return KeyDocuments(await self.notary.documents({server_name: {key_id: minimum_valid_until_ts}}))

    @endpoint(
        NOTARY_BATCH.method,
        NOTARY_BATCH.path,
        auth=no_auth,
        limit="lookups",
        spec=f"{_SPEC}post_matrixkeyv2query",
    )
    async def notarised_keys_of_many(self, body: Body[KeyQuery]) -> KeyDocuments:
        """Give the keys of several servers. What is no server name has none."""
        wanted = {
            ServerName(server): {key_id: each.minimum_valid_until_ts for key_id, each in keys.items()}
            for server, keys in body.server_keys.items()
            if is_server_name(server)
        }
        return KeyDocuments(await self.notary.documents(wanted))
