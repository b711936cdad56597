"""The example and the reference page are the sections, written down."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.config import Config
from config.documentation import EXAMPLE, REFERENCE, example, reference
from config.fields import key_of, setting_of
from config.loading import defaults, parse
from config.reading import Field, environment_name, fields_of, hints_of
from tests.architecture.sources import ROOT


@pytest.mark.parametrize(("path", "content"), [(EXAMPLE, example()), (REFERENCE, reference())])
def test_generated_files_are_up_to_date(path: Path, content: str) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == content, "run `make docs`"


def test_the_example_is_the_defaults() -> None:
    assert parse(example("localhost"), Path("/srv")) == defaults(base_dir=Path("/srv"), environ={})


def test_the_example_is_still_right_with_every_setting_switched_on() -> None:
    config = parse(re.sub(r"(?m)^#(?! \S)", "", example()), Path("/srv"))
    assert config.registration.shared_secret == "change-me"
    assert config.media.path == defaults(base_dir=Path("/srv"), environ={}).media.path


def test_every_setting_is_in_the_reference() -> None:
    page = reference()
    missing = [key for key, _ in every_field(Config) if f"| `{key}` |" not in page]
    assert not missing


def test_every_setting_says_what_it_means() -> None:
    silent = [
        key
        for key, field in every_field(Config)
        if not setting_of(field).doc and not dataclasses.is_dataclass(hints_of(Config).get(field.name))
    ]
    assert not silent


def test_every_secret_names_its_environment_variable() -> None:
    assert environment_name("registration.shared_secret") == "MERIDIAN_REGISTRATION_SHARED_SECRET"
    assert "`MERIDIAN_REGISTRATION_SHARED_SECRET`" in reference()
    assert "`MERIDIAN_DATABASE_DSN`" in reference()


def every_field(section: Any) -> Iterator[tuple[str, Field]]:
    for field in fields_of(section):
        yield key_of(field), field
        kind = hints_of(section)[field.name]
        if isinstance(kind, type) and hasattr(kind, "__dataclass_fields__"):
            yield from every_field(kind)
