"""https://spec.matrix.org/v1.19/client-server-api/#device-management"""

from collections.abc import Sequence

from homeserver.protocol.identifiers import DeviceID, UserID
from homeserver.services.account_data import changed_between
from homeserver.services.device_writes import DeviceWrite
from storage.query import Entry
from storage.tables.account_data import AccountDatum
from storage.transaction import Transaction
from tests.client_api.accounts_site import PASSWORD, AccountsSite, User, password_auth
from tests.harness.memory import result_of

DEVICES = "/_matrix/client/v3/devices"
DELETE_DEVICES = "/_matrix/client/v3/delete_devices"
WHOAMI = "/_matrix/client/v3/account/whoami"


def _ids(user: User) -> list[str]:
    return [device["device_id"] for device in user.http.get(DEVICES).json["devices"]]


def test_devices_are_listed_with_name_and_last_seen(site: AccountsSite) -> None:
    user = site.register("alice", device_id="PHONE", initial_device_display_name="my phone")
    site.login("alice", device_id="LAPTOP")
    now = site.clock.now_ms()
    assert user.http.get(DEVICES).json["devices"] == [
        {"device_id": "LAPTOP", "last_seen_ip": "192.0.2.1", "last_seen_ts": now},
        {"device_id": "PHONE", "display_name": "my phone", "last_seen_ip": "192.0.2.1", "last_seen_ts": now},
    ]
    assert user.http.get(f"{DEVICES}/PHONE").json["display_name"] == "my phone"


def test_last_seen_is_written_once_in_a_while(site: AccountsSite) -> None:
    user = site.register("alice", device_id="PHONE")
    registered = site.clock.now_ms()
    site.clock.advance(1)
    for _ in range(3):
        user.http.get(WHOAMI)
    stored = "select last_seen_ts, last_seen_ip, last_seen_user_agent from devices"

    def seen() -> list[tuple[object, ...]]:
        async def read() -> list[tuple[object, ...]]:
            def query(tx: Transaction) -> list[tuple[object, ...]]:
                tx.execute(stored)
                return tx.rows()

            return await site.database.read(query)

        return result_of(read())

    assert seen() == [(registered, "192.0.2.1", "")]
    now = site.clock.now_ms()
    site.clock.advance(300)
    assert seen() == [(now, "192.0.2.1", "")]


def test_there_is_no_such_device(site: AccountsSite) -> None:
    user = site.register("alice")
    site.register("bob", device_id="BOBS")
    for device_id in ("NONE", "BOBS"):
        reply = user.http.get(f"{DEVICES}/{device_id}")
        assert (reply.status, reply.errcode) == (404, "M_NOT_FOUND")
        reply = user.http.put(f"{DEVICES}/{device_id}", {"display_name": "x"})
        assert (reply.status, reply.errcode) == (404, "M_NOT_FOUND")


def test_a_device_gets_another_name(site: AccountsSite) -> None:
    user = site.register("alice", device_id="PHONE", initial_device_display_name="old")
    assert user.http.put(f"{DEVICES}/PHONE", {}).json == {}
    assert user.http.get(f"{DEVICES}/PHONE").json["display_name"] == "old"
    assert user.http.put(f"{DEVICES}/PHONE", {"display_name": "new"}).json == {}
    assert user.http.get(f"{DEVICES}/PHONE").json["display_name"] == "new"
    assert user.http.put(f"{DEVICES}/PHONE", {"display_name": "x" * 300}).errcode == "M_INVALID_PARAM"
    assert user.http.put(f"{DEVICES}/PHONE", {"display_name": "\0"}).errcode == "M_INVALID_PARAM"


