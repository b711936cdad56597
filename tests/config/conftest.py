"""A server that runs, for the commands that look at one."""

from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import pytest

from tests.harness.certificates import Authority
from tests.harness.postgres import TestServer
from tests.harness.process import HomeserverProcess


@pytest.fixture(scope="module")
def server(postgres: TestServer) -> Iterator[HomeserverProcess]:
    """A server of ours with TLS, under a name by which it reaches itself."""
    folder = Path(mkdtemp(prefix="meridian-config-"))
    folder.chmod(0o755)
    made = HomeserverProcess(folder, postgres.create_database(), Authority())
    made.start()
    yield made
    made.discard()
    rmtree(folder, ignore_errors=True)
