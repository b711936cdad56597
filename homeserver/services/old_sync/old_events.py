"""Events as the first clients know them: what is in `unsigned` today stood beside the content then.

https://spec.matrix.org/legacy/client_server/r0.0.0.html#get-matrix-client-r0-initialsync
"""

from collections.abc import Iterable
from typing import Any, Final

import orjson

Content = dict[str, Any]

_BESIDE: Final = ("age", "prev_content", "replaces_state", "redacted_because")


def old_event(rendered: bytes) -> Content:
    """A rendered event with the sender as `user_id`, and the keys of `unsigned` outside of it too."""
    event: Content = orjson.loads(rendered)
    event["user_id"] = event["sender"]
    unsigned = event.get("unsigned", {})
    event.update({key: unsigned[key] for key in _BESIDE if key in unsigned})
    return event


def old_events(rendered: Iterable[bytes]) -> list[Content]:
    """Several of them."""
    return [old_event(each) for each in rendered]


def of_room(rendered: Iterable[bytes], room_id: str) -> list[Content]:
    """Events that are no part of a room's history, with the room that they belong to."""
    return [{**orjson.loads(each), "room_id": room_id} for each in rendered]
