"""Frames to films: GIF and WebP by Pillow, H.264 in MP4 by PyAV.

An encoder takes `count` frames of one even size, frames per second, and the seconds for which
the last frame stays. It returns the file's bytes.
"""

from __future__ import annotations

import importlib
import io
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import GanctlError, UserError

if TYPE_CHECKING:
    from PIL.Image import Image

ADVICE = "pip install 'ganctl[video]'"


def gif(frames: Iterator[Image], count: int, fps: float, hold: float) -> bytes:
    """256 colours, chosen anew for every frame. Grey frames are exact."""
    delays = [10 * round(delay / 10) for delay in _milliseconds(count, fps, hold)]
    return _animated(map(_in_256_colours, frames), "gif", duration=delays)


def webp(frames: Iterator[Image], count: int, fps: float, hold: float) -> bytes:
    """A fraction of a GIF's bytes, and all colours."""
    return _animated(frames, "webp", duration=_milliseconds(count, fps, hold), quality=85, method=4)


def mp4(frames: Iterator[Image], count: int, fps: float, hold: float) -> bytes:
    """H.264 with 4:2:0 chroma, its index in front: what browsers, phones and players show."""
    av = find_av()
    first = next(frames)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "film.mp4"
        try:
            with av.open(str(file), "w", options={"movflags": "+faststart"}) as container:
                rate = Fraction(fps).limit_denominator(1000)
                stream = container.add_stream("libx264", rate, {"crf": "18"})
                stream.width, stream.height = first.size
                stream.pix_fmt = "yuv420p"
                context = stream.codec_context
                context.colorspace = context.color_primaries = context.color_trc = _BT709
                context.color_range = _TV_RANGE
                for frame in _last_held(chain([first], frames), round(fps * hold)):
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


def _milliseconds(count: int, fps: float, hold: float) -> list[int]:
    return [round(1000 / fps)] * (count - 1) + [round(1000 / fps + 1000 * hold)]


def _in_256_colours(frame: Image) -> Image:
    from PIL import Image

    if frame.mode == "L":
        return frame
    colours = frame.quantize(256, Image.Quantize.MEDIANCUT)
    return frame.quantize(palette=colours, dither=Image.Dither.FLOYDSTEINBERG)


def _last_held(frames: Iterator[Image], times: int) -> Iterator[Image]:
    for frame in frames:
        yield frame
    yield from repeat(frame, times)
