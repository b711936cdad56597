"""Mail."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from config.fields import setting
from config.values import Milliseconds, check_base_url

_SENDER = re.compile(r"(?:[^<>\r\n@]* <)?[^<>\s@,;]+@[^<>\s@,;]+>?")


def check_sender(text: str) -> None:
    """Refuse what is neither an address nor a name with one."""
    if not text.isascii() or not _SENDER.fullmatch(text) or ("<" in text) != text.endswith(">"):
        raise ValueError(f"expected an address such as Example <noreply@example.org>, got {text!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class MailConfig:
    """The server that takes our mails. Without `host` none are sent, and users have no e-mail addresses."""

    host: str | None = setting(
        "The mail server (SMTP). Absent: no mails.", default=None, example="smtp.example.org"
    )
    port: int = setting("Its port: mostly 587, for `tls` 465.", default=587, minimum=1, maximum=65_535)
    security: Literal["starttls", "tls", "none"] = setting(
        "`starttls`: the connection is encrypted after a word of greeting, or not used. `tls`: from the first byte. "
        "`none`: not at all, for a server on this machine.",
        default="starttls",
    )
    verify_tls: bool = setting(
        "Check its certificate. Off: anyone on the way can read the mails and the password.", default=True
    )
    ca_file: Path | None = setting(
        "PEM file of certificate authorities to trust besides the system's.",
        default=None,
        must_exist=True,
        example="ca.pem",
    )
    username: str | None = setting("How to log in there. Absent: not.", default=None, example="meridian")
    password: str | None = setting("The password for that.", default=None, secret=True, example="change-me")
    sender: str = setting(
        "From whom mails are.",
        default="Matrix <noreply@localhost>",
        check=check_sender,
        example="Example <noreply@example.org>",
    )
    timeout_ms: Milliseconds = setting(
        "How long the mail server may take for one mail.", default=Milliseconds(30_000), minimum=1_000
    )
    required_for_registration: bool = setting(
        "Let people register only with an e-mail address.", default=False
    )
    notifications: bool = setting(
        "Send mails about unread messages to users who want them in their client's settings.", default=True
    )
    notification_content: bool = setting(
        "Say in them who wrote what. Off: only in which rooms something waits. Of encrypted rooms they never say more.",
        default=True,
    )
    notification_delay_ms: Milliseconds = setting(
        "What is read within so long is not mailed.", default=Milliseconds(600_000), minimum=1_000
    )
    notification_pause_ms: Milliseconds = setting(
        "After a mail about a room there is none for so long; four times as long after each further one, until the "
        "user reads the room.",
        default=Milliseconds(600_000),
        minimum=1_000,
    )
    notification_longest_pause_ms: Milliseconds = setting(
        "But not for longer than this.", default=Milliseconds(24 * 3_600_000), minimum=1_000
    )
    client_base_url: str | None = setting(
        "The web client that links in mails lead to. Absent: matrix.to, where everybody chooses their own.",
        default=None,
        check=check_base_url,
        example="https://app.example.org/",
    )

    def __post_init__(self) -> None:
        if (self.username is None) != (self.password is None):
            raise ValueError("`username` and `password` belong together")
        if self.username is not None and self.security == "none":
            raise ValueError("a `password` is not sent without encryption: set `security`")
