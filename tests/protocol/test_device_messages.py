"""Which messages to a device are delivered together."""

import json
from typing import Any

import pytest

from homeserver.protocol.device_messages import delivered_together

OLM = "m.olm.v1.curve25519-aes-sha2"


def encrypted(sender_key: str, kind: object) -> str:
    """A message by Olm; the kind 0 begins a session."""
    ciphertext = {"curve": {"type": kind, "body": "..."}}
    return event({"algorithm": OLM, "sender_key": sender_key, "ciphertext": ciphertext})


def event(content: Any) -> str:
    return json.dumps({"sender": "@a:b", "type": "m.room.encrypted", "content": content})


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([], 0),
        ([("A", 0)], 1),
        ([("A", 1), ("A", 1), ("A", 1)], 3),
        ([("A", 0), ("A", 0), ("A", 0)], 3),
        ([("A", 1), ("A", 0), ("B", 1)], 3),
        ([("A", 0), ("A", 1)], 1),
        ([("A", 0), ("B", 1), ("A", 0), ("A", 1), ("B", 1)], 3),
        ([("A", 0), ("B", 0), ("B", 1), ("A", 1)], 2),
    ],
)
def test_an_answer_ends_where_a_sender_leaves_the_session_that_it_began(
    messages: list[tuple[str, int]], expected: int
) -> None:
    assert delivered_together([encrypted(*each) for each in messages]) == expected


@pytest.mark.parametrize(
    "content",
    [
        None,
        {"algorithm": OLM},
        {"algorithm": OLM, "ciphertext": "text"},
        {"algorithm": OLM, "sender_key": ["A"], "ciphertext": {"curve": None, "other": {"type": None}}},
        {"algorithm": OLM, "sender_key": "A", "ciphertext": {"curve": {"type": "1"}}},
    ],
)
def test_what_is_no_message_of_olm_is_passed_over(content: Any) -> None:
    assert delivered_together([encrypted("A", 0), event(content), encrypted("B", 1)]) == 3
