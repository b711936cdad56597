"""Mails by SMTP, to the one server that the operator names: https://www.rfc-editor.org/rfc/rfc5321

Imported only where mails are sent: Twisted's SMTP and the standard library's e-mail take memory.
"""

from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from io import BytesIO
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.mail.smtp import ESMTPSenderFactory, SMTPClientError

from config.mail import MailConfig
from homeserver.clock import Clock, Randomness
from homeserver.gateways.mail import Mail, MailFailed
from homeserver.gateways.tls import ClientTls

_PERMANENT: Final = range(500, 600)
_LINES: Final = SMTP.clone(linesep="\n")
"""The client makes its own ends of lines."""


class SmtpMailer:
    """Sends each mail over a connection of its own."""

    def __init__(self, reactor: Any, config: MailConfig, clock: Clock, random: Randomness) -> None:
        authorities = None if config.ca_file is None else config.ca_file.read_bytes()
        self._reactor = reactor
        self._config = config
        self._host = config.host or ""
        self._tls = ClientTls(authorities, verify=config.verify_tls)
        self._clock = clock
        self._random = random

    async def send(self, mail: Mail) -> None:
        """Hand a mail over. Raises MailFailed."""
        data = self._composed(mail).as_bytes(policy=_LINES)
        try:
            await self._handed_over(mail.to, data)
        except SMTPClientError as error:
            text = (error.resp or b"").decode("utf-8", "replace")[:200]
            raise MailFailed(f"{error.code} {text}", permanent=error.code in _PERMANENT) from error
        except Exception as error:
            raise MailFailed(str(error)[:200] or type(error).__name__, permanent=False) from error

    def _composed(self, mail: Mail) -> EmailMessage:
        domain = parseaddr(self._config.sender)[1].rpartition("@")[2]
        message = EmailMessage(policy=_LINES)
        message["From"] = self._config.sender
        message["To"] = mail.to
        message["Subject"] = " ".join(mail.subject.split())
        message["Date"] = format_datetime(datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC))
        message["Message-ID"] = f"<{self._random.token(18)}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"
        for name, value in mail.headers.items():
            message[name] = value
        message.set_content(mail.text)
        message.add_alternative(mail.html, subtype="html")
        return message

    async def _handed_over(self, to: str, data: bytes) -> None:
        config, seconds = self._config, self._config.timeout_ms / 1000
        done: Deferred[object] = Deferred()
        tls: Any = None if config.security == "none" else self._tls.expecting(self._host)
        factory = ESMTPSenderFactory(
            None if config.username is None else config.username.encode(),
            None if config.password is None else config.password.encode(),
            parseaddr(config.sender)[1],
            to,
            BytesIO(data),
            done,
            retries=0,
            timeout=seconds,
            contextFactory=tls,
            heloFallback=config.security == "none",
            requireAuthentication=config.username is not None,
            requireTransportSecurity=config.security == "starttls",
            hostname=self._host,
        )
        if config.security == "tls":
            connector = self._reactor.connectSSL(self._host, config.port, factory, tls, seconds)
        else:
            connector = self._reactor.connectTCP(self._host, config.port, factory, seconds)
        timer = self._clock.call_later(seconds, _give_up, factory, connector, done)
        try:
            await done
        finally:
            if timer.active():
                timer.cancel()


def _give_up(factory: Any, connector: Any, done: Deferred[object]) -> None:
    factory.sendFinished = True
    connector.disconnect()
    if not done.called:
        done.errback(TimeoutError("the mail server took too long"))
