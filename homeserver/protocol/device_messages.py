"""How many of the messages that wait for a device are delivered in one answer.

Clients built on the Rust SDK take the room keys of one answer in together, and of two keys of one session the later
one stays, though it opens fewer messages (https://github.com/matrix-org/matrix-rust-sdk/issues/4227). A key is given
a second time, from a later message on, when both devices began an Olm session at the same time: the sender goes over
to that of the recipient, and does not know whether the key was understood in its own. So where a sender goes over
from a session that it began to another one, the next messages are left to the next answer. That is once a
conversation, and costs one request.

https://spec.matrix.org/v1.19/client-server-api/#molmv1curve25519-aes-sha2
"""

from collections.abc import Sequence
from typing import Any, Final

import orjson

_ENCRYPTED: Final = '"m.olm.v1.curve25519-aes-sha2"'
_BEGINS: Final = 0
"""The type of messages by which a session begins, until the sender has heard something in it."""


def delivered_together(messages: Sequence[str]) -> int:
    """How many of the first messages, which are events in JSON, may be in one answer; at least one of any."""
    if len(messages) < 2:
        return len(messages)
    began: set[str] = set()
    for count, text in enumerate(messages):
        if _ENCRYPTED not in text:
            continue
        sender_key, kinds = _olm(orjson.loads(text))
        if sender_key in began and kinds - {_BEGINS}:
            return count
        if _BEGINS in kinds:
            began.add(sender_key)
    return len(messages)


def _olm(event: Any) -> tuple[str, set[Any]]:
    """The device that encrypted a message, and the type of the ciphertext: for one device there is one."""
    content = event.get("content")
    ciphertext = content.get("ciphertext") if isinstance(content, dict) else None
    if not isinstance(ciphertext, dict):
        return "", set()
    parts = [part["type"] for part in ciphertext.values() if isinstance(part, dict) and "type" in part]
    return str(content.get("sender_key")), {kind for kind in parts if isinstance(kind, int)}