def test_deleting_a_device_takes_the_password_and_ends_its_session(site: AccountsSite) -> None:
    user, other = site.register("alice"), site.login("alice", device_id="OTHER")
    assert other.http.get(WHOAMI).status == 200
    path = f"{DEVICES}/OTHER"
    offered = user.http.delete(path)
    assert offered.status == 401
    assert offered.json["flows"] == [{"stages": ["m.login.password"]}]
    session = offered.json["session"]
    wrong = user.http.delete(path, {"auth": password_auth(user, "wrong horse", session=session)})
    assert (wrong.status, wrong.errcode) == (401, "M_FORBIDDEN")
    assert wrong.json["error"]
    assert (wrong.json["session"], wrong.json["completed"]) == (session, [])
    assert other.http.get(WHOAMI).status == 200
    assert user.http.delete(path, {"auth": password_auth(user, session=session)}).json == {}
    assert other.http.get(WHOAMI).errcode == "M_UNKNOWN_TOKEN"
    assert user.http.get(path).status == 404


def test_a_password_without_a_session_is_enough(site: AccountsSite) -> None:
    user = site.register("alice")
    site.login("alice", device_id="OTHER")
    assert user.http.delete(f"{DEVICES}/OTHER", {"auth": password_auth(user)}).status == 200


def test_a_completed_session_is_good_for_one_use(site: AccountsSite) -> None:
    user = site.register("alice")
    session = user.http.delete(f"{DEVICES}/OTHER").json["session"]
    auth = {"auth": password_auth(user, session=session)}
    assert user.http.delete(f"{DEVICES}/OTHER", auth).status == 200
    again = user.http.delete(f"{DEVICES}/OTHER", {"auth": {"session": session}})
    assert again.status == 401
    assert again.json["session"] != session


def test_a_session_is_good_for_its_own_request_only(site: AccountsSite) -> None:
    user = site.register("alice")
    site.login("alice", device_id="FIRST")
    site.login("alice", device_id="SECOND")
    session = user.http.delete(f"{DEVICES}/FIRST").json["session"]
    reply = user.http.delete(f"{DEVICES}/SECOND", {"auth": password_auth(user, session=session)})
    assert (reply.status, reply.errcode) == (403, "M_FORBIDDEN")
    assert user.http.get(f"{DEVICES}/SECOND").status == 200


def test_a_session_belongs_to_whoever_started_it(site: AccountsSite) -> None:
    alice, bob = site.register("alice"), site.register("bob")
    session = alice.http.delete(f"{DEVICES}/FIRST").json["session"]
    reply = bob.http.delete(f"{DEVICES}/FIRST", {"auth": password_auth(bob, session=session)})
    assert reply.status == 403


def test_nobody_acts_for_another_with_their_own_password(site: AccountsSite) -> None:
    alice, eve = site.register("alice"), site.register("eve", "evil horses")
    site.login("alice", device_id="OTHER")
    reply = alice.http.delete(f"{DEVICES}/OTHER", {"auth": password_auth(eve, "evil horses")})
    assert (reply.status, reply.errcode) == (403, "M_FORBIDDEN")
    assert alice.http.get(f"{DEVICES}/OTHER").status == 200


def test_several_devices_are_deleted_at_once(site: AccountsSite) -> None:
    user = site.register("alice", device_id="A")
    bob = site.register("bob", device_id="B")
    site.login("alice", device_id="B")
    site.login("alice", device_id="C")
    offered = user.http.post(DELETE_DEVICES, {"devices": ["B", "C", "UNKNOWN"]})
    assert offered.status == 401
    auth = password_auth(user, session=offered.json["session"])
    assert user.http.post(DELETE_DEVICES, {"auth": auth}).json == {}
    assert _ids(user) == ["A"]
    assert _ids(bob) == ["B"]


def test_the_list_of_devices_is_checked_first(site: AccountsSite) -> None:
    user = site.register("alice")
    assert user.http.post(DELETE_DEVICES, {}).errcode == "M_BAD_JSON"
    assert user.http.post(DELETE_DEVICES, {"devices": [1]}).errcode == "M_BAD_JSON"


