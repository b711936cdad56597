"""matrix-js-sdk, the library under Element, does with our server what a person's client does."""

from pathlib import Path

from tests.harness.jssdk import Step, installed, session
from tests.harness.postgres import TestServer
from tests.harness.process import HomeserverProcess, running

STEPS = [
    "register and log in",
    "create, invite, join",
    "talk both ways while both wait",
    "page back through history",
    "redact",
    "type and read",
    "names, tags and account data",
    "leave and log out",
]


def test_two_people_meet(server: HomeserverProcess) -> None:
    assert session(installed(), server.url) == [Step(name, "") for name in STEPS]


RELATING_STEPS = [
    "edits are shown",
    "reactions are counted, once a person",
    "a thread is shown on both sides",
    "who comes later lists threads and sees edits",
    "what is redacted leaves its thread",
]


def test_people_edit_react_and_talk_in_threads(server: HomeserverProcess) -> None:
    steps = session(installed(), server.url, script="relations.mjs")
    assert steps == [Step(name, "") for name in RELATING_STEPS]


SPACE_STEPS = [
    "a space shows its rooms before one is in them",
    "a card of a room is shown",
    "who is in the space enters its restricted room",
    "a room is upgraded, and who was in it follows",
]


def test_people_gather_rooms_in_a_space_and_move_on(server: HomeserverProcess) -> None:
    steps = session(installed(), server.url, script="spaces.mjs")
    assert steps == [Step(name, "") for name in SPACE_STEPS]


ENCRYPTED_STEPS = [
    "two people with two devices each",
    "an encrypted room is read on all devices",
    "cross-signing, secret storage and a key backup are set up",
    "devices verify each other",
    "a new device restores the backup and reads the history",
    "somebody who joins later reads what is said from then on",
    "a device that is removed gets no further keys",
    "nothing is undecryptable",
]


def test_people_talk_in_secret(server: HomeserverProcess) -> None:
    """With the Rust crypto that Element has."""
    steps = session(installed(), server.url, script="encrypted.mjs")
    assert steps == [Step(name, "") for name in ENCRYPTED_STEPS]


SLIDING_STEPS = [
    "a list shows the latest rooms first",
    "an invite comes and is accepted",
    "a room that is subscribed to comes whole",
    "typing, receipts, account data and messages to the device arrive",
    "the position is handed on",
]
SLIDING_STEPS_AFTER = ["the position is good after a restart", "a client that begins anew sees everything"]


def test_a_person_slides_through_rooms(tmp_path: Path, postgres: TestServer) -> None:
    """With the class of sliding sync, over a restart of the server."""
    made = HomeserverProcess(tmp_path / "server", postgres.create_database())
    handed_on = str(tmp_path / "handed-on.json")
    for part, expected in (("before", SLIDING_STEPS), ("after", SLIDING_STEPS_AFTER)):
        with running(made):
            steps = session(installed(), made.url, part, handed_on, script="sliding.mjs")
        assert steps == [Step(name, "") for name in expected]
