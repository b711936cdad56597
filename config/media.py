"""Uploaded files."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from config.fields import setting
from config.values import ByteSize, Milliseconds, check_base_url


def check_day(text: str) -> None:
    """Refuse what is not a day."""
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text) is None:
        raise ValueError(f"expected a day such as 2024-09-01 (in quotes), got {text!r}")
    datetime.fromisoformat(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class ThumbnailConfig:
    """Thumbnails of pictures, made when somebody asks for one, by processes of their own."""

    processes: int = setting(
        "How many pictures one node works on at a time. A process is started when it is needed and ends after a "
        "minute without work.",
        default=2,
        minimum=1,
        maximum=64,
    )
    max_pixels: int = setting(
        "The largest picture, in pixels of all its frames together, of which thumbnails are made.",
        default=100_000_000,
        minimum=1_000_000,
        maximum=10_000_000_000,
    )
    memory_bytes: ByteSize = setting(
        "The most memory that one process may take, and as much again for ffmpeg; a file that needs more gets no "
        "thumbnail.",
        default=ByteSize(10**9),
        minimum=256 * 10**6,
    )
    timeout_ms: Milliseconds = setting(
        "The longest that one file may take; after that its process is ended.",
        default=Milliseconds(20_000),
        minimum=1_000,
        maximum=600_000,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FfmpegConfig:
    """Thumbnails of films, and what films and recordings are, by ffmpeg."""

    use: Literal["auto", "always", "never"] = setting(
        "`auto`: if it is installed. `always`: the server does not start without it. Without it everything else works.",
        default="auto",
    )
    program: str = setting("Its path, or its name where it is in `PATH`.", default="ffmpeg")


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlPreviewConfig:
    """Previews of pages that are linked in messages."""

    enabled: bool = setting(
        "Fetch pages for clients that want to show what a link leads to. Off by default: it lets every user have "
        "this server ask any address of the public Internet, which learns the server's address by it. What must not "
        "be asked is said by `federation.deny_networks`: every network that is not public, unless you change it.",
        default=False,
    )
    allow_hosts: tuple[str, ...] = setting(
        "Hosts that alone are asked, with * and ?. Absent: all hosts but those of `deny_hosts`.",
        default=(),
        example='["*.wikipedia.org"]',
    )
    deny_hosts: tuple[str, ...] = setting(
        "Hosts that are never asked, with * and ?.", default=(), example='["*.intranet.example.org"]'
    )
    accept_language: str = setting("The languages that pages are asked for in.", default="en")
    max_page_bytes: ByteSize = setting(
        "How much of a page is read; what comes after it is not looked at.",
        default=ByteSize(1_000_000),
        minimum=10_000,
        maximum=20 * 10**6,
    )
    max_image_bytes: ByteSize = setting(
        "The largest picture of a page that is kept.", default=ByteSize(10 * 10**6), minimum=0
    )
    lifetime_ms: Milliseconds = setting(
        "How long a preview is kept, and its picture with it.",
        default=Milliseconds(24 * 3_600_000),
        minimum=60_000,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Config:
    """An S3-compatible store that keeps the files in place of the disk."""

    bucket: str | None = setting(
        "The bucket, which must be there already. Absent: files are kept on the disk.",
        default=None,
        example="media",
    )
    endpoint: str | None = setting(
        "Where the store is. Absent: Amazon's, for the region.",
        default=None,
        check=check_base_url,
        example="https://s3.example.org",
    )
    region: str = setting("Its region.", default="us-east-1")
    access_key_id: str | None = setting(
        "The key's ID. Absent: as botocore finds it (environment, instance role).",
        default=None,
        example="meridian",
    )
    secret_access_key: str | None = setting("The key.", default=None, secret=True, example="change-me")
    prefix: str = setting("What all names in the bucket begin with.", default="", example='"media/"')
    path_style: bool = setting(
        "Write the bucket into the path of URLs, not into the host name; most stores but Amazon's need it.",
        default=True,
    )
    connections: int = setting(
        "How many requests to the store this node makes at a time.", default=16, minimum=1, maximum=500
    )
    presigned_lifetime_ms: Milliseconds | None = setting(
        "Send clients to the store itself, with URLs that are good for so long. Absent: files go through the server.",
        default=None,
        minimum=10_000,
        maximum=7 * 24 * 3_600_000,
        example="5m",
    )
    cdn_base_url: str | None = setting(
        "Send clients here, to `<cdn_base_url>/<name>`, where a CDN has what the bucket has. Whoever has such a URL "
        "has the file: let the CDN check who asks, or keep nothing secret in media.",
        default=None,
        check=check_base_url,
        example="https://cdn.example.org/media/",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaConfig:
    """Uploaded files."""

    path: Path = setting(
        "Where files are kept.",
        derive=lambda values: values["data_dir"] / "media",
        derived="<data_dir>/media",
        example="data/media",
    )
    max_upload_bytes: ByteSize = setting(
        "The largest file that a user may upload.", default=ByteSize(100 * 10**6), minimum=0
    )
    max_remote_bytes: ByteSize = setting(
        "The largest file of another server that is fetched for our users.",
        default=ByteSize(100 * 10**6),
        minimum=0,
    )
    max_user_bytes: ByteSize | None = setting(
        "How much all that one user uploaded may take together. Absent: as much as there is room for.",
        default=None,
        minimum=0,
        example="10GB",
    )
    max_server_bytes: ByteSize | None = setting(
        "When all files of this server, copies and thumbnails too, take so much, users may bring no more. It is looked "
        "up once a minute. Absent: as much as there is room for.",
        default=None,
        minimum=0,
        example="500GB",
    )
    remote_cache_bytes: ByteSize = setting(
        "How much copies of other servers' files may take; the least recently used give way, and are fetched again "
        "when somebody wants them.",
        default=ByteSize(20 * 10**9),
        minimum=0,
    )
    remote_lifetime_ms: Milliseconds | None = setting(
        "A copy that nobody used for so long is deleted. Absent: only when room is needed.",
        default=None,
        minimum=3_600_000,
        example="30d",
    )
    local_lifetime_ms: Milliseconds | None = setting(
        "A file of our users that nobody downloaded for so long is deleted, unless it is an avatar, protected or in "
        "quarantine: people then miss it in their rooms. Absent: files stay.",
        default=None,
        minimum=3_600_000,
        example="730d",
    )
    redacted_lifetime_ms: Milliseconds = setting(
        "When all events that showed a user's file were redacted, and it is nobody's avatar, the file is deleted after "
        "so long. What encrypted events show is not known to the server, and stays.",
        default=Milliseconds(7 * 24 * 3_600_000),
        minimum=60_000,
    )
    max_pending_uploads: int = setting(
        "How many addresses of content that is still to be uploaded a user may have at a time.",
        default=10,
        minimum=1,
        maximum=10_000,
    )
    pending_lifetime_ms: Milliseconds = setting(
        "How long such an address waits for its content.",
        default=Milliseconds(24 * 3_600_000),
        minimum=60_000,
    )
    unauthenticated_before: str | None = setting(
        "A day, in UTC. Files that came to this server before it may be downloaded without an access token, through "
        "the old endpoints; what came later is only for users and other servers that say who they are. Absent: "
        "nothing is given without a token.",
        default=None,
        check=check_day,
        example='"2024-09-01"',
    )
    thumbnails: ThumbnailConfig = setting("Thumbnails of pictures.")
    ffmpeg: FfmpegConfig = setting("Films and recordings.")
    url_previews: UrlPreviewConfig = setting("Previews of linked pages.")
    s3: S3Config = setting("A store that keeps the files.")

    @property
    def unauthenticated_before_ms(self) -> int:
        """That day's beginning in milliseconds since the epoch; 0 when nothing is given without a token."""
        if self.unauthenticated_before is None:
            return 0
        day = datetime.fromisoformat(self.unauthenticated_before).replace(tzinfo=UTC)
        return int(day.timestamp() * 1000)
