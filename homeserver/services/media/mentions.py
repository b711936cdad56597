"""The addresses of files that the text of an event has.

https://spec.matrix.org/v1.19/client-server-api/#matrix-content-mxc-uris
"""

import re
from collections.abc import Iterator
from typing import Final

from homeserver.protocol.identifiers import MediaID, ServerName, is_server_name
from homeserver.services.media.model import MediaName

_ADDRESS: Final = re.compile(
    r"mxc://([A-Za-z0-9.:\[\]-]{1,255})/([A-Za-z0-9_-]{1,255})(?![A-Za-z0-9_-])", re.ASCII
)


def names_in(json: str) -> Iterator[MediaName]:
    """Each address in the canonical JSON of an event, once."""
    for origin, media_id in dict.fromkeys(_ADDRESS.findall(json)):
        if is_server_name(origin):
            yield MediaName(ServerName(origin), MediaID(media_id))
