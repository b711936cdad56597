"""matrix-js-sdk, the client library of Element, in a Node process: it is told what to do and says how that went.

It is installed from npm by `tests/interop/jssdk/package-lock.json`, once, outside the project.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from threading import Timer
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
    return watched(library, *urls, script=script, point=lambda steps: None)


def watched(library: Path, *urls: str, script: str, point: Callable[[int], None]) -> list[Step]:
    """The same; ``point`` is called with the number of steps that are done whenever the script prints a point. The
    script goes on meanwhile.
    """
    steps: list[Step] = []
    with TemporaryFile("w+") as complaints:
        process = subprocess.Popen(
            ["node", str(SOURCE / script), *urls],
            env={**os.environ, "JSSDK": str(library)},
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
        )
        guard = Timer(_SECONDS, process.kill)
        guard.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith('{"step"'):
                    steps.append(_step(json.loads(line)))
                elif line.startswith('{"point"'):
                    point(len(steps))
        finally:
            guard.cancel()
            process.kill()
            status = process.wait()
        if status and not any(step.problem for step in steps):
            complaints.seek(0)
            steps.append(Step("run", f"status {status}:\n{complaints.read()[-4000:]}"))
    return steps


def _step(said: dict[str, Any]) -> Step:
    return Step(said["step"], said["problem"])
