"""The embedded server: starts from nothing, again and fast, after every kind of kill, and only once a directory."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import psycopg2
import pytest

from storage.embedded import EmbeddedPostgres
from storage.unprivileged import EmbeddedError

RUN = """
import sys, threading
from pathlib import Path
from storage.embedded import EmbeddedPostgres

def start():
    server = EmbeddedPostgres(Path(sys.argv[1]), {"fsync": "off"})
    server.start()
    print(server.pid, flush=True)

if sys.argv[2] == "thread":  # nothing tells the server that we died
    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
else:
    start()
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A data directory with a cluster in it that nobody runs."""
    folder = Path(mkdtemp(prefix="meridian-embedded-"))
    server = EmbeddedPostgres(folder, {"fsync": "off"})
    server.start()
    execute(server, "create table kept (number int)")
    server.stop()
    yield folder
    rmtree(folder)


@pytest.fixture
def server(made: Path) -> Iterator[EmbeddedPostgres]:
    """It, not started."""
    server = EmbeddedPostgres(made, {"fsync": "off"})
    yield server
    server.stop()


def execute(server: EmbeddedPostgres, sql: str) -> list[tuple[object, ...]]:
    opened = psycopg2.connect(server.dsn)
    opened.autocommit = True
    with closing(opened), opened.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []


def started_elsewhere(folder: Path, how: str) -> tuple[subprocess.Popen[str], int]:
    """Another process that runs a server, and that server's pid."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(folder), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    return process, int(line)


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def gone(pid: int, seconds: float = 10) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)  # noqa: TID251 - waits for another process
    return False


def test_a_second_start_takes_less_than_a_second_and_finds_its_data(server: EmbeddedPostgres) -> None:
    began = time.monotonic()
    server.start()
    assert time.monotonic() - began < 1
    assert server.owner
    assert execute(server, "select count(*) from kept") == [(0,)]


def test_it_is_durable_and_listens_on_no_network(made: Path) -> None:
    server = EmbeddedPostgres(made)
    server.start()
    try:
        names = (
            "fsync",
            "synchronous_commit",
            "full_page_writes",
            "listen_addresses",
            "jit",
            "server_encoding",
        )
        found = [execute(server, f"show {name}")[0][0] for name in names]
        assert found == ["on", "on", "on", "", "off", "UTF8"]
    finally:
        server.stop()


def test_only_its_account_can_enter_the_sockets_directory(server: EmbeddedPostgres) -> None:
    server.start()
    folder = Path(psycopg2.extensions.parse_dsn(server.dsn)["host"])
    assert folder.stat().st_mode & 0o777 == 0o700


def test_it_ends_with_the_process_that_started_it(made: Path) -> None:
    process, pid = started_elsewhere(made, "main")
    kill(process)
    assert gone(pid)


def test_a_server_left_by_a_killed_process_is_stopped_and_started_anew(
    made: Path, server: EmbeddedPostgres
) -> None:
    process, pid = started_elsewhere(made, "thread")
    kill(process)
    os.kill(pid, 0)  # still there
    server.start()
    assert gone(pid)
    assert server.pid != pid
    assert execute(server, "select count(*) from kept") == [(0,)]


def test_committed_rows_survive_a_kill_of_everything(made: Path, server: EmbeddedPostgres) -> None:
    process, pid = started_elsewhere(made, "thread")
    execute(server, "insert into kept values (1)")
    kill(process)
    os.kill(pid, signal.SIGKILL)
    server.start()
    assert execute(server, "delete from kept returning number") == [(1,)]


def test_a_server_that_dies_under_us_is_revived(server: EmbeddedPostgres) -> None:
    server.start()
    assert not server.revive()
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + 10
    while not server.revive() and time.monotonic() < until:
        pass
    assert execute(server, "select 1") == [(1,)]


def test_a_lock_file_that_names_somebody_elses_process_is_no_obstacle(
    made: Path, server: EmbeddedPostgres
) -> None:
    """After a restart of the machine the number in it may belong to any process."""
    other = subprocess.Popen(["sleep", "60"])
    try:
        lock = made / "postgresql" / "data" / "postmaster.pid"
        lock.write_text(f"{other.pid}\n{lock.parent}\n1\n5432\n/tmp\n\n  1 1\nready   \n")
        server.start()
        assert execute(server, "select 1") == [(1,)]
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_second_process_uses_the_running_server_and_leaves_it_running(
    made: Path, server: EmbeddedPostgres
) -> None:
    process, pid = started_elsewhere(made, "main")
    try:
        server.start()
        assert not server.owner
        assert execute(server, "select 1") == [(1,)]
        server.stop()
        os.kill(pid, 0)
    finally:
        kill(process)
        assert gone(pid)


def test_a_path_too_long_for_a_socket_gets_a_short_directory(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    server = EmbeddedPostgres(folder, {"fsync": "off"})
    try:
        server.start()
        assert execute(server, "select 1") == [(1,)]
        host = psycopg2.extensions.parse_dsn(server.dsn)["host"]
        assert len(host) < 80
        assert Path(host).stat().st_mode & 0o777 == 0o700
    finally:
        server.stop()
    assert not Path(host).exists()


def test_data_of_an_unknown_version_is_left_alone(tmp_path: Path) -> None:
    data = tmp_path / "postgresql" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9\n")
    with pytest.raises(EmbeddedError, match="made by PostgreSQL 9"):
        EmbeddedPostgres(tmp_path).start()


def test_an_interrupted_first_start_leaves_no_trace(tmp_path: Path) -> None:
    half = tmp_path / "postgresql" / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    server = EmbeddedPostgres(tmp_path, {"fsync": "off"})
    try:
        server.start()
        assert execute(server, "select 1") == [(1,)]
    finally:
        server.stop()
    assert not half.exists()
