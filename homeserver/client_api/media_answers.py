"""How content is given over HTTP: its headers, parts of it, and that the client has it already.

https://datatracker.ietf.org/doc/html/rfc9110#name-range-requests
"""

import re
from typing import Final

from homeserver.http.encoding import HeaderPairs, Response, Stream, encode_json
from homeserver.http.request import Request
from homeserver.protocol.content_disposition import disposition
from homeserver.services.media.downloads import Downloads
from homeserver.services.media.model import Shown

# https://spec.matrix.org/v1.19/client-server-api/#content-repository
_SAFE: Final[HeaderPairs] = (
    (
        "Content-Security-Policy",
        "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; "
        "style-src 'unsafe-inline'; media-src 'self'; object-src 'self';",
    ),
    ("Cross-Origin-Resource-Policy", "cross-origin"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Robots-Tag", "noindex, nofollow, noarchive, noimageindex"),
    ("Accept-Ranges", "bytes"),
)
_FRESH_S: Final = 86_400
"""Content never changes, but it may be taken away."""
_RANGE: Final = re.compile(r"bytes[ \t]*=[ \t]*(\d{0,18})[ \t]*-[ \t]*(\d{0,18})[ \t]*", re.IGNORECASE)


class Unsatisfiable(Exception):
    """The client asks for a part that is not there."""


async def content_answer(
    downloads: Downloads,
    shown: Shown,
    request: Request,
    filename: str | None = None,
    *,
    redirect: bool = True,
) -> Response | Stream:
    """Answer with content, or a part of it, under its own name or another one; or with where it is, if that is a place
    for clients and they may be sent there (`redirect`). Raises NotFound.
    """
    etag = f'"{shown.sha256[:40]}"'
    disposed = disposition(shown.content_type, filename or shown.filename)
    headers = (
        ("Content-Type", shown.content_type),
        ("Content-Disposition", disposed),
        ("ETag", etag),
        ("Cache-Control", f"{'private' if shown.private else 'public'}, max-age={_FRESH_S}, immutable"),
        *_SAFE,
    )
    if _has_it(request, etag):
        return Response(304, headers, b"")
    url = downloads.public_url(shown, disposed) if redirect else None
    if url is not None:
        return Response(307, (("Location", url), ("Cross-Origin-Resource-Policy", "cross-origin")))
    try:
        part = wanted_part(request, shown.size, etag)
    except Unsatisfiable:
        return _no_such_part(shown.size)
    if part is None:
        return Stream(await downloads.open(shown, 0, shown.size), 200, headers, shown.size)
    first, last = part
    reading = await downloads.open(shown, first, last - first + 1)
    of_all = ("Content-Range", f"bytes {first}-{last}/{shown.size}")
    return Stream(reading, 206, (*headers, of_all), last - first + 1)


def wanted_part(request: Request, size: int, etag: str) -> tuple[int, int] | None:
    """The first and the last byte that a request wants; None for all of them. Raises Unsatisfiable."""
    values = request.header("range")
    condition = request.header("if-range")
    found = _RANGE.fullmatch(values[-1]) if values else None
    if found is None or (condition and condition[-1].strip() != etag):
        return None  # what is not understood is ignored, several ranges among it
    first, last = found[1], found[2]
    if not first and not last:
        return None
    if not first:
        begin, end = max(0, size - int(last)), size - 1
    else:
        begin, end = int(first), min(int(last) if last else size - 1, size - 1)
        if last and int(last) < begin:
            return None
    if begin > end:
        raise Unsatisfiable
    return begin, end


def _has_it(request: Request, etag: str) -> bool:
    known = [
        each.strip().removeprefix("W/")
        for value in request.header("if-none-match")
        for each in value.split(",")
    ]
    return etag in known or "*" in known


def _no_such_part(size: int) -> Response:
    body = {"errcode": "M_INVALID_PARAM", "error": f"The content has {size} bytes"}
    return Response(416, (("Content-Range", f"bytes */{size}"),), encode_json(body))
