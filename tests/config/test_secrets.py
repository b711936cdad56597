"""Secrets: where they may come from, and that they are never shown."""

from pathlib import Path

import pytest

from config.config import Config
from config.errors import ConfigError
from config.loading import parse

SECRET = "not-for-your-eyes"


def read(text: str, base_dir: Path, environ: dict[str, str] | None = None) -> Config:
    return parse("server_name: a\n" + text, base_dir, environ)


def test_a_secret_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n", encoding="utf-8")
    config = read("registration: {shared_secret_file: secret}", tmp_path)
    assert config.registration.shared_secret == SECRET


def test_a_secret_may_come_from_the_environment_without_a_word_in_the_file(tmp_path: Path) -> None:
    environ = {"MERIDIAN_REGISTRATION_SHARED_SECRET": SECRET, "MERIDIAN_DATABASE_DSN": "postgresql://u:p@h/d"}
    config = read("", tmp_path, environ)
    assert (config.registration.shared_secret, config.database.dsn) == (SECRET, "postgresql://u:p@h/d")


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    environ = {"MERIDIAN_REGISTRATION_SHARED_SECRET": SECRET}
    assert (
        read("registration: {shared_secret: other}", tmp_path, environ).registration.shared_secret == SECRET
    )


def test_a_database_may_be_named_by_its_address_alone(tmp_path: Path) -> None:
    assert read("database: postgresql://u@h/d", tmp_path).database.dsn == "postgresql://u@h/d"
    assert read("database: {dsn: 'host=h dbname=d', connections: 4}", tmp_path).database.connections == 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "{shared_secret: a, shared_secret_file: b}",
            "registration.shared_secret: `shared_secret` and `shared_secret_file`",
        ),
        ("{shared_secret_file: nowhere}", "registration.shared_secret_file: cannot read .*: No such file"),
        ("{shared_secret_file: empty}", "registration.shared_secret_file: .* is empty"),
    ],
)
def test_a_secret_that_cannot_be_had_is_a_complaint(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=f"^line 2: {said}"):
        read(f"registration: {text}", tmp_path)


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    config = read(
        f"registration: {{shared_secret: {SECRET}}}\ndatabase: postgresql://u:{SECRET}@h/d", tmp_path
    )
    assert config.registration.shared_secret == SECRET
    assert SECRET not in repr(config)


def test_a_secret_of_the_wrong_type_is_not_shown_either(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read("registration: {shared_secret: 8675309}", tmp_path)
    assert str(caught.value) == "line 2: registration.shared_secret: expected text (put it in quotes)"


def test_an_impossible_database_address_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="database.dsn: expected a PostgreSQL address") as caught:
        read(f"database: mysql://u:{SECRET}@h/d", tmp_path)
    assert SECRET not in str(caught.value)
