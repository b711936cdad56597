"""matrix-js-sdk, the library under Element, does with our server what a person's client does."""

from tests.harness.jssdk import Step, installed, session
from tests.harness.process import HomeserverProcess

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
    assert session(server.url, installed()) == [Step(name, "") for name in STEPS]
