"""The signature of a request: what is signed, and the header that carries it.

https://spec.matrix.org/v1.19/server-server-api/#request-authentication
"""

import orjson

from homeserver.protocol.signing_keys import SigningKey


def signed_request(
    method: str, target: str, origin: str, destination: str | None, content: bytes | None
) -> bytes:
    """Return the canonical JSON over which a request's signature is made.

    `target` is the path with its query as it goes over the wire; `content` is the canonical JSON of the body, None
    when the request has none; `destination` is None for a header of an older server, which does not name it.
    """
    pieces = [] if content is None else [b'"content":' + content]
    if destination is not None:
        pieces.append(b'"destination":' + orjson.dumps(destination))
    pieces += (
        b'"method":' + orjson.dumps(method),
        b'"origin":' + orjson.dumps(origin),
        b'"uri":' + orjson.dumps(target),
    )
    return b"{" + b",".join(pieces) + b"}"


def authorization(
    key: SigningKey, method: str, target: str, origin: str, destination: str, content: bytes | None
) -> str:
    """Sign a request, and return the value of its `Authorization` header."""
    signature = key.sign(signed_request(method, target, origin, destination, content))
    return f'X-Matrix origin="{origin}",destination="{destination}",key="{key.key_id}",sig="{signature}"'
