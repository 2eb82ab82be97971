"""Frames to films: GIF and WebP by Pillow, H.264 in MP4 by PyAV.

An encoder takes a film and returns the file's bytes.
"""

from __future__ import annotations

import importlib
import io
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import GanctlError, UserError

if TYPE_CHECKING:
    from PIL.Image import Image

ADVICE = "pip install 'ganctl[video]'"
SAMPLED, SIDE = 16, 64
"""A GIF's colours are chosen by so many frames, of each of which so many pixels squared."""


@dataclass(frozen=True)
class Film:
    """Frames of one even size, each made when it is asked for."""

    count: int
    frame: Callable[[int], Image]
    fps: float
    hold: float
    """Seconds for which the last frame stays, beyond its own time."""
    update: Callable[[int], None] = lambda count: None

    def __iter__(self) -> Iterator[Image]:
        for number in range(self.count):
            yield self.frame(number)
            self.update(number + 1)

    @property
    def milliseconds(self) -> list[int]:
        once = 1000 / self.fps
        return [round(once)] * (self.count - 1) + [round(once + 1000 * self.hold)]


def gif(film: Film) -> bytes:
    """256 colours for all frames: they do not flicker. Grey frames are exact."""
    from PIL import Image

    colours = _colours(film)

    def reduced(frame: Image.Image) -> Image.Image:
        if frame.mode == "L":
            return frame
        return frame.quantize(palette=colours, dither=Image.Dither.FLOYDSTEINBERG)

    delays = [10 * round(delay / 10) for delay in film.milliseconds]
    return _animated(map(reduced, film), "gif", duration=delays)


def _colours(film: Film) -> Image:
    """A palette: a median cut of frames from the whole of the film, refined by k-means."""
    from PIL import Image

    numbers = sorted({round(i * (film.count - 1) / (SAMPLED - 1)) for i in range(SAMPLED)})
    sheet = Image.new("RGB", (SIDE * len(numbers), SIDE))
    for place, number in enumerate(numbers):
        part = film.frame(number).resize((SIDE, SIDE), Image.Resampling.NEAREST)
        sheet.paste(part, (place * SIDE, 0))
    return sheet.quantize(256, Image.Quantize.MEDIANCUT, kmeans=1)


def webp(film: Film) -> bytes:
    """A fraction of a GIF's bytes, and all colours."""
    return _animated(iter(film), "webp", duration=film.milliseconds, quality=85, method=4)


def mp4(film: Film) -> bytes:
    """H.264 with 4:2:0 chroma, its index in front: what browsers, phones and players show."""
    av = find_av()
    frames = iter(film)
    first = next(frames)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "film.mp4"
        try:
            with av.open(str(file), "w", options={"movflags": "+faststart"}) as container:
                rate = Fraction(film.fps).limit_denominator(1000)
                stream = container.add_stream("libx264", rate, {"crf": "18"})
                stream.width, stream.height = first.size
                stream.pix_fmt = "yuv420p"
                context = stream.codec_context
                context.colorspace = context.color_primaries = context.color_trc = _BT709
                context.color_range = _TV_RANGE
                for frame in _last_held(chain([first], frames), round(film.fps * film.hold)):
                    picture = av.VideoFrame.from_image(frame.convert("RGB")).reformat(
                        format="yuv420p", dst_colorspace=_BT709, dst_color_range=_TV_RANGE
                    )
                    container.mux(stream.encode(picture))
                container.mux(stream.encode())
            return file.read_bytes()
        except (av.FFmpegError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            raise GanctlError(f"the film cannot be encoded: {reason}") from None


ENCODERS = {".gif": gif, ".webp": webp, ".mp4": mp4}
"""By the suffix of the file."""

_BT709, _TV_RANGE = 1, 1
"""Numbers of H.273: without them players guess the colours from the size."""


def find_av() -> Any:
    """PyAV. Raises `UserError` where it is not installed, or cannot write H.264."""
    try:
        av = importlib.import_module("av")
    except ImportError:
        raise UserError(f".mp4 needs PyAV: {ADVICE} (.gif and .webp do without)") from None
    if "libx264" not in av.codecs_available:
        raise UserError(".mp4 needs libx264, which this PyAV lacks; .gif and .webp do without")
    return av


def _animated(frames: Iterator[Image], kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    next(frames).save(buffer, kind, save_all=True, append_images=frames, loop=0, **options)
    return buffer.getvalue()


def _last_held(frames: Iterator[Image], times: int) -> Iterator[Image]:
    for frame in frames:
        yield frame
    yield from repeat(frame, times)
