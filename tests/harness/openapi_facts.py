"""Reduces the specification's OpenAPI to facts about endpoints: what a request may carry, and what an answer must be.

    python -m tests.harness.openapi_facts path/to/matrix-spec

writes `openapi_facts.json` beside this file, which `conformance.py` reads. Names, types and what is required are
facts; the specification's words are left where they are. A shape is one of

- a name of a type: `any`, `string`, `integer`, `number`, `boolean`, `null`, or a string's format (`mx-room-id`);
- `{"list": shape}`, `{"one": [values]}`, `{"either": [shapes]}`, `{"see": name of a shape in "shapes"}`;
- `{"object": {property: shape}, "required": [...], "others": shape or false, "keys": {pattern: shape}}`.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

FACTS: Final = Path(__file__).parent / "openapi_facts.json"
APIS: Final = ("client-server", "server-server")
Shape = Any

_FORMATS: Final = {"mx-user-id", "mx-room-id", "mx-event-id", "mx-room-alias", "mx-server-name", "mx-mxc-uri"}
_CONSTRAINTS: Final = {"properties", "required", "additionalProperties", "patternProperties"}


class Reduction:
    """One pass over a checkout of the specification."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._documents: dict[Path, Any] = {}
        self.shapes: dict[str, Shape] = {}

    def endpoints(self) -> dict[str, Any]:
        """Facts by `METHOD /path`, in order. What is described twice (as GET /events) is one endpoint."""
        found: dict[str, Any] = {}
        for name, facts in self._operations():
            known = found.setdefault(name, facts)
            if known is not facts:
                both = {**facts.get("query", {}), **known.get("query", {})}
                known["query"] = {parameter.removesuffix("!"): shape for parameter, shape in both.items()}
        return dict(sorted(found.items()))

    def edus(self) -> dict[str, Shape]:
        """The shapes of ephemeral data by its type."""
        folder = self._root / "data/api/server-server/definitions/event-schemas"
        return {file.stem: self.shape(self._document(file), file) for file in sorted(folder.glob("m.*.yaml"))}

    def _operations(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for api in APIS:
            for file in sorted((self._root / "data/api" / api).glob("*.yaml")):
                document = self._document(file)
                base = document["servers"][0]["variables"]["basePath"]["default"]
                for path, methods in document["paths"].items():
                    for method, operation in methods.items():
                        yield f"{method.upper()} {base}{path.strip()}", self._endpoint(operation, file)

    def _endpoint(self, operation: Any, file: Path) -> dict[str, Any]:
        facts: dict[str, Any] = {}
        query = self._query(operation, file)
        if query:
            facts["query"] = query
        body = operation.get("requestBody")
        if body is not None:
            body, where = self._dereferenced(body, file)
            facts["body"] = self._content(body, where)
            if "application/json" in body["content"]:
                facts["body required"] = bool(body.get("required", False))
        facts["answers"] = {
            status: self._content(*self._dereferenced(answer, file))
            for status, answer in operation["responses"].items()
            if status.startswith("2")
        }
        return facts

    def _query(self, operation: Any, file: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for parameter in operation.get("parameters", ()):
            parameter, where = self._dereferenced(parameter, file)
            if parameter["in"] == "query":
                required = "!" if parameter.get("required") else ""
                found[parameter["name"] + required] = self.shape(parameter["schema"], where)
        return dict(sorted(found.items()))

    def _content(self, holder: Any, file: Path) -> Shape:
        """The shape of a body: of its JSON, or `bytes` if it may be something else, or None if there is none."""
        content = holder.get("content")
        if content is None:
            return None
        if "application/json" not in content:
            return "bytes"
        return self.shape(content["application/json"]["schema"], file)

    def shape(self, schema: Any, file: Path) -> Shape:
        """Reduce a schema that stands in a file."""
        parts = [self.shape(part, file) for part in schema.get("allOf", ())]
        if "$ref" in schema:
            parts.append(self._reference(schema["$ref"], file))
        parts.append(self._own(schema, file))
        parts += [
            _either([self.shape(choice, file) for choice in schema[word]])
            for word in ("oneOf", "anyOf")
            if word in schema
        ]
        return self._all_of(parts)

    def _own(self, schema: Any, file: Path) -> Shape:
        if "enum" in schema:
            return {"one": schema["enum"]}
        kind = schema.get("type", "object" if _CONSTRAINTS & schema.keys() else "any")
        if isinstance(kind, list):
            return _either([self._own({**schema, "type": each}, file) for each in kind])
        if kind == "object":
            return self._object(schema, file)
        if kind == "array":
            return {"list": self.shape(schema.get("items", {}), file)}
        return schema["format"] if kind == "string" and schema.get("format") in _FORMATS else kind

    def _object(self, schema: Any, file: Path) -> Shape:
        found: dict[str, Any] = {"object": {}}
        for name, value in schema.get("properties", {}).items():
            found["object"][str(name)] = self.shape(value, file)
        if schema.get("required"):
            found["required"] = sorted(schema["required"])
        others = schema.get("additionalProperties", True)
        if others is False:
            found["others"] = False
        elif others is not True:
            found["others"] = self.shape(others, file)
        if "patternProperties" in schema:
            found["keys"] = {
                pattern: self.shape(value, file) for pattern, value in schema["patternProperties"].items()
            }
        return found

    def _reference(self, reference: str, file: Path) -> Shape:
        schema, where = self._dereferenced({"$ref": reference}, file)
        name = str(where.relative_to(self._root / "data")).removeprefix("api/").removesuffix(".yaml")
        fragment = reference.partition("#")[2]
        name = f"{name}{fragment and '#' + fragment.rpartition('/')[2]}"
        if name not in self.shapes:
            self.shapes[name] = "any"  # should it refer to itself
            self.shapes[name] = self.shape(schema, where)
        return {"see": name}

    def _dereferenced(self, holder: Any, file: Path) -> tuple[Any, Path]:
        while "$ref" in holder:
            place, _, fragment = holder["$ref"].partition("#")
            file = (file.parent / place).resolve() if place else file
            found = self._document(file)
            for segment in filter(None, fragment.split("/")):
                found = found[segment]
            holder = {**found, **{word: value for word, value in holder.items() if word != "$ref"}}
        return holder, file

    def _all_of(self, parts: list[Shape]) -> Shape:
        parts = [part for part in parts if part not in ("any", {"object": {}})] or parts[-1:]
        merged = parts[0]
        for part in parts[1:]:
            merged = self._both(merged, part)
        return merged

    def _both(self, left: Shape, right: Shape) -> Shape:
        """What satisfies two shapes."""
        if left == right or right == "any":
            return left
        left, right = self._seen(left), self._seen(right)
        if not (_is_object(left) and _is_object(right)):
            return left if _narrow(left) >= _narrow(right) else right
        merged: dict[str, Any] = {"object": dict(left["object"])}
        for name, value in right["object"].items():
            known = merged["object"].get(name)
            merged["object"][name] = value if known is None else self._all_of([known, value])
        required = sorted({*left.get("required", ()), *right.get("required", ())})
        if required:
            merged["required"] = required
        for word in ("others", "keys"):
            if word in left or word in right:
                merged[word] = right.get(word, left.get(word))
        return merged

    def _seen(self, shape: Shape) -> Shape:
        while isinstance(shape, dict) and "see" in shape:
            shape = self.shapes[shape["see"]]
        return shape

    def _document(self, file: Path) -> Any:
        if file not in self._documents:
            self._documents[file] = yaml.safe_load(file.read_text(encoding="utf-8"))
        return self._documents[file]


def _either(shapes: list[Shape]) -> Shape:
    return shapes[0] if len(shapes) == 1 else {"either": shapes}


def _is_object(shape: Shape) -> bool:
    return isinstance(shape, dict) and "object" in shape


def _narrow(shape: Shape) -> int:
    """How much a shape says."""
    if isinstance(shape, dict):
        return 3 if "one" in shape else 2
    return {"any": 0, "string": 1}.get(shape, 2)


def _used(facts: Any, shapes: Mapping[str, Shape]) -> set[str]:
    """The names of the shapes that are referred to, directly or by others."""
    found: set[str] = set()
    waiting = [facts]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            name = value.get("see")
            if isinstance(name, str) and len(value) == 1 and name not in found:
                found.add(name)
                waiting.append(shapes[name])
            waiting += value.values()
    return found


def reduced(root: Path) -> dict[str, Any]:
    """Return all facts."""
    reduction = Reduction(root)
    endpoints = reduction.endpoints()
    edus = reduction.edus()
    used = _used([endpoints, edus], reduction.shapes)
    return {
        "endpoints": endpoints,
        "edus": edus,
        "shapes": {name: reduction.shapes[name] for name in sorted(used)},
    }


def written(facts: Mapping[str, Any]) -> str:
    """Write facts, one a line."""
    sections = []
    for section, entries in facts.items():
        lines = ",\n".join(
            f"{json.dumps(name)}: {json.dumps(value, separators=(',', ':'))}"
            for name, value in entries.items()
        )
        sections.append(f'"{section}": {{\n{lines}\n}}')
    return "{\n" + ",\n".join(sections) + "\n}\n"


if __name__ == "__main__":
    FACTS.write_text(written(reduced(Path(sys.argv[1]))), encoding="utf-8")
