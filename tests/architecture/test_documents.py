"""The documentation tells what is there."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.loading import defaults
from homeserver.app import endpoint_reference
from homeserver.app.cli import parser
from homeserver.app.unstarted import unstarted
from homeserver.http.endpoint import BoundEndpoint
from tests.architecture.sources import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)(?:#([^)\s]+))?\)")


def test_the_page_of_endpoints_is_up_to_date() -> None:
    page = (ROOT / endpoint_reference.REFERENCE).read_text(encoding="utf-8")
    assert page == endpoint_reference.reference(), "run `make docs`"


def test_endpoints_say_where_they_are_specified() -> None:
    """Our own have no specification."""
    silent = {path for bound in endpoints() if not bound.endpoint.spec for path in bound.endpoint.paths}
    assert {path for path in silent if path.startswith(("/_matrix", "/.well-known"))} == set()


def test_no_path_is_declared_twice() -> None:
    seen: set[tuple[str, str]] = set()
    for bound in endpoints():
        for path in bound.endpoint.paths:
            key = (bound.endpoint.method, re.sub(r"{\w+}", "{}", path))
            assert key not in seen
            seen.add(key)


def test_every_command_and_option_is_in_the_reference() -> None:
    page = (ROOT / "docs/reference/command-line.md").read_text(encoding="utf-8")
    missing = [name for name in commands_and_options(parser(), "homeserver") if f"`{name}" not in page]
    assert missing == []


def test_the_page_of_metrics_has_all_of_them_and_no_others() -> None:
    page = (ROOT / "docs/reference/metrics.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `(meridian_\w+)`", page, re.MULTILINE))
    assert told == set(measured())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    broken = [
        f"{target}#{anchor}" if anchor else target
        for target, anchor in LINK.findall(text)
        if not leads_somewhere(page.parent / target, anchor)
    ]
    assert broken == []


def leads_somewhere(path: Path, anchor: str) -> bool:
    if not path.exists():
        return False
    if not anchor:
        return True
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def endpoints() -> list[BoundEndpoint]:
    """All that are served."""
    return [
        each for served in unstarted(defaults("localhost", environ={})).endpoints.values() for each in served
    ]


def measured() -> Iterator[str]:
    """Names of our own measurements as Prometheus shows them."""
    for family in unstarted(defaults("localhost", environ={})).metrics.registry.collect():
        if family.name.startswith("meridian_"):
            yield f"{family.name}_total" if family.type == "counter" else family.name


def commands_and_options(command: argparse.ArgumentParser, name: str) -> Iterator[str]:
    """Every command by its whole name, every option by its long one."""
    for action in command._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, inner in action.choices.items():
                yield f"{name} {word}"
                yield from commands_and_options(inner, f"{name} {word}")
        elif action.option_strings and not isinstance(action, argparse._HelpAction):
            yield action.option_strings[-1]
