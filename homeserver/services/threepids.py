"""Users' e-mail addresses.

https://spec.matrix.org/v1.19/client-server-api/#adding-account-administrative-contact-information
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from homeserver.clock import Clock
from homeserver.protocol.errors import InvalidParam, ThreepidAuthFailed, ThreepidInUse, ThreepidNotFound
from homeserver.protocol.identifiers import UserID
from homeserver.services.email_proofs import EMAIL, Asked, EmailProofs, Purpose, checked_address
from homeserver.services.pushers import EMAIL_APP
from homeserver.services.ui_auth import Operation, StageFailed
from storage.database import Database
from storage.tables.pushers import Pushers
from storage.tables.threepids import GivenProof, ThreepidRow
from storage.tables.threepids import Threepids as StoredThreepids
from storage.transaction import Transaction

EMAIL_IDENTITY: Final = "m.login.email.identity"
_REGISTER: Final = "/register"


class Threepids:
    """Addresses, and who has them. `proofs` is None where no mails are sent."""

    def __init__(self, database: Database, proofs: EmailProofs | None, clock: Clock) -> None:
        self._database = database
        self._proofs = proofs
        self._clock = clock

    async def of_user(self, user_id: UserID) -> list[ThreepidRow]:
        """All addresses of a user."""
        return await self._database.read(lambda tx: StoredThreepids(tx).of_user(user_id))

    async def ask(self, asked: Asked) -> str:
        """Send a mail for a proof; its ID. Raises ThreepidInUse, ThreepidNotFound and as `EmailProofs.ask`."""
        if self._proofs is None:
            raise InvalidParam("This server sends no mails")
        owner = await self._owner(asked.address)
        if asked.purpose is Purpose.PASSWORD and owner is None:
            raise ThreepidNotFound
        if asked.purpose is not Purpose.PASSWORD and owner is not None:
            raise ThreepidInUse
        return await self._proofs.ask(asked)

    async def add(self, user_id: UserID, sid: str, client_secret: str) -> None:
        """Add an address that a user has proven to read. Raises ThreepidAuthFailed, ThreepidInUse."""
        proof = await self.take(Purpose.ADDING, sid, client_secret)
        if proof is None:
            raise ThreepidAuthFailed("The address was not confirmed")
        await self._database.transact(lambda tx: self.store(tx, user_id, proof))

    async def remove(self, user_id: UserID, medium: str, address: str) -> None:
        """Take an address from a user, if they have it; there are no mails to it any more."""
        if "\0" in medium or "\0" in address:
            return

        def run(tx: Transaction) -> None:
            if StoredThreepids(tx).remove(medium, address.lower(), user_id):
                Pushers(tx).delete(user_id, EMAIL_APP, address.lower())

        await self._database.transact(run)

    async def remove_all(self, user_id: UserID) -> None:
        """Take all addresses from a user whose account was closed."""
        await self._database.transact(lambda tx: StoredThreepids(tx).remove_all(user_id))

    async def take(self, purpose: Purpose, sid: object, client_secret: object) -> GivenProof | None:
        """A proof, once."""
        return None if self._proofs is None else await self._proofs.take(purpose, sid, client_secret)

    def store(self, tx: Transaction, user_id: UserID, proof: GivenProof) -> None:
        """Add a proven address within the caller's transaction. Raises ThreepidInUse."""
        now = self._clock.now_ms()
        if not StoredThreepids(tx).add(EMAIL, proof.address, user_id, proof.validated_ts, now):
            raise ThreepidInUse

    async def owner(self, medium: object, address: object) -> UserID | None:
        """Who has an address."""
        if medium != EMAIL or not isinstance(address, str):
            return None
        try:
            return await self._owner(checked_address(address))
        except InvalidParam:
            return None

    async def _owner(self, address: str) -> UserID | None:
        return await self._database.read(lambda tx: StoredThreepids(tx).owner(EMAIL, address))


class EmailIdentityStage:
    """Proof of an e-mail address. For a registration it finds out the address, else whose it is.

    https://spec.matrix.org/v1.19/client-server-api/#email-based-identity--homeserver
    """

    type: ClassVar[str] = EMAIL_IDENTITY

    def __init__(self, threepids: Threepids) -> None:
        self._threepids = threepids

    def params(self) -> dict[str, Any] | None:
        """Nothing is needed."""
        return None

    async def check(self, auth: Mapping[str, Any], operation: Operation) -> str:
        """Use up a proof."""
        given = auth.get("threepid_creds", auth.get("threepidCreds"))
        credentials = given if isinstance(given, dict) else {}
        registers = operation.path.endswith(_REGISTER)
        purpose = Purpose.REGISTRATION if registers else Purpose.PASSWORD
        proof = await self._threepids.take(purpose, credentials.get("sid"), credentials.get("client_secret"))
        if proof is None:
            raise StageFailed("M_UNAUTHORIZED", "The address was not confirmed")
        owner = await self._threepids.owner(EMAIL, proof.address)
        if registers:
            if owner is not None:
                raise StageFailed("M_THREEPID_IN_USE", "Somebody has an account with this address")
            return f"{proof.validated_ts} {proof.address}"
        if owner is None or operation.user_id not in (None, owner):
            raise StageFailed("M_UNAUTHORIZED", "This is not an address of the account")
        return owner


def registered_proof(finding: str) -> GivenProof:
    """The proof that the stage found out for a registration."""
    validated_ts, _, address = finding.partition(" ")
    return GivenProof(address, int(validated_ts))
