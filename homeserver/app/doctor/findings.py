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
