"""The sites that these tests talk to."""

from collections.abc import Callable, Iterator

import pytest

from homeserver.app.wiring_media import MediaTools, build_media_tools
from storage.database import Database
from tests.client_api.accounts_site import AccountsSite, QueuedWorkers
from tests.client_api.e2ee import Device
from tests.client_api.media_site import MediaSite
from tests.client_api.rooms_site import RoomsSite
from tests.client_api.sync_site import Syncer, SyncSite
from tests.harness.memory import SeededRandom
from tests.harness.postgres import TestDatabase

NewSite = Callable[[str], AccountsSite]
"""Makes a site with some settings changed, given as YAML."""


@pytest.fixture
def new_site(database: Database) -> NewSite:
    """Sites over the same database, empty in the beginning."""
    return lambda settings: AccountsSite(database, settings)


@pytest.fixture
def site(new_site: NewSite) -> AccountsSite:
    """A site with open registration."""
    return new_site("")


@pytest.fixture
def busy_site(test_database: TestDatabase) -> Iterator[AccountsSite]:
    """A site on which requests overlap."""
    workers = QueuedWorkers()
    opened = Database(test_database.dsn, workers)
    yield AccountsSite(opened, "", workers.step)
    opened.close()


@pytest.fixture
def alice(site: SyncSite) -> Device:
    """Somebody with a device that encrypts, on a module's site."""
    return Device.register(site, "alice")


@pytest.fixture
def bob(site: SyncSite) -> Device:
    """Somebody else."""
    return Device.register(site, "bob")


@pytest.fixture
def rooms(database: Database) -> RoomsSite:
    """A site with accounts and rooms."""
    return RoomsSite(database)


@pytest.fixture
def tools(site: MediaSite) -> MediaTools:
    """What commands do with the media of a module's site."""
    return build_media_tools(site.app.core.config, site.database, site.clock, SeededRandom(99))


@pytest.fixture
def admin(site: MediaSite) -> Syncer:
    """An administrator of it."""
    return site.admin()
