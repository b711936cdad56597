"""A mail server (aiosmtpd) on loopback, in a thread of its own: it keeps the mails that it is given."""

import ssl
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from tests.harness.certificates import Authority
from tests.harness.process import HOST, free_port

USER, SECRET = "meridian", "open sesame"


class MailServer:
    """It takes mails from who logs in, over TLS: from the first byte, or by STARTTLS."""

    def __init__(self, folder: Path, authority: Authority, *, starttls: bool = True) -> None:
        self.port = free_port()
        self.mails: list[EmailMessage] = []
        self.logins: list[bool] = []
        certificate, private_key = authority.leaf(["localhost", HOST]).write(folder)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, private_key)
        here: dict[str, Any] = {"hostname": HOST, "port": self.port}
        if not starttls:
            here["ssl_context"] = context
        login: dict[str, Any] = {
            "authenticator": self._login,
            "auth_required": True,
            "auth_require_tls": starttls,
        }
        if starttls:
            login |= {"tls_context": context, "require_starttls": True}
        self._controller = Controller(self, server_hostname="localhost", **here, **login)

    def start(self) -> "MailServer":
        """Listen."""
        self._controller.start()
        return self

    def stop(self) -> None:
        """Listen no more."""
        self._controller.stop()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """A mail has come."""
        mail = message_from_bytes(envelope.content, policy=default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 OK"

    def _login(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        right = (data.login, data.password) == (USER.encode(), SECRET.encode())
        self.logins.append(right)
        return AuthResult(success=right)
