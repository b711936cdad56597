"""What every part of the program is built on."""

from dataclasses import dataclass, field

from config.config import Config
from homeserver.bus import Bus, OneNode
from homeserver.clock import Clock, Randomness
from homeserver.protocol.identifiers import ServerName, UserID
from homeserver.protocol.signing_keys import SigningKey, VerifyKey
from storage.caches import CacheBudget
from storage.database import Database
from storage.journal import Journal
from storage.threaded import ThreadedReads


@dataclass(frozen=True, slots=True)
class Core:
    """The machinery below the services. ``old_keys`` are those with which this server signed before, ``node`` is this
    start of this program.
    """

    config: Config
    server_name: ServerName
    signing_key: SigningKey
    clock: Clock
    random: Randomness
    database: Database
    threaded_reads: ThreadedReads
    journal: Journal
    caches: CacheBudget
    old_keys: tuple[VerifyKey, ...] = ()
    node: str = ""
    bus: Bus = field(default_factory=OneNode)

    @property
    def notices_user(self) -> UserID | None:
        """From whom server notices come; None if there are none."""
        notices = self.config.server_notices
        return UserID(f"@{notices.localpart}:{self.server_name}") if notices.enabled else None

    def holder(self, work: str) -> str:
        """Who holds leases for a work: a new name with each start, which ends with that of the node."""
        return f"{work} {self.random.letters(12)} {self.node}"
