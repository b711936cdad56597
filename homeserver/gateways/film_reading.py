"""What films and recordings are: how long, how large, how loud, and a picture of them. Only `media_worker` imports
this, in a process of its own.

ffmpeg alone is needed. What it says of a file is read from its own words, at the beginnings of lines, where nothing
that the file itself says can stand.
"""

import re
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from PIL import UnidentifiedImageError

from homeserver.gateways import picture_making
from homeserver.gateways.ffmpeg import Ffmpeg, FfmpegFailed, kind_of

RUNS: Final = 4
"""A piece of work has so many runs of ffmpeg at most, which share its time."""
POINTS: Final = 100
LOUDEST: Final = 1024
LONGEST_HEARD_S: Final = 3600
"""What is longer has no waveform."""
_RATE: Final = 8000
_STEP: Final = 400
_MAX_SAID: Final = 256 * 1024
_MAX_SIDE: Final = 1600
_DURATION: Final = re.compile(rb"^  Duration: (\d+):(\d\d):(\d\d)\.(\d\d)", re.MULTILINE)
_STREAM: Final = re.compile(rb"^  Stream #0:(\d+)[^:\n]*: (Video|Audio): (\w+)([^\n]*)", re.MULTILINE)
_SIZE: Final = re.compile(rb", (\d{1,5})x(\d{1,5})\b")
_TURNED: Final = re.compile(rb"^ +[Dd]isplay ?[Mm]atrix: rotation of -?(?:90|270)\b", re.MULTILINE)
_REACHED: Final = re.compile(rb"out_time_us=(\d+)")


@dataclass(frozen=True, slots=True)
class Stream:
    """One of the streams of a file."""

    index: int
    codec: str
    size: tuple[int, int] = (0, 0)


@dataclass(slots=True)
class Facts:
    """What ffmpeg says of a file; the duration is in milliseconds. The cover is a picture that belongs to sound."""

    duration: int | None = None
    video: Stream | None = None
    audio: Stream | None = None
    cover: Stream | None = None

    @property
    def codecs(self) -> list[str]:
        """The codecs of what is seen and heard."""
        return [each.codec for each in (self.video, self.audio) if each is not None]


def made(request: dict[str, Any]) -> dict[str, Any]:
    """Make a thumbnail of a picture, or of one out of a film."""
    try:
        return {**picture_making.made(request), "kind": "picture"}
    except UnidentifiedImageError:
        ffmpeg = _ffmpeg(request)
    facts = _facts(ffmpeg)
    with _frame(ffmpeg, facts, Path(request["target"])) as frame:
        if frame is None:
            raise UnidentifiedImageError("there is nothing to see in it")
        answer = picture_making.made({**request, "source": str(frame), "animated": False})
    return {**answer, "kind": "film"}


def described(request: dict[str, Any]) -> dict[str, Any]:
    """Tell what a picture, a film or a recording is."""
    try:
        return {**picture_making.described(request), "kind": "picture"}
    except UnidentifiedImageError:
        ffmpeg = _ffmpeg(request)
    facts = _facts(ffmpeg)
    if facts.video is None:
        answer = {"type": ffmpeg.kind.audio, "kind": "sound", **_heard(ffmpeg, facts)}
    else:
        width, height = facts.video.size
        answer = {"type": ffmpeg.kind.video, "kind": "film", "width": width, "height": height}
        answer["duration"] = facts.duration if facts.duration is not None else _length(ffmpeg, facts.video)
    return {**answer, **_seen(ffmpeg, facts, request), "codecs": facts.codecs}


def _seen(ffmpeg: Ffmpeg, facts: Facts, request: dict[str, Any]) -> dict[str, Any]:
    """What it looks like from far away, if it can be seen in time."""
    try:
        with _frame(ffmpeg, facts, Path(request["scratch"])) as frame:
            if frame is None:
                return {}
            seen = picture_making.described({**request, "source": str(frame)})
    except (FfmpegFailed, OSError):
        return {}
    return {"blurhash": seen["blurhash"], "thumbhash": seen["thumbhash"]}


def _ffmpeg(request: dict[str, Any]) -> Ffmpeg:
    """What reads the file. Raises UnidentifiedImageError if nothing does."""
    source = Path(request["source"])
    kind = None if request["ffmpeg"] is None else kind_of(source)
    if kind is None:
        raise UnidentifiedImageError("no kind of file that can be read")
    return Ffmpeg(request["ffmpeg"], source, kind, request["max_pixels"], request["seconds"] / RUNS)


def _facts(ffmpeg: Ffmpeg) -> Facts:
    said = bytearray()

    def take(piece: bytes) -> bool:
        said.extend(piece)
        return len(said) < _MAX_SAID

    ffmpeg.run(say="info", take=take)
    facts = facts_in(bytes(said))
    if facts.video is None and facts.audio is None:
        raise FfmpegFailed("there is nothing to see or to hear in it")
    size = (0, 0) if facts.video is None else facts.video.size
    if size[0] * size[1] > ffmpeg.max_pixels:
        raise picture_making.TooLarge
    return facts


