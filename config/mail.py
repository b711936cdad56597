"""Mail."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from config.fields import setting
from config.values import Milliseconds

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

    def __post_init__(self) -> None:
        if (self.username is None) != (self.password is None):
            raise ValueError("`username` and `password` belong together")
        if self.username is not None and self.security == "none":
            raise ValueError("a `password` is not sent without encryption: set `security`")
