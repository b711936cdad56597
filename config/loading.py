"""The ways to a configuration: from a file, from text, or the defaults of a server that was given none."""

import os
from collections.abc import Mapping
from pathlib import Path

import yaml

from config.config import Config
from config.errors import ConfigError
from config.reading import Reader


def load(path: Path, environ: Mapping[str, str] = os.environ) -> Config:
    """Read a file; relative paths in it start at its folder. Files that it names must exist.

    Raises ConfigError.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read it: {getattr(error, 'strerror', error)}", file=path) from error
    reader = Reader(base_dir=path.absolute().parent, file=path, environ=environ, check_files=True)
    return reader.section(Config, _compose(text, path))


def parse(text: str, base_dir: Path, environ: Mapping[str, str] | None = None) -> Config:
    """Read a configuration from text. Certificates and the like need not exist; files with secrets do.

    Raises ConfigError.
    """
    reader = Reader(base_dir=base_dir.absolute(), environ=environ or {})
    return reader.section(Config, _compose(text, None))


def defaults(
    server_name: str = "localhost", base_dir: Path = Path(), environ: Mapping[str, str] = os.environ
) -> Config:
    """Return the configuration of a server that was told its name alone. Raises ConfigError."""
    node = yaml.compose(yaml.safe_dump({"server_name": server_name}), Loader=yaml.SafeLoader)
    return Reader(base_dir=base_dir.absolute(), environ=environ).section(Config, node)


def _compose(text: str, file: Path | None) -> yaml.Node:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError(f"not valid YAML: {problem}", file=file, line=line) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"not valid YAML: {' '.join(str(error).split())}", file=file) from error
    if node is None:
        raise ConfigError("it is empty: `server_name` at least has to be there", file=file)
    return node
