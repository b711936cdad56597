"""Keys, device lists and messages to devices under random histories, with restarts at any time.

What is held to is what clients rely on: a one-time key goes to one claimant and in order of upload; a client that
keeps syncing ends up with an up-to-date view of the devices of all who share a room with it, and of nobody else;
messages arrive once, in order, whatever becomes of answers.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from homeserver.protocol.identifiers import DeviceID, UserID
from homeserver.services.one_time_keys import OneTimeKeys
from storage.database import Database
from storage.journal import Journal
from storage.workers import InlineWorkers
from tests.client_api.e2ee import V3, Device, one_time_keys, texts_to
from tests.client_api.sync_site import SyncSite
from tests.harness.memory import result_of
from tests.harness.postgres import TestDatabase

NAMES = ("alice", "bob", "carol")
people = st.sampled_from(NAMES)
rooms = st.integers(0, 2)


class Encryption(RuleBasedStateMachine):
    """Three people with a device each, and three rooms."""

    database: Database
    test_database: TestDatabase

    def __init__(self) -> None:
        super().__init__()
        self.test_database.empty()
        self.site = SyncSite(self.database)
        self.people = {name: Device.register(self.site, name) for name in NAMES}
        self.rooms = [self.people["alice"].public_room() for _ in range(3)]
        self.members = [{"alice"} for _ in range(3)]
        self.version = dict.fromkeys(NAMES, 0)
        self.uploaded: dict[str, list[str]] = {name: [] for name in NAMES}
        self.claimed: dict[str, list[str]] = {name: [] for name in NAMES}
        self.sent: dict[str, list[str]] = {name: [] for name in NAMES}
        self.received: dict[str, list[str]] = {name: [] for name in NAMES}
        self.known: dict[str, dict[str, Any]] = {name: {} for name in NAMES}
        self.counter = 0
        for name in NAMES:
            self.upload_keys(name)
        for name, person in self.people.items():
            person.first_sync()
            self.known[name] = {other: self._seen(name, other) for other in NAMES if self._share(name, other)}

    @rule(name=people)
    def upload_keys(self, name: str) -> None:
        """New identity keys."""
        self.version[name] += 1
        person = self.people[name]
        keys = person.device_keys(version=self.version[name])
        person.upload(device_keys=keys)

    @rule(name=people, number=st.integers(1, 3))
    def upload_one_time_keys(self, name: str, number: int) -> None:
        """New keys to give away."""
        self.counter += 1
        new = [f"{self.counter}{letter}" for letter in "abc"[:number]]
        self.uploaded[name] += new
        self.people[name].upload(one_time_keys=one_time_keys(*new))

    @precondition(lambda self: any(self.uploaded.values()))
    @rule(name=people, data=st.data())
    def upload_old_keys_again(self, name: str, data: st.DataObject) -> None:
        """Keys that were uploaded before, given away or not."""
        if self.uploaded[name]:
            old = data.draw(st.lists(st.sampled_from(self.uploaded[name]), max_size=3, unique=True))
            self.people[name].upload(one_time_keys=one_time_keys(*old))

    @rule(name=people, other=people)
    def claim(self, name: str, other: str) -> None:
        """A key of somebody's."""
        found = self.people[name].claim(self.people[other])
        waiting = self.uploaded[other][len(self.claimed[other]) :]
        assert [key_id.partition(":")[2] for key_id in found] == waiting[:1]
        self.claimed[other] += waiting[:1]

    @rule(name=people, room=rooms)
    def move(self, name: str, room: int) -> None:
        """Into a room, or out of it."""
        person = self.people[name]
        if name in self.members[room]:
            person.act("leave", self.rooms[room])
            self.members[room].discard(name)
        elif self.members[room]:
            person.join(self.rooms[room])
            self.members[room].add(name)

    @rule(name=people, other=people, number=st.integers(1, 60), repeat=st.booleans())
    def send(self, name: str, other: str, number: int, repeat: bool) -> None:
        """Messages to somebody's device, some requests twice."""
        for _ in range(number):
            self.counter += 1
            for _ in range(2 if repeat else 1):
                self.people[name].send(self.people[other], str(self.counter), txn=f"x{self.counter}")
            self.sent[other].append(str(self.counter))

    @rule(name=people, lost=st.booleans())
    def sync(self, name: str, lost: bool) -> None:
        """Hear what is new; a lost answer is asked for again."""
        person = self.people[name]
        since = person.since
        asked = person.here.get(f"{V3}/keys/changes", {"from": since or "", "to": since or ""}).json
        answer = person.sync()
        if lost:
            person.since = since
            return
        self.received[name] += texts_to(answer)
        lists = answer.get("device_lists", {})
        assert asked == {"changed": [], "left": [], **lists}
        for user_id in lists.get("left", ()):
            self.known[name].pop(_name(user_id), None)
        for user_id in lists.get("changed", ()):
            self.known[name][_name(user_id)] = self._seen(name, _name(user_id))
        left = len(self.uploaded[name]) - len(self.claimed[name])
        assert answer["device_one_time_keys_count"] == {"signed_curve25519": left}

    @rule()
    def restart(self) -> None:
        """Begin with empty memory."""
        self.site.start()
        for person in self.people.values():
            person.reconnect()

    @invariant()
    def messages_arrive_once_and_in_order(self) -> None:
        """What was received is a beginning of what was sent."""
        for name in NAMES:
            assert self.received[name] == self.sent[name][: len(self.received[name])]

    def teardown(self) -> None:
        """In the end everybody has all messages, and knows the devices of those with whom they share a room.

        Something happens once more: a server that has just started looks at what a token proves when there is news.
        """
        self.upload_keys("alice")
        for name in NAMES:
            for _ in range(20):
                before = self.people[name].since
                self.sync(name, lost=False)
                if self.people[name].since == before:
                    break
            assert self.received[name] == self.sent[name]
            waiting = "select count(*) from to_device_messages where user_id = %s"
            assert self.test_database.rows(waiting, self.people[name].user_id) == [(0,)]
            expected = {other: self._seen(name, other) for other in NAMES if self._share(name, other)}
            assert {other: self.known[name].get(other) for other in expected} == expected
            assert {other for other in self.known[name] if other != name} == set(expected) - {name}

    def _share(self, name: str, other: str) -> bool:
        return name == other or any({name, other} <= members for members in self.members)

    def _seen(self, name: str, other: str) -> Any:
        return self.people[name].query(self.people[other])["device_keys"]


