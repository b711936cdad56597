"""Nodes that are dead for certain."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from homeserver.app.node_file import NodeFile

PROGRAM = """
import sys, time
from pathlib import Path
from homeserver.app.node_file import NodeFile
kept = NodeFile(Path(sys.argv[1]), sys.argv[2])
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def boot(tmp_path: Path) -> Path:
    """Where another kernel would have its name."""
    (tmp_path / "boot").write_text("another\n")
    return tmp_path / "boot"


def begin(folder: Path, node: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), node], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def end(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_a_node_is_dead_when_its_process_was_killed_and_not_before(tmp_path: Path) -> None:
    process = begin(tmp_path, "first")
    second = NodeFile(tmp_path, "second")
    assert second.dead() == []
    end(process)
    assert second.dead() == ["first"]
    assert second.dead() == [], "it is buried once"


def test_of_nodes_on_other_machines_nothing_is_known(tmp_path: Path, boot: Path) -> None:
    end(begin(tmp_path, "first"))
    assert NodeFile(tmp_path, "second", boot).dead() == []
    assert NodeFile(tmp_path, "third", tmp_path / "missing").dead() == [], "nor where the system does not say"
    assert NodeFile(tmp_path, "fourth").dead() == ["first"]


def test_files_of_other_machines_do_not_pile_up(tmp_path: Path, boot: Path) -> None:
    NodeFile(tmp_path, "first", boot)
    os.utime(tmp_path / "nodes" / "first", (0, 0))
    assert NodeFile(tmp_path, "second").dead() == []
    assert not (tmp_path / "nodes" / "first").exists()


def test_an_orderly_end_leaves_nothing(tmp_path: Path) -> None:
    NodeFile(tmp_path, "first").release()
    assert NodeFile(tmp_path, "second").dead() == []
    assert [path.name for path in (tmp_path / "nodes").iterdir()] == ["second"]