def facts_in(said: bytes) -> Facts:
    """What ffmpeg's words mean: the first stream of each kind counts."""
    facts = Facts()
    duration = _DURATION.search(said)
    if duration is not None:
        hours, minutes, seconds, hundredths = map(int, duration.groups())
        facts.duration = (((hours * 60 + minutes) * 60 + seconds) * 100 + hundredths) * 10
    found = list(_STREAM.finditer(said))
    for each, end in zip(found, [*(other.start() for other in found[1:]), len(said)], strict=True):
        index, codec, text = int(each[1]), each[3].decode(), each[4]
        if each[2] == b"Audio":
            facts.audio = facts.audio or Stream(index, codec)
            continue
        size = _SIZE.search(text)
        sides = (int(size[1]), int(size[2])) if size is not None else (0, 0)
        if _TURNED.search(said, each.end(), end):
            sides = (sides[1], sides[0])
        if b"(attached pic)" in text:
            facts.cover = facts.cover or Stream(index, codec, sides)
        elif min(sides) > 0:
            facts.video = facts.video or Stream(index, codec, sides)
    return facts


@contextmanager
def _frame(ffmpeg: Ffmpeg, facts: Facts, beside: Path) -> Iterator[Path | None]:
    """A picture out of the film, or the cover, as a temporary file; None if there is none."""
    shown = facts.video or facts.cover
    target = beside.with_name(f"{beside.name}.frame")
    starts = [0.0]
    if facts.video is not None and (facts.duration or 0) >= 1000:
        starts.insert(0, min((facts.duration or 0) / 10_000, 3.0))  # films often begin in the dark
    try:
        yield (
            target
            if shown is not None and any(_take_frame(ffmpeg, shown, target, at) for at in starts)
            else None
        )
    finally:
        target.unlink(missing_ok=True)


def _take_frame(ffmpeg: Ffmpeg, shown: Stream, target: Path, at_s: float) -> bool:
    fit = f"scale=w='min(iw,{_MAX_SIDE})':h='min(ih,{_MAX_SIDE})':force_original_aspect_ratio=decrease"
    before = ("-ss", f"{at_s:.2f}") if at_s else ()
    _ = ffmpeg.run(
        *("-map", f"0:{shown.index}", "-frames:v", "1", "-an", "-sn", "-dn", "-map_metadata", "-1"),
        *("-vf", f"{fit},format=yuvj420p", "-threads", "1", "-c:v", "mjpeg", "-q:v", "3"),
        *("-f", "mjpeg", "-y", f"file:{target}"),
        before=before,
    )
    return target.exists() and target.stat().st_size > 0


def _length(ffmpeg: Ffmpeg, stream: Stream) -> int | None:
    """How long a film is that does not say so: to where it can be read."""
    tail = b""

    def take(piece: bytes) -> bool:
        nonlocal tail
        tail = (tail + piece)[-4096:]
        return True

    try:
        ffmpeg.run(
            "-map", f"0:{stream.index}", "-c", "copy", "-progress", "pipe:1", "-f", "null", "-", take=take
        )
    except FfmpegFailed:
        return None
    reached = _REACHED.findall(tail)
    return int(reached[-1]) // 1000 if reached else None


def _heard(ffmpeg: Ffmpeg, facts: Facts) -> dict[str, Any]:
    """How long a recording is, by what is heard of it, and how loud when."""
    if facts.audio is None or (facts.duration or 0) > LONGEST_HEARD_S * 1000:
        return {"duration": facts.duration}
    loudness = Loudness(LONGEST_HEARD_S)
    try:
        replace(ffmpeg, seconds=2 * ffmpeg.seconds).run(
            *("-map", f"0:{facts.audio.index}", "-vn", "-ac", "1", "-ar", str(_RATE), "-c:a", "pcm_s16le"),
            *("-f", "s16le", "pipe:1"),
            take=loudness.take,
        )
    except FfmpegFailed:
        return {"duration": facts.duration}
    if loudness.duration == 0 or loudness.is_full:
        return {"duration": facts.duration}
    return {"duration": loudness.duration, "waveform": loudness.waveform()}


class Loudness:
    """Listens to samples of 16 bits, and keeps the loudest of each twentieth of a second."""

    def __init__(self, most_s: int) -> None:
        self._left = b""
        self._most = most_s * _RATE // _STEP
        self._samples = 0
        self._peaks: list[int] = []

    @property
    def duration(self) -> int:
        """How long it was listened to, in milliseconds."""
        return (self._samples + len(self._left) // 2) * 1000 // _RATE

    @property
    def is_full(self) -> bool:
        """Whether there was more than it listens to."""
        return len(self._peaks) >= self._most

    def take(self, piece: bytes) -> bool:
        """Listen to some bytes; whether to go on."""
        data = self._left + piece
        whole = len(data) // (2 * _STEP) * 2 * _STEP
        self._left = data[whole:]
        self._note(data[:whole])
        return not self.is_full

    def waveform(self) -> list[int]:
        """Points from 0 to 1024. https://github.com/matrix-org/matrix-spec-proposals/pull/3246"""
        self._note(self._left[: len(self._left) // 2 * 2])
        self._left = b""
        number = min(POINTS, len(self._peaks))
        bounds = [len(self._peaks) * each // number for each in range(number + 1)] if number else []
        return [max(self._peaks[start:end]) * LOUDEST // 32768 for start, end in pairwise(bounds)]

    def _note(self, data: bytes) -> None:
        samples = array("h", data)
        self._samples += len(samples)
        for start in range(0, len(samples), _STEP):
            some = samples[start : start + _STEP]
            self._peaks.append(max(*some, -min(some)))
