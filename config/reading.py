"""From YAML nodes to frozen sections: every value is checked against its field, and every complaint knows its line."""

import dataclasses
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from functools import cache, reduce
from operator import or_
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from config.errors import ConfigError
from config.fields import Setting, key_of, setting_of
from config.scalars import SCALARS, description_of, tag_of

Section = TypeVar("Section")
Field = dataclasses.Field[Any]

ENVIRONMENT_PREFIX = "MERIDIAN_"

_hints_of = cache(get_type_hints)


@dataclass(slots=True)
class Reader:
    """Reads one file. `root` collects the top-level values, from which some defaults are made."""

    base_dir: Path
    file: Path | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    check_files: bool = False
    root: dict[str, Any] = field(default_factory=dict)

    def section(self, kind: type[Section], node: yaml.Node | None, path: str = "") -> Section:
        """Read a section; with no node, one of defaults."""
        entries = self._entries(kind, node, path)
        hints = hints_of(kind)
        values: dict[str, Any] = {} if path else self.root
        for one in fields_of(kind):
            values[one.name] = self._field(one, hints[one.name], entries, node, _join(path, key_of(one)))
        try:
            return kind(**values)
        except ValueError as error:
            raise self.error(str(error), path, node) from error

    def error(self, problem: str, path: str, node: yaml.Node | None) -> ConfigError:
        """Return the complaint about a node."""
        line = node.start_mark.line + 1 if node and node.start_mark else None
        return ConfigError(problem, key=path, file=self.file, line=line)

    def _entries(self, kind: type[Any], node: yaml.Node | None, path: str) -> dict[str, yaml.Node]:
        if node is None or tag_of(node) == "null":
            return {}
        if not isinstance(node, yaml.MappingNode):
            return self._shorthand(kind, node, path)
        known = _known_keys(kind)
        entries: dict[str, yaml.Node] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            if key not in known:
                raise self.error(f"unknown key{_suggestion(key, known)}", _join(path, key), key_node)
            if key in entries:
                raise self.error("the key is there twice", _join(path, key), key_node)
            entries[key] = value_node
        return entries

    def _shorthand(self, kind: type[Any], node: yaml.Node, path: str) -> dict[str, yaml.Node]:
        for one in fields_of(kind):
            if setting_of(one).shorthand and isinstance(node, yaml.ScalarNode):
                return {key_of(one): node}
        raise self.error(f"expected a mapping of keys to values, got {description_of(node)}", path, node)

    def _field(
        self,
        one: Field,
        kind: Any,
        entries: Mapping[str, yaml.Node],
        parent: yaml.Node | None,
        path: str,
    ) -> Any:
        declared = setting_of(one)
        node = self._secret(key_of(one), entries, path) if declared.secret else entries.get(key_of(one))
        inner, optional = without_none(kind)
        if (
            node is None
            and one.default is MISSING
            and isinstance(inner, type)
            and dataclasses.is_dataclass(inner)
        ):
            return self.section(inner, None, path)
        if node is None or (tag_of(node) == "null" and optional):
            return self._default(one, declared, parent, path)
        value = self._value(inner, node, path)
        self._bounds(declared, inner, value, node, path)
        self._check(declared, value, node, path)
        return value

    def _default(self, one: Field, declared: Setting, parent: yaml.Node | None, path: str) -> Any:
        if declared.derive:
            return declared.derive(self.root)
        if one.default is MISSING:
            raise self.error("the key is missing", path, parent)
        return self.base_dir / one.default if isinstance(one.default, Path) else one.default

    def _secret(self, key: str, entries: Mapping[str, yaml.Node], path: str) -> yaml.Node | None:
        """Return the node of a secret, which the environment or a file may supply in the place of an inline one."""
        inline, file_node = entries.get(key), entries.get(f"{key}_file")
        if inline and file_node:
            raise self.error(f"`{key}` and `{key}_file` are both there: keep one", path, file_node)
        from_environment = self.environ.get(environment_name(path))
        if from_environment:
            return _text_node(from_environment, None)
        if inline and tag_of(inline) not in ("str", "null"):
            raise self.error("expected text (put it in quotes)", path, inline)
        return _text_node(self._file_content(file_node, f"{path}_file"), file_node) if file_node else inline

    def _file_content(self, node: yaml.Node, path: str) -> str:
        file = self._path(node, path)
        try:
            content = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise self.error(
                f"cannot read {file}: {getattr(error, 'strerror', error)}", path, node
            ) from error
        if not content:
            raise self.error(f"{file} is empty", path, node)
        return content

    def _value(self, kind: Any, node: yaml.Node, path: str) -> Any:
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            return self.section(kind, node, path)
        if get_origin(kind) is tuple:
            return self._sequence(get_args(kind)[0], node, path)
        if get_origin(kind) is Literal:
            return self._choice(get_args(kind), node, path)
        if kind is Path:
            return self._path(node, path)
        return self._scalar_value(kind, node, path)

    def _sequence(self, kind: Any, node: yaml.Node, path: str) -> tuple[Any, ...]:
        if not isinstance(node, yaml.SequenceNode):
            raise self.error(f"expected a list, got {description_of(node)}", path, node)
        values: list[Any] = []
        for index, item in enumerate(node.value):
            value = self._value(kind, item, f"{path}[{index}]")
            if value in values:
                raise self.error("it is in the list twice", f"{path}[{index}]", item)
            values.append(value)
        return tuple(values)

    def _choice(self, options: tuple[str, ...], node: yaml.Node, path: str) -> str:
        text = node.value if isinstance(node, yaml.ScalarNode) else None
        if text not in options:
            raise self.error(f"expected one of {', '.join(options)}, got {description_of(node)}", path, node)
        return str(text)

    def _path(self, node: yaml.Node, path: str) -> Path:
        text = self._scalar_value(str, node, path)
        return self.base_dir / Path(text).expanduser()

    def _scalar_value(self, kind: Any, node: yaml.Node, path: str) -> Any:
        scalar = SCALARS[kind]
        if not isinstance(node, yaml.ScalarNode) or tag_of(node) not in scalar.tags:
            quote = " (put it in quotes)" if kind is str and isinstance(node, yaml.ScalarNode) else ""
            raise self.error(f"expected {scalar.expected}, got {description_of(node)}{quote}", path, node)
        try:
            return scalar.parse(node.value)
        except ValueError as error:
            raise self.error(str(error), path, node) from error

    def _bounds(self, declared: Setting, kind: Any, value: Any, node: yaml.Node, path: str) -> None:
        if declared.minimum is not None and value < declared.minimum:
            least = SCALARS[kind].write(declared.minimum)
            raise self.error(f"must be at least {least}, got {node.value}", path, node)
        if declared.maximum is not None and value > declared.maximum:
            most = SCALARS[kind].write(declared.maximum)
            raise self.error(f"must be at most {most}, got {node.value}", path, node)

    def _check(self, declared: Setting, value: Any, node: yaml.Node, path: str) -> None:
        if declared.must_exist and self.check_files and not value.is_file():
            raise self.error(f"there is no file {value}", path, node)
        if declared.check is None:
            return
        try:
            for one in value if isinstance(value, tuple) else (value,):
                declared.check(one)
        except ValueError as error:
            raise self.error(str(error), path, node) from error


