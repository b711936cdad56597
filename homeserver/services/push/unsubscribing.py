"""Links that end mails: each mail has one of its own, of which only a hash is on record.

https://www.rfc-editor.org/rfc/rfc8058
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from homeserver.clock import Clock, Randomness
from homeserver.protocol.identifiers import UserID
from homeserver.services.email_proofs import hash_of
from homeserver.services.pushers import EMAIL_APP
from storage.database import Database
from storage.tables.push_mails import MailUnsubscribes as StoredLinks
from storage.tables.pushers import Pushers
from storage.transaction import Transaction

UNSUBSCRIBE_PATH: Final = "/_meridian/unsubscribe"
LIFETIME_MS: Final = 365 * 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class UnsubscribeLink:
    """A link that ends the mails to somebody."""

    url: str
    token: str

    def headers(self) -> Mapping[str, str]:
        """What a mail says of it. Programs press no buttons over plain HTTP."""
        said = {"List-Unsubscribe": f"<{self.url}>"}
        if self.url.startswith("https://"):
            said["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        return said


class Unsubscribing:
    """Makes the links, and does what they say."""

    def __init__(self, database: Database, base_url: str, clock: Clock, random: Randomness) -> None:
        """``base_url``: where clients reach this server."""
        self._database = database
        self._base_url = base_url.rstrip("/")
        self._clock = clock
        self._random = random

    def link(self) -> UnsubscribeLink:
        """A new one. It works once it was stored."""
        token = self._random.token(24)
        return UnsubscribeLink(f"{self._base_url}{UNSUBSCRIBE_PATH}?{urlencode({'token': token})}", token)

    def store(self, tx: Transaction, link: UnsubscribeLink, user_id: UserID, address: str) -> None:
        """Let a link end the mails to an address of a user."""
        now = self._clock.now_ms()
        StoredLinks(tx).expire(now - LIFETIME_MS)
        StoredLinks(tx).add(hash_of(link.token), user_id, address, now)

    async def end(self, token: str) -> bool:
        """End the mails that a link is about, if they have not ended; False if there is no such link."""

        def run(tx: Transaction) -> bool:
            found = StoredLinks(tx).find(hash_of(token))
            if found is None:
                return False
            user_id, address = found
            Pushers(tx).delete(user_id, EMAIL_APP, address)
            return True

        return await self._database.transact(run)
