"""The law of counts: whatever happened, what a client is told step by step is what a server without memory counts, and
what the specification's rules give for the events that are there.
"""

from typing import Any

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from storage.database import Database
from tests.client_api.rooms_site import V3
from tests.client_api.sync_site import SyncSite
from tests.harness.postgres import TestDatabase

FILTER = {"room": {"timeline": {"unread_thread_notifications": True}}}
Step = tuple[int, int, int]


class Story:
    """Ben and Cleo talk, Anna reads. The model knows what was said by whom in which thread, and what Anna did."""

    def __init__(self, database: Database) -> None:
        self.site = SyncSite(database)
        self.anna, self.ben, self.cleo = self.site.people("anna", "ben", "cleo")
        self.room = self.anna.public_room()
        for person in (self.ben, self.cleo):
            person.join(self.room)
        self.said: list[dict[str, Any]] = []
        self.read: dict[str, int] = {}
        self.muted = self.keyword = False
        self.ignored: set[str] = set()
        self.told: dict[str, tuple[int, int]] = {}
        self.anna.first_sync(filter=FILTER)
        self.actions = [self.say] * 6 + [self.receive] * 4 + [self.receipt] * 3 + [self.redact] * 2
        self.actions += [self.mute, self.word, self.ignore, self.forget, self.restart, self.mark_unread]

    def step(self, step: Step) -> None:
        """Do something."""
        action, a, b = step
        done = self.actions[action % len(self.actions)]
        note(f"{done.__name__} {a} {b}")
        done(a, b)

    def say(self, a: int, b: int) -> None:
        person = (self.ben, self.cleo, self.anna)[a % 3]
        content: dict[str, Any] = {}
        thread = "main"
        if self.said and b % 3:
            parent = self.said[b % len(self.said)]
            plain = not parent["related"]  # as the root of a thread has to be
            kind = "m.thread" if plain and b % 2 else "m.reference"
            content["m.relates_to"] = {"rel_type": kind, "event_id": parent["id"]}
            thread = parent["id"] if kind == "m.thread" else parent["thread"]
        if a % 4 == 1:
            content["m.mentions"] = {"user_ids": [self.anna.user_id]}
        body = ("tea", "cake")[a % 2]
        event_id = person.say(self.room, body, **content)
        event = {"id": event_id, "thread": thread, "sender": person.user_id, "body": body}
        related = "m.relates_to" in content
        self.said.append({**event, "related": related, "mention": a % 4 == 1, "redacted": False})

    def receive(self, a: int, b: int) -> None:
        told = self.anna.joined(self.room, filter=FILTER)
        if told:
            self.told = _counts(told)
        assert self.told == self.expected()

    def receipt(self, a: int, b: int) -> None:
        if not self.said:
            return
        place = a % len(self.said)
        event = self.said[place]
        thread = ("", event["thread"])[b % 2]
        kind = ("m.read", "m.read.private")[a % 2]
        body = {"thread_id": thread} if thread else {}
        assert self.anna.receipt(self.room, event["id"], kind, **body).status == 200
        self.read[thread] = max(place, self.read.get(thread, -1))

    def redact(self, a: int, b: int) -> None:
        if self.said:
            event = self.said[a % len(self.said)]
            self.anna.redact(self.room, event["id"])
            event["redacted"] = True

    def mute(self, a: int, b: int) -> None:
        path = f"{V3}/pushrules/global/override/mute"
        rule = {
            "conditions": [{"kind": "event_match", "key": "room_id", "pattern": self.room}],
            "actions": [],
        }
        reply = self.anna.here.delete(path) if self.muted else self.anna.here.put(path, rule)
        assert reply.status == 200
        self.muted = not self.muted

    def word(self, a: int, b: int) -> None:
        path = f"{V3}/pushrules/global/content/cake"
        rule = {"pattern": "c*ke", "actions": ["notify", {"set_tweak": "highlight"}]}
        reply = self.anna.here.delete(path) if self.keyword else self.anna.here.put(path, rule)
        assert reply.status == 200
        self.keyword = not self.keyword

    def ignore(self, a: int, b: int) -> None:
        self.ignored ^= {self.cleo.user_id}
        content: dict[str, Any] = {"ignored_users": {user_id: {} for user_id in self.ignored}}
        self.anna.put_account_data("m.ignored_user_list", content)

    def mark_unread(self, a: int, b: int) -> None:
        self.anna.put_account_data("m.marked_unread", {"unread": True}, self.room)

    def forget(self, a: int, b: int) -> None:
        self.site.forget()

    def restart(self, a: int, b: int) -> None:
        self.site.start()
        for person in (self.anna, self.ben, self.cleo):
            person.reconnect()

    def expected(self) -> dict[str, tuple[int, int]]:
        """The counts by thread, as the rules give them."""
        counts: dict[str, tuple[int, int]] = {}
        for place, event in enumerate(self.said):
            thread = event["thread"]
            if event["sender"] == self.anna.user_id:
                counts.pop(thread, None)
                continue
            read = max(self.read.get("", -1), self.read.get(thread, -1))
            if place <= read or event["redacted"] or self.muted or event["sender"] in self.ignored:
                continue
            was = counts.get(thread, (0, 0))
            highlight = event["mention"] or (self.keyword and event["body"] == "cake")
            counts[thread] = (was[0] + 1, was[1] + highlight)
        return counts


def _counts(room: Any) -> dict[str, tuple[int, int]]:
    told = {"main": room["unread_notifications"], **room["unread_thread_notifications"]}
    pairs = {each: (one["notification_count"], one["highlight_count"]) for each, one in told.items()}
    return {each: pair for each, pair in pairs.items() if pair != (0, 0)}


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(st.tuples(*[st.integers(0, 59)] * 3), min_size=5, max_size=40))
def test_counts_told_step_by_step_are_those_counted_anew(
    test_database: TestDatabase, database: Database, steps: list[Step]
) -> None:
    test_database.empty()
    story = Story(database)
    for step in steps:
        story.step(step)
    story.receive(0, 0)
    story.restart(0, 0)
    fresh = story.anna.first_sync(filter=FILTER)["rooms"]["join"][story.room]
    assert _counts(fresh) == story.expected()
