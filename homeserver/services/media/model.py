"""What the parts of the media repository say to each other."""

from dataclasses import dataclass

from homeserver.protocol.identifiers import MediaID, ServerName


@dataclass(frozen=True, slots=True)
class MediaName:
    """What an address names: `mxc://origin/media_id`."""

    origin: ServerName
    media_id: MediaID

    def __str__(self) -> str:
        return f"mxc://{self.origin}/{self.media_id}"


@dataclass(frozen=True, slots=True)
class Shown:
    """Content as it is given to somebody: its bytes (by hash, size and file), type and name.

    `private` tells that whoever asks has to say who they are.
    """

    sha256: str
    size: int
    file: str
    content_type: str
    filename: str | None
    private: bool = True
