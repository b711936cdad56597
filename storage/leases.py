"""Work that one node does at a time: whoever holds the lease, a row in PostgreSQL that runs out unless it is renewed.

    lease = await leases.hold("retention")
    while lease.held:
        ...

Time is the database's. A holder stops believing in its lease a while before the database lets others take it, so that
two nodes never hold one at the same time as long as their clocks run equally fast. What must not happen twice even then
is fenced by the database: `lease.fence(tx)` in the transaction that does it.
"""

from typing import NewType

import structlog
from twisted.internet.defer import Deferred

from homeserver.clock import Clock, Timer
from storage import metrics
from storage.database import Database
from storage.query import Queries, many, maybe, nothing, query
from storage.transaction import Transaction

LeaseName = NewType("LeaseName", str)

SECONDS = 30.0
"""How long a lease lasts after the last renewal."""
_MARGIN = 5.0

log = structlog.get_logger(__name__)


class LeaseLost(Exception):
    """Another node may have the lease by now."""


class LeaseRows(Queries):
    """The table of leases."""

    @query(
        """insert into leases (name, holder, until)
        select name, %(holder)s, clock_timestamp() + make_interval(secs => %(seconds)s)
            from unnest(%(names)s::text[]) name order by name
        on conflict (name) do update set holder = excluded.holder, until = excluded.until
            where leases.holder = excluded.holder or leases.until < clock_timestamp()
        returning name""",
        many(LeaseName),
    )
    def take(self, names: list[str], holder: str, seconds: float) -> list[LeaseName]: ...

    @query("delete from leases where name = any(%(names)s) and holder = %(holder)s", nothing)
    def release(self, names: list[str], holder: str) -> None: ...

    @query("delete from leases where substring(holder from '[^ ]*$') = any(%(nodes)s)", nothing)
    def bury(self, nodes: list[str]) -> None: ...

    @query(
        """select name from leases where name = %(name)s and holder = %(holder)s and until > clock_timestamp()
        for share""",
        maybe(LeaseName),
    )
    def lock(self, name: str, holder: str) -> LeaseName | None: ...


async def free_leases_of(database: Database, nodes: list[str]) -> None:
    """Free what nodes hold that are dead for certain; holders' names end with their node's. What one of them has sent
    to the database and is still under way there comes to its end first, where it is fenced.
    """
    if nodes:
        await database.transact(lambda tx: LeaseRows(tx).bury(nodes))


class Lease:
    """One held lease."""

    def __init__(self, leases: "Leases", name: str) -> None:
        self.name = name
        self.lost: Deferred[None] = Deferred()
        """Fires when the lease is lost or released."""
        self._leases = leases

    @property
    def held(self) -> bool:
        """Whether the work may go on."""
        return self._leases.holds(self)

    def fence(self, tx: Transaction) -> None:
        """Keep the lease until this transaction ends; raises LeaseLost."""
        if LeaseRows(tx).lock(self.name, self._leases.holder) is None:
            raise LeaseLost(self.name)

    async def release(self) -> None:
        """Give it to whoever waits."""
        await self._leases.release(self)


class Leases:
    """What this node holds and waits for: one statement each third of a lease's time for all of it."""

    def __init__(self, database: Database, clock: Clock, holder: str, seconds: float = SECONDS) -> None:
        """`holder` must be unique to this start of this node."""
        self.holder = holder
        self._database = database
        self._clock = clock
        self._seconds = seconds
        self._margin = min(_MARGIN, seconds / 6)
        self._held: dict[str, tuple[Lease, float]] = {}
        self._wanted: dict[str, list[Deferred[Lease]]] = {}
        self._timer: Timer | None = None
        self._stopped = False

    async def hold(self, name: str) -> Lease:
        """Wait until the lease is ours; a second caller on this node waits for the first to release it."""
        waiting: Deferred[Lease] = Deferred(lambda _: self._forget(name, waiting))
        self._wanted.setdefault(name, []).append(waiting)
        if name not in self._held and len(self._wanted[name]) == 1:
            await self._beat([name])
        self._schedule()
        return await waiting

    def holds(self, lease: Lease) -> bool:
        """Whether `lease` is still ours, by our own clock."""
        found = self._held.get(lease.name)
        return found is not None and found[0] is lease and self._clock.seconds() < found[1]

    async def release(self, lease: Lease) -> None:
        """Give a lease back; nothing happens if it was lost."""
        found = self._held.get(lease.name)
        if found is None or found[0] is not lease:
            return
        self._lose(lease.name)
        names = [lease.name]
        if self._wanted.get(lease.name) and not self._stopped:
            await self._beat(names)  # somebody on this node waits: keep the row
        else:
            await self._database.transact(lambda tx: LeaseRows(tx).release(names, self.holder))

    async def stop(self) -> None:
        """Give all back, wait for none."""
        self._stopped = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        names = list(self._held)
        for name in names:
            self._lose(name)
        if names:
            await self._database.transact(lambda tx: LeaseRows(tx).release(names, self.holder))

    async def renew(self) -> None:
        """Renew what is held and try for what is wanted; runs by itself from the first `hold` on."""
        names = [*self._held, *(name for name, waiting in self._wanted.items() if waiting)]
        try:
            if names:
                await self._beat(list(dict.fromkeys(names)))
        except Exception:
            log.exception("leases_not_renewed")
            for name, (lease, _) in list(self._held.items()):
                if not self.holds(lease):
                    self._lose(name)

    async def _beat(self, names: list[str]) -> None:
        until = self._clock.seconds() + self._seconds - self._margin
        rows = await self._database.transact(lambda tx: LeaseRows(tx).take(names, self.holder, self._seconds))
        ours = set(rows)
        for name in names:
            if name not in ours:
                self._lose(name)
            elif name in self._held:
                self._held[name] = (self._held[name][0], until)
            else:
                self._take(name, until)
        metrics.LEASES_HELD.set(len(self._held))

    def _take(self, name: str, until: float) -> None:
        waiting = self._wanted.get(name)
        if not waiting or self._stopped:
            return  # who wanted it has gone: the row runs out by itself
        lease = Lease(self, name)
        self._held[name] = (lease, until)
        first = waiting.pop(0)
        if not waiting:
            del self._wanted[name]
        first.callback(lease)

    def _lose(self, name: str) -> None:
        found = self._held.pop(name, None)
        if found is not None:
            metrics.LEASES_HELD.set(len(self._held))
            found[0].lost.callback(None)

    def _forget(self, name: str, waiting: Deferred[Lease]) -> None:
        self._wanted[name].remove(waiting)
        if not self._wanted[name]:
            del self._wanted[name]

    def _schedule(self) -> None:
        if self._stopped or (self._timer is not None and self._timer.active()):
            return
        if self._held or self._wanted:
            self._timer = self._clock.call_later(self._seconds / 3, self._tick)

    def _tick(self) -> None:
        async def tick() -> None:
            await self.renew()
            self._schedule()

        self._ticking = Deferred.fromCoroutine(tick())
