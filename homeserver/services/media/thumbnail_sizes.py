"""Which thumbnails are made: whatever sizes clients ask for, each picture has a bounded number of them."""

from typing import Final, Literal

Method = Literal["crop", "scale"]

# https://spec.matrix.org/v1.19/client-server-api/#thumbnails
SCALED: Final = ((32, 32), (96, 96), (320, 240), (640, 480), (800, 600), (1600, 1200))
LONG_SIDES: Final = (32, 96, 160, 320, 640, 800, 1600)
SHORT_STEP: Final = 32


def box_for(width: int, height: int, method: Method) -> tuple[int, int]:
    """The size that is made for a wish: the next larger one, or the largest."""
    if method == "scale":
        return next((box for box in SCALED if box[0] >= width and box[1] >= height), SCALED[-1])
    long, short = max(width, height), min(width, height)
    side = next((each for each in LONG_SIDES if each >= long), LONG_SIDES[-1])
    other = -(-short * side // long)
    other = min(side, -(-other // SHORT_STEP) * SHORT_STEP)
    return (side, other) if width >= height else (other, side)
