"""`homeserver init` and `homeserver check-config`, as an operator uses them."""

from pathlib import Path

import pytest

from config.loading import load
from homeserver.app.cli import main
from homeserver.app.signing_key_file import SigningKeyUnusable, read_or_make_signing_key, read_signing_key


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
