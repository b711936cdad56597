"""matrix-js-sdk, the client library of Element, in a Node process: it is told what to do and says how that went.

It is installed from npm by `tests/interop/jssdk/package-lock.json`, once, outside the project.
"""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.harness.cache import give_up, kept_folder

SOURCE = Path(__file__).parents[1] / "interop" / "jssdk"
_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Step:
    """What one part of the session came to: `problem` is empty if it went well."""

    name: str
    problem: str


def installed() -> Path:
    """The folder in which the library is; installs it first. Skips the test without Node, npm or the registry."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("Node.js and npm are not installed")
    files = [(SOURCE / name).read_bytes() for name in ("package.json", "package-lock.json")]
    with kept_folder("jssdk", *files) as (folder, complete):
        if not complete:
            for name, data in zip(("package.json", "package-lock.json"), files, strict=True):
                (folder / name).write_bytes(data)
            command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            if done.returncode:
                give_up("npm", done.stdout + done.stderr)
        return folder


def session(library: Path, *urls: str, script: str = "session.mjs") -> list[Step]:
    """Let people meet on servers; the steps in order, the last one with what ended it early, if anything did."""
    done = subprocess.run(
        ["node", str(SOURCE / script), *urls],
        env={**os.environ, "JSSDK": str(library)},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    steps = [_step(json.loads(line)) for line in done.stdout.splitlines() if line.startswith('{"step"')]
    if done.returncode and not any(step.problem for step in steps):
        steps.append(Step("run", f"status {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"))
    return steps


def _step(said: dict[str, Any]) -> Step:
    return Step(said["step"], said["problem"])
