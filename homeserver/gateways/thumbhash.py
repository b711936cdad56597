"""ThumbHash: a picture as some twenty bytes, with its shape and what shines through it; pure.

https://github.com/evanw/thumbhash
"""

from collections.abc import Callable, Iterator, Sequence
from math import cos, floor, pi
from typing import NamedTuple

"""The longest side of a picture that is hashed."""

_Plane = list[list[float]]


class _Channel(NamedTuple):
    """A plane as its average and waves: these as parts (-1 to 1) of the strongest."""

    average: float
    strongest: float
    waves: list[float]


def thumbhash(rows: Sequence[Sequence[tuple[int, int, int, int]]]) -> bytes:
    """The hash of a small picture, row by row, of red, green, blue and opacity (0 to 255 each)."""
    height, width = len(rows), len(rows[0])
    light, yellow, red, opacity = _planes(rows)
    see_through = any(value < 1 for row in opacity for value in row)
    most = 5 if see_through else 7
    across, down = (max(1, _rounded(most * side / max(width, height))) for side in (width, height))
    lights = _channel(light, max(3, across), max(3, down))
    yellows, reds = _channel(yellow, 3, 3), _channel(red, 3, 3)
    lying = width > height
    head = _rounded(63 * lights.average)
    head |= _rounded(31.5 + 31.5 * yellows.average) << 6
    head |= _rounded(31.5 + 31.5 * reds.average) << 12
    head |= _rounded(31 * lights.strongest) << 18
    head |= see_through << 23
    head |= (down if lying else across) << 24
    head |= _rounded(63 * yellows.strongest) << 27
    head |= _rounded(63 * reds.strongest) << 33
    head |= lying << 39
    digits = [*lights.waves, *yellows.waves, *reds.waves]
    halves: list[int] = []
    if see_through:
        opacities = _channel(opacity, 5, 5)
        halves = [_rounded(15 * opacities.average), _rounded(15 * opacities.strongest)]
        digits += opacities.waves
    halves += [_rounded(7.5 + 7.5 * digit) for digit in digits]
    halves += [0] * (len(halves) % 2)
    return head.to_bytes(5, "little") + bytes(
        low | high << 4 for low, high in zip(halves[::2], halves[1::2], strict=True)
    )


def _planes(rows: Sequence[Sequence[tuple[int, int, int, int]]]) -> tuple[_Plane, _Plane, _Plane, _Plane]:
    """Light, yellow against blue, red against green, and opacity; what shines through has the average colour."""
    opacity = [[pixel[3] / 255 for pixel in row] for row in rows]
    whole = sum(map(sum, opacity)) or 1.0
    average = [
        sum(pixel[3] / 255 * pixel[channel] / 255 for row in rows for pixel in row) / whole
        for channel in range(3)
    ]

    def plane(of: Callable[[float, float, float], float]) -> _Plane:
        return [
            [
                of(*(average[n] * (1 - pixel[3] / 255) + pixel[3] / 255 * pixel[n] / 255 for n in range(3)))
                for pixel in row
            ]
            for row in rows
        ]

    return (
        plane(lambda red, green, blue: (red + green + blue) / 3),
        plane(lambda red, green, blue: (red + green) / 2 - blue),
        plane(lambda red, green, blue: red - green),
        opacity,
    )


def _channel(plane: _Plane, across: int, down: int) -> _Channel:
    height, width = len(plane), len(plane[0])
    columns = [[cos(pi * i * (x + 0.5) / width) for x in range(width)] for i in range(across)]
    sums = [[sum(map(float.__mul__, column, row)) for column in columns] for row in plane]  # by row and wave
    found: list[float] = []
    for i, j in _waves(across, down):
        weights = (cos(pi * j * (y + 0.5) / height) for y in range(height))
        found.append(
            sum(weight * row[i] for weight, row in zip(weights, sums, strict=True)) / (width * height)
        )
    average, *others = found
    strongest = max(map(abs, others))
    return _Channel(average, strongest, [each / strongest if strongest else -1.0 for each in others])


def _waves(across: int, down: int) -> Iterator[tuple[int, int]]:
    """The waves that count, across and down: the finer they are one way, the coarser the other."""
    for j in range(down):
        for i in range(across):
            if i * down < across * (down - j):
                yield i, j


def _rounded(value: float) -> int:
    return floor(value + 0.5)
