"""What a client asks for before it knows anything: versions, capabilities, .well-known, the TURN server."""

import base64
import hashlib
import hmac

from homeserver.protocol.room_versions import DEFAULT_ROOM_VERSION
from tests.client_api.accounts_site import AccountsSite
from tests.client_api.conftest import NewSite


def test_versions_need_no_account_and_reach_back(site: AccountsSite) -> None:
    answer = site.http.get("/_matrix/client/versions").json
    assert answer["versions"][:2] == ["r0.0.1", "r0.1.0"]
    assert answer["versions"][-19:] == [f"v1.{minor}" for minor in range(1, 20)]
    assert all(answer["unstable_features"].values())


def test_capabilities_are_told_to_users(site: AccountsSite) -> None:
    path = "/_matrix/client/v3/capabilities"
    assert site.http.get(path).status == 401
    answer = site.register("alice").http.get(path).json["capabilities"]
    assert answer["m.change_password"] == {"enabled": True}
    assert answer["m.profile_fields"] == {"enabled": True}
    assert answer["m.room_versions"]["default"] == DEFAULT_ROOM_VERSION
    assert set(answer["m.room_versions"]["available"]) == {str(version) for version in range(1, 13)}


def test_well_known_names_the_base_url(new_site: NewSite) -> None:
    site = new_site("public_baseurl: https://matrix.test/")
    reply = site.http.get("/.well-known/matrix/client")
    assert reply.json == {"m.homeserver": {"base_url": "https://matrix.test"}}
    assert reply.headers["access-control-allow-origin"] == "*"


def test_turn_credentials_are_made_for_each_user(site: AccountsSite) -> None:
    answer = site.register("alice").http.get("/_matrix/client/v3/voip/turnServer").json
    assert (answer["uris"], answer["ttl"]) == (["turn:turn.test"], 3600)
    expires, _, user_id = answer["username"].partition(":")
    assert (int(expires), user_id) == (site.clock.now_ms() // 1000 + 3600, "@alice:test")
    mac = hmac.new(b"turn-secret", answer["username"].encode(), hashlib.sha1).digest()
    assert answer["password"] == base64.b64encode(mac).decode()


def test_without_a_turn_server_there_are_no_credentials(new_site: NewSite) -> None:
    site = new_site("turn: {uris: []}")
    assert site.register("alice").http.get("/_matrix/client/v3/voip/turnServer").json == {}


SUPPORT = "/.well-known/matrix/support"


def test_support_is_told_where_the_configuration_has_it(new_site: NewSite) -> None:
    contacts = "contacts: [{matrix_id: '@admin:test'}, {role: m.role.security, email_address: s@test}]"
    site = new_site(f"support: {{page: 'https://test/help', {contacts}}}")
    assert site.http.get(SUPPORT).json == {
        "support_page": "https://test/help",
        "contacts": [
            {"role": "m.role.admin", "matrix_id": "@admin:test"},
            {"role": "m.role.security", "email_address": "s@test"},
        ],
    }


def test_without_support_there_is_no_document(site: AccountsSite) -> None:
    assert site.http.get(SUPPORT).errcode == "M_NOT_FOUND"


def test_no_network_is_bridged(site: AccountsSite) -> None:
    base = "/_matrix/client/v3/thirdparty"
    http = site.register("alice").http
    assert http.get(f"{base}/protocols").json == {}
    for path in (
        "protocol/irc",
        "location/irc",
        "user/irc",
        "location?alias=%23a:test",
        "user?userid=@a:test",
    ):
        assert http.get(f"{base}/{path}").errcode == "M_NOT_FOUND"
    assert http.get(f"{base}/location").errcode == "M_MISSING_PARAM"
    assert site.http.get(f"{base}/protocols").errcode == "M_MISSING_TOKEN"
