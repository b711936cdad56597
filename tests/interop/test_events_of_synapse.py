"""Redaction, hashes and event IDs are those of Synapse, for any event of any room version.

Two servers that disagree here can share no room.
"""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeserver.protocol.events.hashes import content_hash, reference_hash
from homeserver.protocol.events.parsing import parse_pdu
from homeserver.protocol.events.redaction import redact
from homeserver.protocol.room_versions import RoomVersion
from tests.harness.synapse import synapse_python
from tests.protocol.pdus import (
    EVENT_TYPES,
    KEPT_KEYS,
    canonical_values,
    event_of,
    lenient_values,
    texts,
    versions,
)

pytestmark = pytest.mark.interop

Ask = Callable[[str, dict[str, Any]], dict[str, Any]]

CONTENT_KEYS = [*KEPT_KEYS, "ban", "kick", "events", "users_default", "notifications", "room_version"]
TOP_LEVEL_KEYS = ["origin", "membership", "prev_state", "redacts", "org.example", "prev_content"]
THIRD_PARTY_INVITES: list[dict[str, Any]] = [
    {},
    {"third_party_invite": {}},
    {"third_party_invite": {"signed": {"a": 1}, "display_name": "x"}},
    {"third_party_invite": {"display_name": "x"}},
    {"third_party_invite": 3},
]


@pytest.fixture(scope="module")
def synapse() -> Iterator[Ask]:
    """Asks a process of Synapse's code what it makes of an event."""
    python = str(synapse_python())
    script = Path(__file__).with_name("synapse_events.py")
    with subprocess.Popen(
        [python, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        questions, answers = process.stdin, process.stdout

        def ask(version: str, pdu: dict[str, Any]) -> dict[str, Any]:
            questions.write(json.dumps({"version": version, "pdu": pdu}) + "\n")
            questions.flush()
            answer: dict[str, Any] = json.loads(answers.readline())
            return answer

        yield ask


@st.composite
def pdus(draw: st.DrawFn) -> tuple[RoomVersion, dict[str, Any]]:
    """Events with whatever redaction may look at, as lenient as the room version permits."""
    version = draw(versions)
    values = canonical_values if version.strict_canonical_json else lenient_values
    type = draw(st.sampled_from(EVENT_TYPES))
    content = draw(st.dictionaries(st.sampled_from(CONTENT_KEYS) | texts, values, max_size=8))
    content |= draw(st.sampled_from(THIRD_PARTY_INVITES))
    names_room = version.room_id_is_create_hash and type == "m.room.create"
    fields: dict[str, Any] = {"room_id": None, "state_key": ""} if names_room else {}
    others = draw(st.dictionaries(st.sampled_from(TOP_LEVEL_KEYS), st.text("ab"), max_size=4))
    return version, {**event_of(version, type=type, **fields).pdu, "content": content, **others}


@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(event=pdus())
def test_redaction_hashes_and_ids_agree(synapse: Ask, event: tuple[RoomVersion, dict[str, Any]]) -> None:
    version, pdu = event
    theirs = synapse(version.id, pdu)
    assert redact(pdu, version) == theirs["redacted"]
    assert content_hash(pdu, version).hex() == theirs["content_hash"]
    assert reference_hash(pdu, version).hex() == theirs["reference_hash"]
    assert parse_pdu(pdu, version).event_id == theirs["event_id"]
