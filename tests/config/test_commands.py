"""`homeserver init` and `homeserver check-config`, as an operator uses them."""

from pathlib import Path

import pytest

from config.loading import load
from homeserver.app.cli import main
from homeserver.app.signing_key_file import (
    SigningKeyUnusable,
    read_old_keys,
    read_or_make_signing_key,
    read_signing_key,
)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_init_writes_a_configuration_and_a_key_that_can_be_used(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "--server-name", "example.org"]) == 0
    config = load(place / "homeserver.yaml", {})
    assert config.server_name == "example.org"
    assert read_signing_key(config.signing_key_path).key_id.startswith("ed25519:a_")
    assert "homeserver run -c homeserver.yaml" in capsys.readouterr().out


def test_init_writes_nothing_that_others_may_read(place: Path) -> None:
    main(["init", "--server-name", "example.org"])
    assert {(place / name).stat().st_mode & 0o777 for name in ("homeserver.yaml", "data/signing.key")} == {
        0o600
    }


def test_init_leaves_a_configuration_as_it_is(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "homeserver.yaml").write_text("server_name: mine.example\n", encoding="utf-8")
    assert main(["init", "--server-name", "example.org"]) == 1
    assert (place / "homeserver.yaml").read_text(encoding="utf-8") == "server_name: mine.example\n"
    assert not (place / "data").exists()
    assert "is there already" in capsys.readouterr().err


def test_init_keeps_the_key_of_a_server_that_lost_its_configuration(place: Path) -> None:
    main(["init", "--server-name", "example.org"])
    key = (place / "data/signing.key").read_text(encoding="ascii")
    (place / "homeserver.yaml").unlink()
    assert main(["init", "--server-name", "example.org"]) == 0
    assert (place / "data/signing.key").read_text(encoding="ascii") == key


def test_init_refuses_what_is_no_server_name(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--server-name", "not a name"]) == 2
    assert capsys.readouterr().err.startswith("homeserver: --server-name: expected a server name")
    assert not list(place.iterdir())


def test_check_config_says_what_the_server_would_do(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "homeserver.yaml").write_text(
        "server_name: example.org\ndatabase: postgresql://u:pw@h/d\n", "utf-8"
    )
    assert main(["check-config"]) == 0
    said = capsys.readouterr().out
    assert "example.org" in said
    assert "127.0.0.1:8008 (http): client, federation, metrics" in said
    assert "pw" not in said


def test_check_config_names_the_line_that_is_wrong(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "mine.yaml").write_text("server_name: example.org\n\nlisteners:\n  - {prot: 8008}\n", "utf-8")
    assert main(["check-config", "-c", "mine.yaml"]) == 2
    said = capsys.readouterr().err
    assert said == ("homeserver: mine.yaml:4: listeners[0].prot: unknown key; did you mean `port`?\n")


def test_check_config_reads_the_signing_key(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "homeserver.yaml").write_text("server_name: example.org\nsigning_key_path: key\n", "utf-8")
    (place / "key").write_text("rsa 1 abcd\n", encoding="ascii")
    assert main(["check-config"]) == 1
    assert f"the signing key {place}/key cannot be used" in capsys.readouterr().err


def test_without_a_file_check_config_describes_the_default_server(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config"]) == 0
    assert "localhost" in capsys.readouterr().out


def test_a_command_that_does_not_exist_is_wrong_use() -> None:
    with pytest.raises(SystemExit) as caught:
        main(["fly"])
    assert caught.value.code == 2


def test_the_key_is_made_once(place: Path) -> None:
    first = read_or_make_signing_key(place / "keys" / "signing.key")
    assert read_or_make_signing_key(place / "keys" / "signing.key").line() == first.line()


def test_a_key_file_that_cannot_be_read_is_not_replaced(place: Path) -> None:
    (place / "signing.key").write_text("", encoding="ascii")
    with pytest.raises(SigningKeyUnusable, match="has no key"):
        read_or_make_signing_key(place / "signing.key")
    assert (place / "signing.key").read_bytes() == b""


def test_a_key_that_is_replaced_stays_on_record(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["init", "--server-name", "example.org"])
    path = place / "data/signing.key"
    keys = [read_signing_key(path)]
    for _ in range(2):
        assert main(["rotate-key", "--restart-within", "10m"]) == 0
        assert "restart the server" in capsys.readouterr().out
        keys.append(read_signing_key(path))
    assert len({key.key_id for key in keys}) == 3
    old = read_old_keys(path)
    assert [(key.key_id, key.public, key.expired) for key in old] == [
        (key.key_id, key.verify_key.public, True) for key in keys[:2]
    ]
    changed = (place / "data/signing.key").stat().st_mtime * 1000
    assert all(abs((key.valid_until_ts or 0) - changed - 600_000) < 60_000 for key in old)
    assert {each.stat().st_mode & 0o777 for each in (place / "data").iterdir()} == {0o600}
    assert {each.name for each in (place / "data").iterdir()} == {"signing.key", "signing.key.old"}


def test_a_key_is_replaced_only_where_one_is(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "homeserver.yaml").write_text("server_name: example.org\n", encoding="utf-8")
    assert main(["rotate-key"]) == 1
    assert "cannot read the signing key" in capsys.readouterr().err
    assert not (place / "data/signing.key").exists()


def test_old_keys_that_make_no_sense_stop_a_rotation(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["init", "--server-name", "example.org"])
    key = (place / "data/signing.key").read_text(encoding="ascii")
    (place / "data/signing.key.old").write_text("ed25519 a_1 nonsense 5\n", encoding="ascii")
    assert main(["rotate-key"]) == 1
    assert "signing.key.old cannot be used" in capsys.readouterr().err
    assert (place / "data/signing.key").read_text(encoding="ascii") == key
