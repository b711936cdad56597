"""No setting is a promise that nobody keeps."""

import ast
import dataclasses
from collections.abc import Iterator
from typing import Any

from config.config import Config
from config.loading import defaults
from config.rate_limits import RateLimits
from config.reading import fields_of, hints_of, without_none
from homeserver.app.unstarted import unstarted
from homeserver.http.endpoint import declared_limits
from tests.architecture.sources import sources

# What the file may say already although what it is about is still to come.
NOT_YET_READ = frozenset({"federate"})
NOT_YET_COUNTED = frozenset({"keys", "uploads"})


def test_every_setting_is_read_somewhere() -> None:
    read = {node.attr for node in attributes()}
    unread = {
        name for section, name in every_setting(Config) if section is not RateLimits and name not in read
    }
    whole = read_of_the_whole()
    unread |= {field.name for field in fields_of(Config) if field.name not in whole}
    assert unread <= NOT_YET_READ


def test_every_rate_limit_limits_something() -> None:
    served = unstarted(defaults("localhost", environ={})).endpoints.values()
    counted = {limit for endpoints in served for limit in declared_limits(endpoints)} | taken_by_name()
    uncounted = {field.name for field in fields_of(RateLimits) if field.name not in counted | {"enabled"}}
    assert uncounted <= NOT_YET_COUNTED


def taken_by_name() -> set[str]:
    """What is counted by services: `limits.bucket("login_failures")`."""
    return {
        ast.literal_eval(node.args[0])
        for source in sources()
        if not source.is_test
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("bucket", "take")
        and _last_name(node.func.value).endswith("limits")
        and isinstance(node.args[0], ast.Constant)
    }


def read_of_the_whole() -> set[str]:
    """Names that are read of something called `config`."""
    return {node.attr for node in attributes() if _last_name(node.value).endswith("config")}


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def attributes() -> Iterator[ast.Attribute]:
    for source in sources():
        if source.name.startswith(("tests/", "benchmarks/")):
            continue
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                yield node


def every_setting(section: Any) -> Iterator[tuple[Any, str]]:
    """Section and name of each attribute that the operator sets, sections included."""
    for field in fields_of(section):
        yield section, field.name
        kind, _ = without_none(hints_of(section)[field.name])
        if dataclasses.is_dataclass(kind):
            yield from every_setting(kind)
