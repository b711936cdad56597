"""Work on pictures, films, recordings and pages, by processes of their own with limits of time and memory (see
`media_worker`).
"""

import os
import select
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import structlog
from twisted.internet.defer import DeferredSemaphore

from homeserver.clock import Clock, Timer
from homeserver.gateways.media_spool import FileWorkers

log = structlog.get_logger(__name__)

_IDLE_S: Final = 60.0
_JOBS: Final = 200
"""After so many pictures a process gives way to a fresh one."""

_MAX_ANSWER: Final = 1024 * 1024
_MARGIN_S: Final = 2.0
"""So much earlier than a process itself ffmpeg is ended, so that the process can still say what it knows."""


@dataclass(frozen=True, slots=True)
class WorkLimits:
    """What one piece of work may cost, and how many are done at a time."""

    processes: int
    max_pixels: int
    memory_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Wish:
    """A thumbnail: the box that it is to fit (`scale`) or to fill (`crop`)."""

    width: int
    height: int
    method: str
    animated: bool


class Made(msgspec.Struct, frozen=True):
    """A picture that was made, or what a file is: its type, size, duration (ms), codecs, and how loud it is when (0 to
    1024). `kind` tells what is in the file: a picture, a film or sound. Or why there is nothing of that: `no picture`,
    `too large`, `broken`.
    """

    type: str = ""
    width: int = 0
    height: int = 0
    kind: str = "none"
    duration: int | None = None
    codecs: list[str] = []
    waveform: list[int] | None = None
    blurhash: str | None = None
    thumbhash: str | None = None
    failure: str | None = None
    detail: str = ""


class PageRead(msgspec.Struct, frozen=True):
    """What a page says of itself, and where it says more (oEmbed)."""

    properties: dict[str, str] = {}
    oembed: str | None = None
    failure: str | None = None
    detail: str = ""


AnswerT = TypeVar("AnswerT", Made, PageRead)


class MediaProcesses:
    """Starts processes when they are needed, and ends them when they are not."""

    def __init__(
        self, limits: WorkLimits, workers: FileWorkers, clock: Clock, ffmpeg: str | None = None
    ) -> None:
        """``ffmpeg``: the program that reads films and recordings, if there is one."""
        self._limits = limits
        self._film = {"ffmpeg": ffmpeg, "seconds": max(1.0, limits.seconds - _MARGIN_S)}
        self._workers = workers
        self._clock = clock
        self._slots = DeferredSemaphore(limits.processes)
        self._idle: deque[_Process] = deque()
        self._timer: Timer | None = None
        self._stopped = False

    async def thumbnail(self, source: Path, target: Path, wish: Wish) -> Made:
        """Make a thumbnail of one file as another file."""
        job = {
            "work": "thumbnail",
            "source": str(source.absolute()),
            "target": str(target.absolute()),
            "width": wish.width,
            "height": wish.height,
            "method": wish.method,
            "animated": wish.animated,
            "max_pixels": self._limits.max_pixels,
            **self._film,
        }
        return await self._ask(job, Made)

    async def measure(self, source: Path) -> Made:
        """Tell what kind of picture a file is."""
        job = {"work": "measure", "source": str(source.absolute()), "max_pixels": self._limits.max_pixels}
        return await self._ask(job, Made)

    async def describe(self, source: Path, scratch: Path) -> Made:
        """Tell what a file is and looks like; what is made for that is beside `scratch` for a while."""
        job = {
            "work": "describe",
            "source": str(source.absolute()),
            "scratch": str(scratch.absolute()),
            "max_pixels": self._limits.max_pixels,
            **self._film,
        }
        return await self._ask(job, Made)

    async def read_page(self, source: Path, content_type: str) -> PageRead:
        """Read a page."""
        job = {"work": "page", "source": str(source.absolute()), "content_type": content_type}
        return await self._ask(job, PageRead)

    @property
    def waiting(self) -> int:
        """How many pieces of work wait for a process."""
        return len(self._slots.waiting)

    def stop(self) -> None:
        """End the processes."""
        self._stopped = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        while self._idle:
            self._idle.pop().end()

    async def _ask(self, job: Mapping[str, object], kind: type[AnswerT]) -> AnswerT:
        await self._slots.acquire()
        try:
            answer = await self._workers.run(lambda: self._run(msgspec.json.encode(job), kind))
        finally:
            self._slots.release()
            self._look_later()
        if answer.failure is not None and answer.failure != "no picture":
            log.info("media_not_processed", work=job["work"], failure=answer.failure, detail=answer.detail)
        return answer

    def _run(self, job: bytes, kind: type[AnswerT]) -> AnswerT:
        """Called on a thread of the workers."""
        try:
            process = self._idle.pop()
        except IndexError:
            process = _Process(self._limits.memory_bytes)
        try:
            line = process.ask(job, self._limits.seconds, self._clock.seconds)
            answer = msgspec.json.decode(line or b"", type=kind)
        except msgspec.MsgspecError:
            process.kill()
            return kind(failure="too large", detail="its process took too long or died")
        process.used_at = self._clock.seconds()
        process.jobs += 1
        if self._stopped or process.jobs >= _JOBS or answer.failure == "too large":
            process.end()
        else:
            self._idle.append(process)
        return answer

    def _look_later(self) -> None:
        if not self._stopped and (self._timer is None or not self._timer.active()):
            self._timer = self._clock.call_later(_IDLE_S, self._end_idle)

    def _end_idle(self) -> None:
        self._timer = None
        long_ago = self._clock.seconds() - _IDLE_S
        while self._idle and self._idle[0].used_at <= long_ago:
            self._idle.popleft().end()
        if self._idle:
            self._look_later()


class _Process:
    def __init__(self, memory_bytes: int) -> None:
        self.jobs = 0
        self.used_at = 0.0
        self._popen: Any = subprocess.Popen(
            [sys.executable, "-m", "homeserver.gateways.media_worker", str(memory_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={"OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )

    def ask(self, job: bytes, seconds: float, now: Callable[[], float]) -> bytes | None:
        """Its answer; None when it died, takes too long or says too much."""
        until, received = now() + seconds, b""
        try:
            self._popen.stdin.write(job + b"\n")
            while not received.endswith(b"\n"):
                readable, _, _ = select.select([self._popen.stdout], [], [], max(0.0, until - now()))
                piece = os.read(self._popen.stdout.fileno(), _MAX_ANSWER) if readable else b""
                if not piece or len(received) > _MAX_ANSWER:
                    return None
                received += piece
        except OSError:
            return None
        return received

    def end(self) -> None:
        """Let it end by itself, which it does at once when nobody asks any more."""
        self._popen.stdin.close()
        self._popen.stdout.close()
        self._popen.wait()

    def kill(self) -> None:
        """End it now."""
        os.killpg(self._popen.pid, signal.SIGKILL)
        try:
            self._popen.stdin.close()
        except OSError:
            pass  # what was not written yet
        self._popen.stdout.close()
        self._popen.wait()
