"""The files around the code: lock files, ignored paths, the stated test command."""

import re
import subprocess
import tomllib

from tests.architecture.sources import ROOT


def test_every_dependency_is_locked_with_hashes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    runtime, development = locked("requirements.lock"), locked("requirements-dev.lock")
    assert names(project["dependencies"]) <= runtime.keys()
    assert names(project["optional-dependencies"]["dev"]) <= development.keys()
    assert all(hashes > 0 for _, hashes in (*runtime.values(), *development.values()))


def test_developers_run_what_is_deployed() -> None:
    runtime, development = locked("requirements.lock"), locked("requirements-dev.lock")
    assert {n: development[n][0] for n in runtime} == {n: version for n, (version, _) in runtime.items()}


def test_no_tracked_file_is_ignored_or_names_a_place_on_somebodys_machine() -> None:
    assert not git("ls-files", "--cached", "--ignored", "--exclude-standard")
    pattern = r"(^|[^A-Za-z0-9_.])/(wo" + r"rk|home/[a-z])"
    assert not git("grep", "-lIE", pattern, "--", ":!*.lock", check=False)


def git(*arguments: str, check: bool = True) -> list[str]:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=check)
    return done.stdout.splitlines()


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=~! ;]", requirement)[0].lower() for requirement in requirements}


def locked(file: str) -> dict[str, tuple[str, int]]:
    """Of each pinned package its version and how many hashes may match."""
    text = (ROOT / file).read_text(encoding="utf-8")
    blocks = re.findall(r"^([a-z0-9-]+)==(\S+) \\\n((?:    --hash=sha256:\S+.*\n)+)", text, re.MULTILINE)
    return {name: (version, hashes.count("--hash=")) for name, version, hashes in blocks}
