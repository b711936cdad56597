import inspect
import json

import pytest

from homeserver.http.errors import STATUS, error_response, status_of
from homeserver.protocol import errors
from homeserver.protocol.errors import (
    Forbidden,
    InteractiveAuthRequired,
    LimitExceeded,
    MatrixError,
    UnknownToken,
    WrongRoomKeysVersion,
)

KINDS = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, MatrixError)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_of_error_has_a_status_of_its_own(kind: type[MatrixError]) -> None:
    assert 400 <= STATUS[kind] <= 599


def test_a_refined_kind_has_the_status_of_what_it_refines() -> None:
    class NotAuthorised(Forbidden):
        pass

    assert status_of(NotAuthorised) == 403


def test_the_body_has_code_message_and_further_fields() -> None:
    response = error_response(UnknownToken("Gone", soft_logout=True))
    assert response.status == 401
    assert json.loads(response.body) == {"errcode": "M_UNKNOWN_TOKEN", "error": "Gone", "soft_logout": True}


def test_further_fields_reach_the_client() -> None:
    assert (
        json.loads(error_response(WrongRoomKeysVersion(current_version="42")).body)["current_version"] == "42"
    )


def test_whoever_is_limited_is_told_when_to_come_back() -> None:
    response = error_response(LimitExceeded(retry_after_ms=1200))
    assert response.headers == (("Retry-After", "2"),)
    assert json.loads(response.body)["retry_after_ms"] == 1200


def test_interactive_authentication_answers_with_its_session() -> None:
    response = error_response(InteractiveAuthRequired({"flows": [], "session": "s"}))
    assert (response.status, json.loads(response.body)) == (401, {"flows": [], "session": "s"})
