import pytest

from homeserver.http.router import Route, Router
from homeserver.protocol.errors import InvalidParam, Unrecognized, UnrecognizedMethod

ROUTER = Router(
    [
        Route("GET", "/versions", "versions"),
        Route("GET", "/rooms/{room_id}/state", "state"),
        Route("GET", "/rooms/{room_id}/state/{kind}/{state_key}", "state event"),
        Route("PUT", "/rooms/{room_id}/state/{kind}/{state_key}", "put state"),
        Route("GET", "/rooms/fixed/state", "fixed"),
        Route("POST", "/rooms/fixed/{action}", "action"),
        Route("GET", "/user/{user_id}/filter/{filter_id}", "filter"),
        Route("GET", "/user/{name}/tags", "tags"),
    ]
)


def found(method: str, path: str) -> tuple[str, dict[str, str]]:
    match = ROUTER.match(method, path)
    return match.route.target, match.values


def test_a_plain_path_is_found() -> None:
    assert found("GET", "/versions") == ("versions", {})


def test_segments_become_values() -> None:
    assert found("GET", "/rooms/!a:b/state/m.room.name/key") == (
        "state event",
        {"room_id": "!a:b", "kind": "m.room.name", "state_key": "key"},
    )


def test_an_encoded_slash_stays_inside_its_segment() -> None:
    assert found("GET", "/rooms/a/state/x/one%2Ftwo%252F")[1]["state_key"] == "one/two%2F"


def test_an_empty_segment_is_an_empty_value() -> None:
    assert found("GET", "/rooms/a/state/x/")[1]["state_key"] == ""


def test_fixed_segments_win_over_parameters() -> None:
    assert found("GET", "/rooms/fixed/state") == ("fixed", {})


def test_a_parameter_is_tried_when_the_fixed_segment_leads_nowhere() -> None:
    assert found("GET", "/rooms/fixed/state/x/y")[1]["room_id"] == "fixed"


def test_each_route_has_its_own_names_for_a_shared_segment() -> None:
    assert found("GET", "/user/u/tags") == ("tags", {"name": "u"})
    assert found("GET", "/user/u/filter/f") == ("filter", {"user_id": "u", "filter_id": "f"})


def test_head_takes_the_route_of_get() -> None:
    assert found("HEAD", "/versions")[0] == "versions"
    assert found("HEAD", "/rooms/a/state")[0] == "state"


def test_method_decides_between_routes_of_one_path() -> None:
    assert found("PUT", "/rooms/a/state/x/y")[0] == "put state"


@pytest.mark.parametrize(
    "path", ["/", "", "/version", "/versions/", "/rooms", "/rooms/a/b/c/d/e/f", "//versions", "/versions//"]
)
def test_unknown_paths_are_unrecognized(path: str) -> None:
    with pytest.raises(Unrecognized) as raised:
        ROUTER.match("GET", path)
    assert not isinstance(raised.value, UnrecognizedMethod)


def test_known_paths_with_another_method_are_told_apart() -> None:
    with pytest.raises(UnrecognizedMethod):
        ROUTER.match("DELETE", "/rooms/a/state")
    with pytest.raises(UnrecognizedMethod):
        ROUTER.match("HEAD", "/rooms/fixed/act")


def test_segments_are_utf8() -> None:
    assert found("GET", "/rooms/%C3%A9/state")[1]["room_id"] == "é"
    with pytest.raises(InvalidParam):
        ROUTER.match("GET", "/rooms/%ff/state")


def test_two_routes_for_one_request_are_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        Router([Route("GET", "/a/{b}", 1), Route("GET", "/a/{c}", 2)])
