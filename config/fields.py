"""How a section states its fields: the type, the doc text, the default and the bounds, each once.

The reader, the example file and the reference page are all driven by what stands here.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Setting:
    """What is known of a field besides its name and type."""

    doc: str
    secret: bool = False
    """May also come from `<key>_file` or the environment, and is never shown."""
    shorthand: bool = False
    """A bare value in place of its whole section sets this field."""
    must_exist: bool = False
    """A path to a file that has to be there when the server starts."""
    minimum: float | None = None
    maximum: float | None = None
    check: Callable[[Any], None] | None = None
    """Raises ValueError, saying what was expected, for a value that the type lets through."""
    derive: Callable[[Mapping[str, Any]], Any] | None = None
    """Makes the default from the top-level values that stand before this field."""
    derived: str = ""
    """How the documentation writes a derived default."""
    example: str = ""
    """YAML that the example file shows in place of the default."""


def setting(doc: str, *, default: Any = MISSING, secret: bool = False, **rest: Any) -> Any:
    """Declare a field of a section. Sections are dataclasses with `kw_only=True`."""
    return dataclasses.field(
        default=default, repr=not secret, metadata={"setting": Setting(doc=doc, secret=secret, **rest)}
    )


def setting_of(field: "dataclasses.Field[Any]") -> Setting:
    """Return what `setting` declared for the field."""
    declared: Setting = field.metadata["setting"]
    return declared


def key_of(field: "dataclasses.Field[Any]") -> str:
    """Return the key in the file: the attribute's name without its unit, which the file's value carries itself."""
    for suffix in ("_bytes", "_ms"):
        if field.name.endswith(suffix):
            return field.name.removesuffix(suffix)
    return field.name
