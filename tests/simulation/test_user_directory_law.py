"""The law of the directory: whatever happened, users find those who share a room with them or are in open ones, by what
they are called now, and nobody else; and a directory that is made anew says the same.
"""

from typing import Any

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from storage.database import Database
from tests.client_api.rooms_site import V3
from tests.client_api.sync_site import Syncer, SyncSite
from tests.harness.memory import result_of
from tests.harness.postgres import TestDatabase

NAMES = ("anna", "bert", "cleo", "dora")
CALLED = ("Plum", "plum tree", "Plüm", "梅花", "cherry")
TERMS = ("plum", "tree", "梅", "cherry", "anna", "bert", "cleo", "dora")
Step = tuple[int, int, int]


class Town:
    """People, three rooms, and what is so at the moment."""

    def __init__(self, database: Database) -> None:
        self.site = SyncSite(database)
        self.people = self.site.people(*NAMES)
        self.called = {person.user_id: person.user_id[1:].partition(":")[0] for person in self.people}
        self.owner = self.people[0]
        self.rooms = [self.owner.create() for _ in range(3)]
        self.open = [False, False, False]
        self.inside: list[set[str]] = [{self.owner.user_id} for _ in self.rooms]
        self.actions = [self.come, self.come, self.go, self.call, self.call, self.unlock, self.restart]

    def step(self, step: Step) -> None:
        """Do something."""
        action, a, b = step
        done = self.actions[action % len(self.actions)]
        note(f"{done.__name__} {a} {b}")
        done(self.people[a % len(self.people)], b)

    def come(self, person: Syncer, b: int) -> None:
        room, inside = self.rooms[b % 3], self.inside[b % 3]
        if person.user_id not in inside:
            self.owner.try_act("invite", room, user_id=person.user_id)
            person.join(room)
            inside.add(person.user_id)

    def go(self, person: Syncer, b: int) -> None:
        if person is not self.owner and person.user_id in self.inside[b % 3]:
            person.act("leave", self.rooms[b % 3])
            self.inside[b % 3].discard(person.user_id)

    def call(self, person: Syncer, b: int) -> None:
        name = CALLED[b % len(CALLED)]
        path = f"{V3}/profile/{person.user_id}/displayname"
        assert person.http.put(path, {"displayname": name}).status == 200
        self.called[person.user_id] = name

    def unlock(self, person: Syncer, b: int) -> None:
        self.open[b % 3] = not self.open[b % 3]
        rule = "public" if self.open[b % 3] else "invite"
        self.owner.set_state(self.rooms[b % 3], "m.room.join_rules", {"join_rule": rule})

    def restart(self, person: Syncer, b: int) -> None:
        self.site.start()
        for each in self.people:
            each.reconnect()

    def seen_by(self, person: Syncer) -> set[str]:
        """Whom a user may find."""
        seen = set()
        for open_, inside in zip(self.open, self.inside, strict=True):
            if open_ or person.user_id in inside:
                seen |= inside
        return seen

    def check(self) -> None:
        """Hold what everybody finds against what they may find."""
        for person in self.people:
            seen = self.seen_by(person) - {person.user_id}
            for term in TERMS:
                found = _found(person, term) - {person.user_id}
                expected = {each for each in seen if _has(each, self.called[each], term)}
                assert expected <= found <= seen, (person.user_id, term)


def _has(user_id: str, name: str, term: str) -> bool:
    plain = name.casefold().replace("ü", "u")
    return term in plain or term in user_id[1:].partition(":")[0]


def _found(person: Syncer, term: str) -> set[str]:
    reply = person.http.post(f"{V3}/user_directory/search", {"search_term": term, "limit": 50})
    assert reply.status == 200, reply.text
    answer: Any = reply.json
    return {user["user_id"] for user in answer["results"]}


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(st.tuples(*[st.integers(0, 20)] * 3), min_size=3, max_size=25))
def test_users_find_whom_they_may_by_what_they_are_called_now(
    test_database: TestDatabase, database: Database, steps: list[Step]
) -> None:
    test_database.empty()
    town = Town(database)
    for step in steps:
        town.step(step)
    town.check()
    result_of(town.site.app.searches.directory_upkeep.rebuild())
    town.check()
