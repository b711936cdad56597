"""Mails over a real mail server, with TLS and a password."""

import re
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from tests.harness.certificates import Authority
from tests.harness.live_client import V3, LiveUser, Requests, eventually
from tests.harness.mail_server import SECRET, USER, MailServer
from tests.harness.process import HomeserverProcess
from tests.system.conftest import MakeServer

Setup = Callable[..., tuple[MailServer, HomeserverProcess]]


@pytest.fixture
def setup(folder: Path, make_server: MakeServer, authority: Authority) -> Iterator[Setup]:
    """Starts a mail server, and a server that sends over it."""
    started: list[MailServer] = []

    def start(security: str = "starttls", **changes: Any) -> tuple[MailServer, HomeserverProcess]:
        mails = MailServer(folder, authority, starttls=security == "starttls").start()
        started.append(mails)
        mail = {
            "host": "localhost",
            "port": mails.port,
            "security": security,
            "username": USER,
            "password": SECRET,
            "sender": "System <noreply@system.test>",
            "ca_file": str(authority.write(folder / "authority.pem")),
            "timeout": "10s",
        }
        wanted = {name: value for name, value in {**mail, **changes}.items() if value is not None}
        server: HomeserverProcess = make_server(settings={"mail": wanted})
        server.start()
        return mails, server

    yield start
    for mails in started:
        mails.stop()


def ask(server: HomeserverProcess) -> tuple[int, Any]:
    body = {"client_secret": "s3cret", "email": "anna@post.example", "send_attempt": 1}
    return Requests(server.url).request("POST", f"{V3}/register/email/requestToken", body)


def text_of(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content())


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_somebody_registers_by_a_mail(setup: Setup, security: str) -> None:
    mails, server = setup(security)
    status, answer = ask(server)
    assert status == 200, answer
    (mail,) = mails.mails
    assert (mail["From"], mail["To"]) == ("System <noreply@system.test>", "anna@post.example")
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"]
    found = re.search(rf"{re.escape(server.url)}(/\S+)", text_of(mail, "plain"))
    assert found is not None
    assert "anna" not in text_of(mail, "html"), "whoever asks for the mail says nothing in it"
    http = Requests(server.url)
    assert http.request("GET", found[1])[0] == 200
    assert http.request("POST", found[1])[0] == 200
    credentials = {"sid": answer["sid"], "client_secret": "s3cret"}
    auth = {"type": "m.login.email.identity", "threepid_creds": credentials}
    status, answer = http.request(
        "POST", f"{V3}/register", {"username": "anna", "password": "correct horse", "auth": auth}
    )
    assert status == 200, answer


def test_a_wrong_password_is_no_success(setup: Setup) -> None:
    mails, server = setup(password="guess")
    assert ask(server)[0] == 502
    assert (mails.mails, set(mails.logins)) == ([], {False})


def test_the_password_is_not_told_to_who_has_no_good_certificate(setup: Setup) -> None:
    mails, server = setup(ca_file=None)
    assert ask(server)[0] == 502
    assert (mails.mails, mails.logins) == ([], [])


def own(server: HomeserverProcess, mails: MailServer, user: LiveUser, address: str) -> None:
    """Give somebody an address."""
    http = Requests(server.url)
    body = {"client_secret": "s3cret", "email": address, "send_attempt": 1}
    status, answer = http.request("POST", f"{V3}/account/3pid/email/requestToken", body)
    assert status == 200, answer
    found = re.search(rf"{re.escape(server.url)}(/\S+)", text_of(mails.mails.pop(), "plain"))
    assert found is not None
    assert http.request("POST", found[1])[0] == 200
    auth = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": user.user_id},
        "password": "correct horse battery",
    }
    proof = {"sid": answer["sid"], "client_secret": "s3cret", "auth": auth}
    user.http.call("POST", f"{V3}/account/3pid/add", proof)


def test_unread_messages_are_mailed_although_the_server_is_killed_meanwhile(setup: Setup) -> None:
    mails, server = setup(notification_delay="1s")
    anna, ben = server.register("anna"), server.register("ben")
    own(server, mails, anna, "anna@post.example")
    pusher = {"app_display_name": "Mails", "device_display_name": "Mails", "lang": "en", "data": {}}
    pusher |= {"kind": "email", "app_id": "m.email", "pushkey": "anna@post.example"}
    anna.http.call("POST", f"{V3}/pushers/set", pusher)
    room = ben.create(preset="public_chat", name="Bücherei")
    anna.join(room)
    ben.say(room, "Schöne Grüße")
    server.kill()
    server.start()
    eventually(lambda: bool(mails.mails), 60, "a mail about what was not read")
    (mail,) = mails.mails
    assert mail["To"] == "anna@post.example"
    assert mail["Subject"].endswith("1 unread message in Bücherei")
    for kind in ("plain", "html"):
        assert "Schöne Grüße" in text_of(mail, kind)
    link = str(mail["List-Unsubscribe"])
    assert link.startswith(f"<{server.url}/"), "whole, although it is long"
    assert mail["List-Unsubscribe-Post"] is None, "without TLS programs are not asked to press buttons"
    path = link.strip("<>").removeprefix(server.url)
    assert Requests(server.url).request("POST", path)[0] == 200
    assert anna.http.call("GET", f"{V3}/pushers") == {"pushers": []}
