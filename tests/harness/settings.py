"""The configuration of a server in memory. Many tests want the same one, so each is read once."""

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import yaml

from config.config import Config
from config.loading import parse

_USUAL: Final[Mapping[str, Any]] = {
    "server_name": "test",
    "registration": {"mode": "open", "shared_secret": "sesame"},
    "passwords": {"time_cost": 1, "memory": "8KiB"},
    "rate_limits": {"enabled": False},
    "turn": {"uris": ["turn:turn.test"], "shared_secret": "turn-secret"},
}


def configured(changes: Mapping[str, object] | None = None) -> Config:
    """What tests usually have, with some sections replaced."""
    return read_settings(json.dumps({**_USUAL, **(changes or {})}))


@lru_cache
def read_settings(text: str) -> Config:
    """Read YAML; paths in it lead nowhere."""
    return parse(text, Path("/nowhere"))


@lru_cache
def sections_of(text: str) -> Mapping[str, Any]:
    """Settings that are given as YAML. Whoever limits the rate of something wants limits."""
    sections: dict[str, Any] = yaml.safe_load(text) or {}
    if "rate_limits" in sections:
        sections["rate_limits"] = {"enabled": True, **sections["rate_limits"]}
    return sections
