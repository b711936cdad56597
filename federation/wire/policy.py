"""Asking a policy server to sign an event.

https://spec.matrix.org/v1.19/server-server-api/#post_matrixpolicyv1sign
"""

from typing import Final

from federation.wire.route import KIB, JsonObject, Route

_SECONDS: Final = 10.0
"""The room waits meanwhile."""

SIGN: Final = Route(
    "POST",
    "/_matrix/policy/v1/sign",
    JsonObject,
    body=JsonObject,
    max_answer_bytes=64 * KIB,
    timeout_s=_SECONDS,
)
UNSTABLE_SIGN: Final = Route(
    "POST",
    "/_matrix/policy/unstable/org.matrix.msc4284/sign",
    JsonObject,
    body=JsonObject,
    max_answer_bytes=64 * KIB,
    timeout_s=_SECONDS,
)
"""The same on servers from before it was specified."""
