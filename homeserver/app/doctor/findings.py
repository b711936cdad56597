"""What an examination says: one line a finding, and what to do where something is wrong."""

import enum
from dataclasses import dataclass


class Level(enum.Enum):
    """How bad it is: `WARN` works but should be looked at, `FAIL` does not work."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of a subject (`database`, `port`, ...), and how to mend it."""

    level: Level
    subject: str
    text: str
    mend: str = ""

    def line(self) -> str:
        """The finding as the operator reads it; always one line."""
        told = f"{self.text} -> {self.mend}" if self.mend else self.text
        return f"{self.level.value:<5} {self.subject:<12} {' '.join(told.split())}"


def ok(subject: str, text: str) -> Finding:
    """All is well."""
    return Finding(Level.OK, subject, text)


def warn(subject: str, text: str, mend: str = "") -> Finding:
    """It works, and yet."""
    return Finding(Level.WARN, subject, text, mend)


def fail(subject: str, text: str, mend: str = "") -> Finding:
    """It does not work."""
    return Finding(Level.FAIL, subject, text, mend)


class Report:
    """Prints findings as they come and remembers how bad they are."""

    def __init__(self) -> None:
        self._count = dict.fromkeys(Level, 0)

    def tell(self, finding: Finding) -> None:
        """Print one."""
        self._count[finding.level] += 1
        print(finding.line(), flush=True)

    def end(self) -> int:
        """Print the sum; gives the exit status."""
        failures, warnings = self._count[Level.FAIL], self._count[Level.WARN]
        print(f"\n{failures} to be mended, {warnings} to be looked at, {self._count[Level.OK]} in order")
        return 1 if failures else 0
