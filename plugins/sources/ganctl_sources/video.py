"""Frames of a video, so many seconds apart."""

from __future__ import annotations

import importlib
import importlib.util
import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from ganctl import Item, Opt, Source, Unreadable, UserError

from . import files
from .places import reader

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame

ADVICE = "pip install 'ganctl[video]'"
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi"
"""What is opened. Others (playlists, for one) would have FFmpeg open what a stranger names."""

MAX_PIXELS = 89_478_485
KEPT_FRAMES = 16
"""Decoded on the way to another and kept: threads ask for frames in nearly the order of time."""


@dataclass(frozen=True)
class VideoOptions:
    """Which frames of which video."""

    path: Annotated[str, Opt("The video: .mp4, .mov, .mkv, .webm or .avi.")] = ""
    every: Annotated[float, Opt("Seconds from one frame to the next.", ge=0.001)] = 1.0


class Video(Source[VideoOptions], api=1):
    """Frames of a video file, one each second or as told."""

    def missing(self) -> str | None:
        return ADVICE if importlib.util.find_spec("av") is None else None

    def reads(self, path: Path) -> bool:
        return reader(path) == "video"

    def check(self, options: VideoOptions) -> None:
        path = files.existing("video", options.path)
        if path.is_dir():
            raise UserError(f"source video: {path} is a folder: name one video")
        _clip(path)

    def resolution(self, options: VideoOptions) -> str | None:
        size = _clip(Path(options.path)).size
        if size is None:
            return None
        height, width = size
        return str(height) if height == width else f"{height}x{width}"

    def fingerprint(self, options: VideoOptions) -> str:
        return files.stamp([Path(options.path)])

    def count(self, options: VideoOptions) -> int:
        return len(_clip(Path(options.path)).wanted(options.every))

    def items(self, options: VideoOptions) -> Iterator[Item]:
        path = Path(options.path)
        for pts, seconds in _clip(path).wanted(options.every).items():
            key = f"{path.name}/{float(seconds):010.3f}"
            yield Item(key=key, uri=f"{path}#{float(seconds):.3f}", meta={"pts": pts})

    def open(self, options: VideoOptions, item: Item) -> np.ndarray[Any, Any]:
        clip = _clip(Path(options.path))
        return clip.frame(item.meta["pts"], clip.wanted(options.every))


class Clip:
    """One video: when its frames are shown, and one decoder that goes from frame to frame."""

    def __init__(self, file: Path) -> None:
        """Reads the file through once and decodes one frame. Raises `UserError`."""
        self.file = file
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, np.ndarray[Any, Any]] = OrderedDict()
        self._wanted: dict[float, dict[int, Fraction]] = {}
        self._position: int | None = None  # of the frame that was decoded last
        av = _av()
        try:
            self._container, self._stream = _opened(file)
            times, keys = [], []
            for packet in self._container.demux(self._stream):
                pts = packet.pts if packet.pts is not None else packet.dts
                if pts is not None and not packet.is_discard:
                    times.append(pts)
                    if packet.is_keyframe:
                        keys.append(pts)
        except (av.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"source video: {file}: not a readable video: {reason}") from None
        if not times or not keys:
            raise UserError(f"source video: {file}: there is no frame in it")
        self._times, self._keys = sorted(times), sorted(keys)
        self.size: tuple[int, ...] | None = None
        """Height and width of the first frame, upright; None where that is damaged."""
        with suppress(Unreadable):
            self.size = self.frame(self._times[0], {}).shape[:2]

    def wanted(self, every: float) -> dict[int, Fraction]:
        """Times of frames in the file's own unit: the first at or after 0, 1, 2 … × `every`.

        Beside each the seconds that it stands for. No frame comes twice.
        """
        if every not in self._wanted:
            base, step = self._stream.time_base, Fraction(str(every))
            times, first = self._times, self._times[0]
            found: dict[int, Fraction] = {}
            index = number = 0
            while index < len(times):
                found[times[index]] = number * step
                number = (times[index] - first) * base // step + 1  # the first after that frame
                index = bisect_left(times, first + number * step / base)
            self._wanted[every] = found
        return self._wanted[every]

    def frame(self, pts: int, wanted: dict[int, Fraction]) -> np.ndarray[Any, Any]:
        """(H, W, 3) uint8, upright. Raises `Unreadable` where the video is damaged."""
        av = _av()
        with self._lock:
            if pts in self._kept:
                return self._kept[pts]
            try:
                return self._decode(pts, wanted)
            except (av.FFmpegError, OSError, ValueError) as error:
                self._position = None
                reason = getattr(error, "strerror", None) or str(error)
                raise Unreadable(f"damaged video: {reason}") from None

    def _decode(self, pts: int, wanted: dict[int, Fraction]) -> np.ndarray[Any, Any]:
        """Forward from where it is, or from the last key frame before `pts` if that is nearer."""
        key = self._keys[max(bisect_right(self._keys, pts) - 1, 0)]
        if self._position is None or not key <= self._position < pts:
            self._container.seek(key, stream=self._stream)
            self._frames = self._container.decode(self._stream)
        for frame in self._frames:
            now = frame.pts if frame.pts is not None else frame.dts
            if now is None:
                continue
            self._position = now
            if now >= pts or now in wanted:
                self._keep(pts if now >= pts else now, frame)
            if now >= pts:
                if pts not in self._kept:
                    raise Unreadable("damaged frame")
                return self._kept[pts]
        self._position = None
        raise Unreadable("the video ends before it")

    def _keep(self, pts: int, frame: VideoFrame) -> None:
        if frame.is_corrupt:
            return
        upright = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
        self._kept[pts] = np.ascontiguousarray(upright)
        if len(self._kept) > KEPT_FRAMES:
            self._kept.popitem(last=False)


@files.kept(1)
def _clip(file: Path) -> Clip:
    return Clip(file)


def _opened(file: Path) -> tuple[InputContainer, Any]:
    """The file and its main video stream."""
    container = _av().open(
        str(file),
        mode="r",
        options={"format_whitelist": FORMATS, "protocol_whitelist": "file"},
    )
    stream = container.streams.best("video")
    if stream is None:
        raise ValueError("no pictures in it")
    if stream.codec_context is None:
        raise ValueError("its codec is not known")
    if stream.width * stream.height > MAX_PIXELS:
        raise ValueError(f"{stream.width}x{stream.height} is over {MAX_PIXELS:,} pixels")
    stream.thread_type = "AUTO"
    return container, stream


def _av() -> Any:
    try:
        return importlib.import_module("av")
    except ImportError:
        raise UserError(f"source video needs PyAV: {ADVICE}") from None
