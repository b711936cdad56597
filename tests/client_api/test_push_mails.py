"""Mails about what users have not read.

https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3pushersset
"""

from typing import Any

import pytest

from homeserver.gateways.mail import MailFailed
from storage.database import Database
from tests.client_api.mail_site import ADDRESS, MINUTE, MailSite, link_in, try_mails, two
from tests.client_api.push_site import pushers_of
from tests.client_api.rooms_site import V3, room_path
from tests.client_api.sync_site import Syncer

OFF: dict[str, Any] = {"org.matrix.msc3881.enabled": False}


@pytest.fixture
def site(database: Database) -> MailSite:
    return MailSite(database)


def read(person: Syncer, room: str, event_id: str) -> None:
    assert person.here.post(room_path(room, "receipt", "m.read", event_id), {}).status == 200


def test_what_waits_is_gathered_into_one_mail(site: MailSite) -> None:
    anna, ben, room = two(site)
    assert ben.here.put(f"{V3}/profile/{ben.user_id}/displayname", {"displayname": "Major Tom"}).status == 200
    other = ben.create(preset="private_chat", is_direct=True, invite=[anna.user_id])
    first, _ = ben.say(room, "Ground Control?"), ben.say(room, "My spaceship knows which way to go")
    assert site.mailed(30) == [], "it may still be read"
    (mail,) = site.mailed()
    assert mail.to == ADDRESS
    assert mail.subject == "[test] 3 unread messages in 2 rooms"
    for body in (mail.text, mail.html):
        assert "Mission Control" in body
        assert body.index("Ground Control?") < body.index("My spaceship knows which way to go")
        assert "Major Tom" in body
        assert f"https://matrix.to/#/%21{other[1:]}?via=test" in body.replace("%3A", ":").replace(
            "&amp;", "&"
        )
        assert "invited you" in body
    assert first[1:] in mail.html
    assert site.mailed(10 * MINUTE) == [], "each is mailed once"


def test_what_was_read_is_not_mailed(site: MailSite) -> None:
    anna, ben, room = two(site)
    read(anna, room, ben.say(room, "hello"))
    assert site.mailed() == []
    ben.say(room, "one more")
    (mail,) = site.mailed()
    assert "one more" in mail.text
    assert "hello" not in mail.text


def test_redacted_messages_ignored_people_muted_rooms_and_rooms_that_were_left_are_not_mailed(
    site: MailSite,
) -> None:
    anna, ben, room = two(site)
    carl = site.person("carl")
    carl.join(room)
    muted, left = (ben.public_room(name=name) for name in ("Muted", "Left"))
    for each in (muted, left):
        anna.join(each)
        ben.say(each, "unheard")
    struck = ben.say(room, "struck")
    carl.say(room, "ignored")
    assert ben.here.put(room_path(room, "redact", struck, "r1"), {}).status == 200
    ignored: dict[str, Any] = {"ignored_users": {carl.user_id: {}}}
    path = f"{V3}/user/{anna.user_id}/account_data/m.ignored_user_list"
    assert anna.here.put(path, ignored).status == 200
    assert anna.here.put(f"{V3}/pushrules/global/room/{muted}", {"actions": []}).status == 200
    assert anna.here.post(room_path(left, "leave"), {}).status == 200
    assert site.mailed() == []
    ben.say(room, "heard")
    (mail,) = site.mailed()
    assert "heard" in mail.text
    assert not any(word in mail.text for word in ("unheard", "struck", "ignored"))


def test_of_encrypted_rooms_nothing_is_said_but_that_there_is_a_message(site: MailSite) -> None:
    _, ben, room = two(site)
    content = {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "AwgAEnAC", "session_id": "s", "body": "x"}
    assert ben.here.put(room_path(room, "send", "m.room.encrypted", "e1"), content).status == 200
    (mail,) = site.mailed()
    for body in (mail.text, mail.html):
        assert "There is a message." in body
        assert "AwgAEnAC" not in body
        assert "@ben" not in body


def test_the_operator_may_keep_what_was_said_out_of_mails(database: Database) -> None:
    site = MailSite(database, notification_content=False, client_base_url="https://app.test/web/")
    _, ben, room = two(site)
    ben.say(room, "secret")
    (mail,) = site.mailed()
    assert "There is a message." in mail.text
    assert "secret" not in mail.text + mail.html
    assert f"https://app.test/web/#/room/%21{room[1:5]}" in mail.text


def test_others_words_are_no_markup_and_make_no_lines(site: MailSite) -> None:
    _, ben, room = two(site, name="<b>Room</b>\r\nBcc: eve@post.example")
    name = "\u202eTom <script>\n== Bank =="
    assert ben.here.put(f"{V3}/profile/{ben.user_id}/displayname", {"displayname": name}).status == 200
    ben.say(room, "<img src=x>\nsecond")
    (mail,) = site.mailed()
    assert mail.subject == "[test] 1 unread message in <b>Room</b> Bcc: eve@post.example"
    assert "<script>" not in mail.html
    assert "<img" not in mail.html
    assert "<b>Room" not in mail.html
    assert "\u202e" not in mail.text + mail.html
    assert "Tom <script> == Bank ==: <img src=x> second" in mail.text


