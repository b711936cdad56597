"""The command line as a process of its own."""

import subprocess
import sys
from pathlib import Path


def command(config: Path, *words: str) -> tuple[int, list[str]]:
    """Run `homeserver` with a configuration: its status and the lines that it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "homeserver", *words, "-c", str(config)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert not done.stderr
    return done.returncode, done.stdout.splitlines()
