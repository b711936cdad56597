"""A server that mails about unread messages, and the letterbox where the mails arrive."""

import re
from collections.abc import Mapping

from homeserver.app.outside import Outside
from homeserver.gateways.mail import Mail, MailFailed
from storage.database import Database
from tests.client_api.accounts_site import PASSWORD
from tests.client_api.push_site import PushSite
from tests.client_api.rooms_site import V3
from tests.client_api.sync_site import Syncer
from tests.harness.client import Reply

ADDRESS = "anna@post.example"
MINUTE = 60.0


class Letterbox:
    """A mail server of the outside world: it keeps what it is given, unless there is a `failure`."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self.failure: MailFailed | None = None

    async def send(self, mail: Mail) -> None:
        if self.failure is not None:
            raise self.failure
        self.mails.append(mail)

    def link(self) -> str:
        """The path behind the link in the last mail."""
        found = re.search(r"https://test(/\S+)", self.mails[-1].text)
        assert found is not None
        assert found[1].replace("&", "&amp;") in self.mails[-1].html
        return found[1]

    def take(self) -> list[Mail]:
        """The mails since the last call."""
        mails, self.mails = self.mails, []
        return mails


class MailSite(PushSite):
    """A mail is due after a minute, and rooms rest for a minute, or ten at most."""

    def __init__(self, database: Database, **mail: object) -> None:
        self.box = Letterbox()
        times = {"notification_delay": "1m", "notification_pause": "1m", "notification_longest_pause": "10m"}
        super().__init__(database, {"mail": {"host": "unused", **times, **mail}})

    def outside(self) -> Outside:
        """The network, and the letterbox."""
        there = super().outside()
        return Outside(there.reactor, there.resolver, there.services, self.box)

    def mailed(self, seconds: float = 2 * MINUTE) -> list[Mail]:
        """What arrives until some time has passed."""
        self.clock.advance(seconds)
        return self.box.take()

    def own(self, person: Syncer, address: str = ADDRESS) -> None:
        """Give somebody an address, by all that it takes."""
        body = {"client_secret": "s3cret", "email": address, "send_attempt": 1}
        reply = self.http.post(f"{V3}/account/3pid/email/requestToken", body)
        assert reply.status == 200, reply.text
        assert self.http.post(self.box.link(), b"").status == 200
        self.box.take()
        auth = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": person.user_id},
            "password": PASSWORD,
        }
        proof = {"sid": reply.json["sid"], "client_secret": "s3cret", "auth": auth}
        reply = person.here.post(f"{V3}/account/3pid/add", proof)
        assert reply.status == 200, reply.text


def try_mails(person: Syncer, address: str = ADDRESS, **changes: object) -> Reply:
    """Try to have mails."""
    body: Mapping[str, object] = {
        "kind": "email",
        "app_id": "m.email",
        "pushkey": address,
        "app_display_name": "Mails",
        "device_display_name": address,
        "lang": "en",
        "data": {},
        **changes,
    }
    return person.here.post(f"{V3}/pushers/set", body)


def two(site: MailSite, **wishes: object) -> tuple[Syncer, Syncer, str]:
    """Anna, who has mails, and Ben, in a room."""
    anna, ben = site.people("anna", "ben")
    room = ben.public_room(**{"name": "Mission Control", **wishes})
    anna.join(room)
    site.own(anna)
    reply = try_mails(anna)
    assert reply.status == 200, reply.text
    return anna, ben, room


def link_in(mail: Mail) -> str:
    """The path behind the link that ends the mails."""
    found = re.fullmatch(r"<https://test(/\S+)>", mail.headers["List-Unsubscribe"])
    assert found is not None
    return found[1]
