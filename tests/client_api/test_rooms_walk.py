"""What every endpoint of rooms must do."""

from collections.abc import Mapping

import pytest

from homeserver.http.authentication import (
    Marker,
    access_token,
    access_token_or_guest,
    optional_access_token,
    optional_access_token_or_guest,
)
from tests.client_api.rooms_site import RoomsSite
from tests.harness import endpoint_walk
from tests.harness.endpoint_walk import Credentials


@pytest.fixture
def credentials(rooms: RoomsSite) -> Mapping[Marker, Credentials]:
    token = rooms.person("walker").http.token

    def bearer(method: str, target: str, body: bytes) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {token}"}

    optional = (optional_access_token, optional_access_token_or_guest)
    return dict.fromkeys((access_token, access_token_or_guest, *optional), bearer)


def test_strangers_are_refused(rooms: RoomsSite) -> None:
    bounds = endpoint_walk.needing_credentials(rooms.rooms.endpoints)
    assert len(bounds) > 25
    for bound in bounds:
        endpoint_walk.refuses_strangers(rooms.http, bound)


def test_malformed_and_ill_typed_json_is_refused(
    rooms: RoomsSite, credentials: Mapping[Marker, Credentials]
) -> None:
    bounds = endpoint_walk.taking_json(rooms.rooms.endpoints)
    assert len(bounds) > 15
    for bound in bounds:
        endpoint_walk.refuses_malformed_json(rooms.http, bound, credentials)
        endpoint_walk.refuses_ill_typed_json(rooms.http, bound, credentials)
