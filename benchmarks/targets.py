"""Two servers that are measured in turns by one client, and the table of what came of it.

A file describes a server as JSON: `name`, `url`, and `pid`, the files with the IDs of its processes, whose processor
time is read. Registration must be open and rate limits off.
"""

import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import orjson

from tests.harness.live_client import V3, Requests

PASSWORD = "correct horse battery"


@dataclass(frozen=True, slots=True)
class Device:
    """A device that is logged in."""

    user_id: str
    device_id: str
    http: Requests


@dataclass(slots=True)
class Target:
    """A server, and what was measured of it: by figure, a number for each round."""

    name: str
    url: str
    pids: Sequence[str]
    devices: list[Device] = field(default_factory=list)
    figures: dict[str, list[float]] = field(default_factory=dict)

    def note(self, figure: str, value: float) -> None:
        """Add what a round gave."""
        self.figures.setdefault(figure, []).append(value)

    def register(self, visitor: Requests, name: str) -> Device:
        """Make a user with a device."""
        wishes = {"username": name, "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
        answer = visitor.call("POST", f"{V3}/register", wishes)
        return Device(answer["user_id"], answer["device_id"], visitor.with_token(answer["access_token"]))

    def processor_seconds(self) -> float:
        """Of its processes up to now."""
        total = 0
        for name in self.pids:
            pid = int(Path(name).read_text().split()[0])
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / os.sysconf("SC_CLK_TCK")


def described(path: Path) -> Target:
    """The server of a file."""
    found = orjson.loads(path.read_bytes())
    return Target(found["name"], found["url"], found.get("pid", []))


def timed(times: int, request: Callable[[], Any]) -> list[float]:
    """How long a request took each time, in ms."""
    taken = []
    for _ in range(times):
        began = perf_counter()
        request()
        taken.append((perf_counter() - began) * 1000)
    return taken


def report(one: Target, other: Target) -> None:
    """Print the medians, and the ratios of the second server to the first."""
    print(f"| figure | {one.name} | {other.name} | ratio | by round |\n|---|---|---|---|---|")
    for name, values in one.figures.items():
        theirs = other.figures[name]
        ratios = [b / a if a else 0.0 for a, b in zip(values, theirs, strict=True)]
        a, b = statistics.median(values), statistics.median(theirs)
        by_round = " ".join(f"{ratio:.3g}" for ratio in ratios)
        print(f"| {name} | {a:.4g} | {b:.4g} | {statistics.median(ratios):.3g} | {by_round} |")
