"""What Element Call does with a server: delayed events by which who loses the connection leaves the call."""

from tests.harness.jssdk import Step, installed, session
from tests.harness.process import HomeserverProcess

STEPS = [
    "two people meet where everybody may call",
    "a delayed message comes, and a cancelled one does not",
    "who joins a call stays in it while the client is there",
    "who loses the connection leaves it",
]


def test_a_call_is_left_by_who_loses_the_connection(server: HomeserverProcess) -> None:
    assert session(installed(), server.url, script="calls.mjs") == [Step(name, "") for name in STEPS]
