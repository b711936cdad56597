"""Errors carry their code and their body."""

import re

import pytest

from homeserver.protocol import errors
from homeserver.protocol.errors import (
    EventTooLarge,
    IncompatibleRoomVersion,
    InteractiveAuthRequired,
    InvalidEvent,
    LimitExceeded,
    MatrixError,
    UnknownToken,
    UserLocked,
)

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, MatrixError)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_has_a_code_and_something_to_say(kind: type[MatrixError]) -> None:
    assert re.fullmatch(r"M_[A-Z_]+", kind.errcode)
    assert kind.default_message
    assert kind.__doc__


def test_the_body_has_the_code_the_message_and_the_further_fields() -> None:
    error = MatrixError("No", reason="because")
    assert error.body() == {"errcode": "M_UNKNOWN", "error": "No", "reason": "because"}
    assert str(error) == "No"


def test_kinds_with_fields_put_them_into_the_body() -> None:
    assert LimitExceeded(retry_after_ms=5).body()["retry_after_ms"] == 5
    assert UnknownToken(soft_logout=True).body()["soft_logout"] is True
    assert UserLocked().body()["soft_logout"] is True
    assert IncompatibleRoomVersion(room_version="9").body()["room_version"] == "9"


def test_kinds_of_a_kind_share_its_code() -> None:
    assert InvalidEvent.errcode == "M_BAD_JSON"
    assert EventTooLarge.errcode == "M_TOO_LARGE"


def test_interactive_authentication_answers_with_the_session() -> None:
    assert InteractiveAuthRequired({"session": "x"}).body() == {"session": "x"}
