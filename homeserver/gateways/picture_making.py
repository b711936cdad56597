"""Decoding pictures and making smaller ones. Only `media_worker` imports this, in a process of its own."""

import shutil
from base64 import b64encode
from pathlib import Path
from typing import Any, Final

from PIL import Image, ImageSequence, UnidentifiedImageError

from homeserver.gateways.blurhash import blurhash
from homeserver.gateways.thumbhash import thumbhash

FORMATS: Final = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP")
"""Nothing else is decoded, whatever a file says it is."""
SHOWN_AS_IS: Final = {"JPEG": "image/jpeg", "PNG": "image/png", "GIF": "image/gif", "WEBP": "image/webp"}
LOSSLESS: Final = frozenset(("PNG", "GIF", "BMP"))
HARMLESS: Final = frozenset(
    [
        "jfif",
        "jfif_version",
        "jfif_unit",
        "jfif_density",
        "dpi",
        "gamma",
        "srgb",
        "version",
        "background",
        "transparency",
        "duration",
        "loop",
        "extension",
        "icc_profile",
        "progressive",
        "progression",
        "interlace",
        "timestamp",
        "aspect",
        "adobe",
        "adobe_transform",
        "blend",
        "disposal",
        "bbox",
        "default_image",
        "chromaticity",
    ]
)
"""What a file may carry besides its pixels and still be shown as it is. Places, cameras and comments are not here."""
TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ORIENTATION: Final = 0x0112
SWAPPING: Final = frozenset((5, 6, 7, 8))
MAX_ICC_BYTES: Final = 64 * 1024
JPEG_QUALITY: Final = 82
BLURRED: Final = (64, 64)
"""What a BlurHash and a ThumbHash show is far coarser than this."""

Box = tuple[float, float, float, float]
Size = tuple[int, int]


class TooLarge(Exception):
    """The picture has more pixels than are allowed."""


def failure_of(error: Exception) -> dict[str, Any]:
    """What went wrong, by one of three words."""
    if isinstance(error, UnidentifiedImageError):
        return {"failure": "no picture"}
    if isinstance(error, TooLarge | MemoryError | Image.DecompressionBombError):
        return {"failure": "too large"}
    return {"failure": "broken", "detail": f"{type(error).__name__}: {error}"[:200]}


def measured(request: dict[str, Any]) -> dict[str, Any]:
    """What kind of picture `source` is and how large, as it is shown."""
    with Image.open(request["source"], formats=FORMATS) as image:
        if image.width * image.height > request["max_pixels"]:
            raise TooLarge
        width, height = image.size
        if image.getexif().get(ORIENTATION, 1) in SWAPPING:
            width, height = height, width
        return _answer(Image.MIME.get(str(image.format), "application/octet-stream"), (width, height))


def described(request: dict[str, Any]) -> dict[str, Any]:
    """What kind of picture `source` is, how large, and what it looks like from far away, as it is shown."""
    with Image.open(request["source"], formats=FORMATS) as image:
        if image.width * image.height > request["max_pixels"]:
            raise TooLarge
        size, orientation = image.size, image.getexif().get(ORIENTATION, 1)
        small = _still(image, BLURRED, "scale", orientation)
        if orientation in SWAPPING:
            size = (size[1], size[0])
        media_type = Image.MIME.get(str(image.format), "application/octet-stream")
        return {**_answer(media_type, size), **_hashes(small.convert("RGBA"))}


def _hashes(small: Image.Image) -> dict[str, str]:
    """Both hashes of a small picture; a BlurHash knows nothing of what shines through, and has it on white."""
    on_white = Image.alpha_composite(Image.new("RGBA", small.size, "white"), small)
    opaque, whole = list(on_white.convert("RGB").getdata()), list(small.getdata())
    starts = range(0, len(whole), small.width)
    across, down = (4, 3) if small.width >= small.height else (3, 4)
    hashed = thumbhash([whole[start : start + small.width] for start in starts])
    return {
        "blurhash": blurhash([opaque[start : start + small.width] for start in starts], across, down),
        "thumbhash": b64encode(hashed).decode(),
    }


