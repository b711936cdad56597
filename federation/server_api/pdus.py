"""Answers made of events: their bytes are at hand, so they are put together and not encoded again."""

from collections.abc import Iterable

import orjson

from homeserver.protocol.events.event import Event


def array(events: Iterable[Event]) -> bytes:
    """The PDUs as a JSON array."""
    return b"[%b]" % b",".join(event.encoded() for event in events)


def json_object(**fields: bytes) -> bytes:
    """A JSON object of fields that are JSON already."""
    return b"{%b}" % b",".join(b'"%b":%b' % (name.encode(), value) for name, value in fields.items())


def text(value: str) -> bytes:
    """A text as JSON."""
    return orjson.dumps(value)
