"""Presence as values: the states, and what the devices of a user make of them together.

https://spec.matrix.org/v1.19/client-server-api/#presence, and busy by
https://github.com/matrix-org/matrix-spec-proposals/pull/3026
"""

from collections.abc import Iterable
from typing import Final

ONLINE: Final = "online"
UNAVAILABLE: Final = "unavailable"
OFFLINE: Final = "offline"
BUSY: Final = "org.matrix.msc3026.busy"

_RANKS: Final = {OFFLINE: 0, UNAVAILABLE: 1, ONLINE: 2, BUSY: 3}
_NAMES: Final = {**dict(zip(_RANKS, _RANKS, strict=True)), "busy": BUSY}


def parse_presence(name: str) -> str | None:
    """The state that a client or a server means; None for what is none."""
    return _NAMES.get(name)


def merged(states: Iterable[str]) -> str:
    """The state of a user whose devices are in these: whoever is busy on one device is busy, and whoever is online on
    one is online. Without a device, offline.
    """
    return max(states, key=_RANKS.__getitem__, default=OFFLINE)
