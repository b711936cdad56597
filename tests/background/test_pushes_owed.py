"""Finding out what is owed to pushers, while people go on writing."""

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from homeserver.services.push.judging import PushJudge
from homeserver.services.push.owed import Found, PushesOwed
from storage.database import Database
from storage.workers import InlineWorkers
from tests.client_api.push_site import PushSite, set_pusher

T = TypeVar("T")
_DAY_MS = 86_400_000


class LateWorkers(InlineWorkers):
    """Does everything at once, and tells of it when told to: as a reactor that has much else to do."""

    def __init__(self) -> None:
        self._untold: list[Callable[[], object]] = []

    def run(self, fn: Callable[[], T]) -> Deferred[T]:
        done: Deferred[T] = Deferred()
        result = super().run(fn)
        self._untold.append(lambda: result.addBoth(done.callback))
        return done

    def tell(self) -> None:
        """Tell what was done, and what is done therefore."""
        while self._untold:
            self._untold.pop(0)()


def test_what_is_written_while_nothing_was_found_is_found_next(database: Database) -> None:
    site = PushSite(database)
    anna, ben = site.people("anna", "ben")
    room = anna.public_room()
    ben.join(room)
    set_pusher(anna)
    late = LateWorkers()
    slow = Database(database.dsn, late)
    rooms, rooms_core = site.app.rooms, site.app.rooms_core
    judge = PushJudge(site.app.sync.evaluation, rooms_core.events, rooms.access)
    owed = PushesOwed(slow, site.journal, judge, site.clock, _DAY_MS)
    owed.begin()

    def step(meanwhile: Callable[[], Any]) -> Found:
        found: list[Any] = []
        _ = Deferred.fromCoroutine(owed.step()).addBoth(found.append)
        meanwhile()
        while not found:
            late.tell()
        (answer,) = found
        assert isinstance(answer, Found), answer
        return answer

    while step(lambda: None).more:
        pass
    assert not step(lambda: ben.say(room, "hello")).ears
    (ear,) = step(lambda: None).ears
    assert ear.user_id == anna.user_id
    slow.close()
