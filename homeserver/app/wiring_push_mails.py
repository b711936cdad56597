"""Construction of mails about what users have not read."""

from dataclasses import dataclass

from homeserver.app.core import Core
from homeserver.background.push_mailer import PushMailer
from homeserver.client_api.unsubscribe import UnsubscribeApi
from homeserver.gateways.mail import Mailer
from homeserver.http.endpoint import BoundEndpoint, collect
from homeserver.services.push.describing import Describer
from homeserver.services.push.digests import Digests, DigestStyle
from homeserver.services.push.mail_news import MailNews
from homeserver.services.push.mail_pacing import Pacing
from homeserver.services.push.mails import MailPost, PushMails
from homeserver.services.push.unsubscribing import Unsubscribing
from storage.leases import Leases


@dataclass(frozen=True, slots=True)
class PushMailing:
    """The endpoints, which are there as long as mails are sent at all, and the work, unless that is switched off."""

    mails: PushMails
    work: PushMailer
    enabled: bool
    endpoints: list[BoundEndpoint]

    def start(self) -> None:
        """Begin to mail."""
        if self.enabled:
            self.work.start()

    async def stop(self) -> None:
        """Mail no more."""
        await self.work.stop()


def build_push_mails(
    core: Core, mailer: Mailer, news: MailNews, describer: Describer, leases: Leases
) -> PushMailing:
    """Construct it."""
    config, database, clock = core.config.mail, core.database, core.clock
    pacing = Pacing(
        config.notification_delay_ms, config.notification_pause_ms, config.notification_longest_pause_ms
    )
    style = DigestStyle(core.server_name, config.client_base_url, config.notification_content)
    unsubscribing = Unsubscribing(database, core.config.public_baseurl, clock, core.random)
    post = MailPost(Digests(describer, style), unsubscribing, mailer)
    mails = PushMails(database, news, pacing, post, clock)
    return PushMailing(
        mails=mails,
        work=PushMailer(mails, leases, clock),
        enabled=config.notifications,
        endpoints=collect(UnsubscribeApi(core.server_name, unsubscribing)),
    )
