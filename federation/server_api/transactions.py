"""Events and ephemeral data that other servers send. https://spec.matrix.org/v1.19/server-server-api/#transactions"""

from dataclasses import dataclass
from typing import Final

from federation.inbox.transactions import TransactionInbox
from federation.wire.transactions import SEND, Transaction
from homeserver.http.authentication import Origin, server_signature
from homeserver.http.encoding import RawJson
from homeserver.http.endpoint import Body, Path, endpoint

_SPEC: Final = "server-server-api/#put_matrixfederationv1sendtxnid"


@dataclass(frozen=True, slots=True)
class TransactionsApi:
    """One endpoint."""

    inbox: TransactionInbox

    @endpoint(SEND.method, SEND.path, auth=server_signature, spec=_SPEC, body_limit="federation")
    async def send(self, origin: Origin, txn_id: Path[str], body: Body[Transaction]) -> RawJson:
        """Take a transaction of another server."""
        return RawJson(await self.inbox.take(origin.server, txn_id, body))