def test_what_else_belongs_to_a_device_goes_in_the_same_transaction(site: AccountsSite) -> None:
    removed: list[tuple[str, list[str]]] = []

    def also(tx: Transaction, write: DeviceWrite, user_id: UserID, gone: Sequence[DeviceID]) -> list[Entry]:
        removed.append((user_id, sorted(gone)))
        return []

    site.area.devices.when_removed(also)
    user = site.register("alice", device_id="A")
    site.login("alice", device_id="B")
    user.http.delete(f"{DEVICES}/B", {"auth": password_auth(user)})
    user.http.post("/_matrix/client/v3/logout")
    assert removed == [("@alice:test", ["B"]), ("@alice:test", ["A"])]


def test_whether_a_device_is_silent_goes_with_it_as_other_devices_learn(site: AccountsSite) -> None:
    """https://github.com/matrix-org/matrix-spec-proposals/pull/3890"""
    user = site.register("alice", device_id="A")
    data = f"/_matrix/client/v3/user/{user.user_id}/account_data"
    stable, unstable = "m.local_notification_settings", "org.matrix.msc3890.local_notification_settings"
    others = {device_id: site.login("alice", device_id=device_id) for device_id in ("B", "C", "D")}
    for device_id in others:
        for prefix in (stable, unstable):
            user.http.put(f"{data}/{prefix}.{device_id}", {"is_silenced": True})
    before = site.journal.position

    def changed() -> set[str]:
        async def read() -> list[AccountDatum]:
            upto = site.journal.position
            return await site.database.read(
                lambda tx: changed_between(tx, UserID(user.user_id), before, upto)
            )

        return {each.type for each in result_of(read()) if each.content == b"{}"}

    user.http.delete(f"{DEVICES}/B", {"auth": password_auth(user)})
    assert changed() == {f"{stable}.B", f"{unstable}.B"}
    assert user.http.get(f"{data}/{stable}.B").errcode == "M_NOT_FOUND"
    assert user.http.get(f"{data}/{stable}.C").json == {"is_silenced": True}
    others["D"].http.post("/_matrix/client/v3/logout")
    assert user.http.get(f"{data}/{unstable}.D").errcode == "M_NOT_FOUND"
    user.http.post("/_matrix/client/v3/logout/all")
    assert {f"{stable}.C", f"{stable}.D"} < changed()


def test_a_session_cannot_be_completed_with_another_body(site: AccountsSite) -> None:
    """A proof for one list of devices is none for another."""
    user = site.register("alice", device_id="A")
    site.login("alice", device_id="B")
    session = user.http.post(DELETE_DEVICES, {"devices": ["UNKNOWN"]}).json["session"]
    auth = password_auth(user, session=session)
    assert user.http.post(DELETE_DEVICES, {"devices": ["UNKNOWN"], "auth": auth}).status == 200
    reply = user.http.post(DELETE_DEVICES, {"devices": ["B"], "auth": {"session": session}})
    assert reply.status == 401
    assert _ids(user) == ["A", "B"]
    assert PASSWORD not in reply.text


def test_of_two_who_use_a_session_at_once_one_succeeds(busy_site: AccountsSite) -> None:
    user = busy_site.register("alice")
    session = user.http.delete(f"{DEVICES}/OTHER").json["session"]
    body = {"auth": password_auth(user, session=session)}
    pending = [user.http.start("DELETE", f"{DEVICES}/OTHER", body) for _ in range(2)]
    busy_site.finish(pending)
    assert sorted(each.reply.status for each in pending) == [200, 401]


def test_a_session_that_is_being_read_when_it_ends_is_not_remembered(busy_site: AccountsSite) -> None:
    user, other = busy_site.register("alice"), busy_site.login("alice")
    pending = [
        other.http.start("GET", WHOAMI),
        user.http.start("POST", "/_matrix/client/v3/logout/all", {}),
    ]
    busy_site.finish(pending)
    assert other.http.get(WHOAMI).errcode == "M_UNKNOWN_TOKEN"
