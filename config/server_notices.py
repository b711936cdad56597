"""What the server itself tells its users."""

import re
from dataclasses import dataclass

from config.fields import setting

_LOCALPART = re.compile(r"[a-z0-9._=/+-]{1,200}")
_MXC = re.compile(r"mxc://[^/\s]+/[A-Za-z0-9_-]+")


def check_localpart(text: str) -> None:
    """Refuse what cannot stand between @ and the colon."""
    if not _LOCALPART.fullmatch(text):
        raise ValueError(f"expected the localpart of a user ID, such as notices, got {text!r}")


def check_mxc(text: str) -> None:
    """Refuse what is no address of a file."""
    if not _MXC.fullmatch(text):
        raise ValueError(f"expected the address of a file, such as mxc://example.org/abc, got {text!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerNoticesConfig:
    """Notices that administrators send to users of this server, each in a room of the user's own."""

    enabled: bool = setting("Let administrators send notices.", default=True)
    localpart: str = setting(
        "The name of the user that sends them, an account that nobody can log in to. It is made with the first notice; "
        "nobody can register it. Under another name users get new rooms.",
        default="_server",
        check=check_localpart,
    )
    display_name: str = setting("How that user is called.", default="Server notices")
    avatar_url: str | None = setting(
        "The picture of that user and of the rooms.",
        default=None,
        check=check_mxc,
        example="mxc://example.org/picture",
    )
    room_name: str = setting("How the rooms are called.", default="Server notices")
    auto_join: bool = setting(
        "Put users into their room, instead of inviting them, which is what the specification recommends.",
        default=False,
    )