def made(request: dict[str, Any]) -> dict[str, Any]:
    """Make a thumbnail of `source` at `target`."""
    source, target = Path(request["source"]), Path(request["target"])
    box: Size = (request["width"], request["height"])
    with Image.open(source, formats=FORMATS) as image:
        pixels = image.width * image.height
        if pixels > request["max_pixels"]:
            raise TooLarge
        orientation = image.getexif().get(ORIENTATION, 1)
        if orientation in SWAPPING:
            box = (box[1], box[0])
        moving = bool(getattr(image, "is_animated", False))
        animated = moving and request["animated"]
        fits = image.width <= box[0] and image.height <= box[1]
        if fits and orientation == 1 and animated == moving and _is_clean(image):
            shutil.copyfile(source, target)
            return _answer(SHOWN_AS_IS[str(image.format)], image.size)
        if animated:
            frames = _frames(image, box, request["method"], request["max_pixels"] // max(1, pixels))
            if frames is not None:
                return _save_animation(target, *frames)
            image.seek(0)
        return _save(target, image, _still(image, box, request["method"], orientation))


def _is_clean(image: Image.Image) -> bool:
    image.load()  # a broken one is not shown, and some metadata stand behind the pixels
    return (
        image.format in SHOWN_AS_IS and {str(key) for key in image.info} <= HARMLESS and not image.getexif()
    )


def _still(image: Image.Image, box: Size, method: str, orientation: int) -> Image.Image:
    """The first frame, smaller and the right way up."""
    cut, size = _cut_and_size(image.size, box, method)
    if image.format in ("JPEG", "MPO"):
        part = (cut[2] - cut[0]) / size[0]
        image.draft(None, (max(1, int(image.width / part)), max(1, int(image.height / part))))
        cut, size = _cut_and_size(image.size, box, method)
    small = _plain(image).resize(size, Image.Resampling.LANCZOS, box=cut, reducing_gap=3.0)
    turn = TURNS.get(orientation)
    return small if turn is None else small.transpose(turn)


def _cut_and_size(full: Size, box: Size, method: str) -> tuple[Box, Size]:
    """Which part of a picture is shown, and at which size; never at a larger one than it has.

    https://spec.matrix.org/v1.19/client-server-api/#thumbnails
    """
    width, height = full
    if method == "scale":
        factor = min(1.0, box[0] / width, box[1] / height)
        return (0, 0, width, height), (max(1, round(width * factor)), max(1, round(height * factor)))
    if width <= box[0] and height <= box[1]:
        return (0, 0, width, height), full
    part = min(width / box[0], height / box[1])
    shown = (box[0] * part, box[1] * part)
    left, top = (width - shown[0]) / 2, (height - shown[1]) / 2
    factor = min(1.0, 1 / part)
    size = (max(1, round(shown[0] * factor)), max(1, round(shown[1] * factor)))
    return (left, top, left + shown[0], top + shown[1]), size


def _plain(image: Image.Image) -> Image.Image:
    """The picture in a mode that can be made smaller and saved: grey, RGB or RGBA."""
    if image.mode in ("L", "RGB", "RGBA"):
        return image.convert("RGBA") if "transparency" in image.info and image.mode != "RGBA" else image
    if image.mode.startswith(("I", "F")):
        return image.convert("F").point(lambda value: value * (1 / 256)).convert("L")
    has_alpha = image.mode in ("LA", "PA", "La", "RGBa") or "transparency" in image.info
    return image.convert("RGBA" if has_alpha else "RGB")


def _save(target: Path, image: Image.Image, small: Image.Image) -> dict[str, Any]:
    profile = image.info.get("icc_profile")
    options: dict[str, Any] = {}
    if profile and len(profile) <= MAX_ICC_BYTES and image.mode in ("RGB", "RGBA", "P"):
        options["icc_profile"] = profile  # without it the colours would be others
    if small.mode == "RGBA" and small.getchannel("A").getextrema() == (255, 255):
        small = small.convert("RGB")
    small.info.clear()
    if small.mode == "RGBA" or image.format in LOSSLESS:
        small.save(target, "PNG", **options)
        return _answer("image/png", small.size)
    small.save(target, "JPEG", quality=JPEG_QUALITY, **options)
    return _answer("image/jpeg", small.size)


def _frames(
    image: Image.Image, box: Size, method: str, most: int
) -> tuple[list[Image.Image], list[int]] | None:
    """All frames, smaller, and how long each is shown (ms); None for too many of them, or if one is broken."""
    cut, size = _cut_and_size(image.size, box, method)
    frames: list[Image.Image] = []
    durations: list[int] = []
    try:
        for frame in ImageSequence.Iterator(image):
            if len(frames) >= most:
                return None
            durations.append(max(10, min(60_000, int(frame.info.get("duration", 100) or 100))))
            small = frame.convert("RGBA").resize(size, Image.Resampling.BICUBIC, box=cut, reducing_gap=2.0)
            frames.append(small)
    except (OSError, EOFError, SyntaxError, ValueError):
        return None
    return (frames, durations) if len(frames) > 1 else None


def _save_animation(target: Path, frames: list[Image.Image], durations: list[int]) -> dict[str, Any]:
    first, *others = frames
    first.info.clear()
    first.save(
        target, "WEBP", save_all=True, append_images=others, duration=durations, loop=0, quality=75, method=2
    )
    return _answer("image/webp", first.size)


def _answer(media_type: str, size: Size) -> dict[str, Any]:
    return {"type": media_type, "width": size[0], "height": size[1]}
