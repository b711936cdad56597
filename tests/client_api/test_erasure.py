"""Erased users: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountdeactivate"""

from typing import Any

import pytest

from storage.database import Database
from tests.client_api.accounts_site import PASSWORD
from tests.client_api.rooms_site import V3
from tests.client_api.sync_site import Syncer, SyncSite, texts


@pytest.fixture
def site(database: Database) -> SyncSite:
    return SyncSite(database)


def _close(who: Syncer, erase: bool) -> None:
    auth = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": who.user_id}}
    body: Any = {"auth": {**auth, "password": PASSWORD}, "erase": erase}
    assert who.http.post(f"{V3}/account/deactivate", body).status == 200


@pytest.mark.parametrize("erase", [True, False])
def test_what_an_erased_user_wrote_is_shown_only_to_who_was_there(site: SyncSite, erase: bool) -> None:
    alice, old, new = site.people("alice", "old", "new")
    room = alice.public_room()
    old.join(room)
    event = alice.say(room, "mine")
    new.join(room)
    assert texts(new.joined(room)) == ["mine"]
    _close(alice, erase)
    shown = [] if erase else ["mine"]
    assert texts(old.first_sync()["rooms"]["join"][room]) == ["mine"]
    assert texts(new.first_sync()["rooms"]["join"][room]) == shown
    assert new.texts(room) == shown
    assert new.event(room, event)["content"] == ({} if erase else {"msgtype": "m.text", "body": "mine"})
