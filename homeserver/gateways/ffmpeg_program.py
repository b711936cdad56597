"""Whether there is an ffmpeg to read films and recordings with."""

from shutil import which

from config.errors import ConfigError
from config.media import FfmpegConfig


def ffmpeg_of(config: FfmpegConfig) -> str | None:
    """The path of the program, None for none. Raises ConfigError if there has to be one and there is not."""
    if config.use == "never":
        return None
    found = which(config.program)
    if found is None and config.use == "always":
        raise ConfigError(f"there is no program {config.program}", key="media.ffmpeg.program")
    return found
