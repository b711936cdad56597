"""Which release this is. `pyproject.toml` says the same; to read it in what is installed takes half a megabyte."""

from typing import Final

VERSION: Final = "0.1.0"
