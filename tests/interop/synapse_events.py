"""Run by Synapse's Python, not by ours: says what Synapse makes of the events on its standard
input.

A line of input is `{"version": …, "pdu": …}`, a line of output the answer to it.
"""

import copy
import hashlib
import json
import sys
from typing import Any

from synapse.api.room_versions import KNOWN_ROOM_VERSIONS
from synapse.crypto.event_signing import (
    compute_content_hash,
    compute_event_reference_hash,
)
from synapse.federation.federation_base import (
    event_from_pdu_json,
)
from synapse.synapse_rust.events import redact_event_dict


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """The redacted event, its hashes and its ID."""
    version = KNOWN_ROOM_VERSIONS[question["version"]]
    pdu = question["pdu"]
    redacted = redact_event_dict(version, copy.deepcopy(pdu))
    event = event_from_pdu_json(copy.deepcopy(pdu), version)
    return {
        "redacted": {key: value for key, value in redacted.items() if key != "unsigned"},
        "event_id": event.event_id,
        "content_hash": compute_content_hash(copy.deepcopy(pdu), hashlib.sha256)[1].hex(),
        "reference_hash": compute_event_reference_hash(event)[1].hex(),
    }


for line in sys.stdin:
    sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
    sys.stdout.flush()
