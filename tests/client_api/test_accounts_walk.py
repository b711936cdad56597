"""What every endpoint of accounts must do."""

from collections.abc import Mapping

import pytest

from homeserver.http.authentication import (
    Marker,
    access_token,
    access_token_or_guest,
    admin_token,
    optional_access_token,
)
from homeserver.protocol.identifiers import UserID
from tests.client_api.accounts_site import AccountsSite
from tests.harness import endpoint_walk
from tests.harness.endpoint_walk import Credentials
from tests.harness.memory import result_of


@pytest.fixture
def credentials(site: AccountsSite) -> Mapping[Marker, Credentials]:
    walker, admin = site.register("walker"), site.register("admin")
    result_of(site.area.moderation.set_admin(UserID(admin.user_id), True))
    by_walker = _bearer(walker.token)
    return {
        access_token: by_walker,
        access_token_or_guest: by_walker,
        optional_access_token: by_walker,
        admin_token: _bearer(admin.token),
    }


def _bearer(token: str) -> Credentials:
    return lambda method, target, body: {"Authorization": f"Bearer {token}"}


def test_strangers_are_refused(site: AccountsSite) -> None:
    bounds = endpoint_walk.needing_credentials(site.area.endpoints)
    assert len(bounds) > 25
    for bound in bounds:
        endpoint_walk.refuses_strangers(site.http, bound)


def test_malformed_and_ill_typed_json_is_refused(
    site: AccountsSite, credentials: Mapping[Marker, Credentials]
) -> None:
    bounds = endpoint_walk.taking_json(site.area.endpoints)
    assert len(bounds) > 15
    for bound in bounds:
        endpoint_walk.refuses_malformed_json(site.http, bound, credentials)
        endpoint_walk.refuses_ill_typed_json(site.http, bound, credentials)
