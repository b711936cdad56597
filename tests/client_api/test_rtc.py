"""What carries calls of many people. https://github.com/matrix-org/matrix-spec-proposals/pull/4143"""

from tests.client_api.accounts_site import AccountsSite
from tests.client_api.conftest import NewSite

PATH = "/_matrix/client/unstable/org.matrix.msc4143/rtc/transports"
FOCI = "org.matrix.msc4143.rtc_foci"
SETTINGS = "matrix_rtc: {transports: [{livekit_service_url: 'https://livekit.test'}]}"


def test_transports_are_told_in_both_ways(new_site: NewSite) -> None:
    site = new_site(SETTINGS)
    transports = [{"type": "livekit", "livekit_service_url": "https://livekit.test"}]
    assert site.register("alice").http.get(PATH).json == {"rtc_transports": transports}
    assert site.http.get("/.well-known/matrix/client").json[FOCI] == transports
    assert site.http.get("/_matrix/client/versions").json["unstable_features"]["org.matrix.msc4143"] is True
    assert site.http.get(PATH).errcode == "M_MISSING_TOKEN"


def test_without_transports_nothing_is_promised(site: AccountsSite) -> None:
    assert site.register("alice").http.get(PATH).json == {"rtc_transports": []}
    assert FOCI not in site.http.get("/.well-known/matrix/client").json
    assert "org.matrix.msc4143" not in site.http.get("/_matrix/client/versions").json["unstable_features"]
