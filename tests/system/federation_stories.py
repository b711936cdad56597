"""What people on two servers live through together: the same for any two implementations.

A module of tests derives from `FederationStories` and brings the fixtures `homes` and `version`.
"""

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol
from urllib.parse import quote

from tests.harness.live_client import V3, Json, LiveUser, eventually, room_path
from tests.system.load import Reading

PATIENCE_S = 120
_numbers = itertools.count(1)


class Home(Protocol):
    """A server process."""

    server_name: str

    def register(self, name: str) -> LiveUser: ...
    def launch(self) -> None: ...
    def start(self) -> float: ...
    def wait_until_ready(self) -> float: ...
    def stop(self) -> float: ...
    def kill(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Homes:
    """Two servers that can reach each other. Rooms are made `here`; `there` is the other side."""

    here: Home
    there: Home

    def people(self) -> tuple[LiveUser, LiveUser]:
        """Somebody new on each side."""
        number = next(_numbers)
        return self.here.register(f"ann{number}"), self.there.register(f"bea{number}")

    def room(self, version: str, **wishes: Any) -> tuple[LiveUser, LiveUser, str]:
        """A room made here, which somebody from there has joined."""
        ann, bea = self.people()
        room = ann.create(preset="public_chat", room_version=version, **wishes)
        assert bea.join(room, self.here.server_name) == room
        both = {ann.user_id, bea.user_id}
        eventually(
            lambda: ann.members(room) == bea.members(room) == both, PATIENCE_S, "the join on both sides"
        )
        return ann, bea, room


@contextmanager
def down(home: Home) -> Iterator[None]:
    """A server is killed, and comes back."""
    home.kill()
    try:
        yield
    finally:
        home.start()


class FederationStories:
    """Each test uses rooms and people of its own, and leaves both servers running."""

    def test_people_join_and_talk_both_ways_in_order(self, homes: Homes, version: str) -> None:
        ann, bea, room = homes.room(version)
        expected: list[str] = []
        for number in range(12):
            speaker, listener = (ann, bea) if number % 2 else (bea, ann)
            expected.append(f"message {number}")
            speaker.say(room, expected[-1])
            _all_see(expected, room, listener)
        _all_see(expected, room, ann, bea)

    def test_both_talk_at_once_and_nothing_is_lost(self, homes: Homes, version: str) -> None:
        ann, bea, room = homes.room(version)
        said = {user.user_id: [f"{user.user_id} {number}" for number in range(20)] for user in (ann, bea)}

        def talk(user: LiveUser) -> None:
            for text in said[user.user_id]:
                user.say(room, text)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(talk, (ann, bea)))

        def complete() -> bool:
            histories = [user.texts(room) for user in (ann, bea)]
            return all(
                len(texts) == 40 and [text for text in texts if text in own] == own
                for texts, own in itertools.product(histories, said.values())
            )

        eventually(complete, PATIENCE_S, "everything, in each one's order")

    def test_who_joins_reads_what_was_said_before(self, homes: Homes, version: str) -> None:
        ann, bea = homes.people()
        room = ann.create(preset="public_chat", room_version=version)
        earlier = [f"earlier {number}" for number in range(40)]
        for text in earlier:
            ann.say(room, text)
        bea.join(room, homes.here.server_name)
        _all_see(earlier, room, bea)
        history = bea.history(room)
        assert history[0]["type"] == "m.room.create"
        assert [each["event_id"] for each in history if each["type"] != "m.room.member"] == [
            each["event_id"] for each in ann.history(room) if each["type"] != "m.room.member"
        ]

    def test_an_invite_arrives_and_is_taken(self, homes: Homes, version: str) -> None:
        ann, bea = homes.people()
        room = ann.create(preset="private_chat", room_version=version, name="Garden")
        ann.say(room, "before the invite")
        ann.invite(room, bea.user_id)
        invite = eventually(lambda: _invites(bea).get(room), PATIENCE_S, "the invite")
        shown = {each["type"]: each["content"] for each in invite["invite_state"]["events"]}
        assert shown["m.room.name"] == {"name": "Garden"}
        bea.join(room)
        ann.say(room, "welcome")
        eventually(lambda: "welcome" in bea.texts(room), PATIENCE_S, "the welcome")
        bea.say(room, "thank you")
        eventually(lambda: "thank you" in ann.texts(room), PATIENCE_S, "the thanks")

    def test_an_invite_is_rejected(self, homes: Homes, version: str) -> None:
        ann, bea = homes.people()
        room = ann.create(preset="private_chat", room_version=version)
        ann.invite(room, bea.user_id)
        eventually(lambda: room in _invites(bea), PATIENCE_S, "the invite")
        bea.leave(room)
        assert room not in _invites(bea)
        eventually(lambda: _membership(ann, room, bea) == "leave", PATIENCE_S, "the rejection")

    def test_people_from_both_sides_are_in_rooms_of_both(self, homes: Homes, version: str) -> None:
        turned = Homes(homes.there, homes.here)
        for each in (homes, turned):
            ann, bea, room = each.room(version)
            bea.say(room, "hello")
            ann.say(room, "hello yourself")
            for person in (bea, ann):
                eventually(partial(_reads, person, room, ["hello", "hello yourself"]), PATIENCE_S)

    def test_who_left_comes_back(self, homes: Homes, version: str) -> None:
        ann, bea, room = homes.room(version)
        ann.say(room, "while Bea is there")
        _all_see(["while Bea is there"], room, bea)
        bea.leave(room)
        eventually(lambda: ann.members(room) == {ann.user_id}, PATIENCE_S, "who left")
        ann.say(room, "while Bea is away")
        bea.join(room, homes.here.server_name)
        ann.say(room, "after Bea came back")
        _all_see(["while Bea is there", "while Bea is away", "after Bea came back"], room, ann, bea)
        bea.say(room, "I am back")
        eventually(lambda: ann.texts(room)[-1] == "I am back", PATIENCE_S, "what Bea said")

    def test_state_redactions_and_receipts_cross_over(self, homes: Homes, version: str) -> None:
        ann, bea, room = homes.room(version)
        ann.set_state(room, "m.room.topic", {"topic": "Plants"})
        eventually(lambda: bea.state(room, "m.room.topic")["topic"] == "Plants", PATIENCE_S, "the topic")
        mistake = bea.say(room, "my password is swordfish")
        _all_see(["my password is swordfish"], room, ann)
        bea.redact(room, mistake)
        eventually(lambda: ann.texts(room) == [], PATIENCE_S, "the redaction")
        assert "swordfish" not in str(ann.http.call("GET", room_path(room, "event", mistake)))
        said = ann.say(room, "read this")
        _all_see(["read this"], room, bea)
        since = ann.sync()["next_batch"]
        bea.http.call("POST", room_path(room, "receipt", "m.read", said), {})
        receipt = _ephemeral(ann, room, "m.receipt", since)
        assert bea.user_id in receipt[said]["m.read"]
        since = bea.sync()["next_batch"]
        ann.http.call("PUT", room_path(room, "typing", ann.user_id), {"typing": True, "timeout": 30_000})
        assert _ephemeral(bea, room, "m.typing", since) == {"user_ids": [ann.user_id]}

    def test_names_and_aliases_are_found_on_the_other_side(self, homes: Homes, version: str) -> None:
        ann, bea = homes.people()
        name = f"garden{next(_numbers)}"
        ann.http.call("PUT", f"{V3}/profile/{quote(ann.user_id)}/displayname", {"displayname": "Ann A."})
        room = ann.create(preset="public_chat", room_version=version, room_alias_name=name)
        alias = f"#{name}:{homes.here.server_name}"
        found = bea.http.call("GET", f"{V3}/directory/room/{quote(alias, safe='')}")
        assert (found["room_id"], homes.here.server_name in found["servers"]) == (room, True)
        assert bea.http.call("GET", f"{V3}/profile/{quote(ann.user_id)}")["displayname"] == "Ann A."
        assert bea.join(alias) == room
        eventually(lambda: _displayname(bea, room, ann) == "Ann A.", PATIENCE_S, "her name")
        ann.http.call("PUT", f"{V3}/profile/{quote(ann.user_id)}/displayname", {"displayname": "Ann B."})
        eventually(lambda: _displayname(bea, room, ann) == "Ann B.", PATIENCE_S, "her new name")

    def test_a_server_that_was_down_catches_up(self, homes: Homes, version: str) -> None:
        ann, bea, room = homes.room(version)
        reading = Reading(bea)
        reading.advance(_plainly, 0)
        with down(homes.there):
            missed = {ann.say(room, f"missed {number}"): f"missed {number}" for number in range(30)}
        _all_see(list(missed.values()), room, bea)
        _reads_on(reading, room, list(missed))
        bea.say(room, "I am back")
        _all_see([*missed.values(), "I am back"], room, ann)

    def test_the_server_that_made_the_room_was_down(self, homes: Homes, version: str) -> None:
        ann, bea, room = homes.room(version)
        reading = Reading(ann)
        reading.advance(_plainly, 0)
        with down(homes.here):
            missed = {bea.say(room, f"missed {number}"): f"missed {number}" for number in range(30)}
        _all_see(list(missed.values()), room, ann)
        _reads_on(reading, room, list(missed))
        ann.say(room, "I am back")
        _all_see([*missed.values(), "I am back"], room, bea)

    def test_servers_restart_in_any_order(self, homes: Homes, version: str) -> None:
        ann, bea, room = homes.room(version)
        expected = ["both servers have reached", "each other before"]
        ann.say(room, expected[0])
        _all_see(expected[:1], room, bea)
        bea.say(room, expected[1])
        _all_see(expected, room, ann)
        for number, order in enumerate(itertools.permutations((homes.here, homes.there))):
            first, second = order
            speaker = ann if second is homes.here else bea
            first.kill()
            expected.append(f"said while the first was down {number}")
            speaker.say(room, expected[-1])
            second.stop()  # with what it owes still owed
            first.start()
            second.start()
            _all_see(expected, room, ann, bea)
            for user in (ann, bea):
                expected.append(f"{user.user_id} {number}")
                user.say(room, expected[-1])
                _all_see(expected, room, ann, bea)


