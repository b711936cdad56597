"""Under which name, and whether to be shown or saved, content is given: the header Content-Disposition.

https://datatracker.ietf.org/doc/html/rfc6266 and https://datatracker.ietf.org/doc/html/rfc8187
"""

import re
from typing import Final
from urllib.parse import quote, unquote

# https://spec.matrix.org/v1.19/client-server-api/#serving-inline-content
INLINE: Final = frozenset(
    (
        *("text/css", "text/plain", "text/csv", "application/json", "application/ld+json"),
        *("image/jpeg", "image/gif", "image/png", "image/apng", "image/webp", "image/avif"),
        *("video/mp4", "video/webm", "video/ogg", "video/quicktime"),
        *("audio/mp4", "audio/webm", "audio/aac", "audio/mpeg", "audio/ogg", "audio/wave", "audio/wav"),
        *("audio/x-wav", "audio/x-pn-wav", "audio/flac", "audio/x-flac"),
    )
)
UNKNOWN_TYPE: Final = "application/octet-stream"
MAX_FILENAME: Final = 255
"""Characters."""
_MAX_TYPE: Final = 255
_TYPE: Final = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(?:[ \t]*;[ -~]*)?")
_PLAIN: Final = re.compile(r"[ !#-\[\]-~]*")  # ASCII that can be seen, without quotes and backslashes
_UNSEEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_PARAMETER: Final = re.compile(
    r';[ \t]*([A-Za-z0-9!#$&+.^_`|~-]+\*?)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))'
)


def content_type(declared: str | None) -> str:
    """A content type as it was declared, if it is one."""
    text = (declared or "").strip()
    return text if len(text) <= _MAX_TYPE and _TYPE.fullmatch(text) else UNKNOWN_TYPE


def essence(media_type: str) -> str:
    """A content type without its parameters."""
    return media_type.partition(";")[0].strip().lower()


def filename(declared: str | None) -> str | None:
    """A file name as it was given, without what no name has; None when nothing is left of it."""
    return _UNSEEN.sub("", declared or "").strip()[:MAX_FILENAME] or None


def disposition(media_type: str, name: str | None) -> str:
    """The header for content of a type: shown only if the type cannot run anything."""
    kind = "inline" if essence(media_type) in INLINE else "attachment"
    if name is None:
        return kind
    if _PLAIN.fullmatch(name):
        return f'{kind}; filename="{name}"'
    return f"{kind}; filename*=utf-8''{quote(name, safe='')}"


def filename_in(header: str | None) -> str | None:
    """The file name in another server's header, whichever way it is written there."""
    found: dict[str, str] = {}
    for name, quoted, bare in _PARAMETER.findall(header or ""):
        found.setdefault(name.lower(), re.sub(r"\\(.)", r"\1", quoted) or bare)
    extended = found.get("filename*", "")
    charset, _, rest = extended.partition("'")
    encoded = rest.partition("'")[2]
    if encoded and charset.lower() in ("utf-8", "iso-8859-1"):
        return filename(unquote(encoded, encoding=charset, errors="replace"))
    return filename(found.get("filename"))
