"""Each target of the fuzzer on its seeds, and on what Hypothesis makes of them; the fuzzer itself goes further.

`python -m tests.fuzz.campaign TARGET --seconds N` does, guided by coverage (`pip install atheris`).
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import SEEDS, TARGETS

PIECES = (
    b"null",
    b"-1",
    b"1e400",
    b"9007199254740993",
    b"{}",
    b"[[",
    b'""',
    b'"\\ud800"',
    b'"\\u0000"',
    b"\xff",
    b",",
)


@st.composite
def spoilt(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """A seed with some pieces of it replaced, repeated or left out."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 12)))
        piece = draw(st.sampled_from((*PIECES, data[start:end] * 2)) | st.binary(max_size=8))
        data = data[:start] + piece + data[end:]
    return data


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_taken(name: str) -> None:
    for seed in SEEDS[name]:
        TARGETS[name](seed)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=300)
@given(data=st.data())
def test_spoilt_bytes_break_nothing(name: str, data: st.DataObject) -> None:
    TARGETS[name](data.draw(spoilt(SEEDS[name])))
