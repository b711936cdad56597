"""`homeserver user` and `homeserver registration-token`, as an operator uses them."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from homeserver.app.cli import main
from tests.harness.postgres import TestDatabase

Homeserver = Callable[..., tuple[int, str, str]]
"""Runs a command with a first line of standard input; its status, output and errors."""


@pytest.fixture
def homeserver(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    test_database: TestDatabase,
) -> Homeserver:
    monkeypatch.chdir(tmp_path)
    Path("homeserver.yaml").write_text(
        f"server_name: my.test\ndatabase: {test_database.dsn!r}\npasswords: {{time_cost: 1, memory: 8KiB}}\n"
    )

    def run(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        status = main(arguments)
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def test_accounts_are_made_and_listed(homeserver: Homeserver) -> None:
    assert homeserver("user", "create", "Alice", "--admin", stdin="correct horse\n") == (
        0,
        "made @alice:my.test, an administrator\n",
        "",
    )
    assert homeserver("user", "create", "bob", stdin="correct horse")[1] == "made @bob:my.test\n"
    assert homeserver("user", "list")[1] == "@alice:my.test admin\n@bob:my.test\n"


@pytest.mark.parametrize(
    ("name", "password", "says"),
    [
        ("alice", "correct horse", "User ID already taken"),
        ("no good", "correct horse", "User ID can only contain"),
        ("carol", "short", "at least 8 characters"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(homeserver: Homeserver, name: str, password: str, says: str) -> None:
    homeserver("user", "create", "alice", stdin="correct horse")
    status, out, err = homeserver("user", "create", name, stdin=password)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert says in err


def test_passwords_are_changed(homeserver: Homeserver, test_database: TestDatabase) -> None:
    homeserver("user", "create", "alice", stdin="correct horse")
    before = test_database.rows("select password_hash from users")
    assert homeserver("user", "password", "@alice:my.test", stdin="battery staple")[0] == 0
    assert test_database.rows("select password_hash from users") != before
    assert homeserver("user", "password", "nobody", stdin="battery staple")[2] == (
        "homeserver: there is no user nobody\n"
    )


def test_a_changed_password_logs_the_user_out_unless_told_otherwise(
    homeserver: Homeserver, test_database: TestDatabase
) -> None:
    homeserver("user", "create", "alice", stdin="correct horse")
    test_database.rows(
        "insert into devices (user_id, device_id, created_ts) values ('@alice:my.test', 'PHONE', 0)"
    )
    homeserver("user", "password", "alice", "--keep-sessions", stdin="battery staple")
    assert len(test_database.rows("select 1 from devices")) == 1
    homeserver("user", "password", "alice", stdin="correct horse")
    assert test_database.rows("select 1 from devices") == []


def test_registration_tokens_are_made_listed_and_deleted(homeserver: Homeserver) -> None:
    status, made, _ = homeserver("registration-token", "create")
    assert (status, len(made.strip())) == (0, 16)
    assert homeserver("registration-token", "create", "summer", "--uses", "3", "--valid-for", "7d")[0] == 0
    listed = homeserver("registration-token", "list")[1].splitlines()
    assert f"{made.strip()}  0 of any number of uses" in listed
    assert any(line.startswith("summer  0 of 3 uses, until ") for line in listed)
    assert homeserver("registration-token", "delete", "summer")[0] == 0
    assert homeserver("registration-token", "delete", "summer")[2] == "homeserver: There is no such token\n"


@pytest.mark.parametrize("arguments", [("a b",), ("x" * 65,), ("ok", "--uses", "0")])
def test_what_cannot_be_a_token(homeserver: Homeserver, arguments: tuple[str, ...]) -> None:
    assert homeserver("registration-token", "create", *arguments)[0] == 1


def test_what_is_no_duration(homeserver: Homeserver) -> None:
    with pytest.raises(SystemExit):
        homeserver("registration-token", "create", "--valid-for", "soon")


def test_a_database_that_is_not_there(homeserver: Homeserver) -> None:
    Path("homeserver.yaml").write_text(
        "server_name: my.test\ndatabase: postgresql://x@/nothing?host=/nowhere\n"
    )
    status, out, err = homeserver("user", "list")
    assert (status, out) == (1, "")
    assert err.startswith("homeserver: cannot use the database:")


def test_indexes_are_made_anew_on_demand(homeserver: Homeserver, test_database: TestDatabase) -> None:
    homeserver("user", "create", "alice", stdin="correct horse")
    test_database.rows("delete from user_directory_stale")
    assert homeserver("rebuild", "search") == (0, "the index of messages will be made anew\n", "")
    assert homeserver("rebuild", "user-directory") == (0, "the directory of users will be made anew\n", "")
    assert test_database.rows("select user_id from user_directory_stale") == [("@alice:my.test",)]
