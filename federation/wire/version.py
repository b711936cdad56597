"""Which software a server runs, and to where it delegates.

https://spec.matrix.org/v1.19/server-server-api/#server-implementation
"""

from typing import Final

import msgspec

from federation.wire.route import KIB, Route


class Software(msgspec.Struct, frozen=True):
    """A name and a version, both arbitrary."""

    name: str = ""
    version: str = ""


class ServerVersion(msgspec.Struct, frozen=True):
    """The answer of `GET /version`."""

    server: Software = Software()


class WellKnown(msgspec.Struct, frozen=True):
    """https://spec.matrix.org/v1.19/server-server-api/#getwell-knownmatrixserver"""

    server: str = msgspec.field(name="m.server")


VERSION: Final = Route(
    "GET", "/_matrix/federation/v1/version", ServerVersion, signed=False, max_answer_bytes=64 * KIB
)
WELL_KNOWN: Final = Route(
    "GET", "/.well-known/matrix/server", WellKnown, signed=False, max_answer_bytes=50 * KIB, timeout_s=10.0
)