def test_a_busy_room_mails_less_and_less_until_it_is_read(site: MailSite) -> None:
    anna, ben, room = two(site)
    ben.say(room, "first")
    assert len(site.mailed()) == 1
    ben.say(room, "second")
    assert len(site.mailed(2 * MINUTE)) == 1
    last = ben.say(room, "third")
    assert site.mailed(2 * MINUTE) == [], "the pause has grown"
    assert len(site.mailed(4 * MINUTE)) == 1
    read(anna, room, last)
    assert site.mailed() == []
    ben.say(room, "fourth")
    assert len(site.mailed()) == 1, "it was read"


def test_other_rooms_do_not_wait_for_a_busy_one(site: MailSite) -> None:
    anna, ben, room = two(site)
    quiet = ben.public_room(name="Quiet")
    anna.join(quiet)
    for _ in range(2):
        ben.say(room, "again")
        assert len(site.mailed()) == 1
    ben.say(room, "still")
    ben.say(quiet, "hush")
    (mail,) = site.mailed()
    assert "hush" in mail.text
    assert "still" not in mail.text


def test_what_waits_survives_a_restart_and_an_outage_of_the_mail_server(site: MailSite) -> None:
    _, ben, room = two(site)
    ben.say(room, "before")
    site.pass_time()
    site.box.failure = MailFailed("450 later", permanent=False)
    assert site.mailed() == []
    site.kill()
    site.start()
    ben.say(room, "after")
    assert site.mailed() == []
    site.box.failure = None
    (mail,) = site.mailed(10 * MINUTE)
    assert "before" in mail.text
    assert "after" in mail.text


def test_one_click_ends_the_mails_and_a_look_does_not(site: MailSite) -> None:
    anna, ben, room = two(site)
    ben.say(room, "hello")
    (mail,) = site.mailed()
    assert mail.headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    path = link_in(mail)
    assert f"https://test{path}" in mail.text
    page = site.http.get(path)
    assert page.status == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert len(pushers_of(anna)) == 1
    site.kill()
    site.start()
    for _ in range(2):
        assert site.http.post(path, b"List-Unsubscribe=One-Click").status == 200
    assert pushers_of(anna) == []
    ben.say(room, "gone")
    assert site.mailed() == []
    assert site.http.post(path[:-1] + "!", b"").status == 400


def test_mails_go_only_to_an_address_of_the_account(site: MailSite) -> None:
    anna, ben = site.people("anna", "ben")
    assert try_mails(anna).errcode == "M_THREEPID_NOT_FOUND"
    site.own(anna)
    assert try_mails(ben).errcode == "M_THREEPID_NOT_FOUND"
    assert try_mails(anna, app_id="org.example.app").errcode == "M_INVALID_PARAM"
    assert try_mails(anna, ADDRESS.upper()).status == 200
    (found,) = pushers_of(anna)
    assert (found["kind"], found["app_id"], found["pushkey"]) == ("email", "m.email", ADDRESS)
    assert try_mails(anna, ADDRESS.upper(), kind=None).status == 200
    assert pushers_of(anna) == []


def test_mails_end_with_the_address(site: MailSite) -> None:
    anna, ben, room = two(site)
    ben.say(room, "hello")
    body = {"medium": "email", "address": ADDRESS}
    assert anna.here.post(f"{V3}/account/3pid/delete", body).status == 200
    assert pushers_of(anna) == []
    assert site.mailed() == []


def test_mails_that_are_off_for_a_while_tell_nothing_of_it(site: MailSite) -> None:
    anna, ben, room = two(site)
    ben.say(room, "before")
    assert try_mails(anna, **OFF).status == 200
    assert site.mailed() == []
    assert try_mails(anna).status == 200
    assert site.mailed() == []
    ben.say(room, "after")
    (mail,) = site.mailed()
    assert "before" not in mail.text


def test_a_long_absence_is_told_in_a_mail_of_bounded_length(site: MailSite) -> None:
    _, ben, room = two(site)
    for number in range(30):
        ben.say(room, f"message {number} " + "x" * 1000)
    (mail,) = site.mailed()
    assert mail.subject == "[test] 30 unread messages in Mission Control"
    assert "… and 22 before" in mail.text
    assert len(mail.text) < 10_000


@pytest.mark.parametrize("changes", [{"notifications": False}, {"host": None}])
def test_there_are_no_mails_where_the_operator_wants_none(
    database: Database, changes: dict[str, object]
) -> None:
    site = MailSite(database, **changes)
    (anna,) = site.people("anna")
    assert try_mails(anna).errcode == "M_INVALID_PARAM"
