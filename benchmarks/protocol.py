"""What the pure part of the way of an event costs, in microseconds of one core.

`python -m benchmarks.protocol` prints the median of several rounds for each step, beside the libraries that the steps
replace.
"""

import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

from canonicaljson import encode_canonical_json
from signedjson.key import decode_verify_key_bytes
from signedjson.sign import verify_signed_json

from homeserver.protocol.canonical_json import check_canonical, decode, encode_canonical
from homeserver.protocol.events.building import build_event
from homeserver.protocol.events.client_format import client_event_bytes
from homeserver.protocol.events.content import PowerLevels
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.hashes import check_content_hash
from homeserver.protocol.events.parsing import parse_pdu
from homeserver.protocol.events.redaction import redact
from homeserver.protocol.events.signing import verify_event
from homeserver.protocol.identifiers import EventID, RoomID, ServerName, UserID, parse_user_id
from homeserver.protocol.room_versions import room_version
from homeserver.protocol.signing_keys import SigningKey

VERSION = room_version("12")
SERVER = ServerName("example.org")
KEY = SigningKey("a_bench", bytes(range(32)))
KEYS = {KEY.key_id: KEY.verify_key}
SIGNEDJSON_KEY = decode_verify_key_bytes(KEY.key_id, KEY.verify_key.public)


def message(content: dict[str, Any]) -> Event:
    """A message as a busy room has it: one predecessor, two auth events."""
    return build_event(
        VERSION,
        room_id=RoomID("!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM"),
        sender=UserID("@alice:example.org"),
        type="m.room.message",
        content=content,
        prev_events=[EventID("$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg")],
        auth_events=[
            EventID("$w4YJkqBnOHLvPzPkYp0iXwMzBDuWpPUlSRcGvkUqkqI"),
            EventID("$a4ecee13e2accdadf56c1025a4ecee13e2accdadf56"),
        ],
        depth=1234,
        origin_server_ts=1_700_000_000_000,
        server_name=SERVER,
        signing_key=KEY,
    )


SMALL = {"msgtype": "m.text", "body": "hello there, how are you today?"}
LARGE = {"msgtype": "m.text", "body": "lorem ipsum dolor sit amet " * 2000}
NESTED = {"relates": [{"user": f"@user{i}:example.org", "level": i, "on": True} for i in range(400)]}


def steps() -> dict[str, Callable[[], object]]:
    """The steps measured, by what the table calls them."""
    small, large, nested = message(SMALL), message(LARGE), message(NESTED)
    redacted = redact(small.pdu, VERSION)
    levels = Event(
        {**small.pdu, "content": {"users": {f"@user{i}:example.org": i for i in range(1000)}}},
        VERSION,
        small.event_id,
    )
    measured: dict[str, Callable[[], object]] = {
        "build_event, small": lambda: message(SMALL),
        "build_event, 64 KB": lambda: message(LARGE),
        "build_event, nested": lambda: message(NESTED),
        "sign 300 bytes": lambda: KEY.sign(b"x" * 300),
        "parse_pdu, small": lambda: parse_pdu(small.pdu, VERSION),
        "parse_pdu, 64 KB": lambda: parse_pdu(large.pdu, VERSION),
        "parse_pdu, nested": lambda: parse_pdu(nested.pdu, VERSION),
        "Event.from_trusted": lambda: Event.from_trusted(small.pdu, VERSION, small.event_id),
        "check_content_hash, small": lambda: check_content_hash(small),
        "verify_event": lambda: verify_event(small, SERVER, KEYS),
        "  signedjson": lambda: verify_signed_json(redacted, SERVER, SIGNEDJSON_KEY),
        "client_event_bytes, small": lambda: client_event_bytes(small),
        "check_canonical, nested": lambda: check_canonical(nested.pdu),
        "power level of a user": lambda: PowerLevels.of(VERSION, levels, None).user("@user500:example.org"),
        "parse_user_id": lambda: parse_user_id("@alice:example.org"),
    }
    for name, event in {"small": small, "64 KB": large, "nested": nested}.items():
        measured[f"encode_canonical, {name}"] = partial(encode_canonical, event.pdu)
        measured[f"  canonicaljson, {name}"] = partial(encode_canonical_json, event.pdu)
        measured[f"decode, {name}"] = partial(decode, event.encoded())
    return measured


def microseconds(step: Callable[[], object], rounds: int = 7, seconds: float = 0.03) -> float:
    """The median cost of a step over several rounds of about so many seconds each."""
    step()
    begin = time.process_time()
    step()
    times = max(1, int(seconds / max(time.process_time() - begin, 1e-6)))
    costs = []
    for _ in range(rounds):
        begin = time.process_time()
        for _ in range(times):
            step()
        costs.append((time.process_time() - begin) / times)
    return median(costs) * 1e6


def main() -> None:
    """Print the table."""
    for name, step in steps().items():
        sys.stdout.write(f"{name:32} {microseconds(step):10.2f} us\n")


if __name__ == "__main__":
    main()
