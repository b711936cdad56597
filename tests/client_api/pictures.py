"""Pictures for tests, made by hand: the tests of media must not trust the decoder that they test."""

import struct
import zlib


def png(width: int, height: int, colour: tuple[int, int, int] = (200, 30, 30)) -> bytes:
    """A picture of one colour."""
    row = b"\0" + bytes(colour) * width
    return png_of(width, height, zlib.compress(row * height))


def png_of(width: int, height: int, data: bytes, *chunks: bytes) -> bytes:
    """A picture of any data, right or wrong."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"".join(
        (b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", head), *chunks, chunk(b"IDAT", data), chunk(b"IEND", b""))
    )


def chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb() -> bytes:
    """A small file that claims to be 50,000 pixels wide and high."""
    return png_of(50_000, 50_000, zlib.compress(bytes(10_000_000)))


def gif(width: int, height: int, frames: int) -> bytes:
    """An animation whose frames are each of another colour."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0xF7, 0, 0)
    palette = bytes(value for number in range(256) for value in (number, 255 - number, number // 2))
    loop = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"
    body = b"".join(_gif_frame(width, height, number * 37 % 256) for number in range(frames))
    return head + palette + loop + body + b";"


def _gif_frame(width: int, height: int, colour: int) -> bytes:
    control = b"\x21\xf9\x04\x04\x0a\x00\x00\x00"
    return control + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + _gif_data(width * height, colour)


def _gif_data(pixels: int, colour: int) -> bytes:
    """LZW codes of 9 bits, cleared so often that they never grow."""
    codes = []
    for number in range(pixels):
        if number % 200 == 0:
            codes.append(256)
        codes.append(colour)
    codes.append(257)
    bits = "".join(reversed([f"{code:09b}" for code in codes]))
    value = int(bits, 2).to_bytes((len(bits) + 7) // 8, "little")
    blocks = [value[start : start + 255] for start in range(0, len(value), 255)]
    return b"\x08" + b"".join(bytes((len(block),)) + block for block in blocks) + b"\0"


def blinking_gif(width: int, height: int, frames: int) -> bytes:
    """An animation of very many frames of one pixel each, which never ends: there is no trailer."""
    start = gif(1, 1, 1)
    frame = start[start.index(b"\x21\xf9") : -1]
    return (
        b"GIF89a" + struct.pack("<HH", width, height) + start[10 : start.index(b"\x21\xf9")] + frame * frames
    )


def apng(width: int, height: int, frames: int, claimed: int) -> bytes:
    """An animated PNG that says how many frames it has, and may lie."""
    data = zlib.compress((b"\0" + bytes(3 * width)) * height)
    parts = [chunk(b"acTL", struct.pack(">II", claimed, 0))]
    for number in range(frames):
        place = struct.pack(">IIIIIHHBB", max(0, 2 * number - 1), width, height, 0, 0, 1, 100, 0, 0)
        parts.append(chunk(b"fcTL", place))
        if number:
            parts.append(chunk(b"fdAT", struct.pack(">I", 2 * number) + data))
        else:
            parts.append(chunk(b"IDAT", data))
    return png_of(width, height, b"").replace(chunk(b"IDAT", b""), b"".join(parts))


def box(kind: bytes, content: bytes) -> bytes:
    """A box of the formats that HEIC, AVIF and MP4 are."""
    return struct.pack(">I", 8 + len(content)) + kind + content


def huge_webp() -> bytes:
    """Thirty bytes that claim to be 16,000,000 pixels wide and high."""
    side = struct.pack("<I", 15_999_999)[:3]
    head = b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + side + side
    return b"RIFF" + struct.pack("<I", 4 + len(head)) + b"WEBP" + head


def size_of(picture: bytes) -> tuple[int, int]:
    """Width and height of a PNG, JPEG or GIF."""
    if picture.startswith(b"\x89PNG"):
        width, height = struct.unpack(">II", picture[16:24])
        return width, height
    if picture.startswith(b"GIF8"):
        width, height = struct.unpack("<HH", picture[6:10])
        return width, height
    return _jpeg_size(picture)


def _jpeg_size(picture: bytes) -> tuple[int, int]:
    assert picture.startswith(b"\xff\xd8"), picture[:20]
    at = 2
    while True:
        marker, length = picture[at + 1], struct.unpack(">H", picture[at + 2 : at + 4])[0]
        if marker in (0xC0, 0xC1, 0xC2):
            height, width = struct.unpack(">HH", picture[at + 5 : at + 9])
            return width, height
        at += 2 + length
