"""A campaign of the coverage-guided fuzzer against one target: `python -m tests.fuzz.campaign TARGET --seconds N`.

It needs `atheris`, which is no dependency of the project. What breaks the target is written to a file that is told.
"""

import argparse
import importlib
import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from tests.fuzz.targets import SEEDS, TARGETS


def main() -> None:
    """Run until the time is over, or something breaks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument(
        "--corpus", type=Path, help="where to go on from, and to leave what was found (a folder)"
    )
    options = parser.parse_args()
    atheris: Any = importlib.import_module("atheris")
    corpus = options.corpus or Path(mkdtemp(prefix="meridian-fuzz-"))
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS[options.target]):
        (corpus / f"seed{number}").write_bytes(seed)
    atheris.instrument_all()
    flags = [
        f"-max_total_time={options.seconds}",
        "-timeout=10",
        "-rss_limit_mb=1000",
        f"-artifact_prefix={corpus}/",
    ]
    atheris.Setup([sys.argv[0], *flags, str(corpus)], TARGETS[options.target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