def _name(user_id: str) -> str:
    return user_id[1:].partition(":")[0]


@contextmanager
def on(database: Database, test_database: TestDatabase) -> Iterator[type[Encryption]]:
    """The machine over a database."""
    yield type("EncryptionHere", (Encryption,), {"database": database, "test_database": test_database})


def test_encryption_is_served_under_any_history(database: Database, test_database: TestDatabase) -> None:
    with on(database, test_database) as machine:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=15,
                stateful_step_count=30,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )


@pytest.mark.parametrize("claimants", [8])
def test_of_many_claimants_on_several_nodes_each_gets_another_key(
    test_database: TestDatabase, database: Database, claimants: int
) -> None:
    """Real threads and connections, a journal each."""
    site = SyncSite(database)
    alice = Device.register(site, "alice")
    names = [f"{number:03}" for number in range(100)]
    alice.upload(one_time_keys=one_time_keys(*names))
    wanted = [(UserID(alice.user_id), DeviceID(alice.device_id), "signed_curve25519")]

    def take(node: int) -> list[str]:
        opened = Database(test_database.dsn, InlineWorkers())
        keys = OneTimeKeys(Journal(opened, f"node{node}"))
        found = []
        for _ in range(20):
            found += [row.key_id for row in result_of(keys.claim(wanted))]
        opened.close()
        return found

    with ThreadPoolExecutor(claimants) as pool:
        taken = list(pool.map(take, range(claimants)))
    assert sorted(key for found in taken for key in found) == names
    assert all(found == sorted(found) for found in taken)
