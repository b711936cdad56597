"""Sending mails: what one is, and what sends it. How, is in `smtp`, which only servers import that send any."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


class MailFailed(Exception):
    """The mail server did not take a mail. The text says why, and is fit for a log. ``permanent``: it never will."""

    def __init__(self, why: str, *, permanent: bool) -> None:
        super().__init__(why)
        self.permanent = permanent


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail to one person, as text and as HTML."""

    to: str
    subject: str
    text: str
    html: str
    headers: Mapping[str, str] = field(default_factory=dict)


class Mailer(Protocol):
    """Sends mails."""

    async def send(self, mail: Mail) -> None:
        """Return when the mail server has taken the mail. Raises MailFailed."""