def environment_name(path: str) -> str:
    """Return the environment variable that may supply the secret at a path."""
    return ENVIRONMENT_PREFIX + path.upper().replace(".", "_")


def without_none(kind: Any) -> tuple[Any, bool]:
    """Split `X | None` into X and whether None is allowed."""
    arguments = get_args(kind)
    if get_origin(kind) in (Union, types.UnionType) and type(None) in arguments:
        return reduce(or_, [one for one in arguments if one is not type(None)]), True
    return kind, False


def hints_of(kind: Any) -> Mapping[str, Any]:
    """Return the types of a section's fields."""
    return _hints_of(kind)


def fields_of(kind: Any) -> tuple[Field, ...]:
    """Return the fields of a section in the order in which they are declared."""
    return dataclasses.fields(kind)


def _known_keys(kind: Any) -> tuple[str, ...]:
    keys: list[str] = []
    for one in fields_of(kind):
        keys.append(key_of(one))
        if setting_of(one).secret:
            keys.append(f"{key_of(one)}_file")
    return tuple(keys)


def _suggestion(key: str, known: tuple[str, ...]) -> str:
    import difflib

    near = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean `{near[0]}`?" if near else f"; there are {', '.join(known)}"


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _text_node(text: str, place: yaml.Node | None) -> yaml.ScalarNode:
    mark = place.start_mark if place else None
    return yaml.ScalarNode("tag:yaml.org,2002:str", text, start_mark=mark, end_mark=mark)
