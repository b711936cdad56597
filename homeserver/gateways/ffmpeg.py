"""Running ffmpeg on what strangers made. Only `media_worker` imports this, whose limits of memory and of file sizes
ffmpeg inherits.

What it may do is narrowed several times. The kind of a file is told by its first bytes, so ffmpeg guesses nothing, and
playlists and scripts, which name other files, are of no kind. It may use the one demuxer of that kind and decoders of a
list; it may open files, and no network; and nothing that a file refers to is opened.
"""

import os
import resource
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import IO, Final, Literal

_PIECE: Final = 64 * 1024

DECODERS: Final = ",".join(
    (
        *("h264", "hevc", "vp8", "vp9", "libvpx", "libvpx-vp9", "av1", "libdav1d", "libaom-av1"),
        *("mpeg4", "mpeg1video", "mpeg2video", "h263", "theora", "mjpeg", "png", "prores", "rawvideo"),
        *("aac", "aac_fixed", "aac_latm", "mp3", "mp3float", "mp2", "mp2float", "opus", "libopus"),
        *("vorbis", "libvorbis", "flac", "alac", "ac3", "eac3", "amrnb", "amrwb"),
        *("libopencore_amrnb", "libopencore_amrwb", "speex", "libspeex", "pcm_alaw", "pcm_mulaw"),
        *("pcm_u8", "pcm_s8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be"),
        *("pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be", "adpcm_ima_wav", "adpcm_ms"),
    )
)
_NO_FILMS: Final = frozenset((b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis"))
_MPEG4: Final = frozenset((b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"))


class FfmpegFailed(Exception):
    """It could not do what was wanted, or not in time."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What kind of file it is: which demuxer reads it, and its media type with pictures and with sound alone."""

    demuxer: str
    video: str
    audio: str


def kind_of(source: Path) -> Kind | None:
    """The kind of a file by its first bytes; None if it is none that has sound or moves."""
    with source.open("rb") as file:
        head = file.read(512)
    return _of_containers(head) or _of_sounds(head)


def _of_containers(head: bytes) -> Kind | None:
    if head[4:8] in _MPEG4:
        if head[4:8] == b"ftyp" and head[8:12] in _NO_FILMS:
            return None
        old = head[4:8] != b"ftyp" or head[8:12] == b"qt  "
        return Kind("mov", "video/quicktime" if old else "video/mp4", "audio/mp4")
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return Kind("matroska", *(("video/webm", "audio/webm") if b"webm" in head[:64] else _MATROSKA))
    if head.startswith(b"OggS"):
        return Kind("ogg", "video/ogg", "audio/ogg")
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return Kind("avi", "video/x-msvideo", "video/x-msvideo")
    if head.startswith(b"\x00\x00\x01\xba"):
        return Kind("mpeg", "video/mpeg", "video/mpeg")
    if len(head) > 376 and {head[0], head[188], head[376]} == {0x47}:
        return Kind("mpegts", "video/mp2t", "video/mp2t")
    return None


_MATROSKA: Final = ("video/x-matroska", "audio/x-matroska")


def _of_sounds(head: bytes) -> Kind | None:
    if head.startswith(b"RIFF") and head[8:12] == b"WAVE":
        return _sound("wav", "audio/wav")
    if head.startswith(b"FORM") and head[8:12] in (b"AIFF", b"AIFC"):
        return _sound("aiff", "audio/aiff")
    for beginning, demuxer, media_type in (
        (b"fLaC", "flac", "audio/flac"),
        (b"ID3", "mp3", "audio/mpeg"),
        (b"#!AMR", "amr", "audio/amr"),
        (b"caff", "caf", "audio/x-caf"),
    ):
        if head.startswith(beginning):
            return _sound(demuxer, media_type)
    if len(head) > 4 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return _sound("aac", "audio/aac")
    if len(head) > 4 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x06:
        return _sound("mp3", "audio/mpeg")
    return None


def _sound(demuxer: str, media_type: str) -> Kind:
    return Kind(demuxer, media_type, media_type)


@dataclass(frozen=True, slots=True)
class Ffmpeg:
    """Reads one file. Each run may take so many seconds, of the processor too."""

    program: str
    source: Path
    kind: Kind
    max_pixels: int
    seconds: float

    def run(
        self,
        *wanted: str,
        before: tuple[str, ...] = (),
        say: Literal["info", "quiet"] = "quiet",
        take: Callable[[bytes], bool] | None = None,
    ) -> bool:
        """Run it with outputs, and options `before` the input; whether it succeeded. ``take`` gets what comes to its
        standard output, or what it says, and tells whether it wants more. Raises FfmpegFailed if it takes too long.
        """
        listening = None if take is None else "stderr" if say == "info" else "stdout"
        process = subprocess.Popen(
            [self.program, *self._options(say), *before, "-i", f"file:{self.source}", *wanted],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if listening == "stdout" else subprocess.DEVNULL,
            stderr=subprocess.PIPE if listening == "stderr" else subprocess.DEVNULL,
            env={"LC_ALL": "C"},
            process_group=0,
        )
        most = int(self.seconds) + 1
        resource.prlimit(process.pid, resource.RLIMIT_CPU, (most, most + 1))
        late: list[bool] = []

        def end() -> None:
            late.append(True)
            os.killpg(process.pid, signal.SIGKILL)

        timer = Timer(self.seconds, end)
        timer.start()
        try:
            enough = _read(process.stderr or process.stdout, take)
            if enough:
                os.killpg(process.pid, signal.SIGKILL)
            status = os.waitid(
                os.P_PID, process.pid, os.WEXITED | os.WNOWAIT
            )  # its number is not used again yet
        finally:
            timer.cancel()
            timer.join()
            process.wait()
        if late or (status is not None and status.si_status == signal.SIGXCPU):
            raise FfmpegFailed("ffmpeg took too long")
        return process.returncode == 0

    def _options(self, say: str) -> tuple[str, ...]:
        references = ("-enable_drefs", "0", "-use_absolute_path", "0") if self.kind.demuxer == "mov" else ()
        return (
            *("-nostdin", "-hide_banner", "-loglevel", say, "-threads", "1", "-filter_threads", "1"),
            *("-protocol_whitelist", "file", "-format_whitelist", self.kind.demuxer),
            *("-codec_whitelist", DECODERS, "-max_pixels", str(self.max_pixels)),
            *("-analyzeduration", "10000000", "-probesize", "5000000", *references, "-f", self.kind.demuxer),
        )


def _read(pipe: IO[bytes] | None, take: Callable[[bytes], bool] | None) -> bool:
    """Give what comes to whoever takes it; whether they have enough before its end."""
    if pipe is None or take is None:
        return False
    with pipe:
        while piece := os.read(pipe.fileno(), _PIECE):
            if not take(piece):
                return True
    return False
