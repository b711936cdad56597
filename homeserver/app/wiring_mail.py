"""Construction of what sends mails, where the operator named a mail server."""

from homeserver.app.core import Core
from homeserver.app.outside import Outside
from homeserver.gateways.mail import Mailer


def mailer_of(core: Core, outside: Outside) -> Mailer | None:
    """What sends mails; None where none are sent, and then nothing of it is imported either."""
    if core.config.mail.host is None:
        return None
    if outside.mailer is not None:
        return outside.mailer
    from homeserver.gateways.smtp import SmtpMailer

    return SmtpMailer(outside.reactor, core.config.mail, core.clock, core.random)
