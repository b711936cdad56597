"""What the operator decides about syncing."""

from storage.database import Database
from tests.client_api.e2ee import NOTHING_NEW
from tests.client_api.sync_site import SyncSite


def test_no_poll_waits_longer_than_the_operator_allows(database: Database) -> None:
    site = SyncSite(database, {"limits": {"sync_timeout": "3s"}})
    anna = site.person("anna")
    anna.first_sync(set_presence="offline")
    poll = anna.poll(60_000, set_presence="offline")
    site.turn(2.5)
    assert not poll.done
    site.turn(1)
    assert poll.reply.json.keys() == NOTHING_NEW


def test_presence_that_is_switched_off_shows_nobody(database: Database) -> None:
    site = SyncSite(database, {"presence": {"enabled": False}})
    anna, bert = site.people("anna", "bert")
    bert.join(anna.public_room())
    anna.first_sync()
    path = f"/_matrix/client/v3/presence/{bert.user_id}/status"
    assert bert.http.put(path, {"presence": "online", "status_msg": "here"}).status == 200
    bert.first_sync()
    site.turn(10)
    assert "presence" not in anna.sync()
    assert anna.http.get(path).json == {"presence": "offline"}
