"""BlurHash: a picture as twenty or thirty letters, enough to show something like it until it is there; pure.

https://github.com/woltapp/blurhash/blob/master/Algorithm.md
"""

from collections.abc import Sequence
from math import copysign, cos, pi
from typing import Final

Colour = tuple[float, float, float]

_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"
_LINEAR: Final = tuple(
    value / 255 / 12.92 if value <= 10 else ((value / 255 + 0.055) / 1.055) ** 2.4 for value in range(256)
)
"""How bright each of the 256 steps of sRGB is."""


def blurhash(rows: Sequence[Sequence[tuple[int, int, int]]], across: int, down: int) -> str:
    """The hash of a small picture, row by row, with so many waves across and down (1 to 9)."""
    waves = _waves(rows, across, down)
    average, others = waves[0], waves[1:]
    strongest = max((abs(value) for wave in others for value in wave), default=0.0)
    step = max(0, min(82, int(strongest * 166 - 0.5)))
    most = (step + 1) / 166
    digits = [_number((across - 1) + (down - 1) * 9, 1), _number(step, 1), _number(_packed(average), 4)]
    digits += [_number(_levels(wave, most), 2) for wave in others]
    return "".join(digits)


def _waves(rows: Sequence[Sequence[tuple[int, int, int]]], across: int, down: int) -> list[Colour]:
    """How much of each wave is in the picture; the first is its average.

    A pixel counts at its middle, not at its corner as in the algorithm's first program: for large pictures there is no
    difference, and a small one comes to what it would be if it was large.
    """
    height, width = len(rows), len(rows[0])
    columns = [[cos(pi * i * (x + 0.5) / width) for x in range(width)] for i in range(across)]
    linear = [[[_LINEAR[pixel[channel]] for pixel in row] for channel in range(3)] for row in rows]
    sums = [
        [[sum(map(float.__mul__, column, channel)) for channel in row] for column in columns]
        for row in linear
    ]  # by row, wave and channel
    found: list[Colour] = []
    for j in range(down):
        weights = [cos(pi * j * (y + 0.5) / height) for y in range(height)]
        for i in range(across):
            scale = (2 if i or j else 1) / (width * height)
            red, green, blue = (
                scale * sum(weights[y] * sums[y][i][channel] for y in range(height)) for channel in range(3)
            )
            found.append((red, green, blue))
    return found


def _packed(colour: Colour) -> int:
    red, green, blue = (_srgb(value) for value in colour)
    return (red << 16) + (green << 8) + blue


def _srgb(value: float) -> int:
    value = max(0.0, min(1.0, value))
    shown = value * 12.92 if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055
    return int(shown * 255 + 0.5)


def _levels(wave: Colour, most: float) -> int:
    red, green, blue = (
        max(0, min(18, int(copysign(abs(value / most) ** 0.5, value) * 9 + 9.5))) for value in wave
    )
    return (red * 19 + green) * 19 + blue


def _number(value: int, length: int) -> str:
    digits = ""
    for _ in range(length):
        value, digit = divmod(value, 83)
        digits = _DIGITS[digit] + digits
    return digits
