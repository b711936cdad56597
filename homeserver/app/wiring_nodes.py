"""Construction of what nodes of one server tell each other."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

import structlog
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from homeserver.app.core import Core
from homeserver.app.wiring_accounts import AccountsArea
from homeserver.app.wiring_e2ee import Encryption
from homeserver.app.wiring_federation import Federation
from homeserver.app.wiring_rooms import Rooms
from homeserver.app.wiring_sync import SyncArea
from homeserver.background.leased import LeasedWork
from homeserver.bus import Node, RollCall
from homeserver.protocol.identifiers import UserID
from homeserver.services.commit_exchange import CommitExchange
from homeserver.services.elsewhere import Stale
from storage.journal import Landed, Write
from storage.leases import Lease, Leases

log = structlog.get_logger(__name__)

_RETRY_S = 5.0


@dataclass(frozen=True, slots=True)
class NodesArea:
    """What this node has of the others. ``sending`` is what one of them does at a time, and ``again`` what has to be
    looked at again when a node is gone.
    """

    core: Core
    commits: CommitExchange
    roll: RollCall
    leases: Leases
    sending: LeasedWork
    again: Sequence[Callable[[], Awaitable[None]]]
    _background: list[Deferred[None]] = field(default_factory=list)

    def start(self) -> None:
        """Hear of others from now on."""
        if self.core.bus.is_shared:
            self.core.bus.start()
            self.roll.start()
            self._background.append(Deferred.fromCoroutine(self.commits.keep_up()))

    def send(self) -> None:
        """Do what one node does, once it is this one."""
        if self.core.bus.is_shared and self.core.config.federation.enabled:
            self.sending.start()

    async def stop(self) -> None:
        """Leave it to the others."""
        await self.sending.stop()
        await self.leases.stop()
        for task in self._background:
            _ = task.addErrback(_trap_cancellation)
            task.cancel()
        if self.core.bus.is_shared:
            self.roll.stop()
            self.commits.stop()

    def gone(self, node: Node) -> None:
        """Take up what another node has left lying."""
        log.info("another node is gone", node=node)
        for look in self.again:
            looking = Deferred.fromCoroutine(_coroutine(look))
            _ = looking.addErrback(
                lambda failure: log.error("not looked at again", error=failure.getTraceback())
            )


def build_nodes(
    core: Core,
    accounts: AccountsArea,
    rooms: Rooms,
    federation: Federation,
    encryption: Encryption,
    sync: SyncArea,
) -> NodesArea:
    """Construct the area, after all that listens to the journal."""
    if core.bus.is_shared:
        _follow_what_is_stale(core, accounts, rooms)
    leases = Leases(core.database, core.clock, core.holder("federation"))

    async def send(lease: Lease) -> None:
        try:
            await federation.sender.start(lease)
            await encryption.begin_sending()
            await lease.lost
        except CancelledError:
            raise
        except Exception:
            log.exception("sending to other servers could not begin, and is tried again")
            await core.clock.sleep(_RETRY_S)
        finally:
            await encryption.exchange.stop()
            await federation.sender.stop()
            await lease.release()

    followers = [*rooms.followers, federation.shared.second_looks]
    area = NodesArea(
        core=core,
        # Last of the journal's listeners: who waits for a position is told when everybody else was.
        commits=CommitExchange(core.bus, core.database, core.journal, core.clock),
        roll=RollCall(core.bus, core.clock),
        leases=leases,
        sending=LeasedWork("federation", leases, send),
        again=[leases.renew, *(each.start for each in followers)],
    )
    if core.bus.is_shared:
        area.roll.when_gone(area.gone)
        sync.typing_nodes.connect(area.roll)
        sync.presence_nodes.connect(area.roll)
    return area


def _follow_what_is_stale(core: Core, accounts: AccountsArea, rooms: Rooms) -> None:
    """Let other nodes forget sessions that end here, and learn who is erased; and do as they say."""
    journal, sessions, erased = core.journal, accounts.sessions, rooms.access.erased

    def tell(what: Stale) -> None:
        write: Write[None] = Write(payload=what)
        _ = journal.write(write).addErrback(
            lambda failure: log.error("other nodes could not be told", error=failure.getErrorMessage())
        )

    def ended(hashes: Iterable[bytes]) -> None:
        if found := tuple(each.hex() for each in hashes):
            tell(Stale(sessions=found))

    def erase(user_id: UserID) -> None:
        tell(Stale(erased=(user_id,)))

    def landed(first: int, last: int, writes: Sequence[Landed]) -> None:
        for each in writes:
            if isinstance(each.payload, Stale):
                sessions.drop(bytes.fromhex(key) for key in each.payload.sessions)
                for user_id in each.payload.erased:
                    erased.add(user_id)

    def missed(upto: int) -> None:
        sessions.drop_all()
        erased.look_again()

    sessions.when_forgotten(ended)
    accounts.accounts.when_erased(erase)
    journal.listen(landed, missed)


async def _coroutine(look: Callable[[], Awaitable[None]]) -> None:
    await look()


def _trap_cancellation(failure: Failure) -> Failure | None:
    return None if isinstance(failure.value, CancelledError) else failure
