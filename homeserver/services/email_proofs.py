"""Proving that one reads the mails to an address: a mail with a link, and a page behind it with a button.

A proof is for one purpose, known by the client's secret, good for a day and used once. The link alone proves nothing:
programs that look at links in mails press no buttons.

https://spec.matrix.org/v1.19/client-server-api/#adding-account-administrative-contact-information
"""

import hashlib
import re
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final
from urllib.parse import urlencode

import structlog

from homeserver.clock import Clock, Randomness
from homeserver.gateways.mail import Mail, Mailer, MailFailed
from homeserver.protocol.errors import BadGateway, InvalidParam, LimitExceeded
from homeserver.protocol.identifiers import ServerName
from homeserver.templates.rendering import rendered
from storage.database import Database
from storage.tables.threepids import EmailProofs as StoredProofs
from storage.tables.threepids import GivenProof
from storage.transaction import Transaction

log = structlog.get_logger(__name__)

EMAIL: Final = "email"
LIFETIME_MS: Final = 24 * 3_600_000
MAILS_AN_HOUR: Final = 5
"""To one address, whoever asks for them."""
CONFIRM_PATH: Final = "/_meridian/email/confirm"
_HOUR_MS: Final = 3_600_000
_ADDRESS: Final = re.compile(r"[^@\s<>()\[\],;:\\\"\x00-\x1f\x7f]{1,64}@[A-Za-z0-9.-]{1,189}")
_SECRET: Final = re.compile(r"[0-9A-Za-z.=_-]{1,255}")


class Purpose(Enum):
    """What a proof is for: how it is on record, and how the mail says it."""

    REGISTRATION = "registration"
    ADDING = "adding"
    PASSWORD = "password"

    @property
    def says(self) -> str:
        """What happens with the confirmation."""
        return {
            Purpose.REGISTRATION: "make an account",
            Purpose.ADDING: "add this address to an account",
            Purpose.PASSWORD: "set a new password for an account",
        }[self]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client asks for: a mail to an address, for the ``attempt``-th time."""

    purpose: Purpose
    address: str
    client_secret: str
    attempt: int


class EmailProofs:
    """Sends the mails and keeps the proofs."""

    def __init__(
        self,
        server: tuple[ServerName, str],
        database: Database,
        mailer: Mailer,
        clock: Clock,
        random: Randomness,
    ) -> None:
        """``server``: its name, and where clients reach it."""
        self._server_name, self._base_url = server
        self._database = database
        self._mailer = mailer
        self._clock = clock
        self._random = random

    async def ask(self, asked: Asked) -> str:
        """Send a mail, unless this one was sent already; the ID of the proof. Raises InvalidParam, LimitExceeded,
        BadGateway.
        """
        if not _SECRET.fullmatch(asked.client_secret):
            raise InvalidParam("`client_secret` is not one")
        now, token, new_sid = self._clock.now_ms(), self._random.token(32), self._random.token(18)

        def begin(tx: Transaction) -> tuple[str, bool]:
            table = StoredProofs(tx)
            table.expire(now - LIFETIME_MS)
            secret = hash_of(asked.client_secret)
            known = table.under_way(asked.purpose.value, asked.address, secret, now - LIFETIME_MS)
            if known is not None and asked.attempt <= known.send_attempt:
                return known.sid, False
            if table.mails_to(asked.address, now - _HOUR_MS) >= MAILS_AN_HOUR:
                raise LimitExceeded("Too many mails to this address", retry_after_ms=_HOUR_MS)
            sid = new_sid if known is None else known.sid
            purpose = asked.purpose.value
            table.put(sid, purpose, asked.address, secret, hash_of(token), asked.attempt, now)
            return sid, True

        sid, fresh = await self._database.transact(begin)
        if fresh:
            await self._send(asked, sid, token)
        return sid

    async def confirm(self, sid: str, token: str) -> bool:
        """Somebody pressed the button behind the link of a mail; False if the link is not good, or not any more."""
        now = self._clock.now_ms()
        if "\0" in sid:
            return False
        return bool(
            await self._database.transact(
                lambda tx: StoredProofs(tx).validate(sid, hash_of(token), now, now - LIFETIME_MS)
            )
        )

    async def take(self, purpose: Purpose, sid: object, client_secret: object) -> GivenProof | None:
        """The address that was proven, once; None where nothing was."""
        if not isinstance(sid, str) or not isinstance(client_secret, str) or "\0" in sid:
            return None
        since = self._clock.now_ms() - LIFETIME_MS
        secret = hash_of(client_secret)
        return await self._database.transact(
            lambda tx: StoredProofs(tx).take(sid, purpose.value, secret, since)
        )

    async def _send(self, asked: Asked, sid: str, token: str) -> None:
        link = f"{self._base_url.rstrip('/')}{CONFIRM_PATH}?{urlencode({'sid': sid, 'token': token})}"
        values: dict[str, Any] = {"server_name": self._server_name, "link": link, "says": asked.purpose.says}
        mail = Mail(
            to=asked.address,
            subject=f"Confirm your address for {self._server_name}",
            text=rendered("mail_confirm.txt.j2", **values),
            html=rendered("mail_confirm.html.j2", **values),
        )
        try:
            await self._mailer.send(mail)
        except MailFailed as failure:
            log.warning("a mail was not sent", why=str(failure))
            raise BadGateway("The mail could not be sent") from None


def checked_address(address: str) -> str:
    """An e-mail address as it is kept. Raises InvalidParam for what is none."""
    if not _ADDRESS.fullmatch(address) or not address.isascii():
        raise InvalidParam("Not an e-mail address that we can write to")
    return address.lower()


def hash_of(secret: str) -> bytes:
    """The hash under which a secret or a token is kept."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
