"""Chapters of the story in which every endpoint succeeds: files, addresses, pushers, and what administrators do."""

from typing import Any, Final
from urllib.parse import quote

from homeserver.protocol.identifiers import UserID
from tests.client_api.accounts_site import PASSWORD, AccountsSite, password_auth
from tests.client_api.e2ee import V3, Device
from tests.client_api.mail_site import Letterbox
from tests.client_api.media_site import CREATE, MEDIA, OLD, MediaSite, upload
from tests.client_api.pictures import png
from tests.client_api.test_threepids import added, addresses, confirmed, email_auth
from tests.harness.client import Client, Reply
from tests.harness.memory import result_of

V1: Final = "/_matrix/client/v1"
SUPPORT: Final = {"contacts": [{"role": "m.role.admin", "matrix_id": "@admin:test"}]}
"""Setting `support`."""


def succeeded(reply: Reply) -> Any:
    """The JSON of an answer that must be a success."""
    assert reply.status == 200, reply.text
    return reply.json


def media(site: MediaSite, anna: Device) -> None:
    """Files come, also by an address that was given before, and are seen again."""
    name = upload(anna, png(40, 20), "image/png")
    reserved = str(succeeded(anna.here.post(CREATE))["content_uri"]).removeprefix("mxc://")
    succeeded(anna.here.put(f"{OLD}/upload/{reserved}", png(20, 20), Content_Type="image/png"))
    size: dict[str, str | int | bool | list[str]] = {"width": 16, "height": 16, "method": "crop"}
    for here, place in ((anna.here, MEDIA), (site.http, OLD)):
        succeeded(anna.here.get(f"{place}/config"))
        for path in (f"download/{name}", f"download/{name}/{quote('снимок.png')}"):
            assert here.get(f"{place}/{path}").body == png(40, 20)
        assert here.get(f"{place}/thumbnail/{name}", size).status == 200


def moving_on(site: MediaSite, anna: Device) -> None:
    """A second device comes by a token, a service learns who its user is, and another sends pushes."""
    auth = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": anna.user_id},
        "password": PASSWORD,
    }
    token = succeeded(anna.here.post(f"{V1}/login/get_token", {"auth": auth}))["login_token"]
    succeeded(site.http.post(f"{V3}/login", {"type": "m.login.token", "token": token}))
    asked = succeeded(anna.here.post(f"{V3}/user/{anna.user_id}/openid/request_token", {}))
    services = Client(site.app.site("federation"))
    told = services.get("/_matrix/federation/v1/openid/userinfo", {"access_token": asked["access_token"]})
    assert succeeded(told) == {"sub": anna.user_id}
    pusher = {
        "app_id": "org.example.app",
        "pushkey": "key",
        "kind": "http",
        "app_display_name": "App",
        "device_display_name": "Phone",
        "lang": "en",
        "data": {"url": "https://gateway.example/_matrix/push/v1/notify"},
    }
    succeeded(anna.here.post(f"{V3}/pushers/set", pusher))
    assert len(succeeded(anna.here.get(f"{V3}/pushers"))["pushers"]) == 1


def administration(site: MediaSite, anna: Device, bert: Device) -> None:
    """What anybody may know of the server, and what its administrators see and change."""
    assert succeeded(site.http.get("/.well-known/matrix/support")) == SUPPORT
    assert succeeded(anna.here.get(f"{V3}/thirdparty/protocols")) == {}
    result_of(site.app.accounts.moderation.set_admin(UserID(anna.user_id), True))
    succeeded(anna.here.get(f"{V3}/admin/whois/{bert.user_id}"))
    for kind, field in (("lock", "locked"), ("suspend", "suspended")):
        path = f"{V1}/admin/{kind}/{bert.user_id}"
        assert succeeded(anna.here.put(path, {field: True})) == {field: True}
        assert succeeded(anna.here.get(path)) == {field: True}
        succeeded(anna.here.put(path, {field: False}))


def mails(site: AccountsSite, box: Letterbox) -> None:
    """Addresses are proven by mail: to add them, to come with one, and to set a new password by one."""
    charles = site.register("charles")
    address = "charles@post.example"
    succeeded(added(charles, confirmed(site, box, "account/3pid", address)))
    proof = confirmed(site, box, "account/password", address)
    succeeded(
        site.http.post(f"{V3}/account/password", {"new_password": "n3w pass-word", "auth": email_auth(proof)})
    )
    dorothy = site.register("dorothy")
    succeeded(added(dorothy, confirmed(site, box, "account/3pid", "dorothy@post.example")))
    assert addresses(dorothy) == ["dorothy@post.example"]
    unbound = {"medium": "email", "address": "dorothy@post.example"}
    succeeded(dorothy.http.post(f"{V3}/account/3pid/unbind", unbound))
    proof = confirmed(site, box, "account/3pid", "dora@post.example")
    of_old = {"three_pid_creds": {**proof, "id_server": "is.example", "id_access_token": "x"}}
    succeeded(dorothy.http.post(f"{V3}/account/3pid", {**of_old, "auth": password_auth(dorothy)}))
    succeeded(
        dorothy.http.post(f"{V3}/account/3pid/delete", {"medium": "email", "address": "dorothy@post.example"})
    )
    proof = confirmed(site, box, "register", "ella@post.example")
    body = {"username": "ella", "password": PASSWORD, "auth": email_auth(proof)}
    succeeded(site.http.post(f"{V3}/register", body))
    succeeded(dorothy.http.post(f"{V3}/account/deactivate", {"auth": password_auth(dorothy)}))
