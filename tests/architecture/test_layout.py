import ast
import re
import tomllib
from typing import Any

from tests.architecture.sources import PACKAGES, ROOT, sources

VAGUE_MODULES = re.compile(r"(^|_)(utils?|helpers?|misc|manager|handlers?|common)(_|$)")
VAGUE_FUNCTIONS = re.compile(r"^(get|handle)_")


def test_every_package_initialiser_is_empty() -> None:
    assert not [s.name for s in sources() if s.path.name == "__init__.py" and s.text]


def test_every_package_has_an_initialiser() -> None:
    folders = {source.path.parent for source in sources() if source.name.split("/")[0] in PACKAGES}
    assert not [str(folder) for folder in folders if not (folder / "__init__.py").exists()]


def test_no_import_hides_behind_type_checking() -> None:
    hidden = [
        f"{source.name}:{node.lineno}"
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    ]
    assert not hidden


def test_every_module_stands_on_a_floor() -> None:
    """A module that the layers do not name would be free to import anything."""
    floors = floors_of_the_contract()
    modules = {
        f"{package}.{entry.stem}"
        for package in ("homeserver", "federation")
        for entry in (ROOT / package).iterdir()
        if entry.name != "__init__.py" and (entry.suffix == ".py" or (entry / "__init__.py").exists())
    }
    assert modules <= floors, f"name these in the layers of pyproject.toml: {sorted(modules - floors)}"


def test_modules_have_speaking_names() -> None:
    vague = [s.name for s in sources() if not s.is_test and VAGUE_MODULES.search(s.path.stem)]
    assert not vague


def test_functions_are_not_named_get_or_handle() -> None:
    vague = [
        f"{source.name}:{function.lineno} {function.name}"
        for source in sources()
        if not source.is_test
        for function in source.functions()
        if VAGUE_FUNCTIONS.match(function.name)
    ]
    assert not vague, "\n".join(vague)


def floors_of_the_contract() -> set[str]:
    settings: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = next(c["layers"] for c in settings["tool"]["importlinter"]["contracts"] if c["id"] == "floors")
    return {name.strip("() ") for layer in layers for name in re.split(r"[|:]", layer)}