def _all_see(expected: list[str], room: str, *users: LiveUser) -> None:
    for user in users:
        eventually(partial(_sees, user, room, expected), PATIENCE_S, f"{user.user_id} to see it all")


def _sees(user: LiveUser, room: str, expected: list[str]) -> bool:
    found = user.texts(room)
    assert found == expected
    return True


def _reads_on(reading: Reading, room: str, event_ids: list[str]) -> None:
    """From the token of before, sync shows these events, each once and in order."""
    before = len(reading.seen[room])

    def read() -> bool:
        reading.advance(_plainly, 0)
        found = [event for event in reading.seen[room][before:] if event in event_ids]
        assert found == event_ids
        return True

    eventually(read, PATIENCE_S, "what was missed, by sync")


def _plainly(action: Callable[[], Json]) -> Json:
    return action()


def _reads(user: LiveUser, room: str, texts: list[str]) -> bool:
    """Whether these are the texts of a room, in any order."""
    return sorted(user.texts(room)) == texts


def _invites(user: LiveUser) -> dict[str, Json]:
    invites: dict[str, Json] = user.sync().get("rooms", {}).get("invite", {})
    return invites


def _membership(reader: LiveUser, room: str, user: LiveUser) -> str:
    return str(reader.state(room, "m.room.member", user.user_id)["membership"])


def _displayname(reader: LiveUser, room: str, user: LiveUser) -> object:
    return reader.state(room, "m.room.member", user.user_id).get("displayname")


def _ephemeral(user: LiveUser, room: str, kind: str, since: str) -> Json:
    """The content of the next ephemeral event of this type, if it is not empty."""
    token = since

    def arrived() -> Json | None:
        nonlocal token
        answer = user.sync(token, 1000)
        token = answer["next_batch"]
        update = answer.get("rooms", {}).get("join", {}).get(room, {})
        for event in update.get("ephemeral", {}).get("events", []):
            if event["type"] == kind and any(event["content"].values()):
                return dict(event["content"])
        return None

    found: Json = eventually(arrived, PATIENCE_S, kind)
    return found
