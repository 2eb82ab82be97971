"""Frames of videos: which they are, and that they are the same by every way to them."""

import os
import random
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from ganctl import Unreadable, UserError
from ganctl_sources import video
from ganctl_sources.video import Video, VideoOptions

CODECS = {"a.mp4": "libx264", "b.mov": "mpeg4", "c.mkv": "libx265", "d.webm": "libvpx-vp9"}
CODECS["e.avi"] = "mpeg4"

NOISE = np.tile([[[-8], [8]], [[8], [-8]]], (24, 32, 3))


def film(path: Path, codec: str = "mpeg4", count: int = 50, fps: int = 10) -> VideoOptions:
    """Every frame has its own gray: four levels more than the one before."""
    with av.open(path, "w") as container:
        quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
        stream: Any = container.add_stream(codec, rate=fps, options=quiet)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size = 12
        stream.bit_rate = 2_000_000
        for i in range(count):
            pixels = (NOISE + 16 + 4 * i).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode())
    return VideoOptions(path=str(path))


def gray(pixels: Any) -> int:
    """Which frame it is."""
    return round((float(pixels.mean()) - 16) / 4)


@pytest.mark.parametrize("name", CODECS)
def test_frames_are_so_many_seconds_apart(tmp_path: Path, name: str) -> None:
    path = film(tmp_path / name, CODECS[name]).path
    for every, wanted in ((1.0, range(0, 50, 10)), (0.3, range(0, 50, 3)), (0.01, range(50))):
        options = VideoOptions(path, every)
        Video().check(options)
        items = list(Video().items(options))
        assert Video().count(options) == len(items)
        assert [gray(Video().open(options, item)) for item in items] == list(wanted)
    one = list(Video().items(VideoOptions(path)))
    assert [i.key for i in one[:2]] == [f"{name}/000000.000", f"{name}/000001.000"]
    assert Video().resolution(options) == "48x64"
    assert Video().open(options, one[0]).shape == (48, 64, 3)


def test_a_gap_takes_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, gap = tmp_path / "a.mkv", 10**7  # seconds
    with av.open(film(tmp_path / "even.mkv").path) as even, av.open(path, "w") as container:
        stream = container.add_stream_from_template(even.streams.video[0])
        for index, packet in enumerate(even.demux()):
            if packet.pts is not None:
                late = int(gap / packet.time_base) if index >= 25 else 0
                packet.pts, packet.dts = packet.pts + late, packet.dts + late
                packet.stream = stream
                container.mux(packet)
    options = VideoOptions(str(path))
    began = time.process_time()
    keys = [item.key for item in Video().items(options)]
    assert keys == [f"a.mkv/{n:010.3f}" for n in (0, 1, 2, 3, gap + 3, gap + 4)]
    clip = video.Clip(path)
    monkeypatch.setattr(clip, "_times", [-(2**62), 0, 0, 2**62])
    for every in (0.001, 1.0, 1e30):
        assert list(clip.wanted(every)) == ([-(2**62), 0, 2**62] if every < 9 else [-(2**62)])
    assert time.process_time() - began < 5


def test_frames_are_the_first_at_or_after_each_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = video.Clip(Path(film(tmp_path / "a.mkv", count=2).path))
    base, chance = clip._stream.time_base, random.Random(0)
    for every in (0.001, 0.3, 1.0, 2.5):
        times = sorted(chance.choices(range(-3000, 9000), k=60))
        monkeypatch.setattr(clip, "_times", times)
        clip._wanted.clear()
        slow: dict[int, Fraction] = {}
        for number in range(int((times[-1] - times[0]) * base / Fraction(str(every))) + 1):
            seconds = number * Fraction(str(every))
            slow.setdefault(min(t for t in times if t - times[0] >= seconds / base), seconds)
        assert clip.wanted(every) == slow


@pytest.mark.parametrize("name", CODECS)
def test_the_way_to_a_frame_does_not_change_it(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "KEPT_FRAMES", 2)
    options = VideoOptions(film(tmp_path / name, CODECS[name]).path, every=0.1)
    items = list(Video().items(options))
    straight = [Video().open(options, item).tobytes() for item in items]
    order = list(range(len(items)))
    random.Random(0).shuffle(order)
    for index in order:
        assert Video().open(options, items[index]).tobytes() == straight[index], index


def test_a_turned_video_comes_upright(tmp_path: Path) -> None:
    options = film(tmp_path / "a.mp4")
    content = bytearray((tmp_path / "a.mp4").read_bytes())
    start = content.index(b"tkhd") + 4 + 40  # the matrix in the track's header
    assert content[start : start + 4] == b"\0\1\0\0"
    content[start : start + 20] = bytes.fromhex("00000000 00010000 00000000 ffff0000 00000000")
    (tmp_path / "a.mp4").write_bytes(content)
    assert Video().resolution(options) == "64x48"
    assert Video().open(options, next(Video().items(options))).shape == (64, 48, 3)


@pytest.mark.parametrize("content", [b"", b"hello" * 500, bytes(4000)])
def test_what_is_no_video_is_named(
    tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.mp4: not a readable video") as caught:
        Video().check(VideoOptions(path=str(tmp_path / "a.mp4")))
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_a_playlist_opens_nothing(tmp_path: Path) -> None:
    film(tmp_path / "real.mp4")
    for target in (tmp_path / "real.mp4", "http://127.0.0.1:1/a.ts"):
        (tmp_path / "a.mp4").write_text(f"#EXTM3U\n#EXTINF:5,\n{target}\n#EXT-X-ENDLIST\n")
        with pytest.raises(UserError, match="not a readable video"):
            Video().check(VideoOptions(path=str(tmp_path / "a.mp4")))


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    with av.open(tmp_path / "a.mkv", "w") as container:
        stream: Any = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(UserError, match="no pictures in it"):
        Video().check(VideoOptions(path=str(tmp_path / "a.mkv")))


def test_a_cut_video_gives_what_is_there(tmp_path: Path) -> None:
    options = film(tmp_path / "a.mkv")
    whole = list(Video().items(options))
    os.truncate(options.path, os.path.getsize(options.path) // 2)
    items = list(Video().items(options))
    assert 0 < len(items) < len(whole)
    assert [gray(Video().open(options, i)) for i in items[:2]] == [0, 10]


def test_damage_costs_the_frames_near_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = VideoOptions(film(tmp_path / "a.mkv", "libx264").path, every=0.1)
    content = bytearray(Path(options.path).read_bytes())
    middle = len(content) // 2
    content[middle : middle + 150] = bytes(150)
    Path(options.path).write_bytes(content)
    good, faults = 0, []
    for index, item in enumerate(Video().items(options)):
        try:
            good += gray(Video().open(options, item)) == index
        except Unreadable as error:
            faults.append(str(error))
    assert good >= 10
    assert all("damaged" in fault or "ends" in fault for fault in faults)
    assert capfd.readouterr().err == ""


def test_a_folder_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="name one video"):
        Video().check(VideoOptions(path=str(tmp_path)))


def test_a_huge_frame_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "MAX_PIXELS", 3000)
    with pytest.raises(UserError, match="64x48 is over 3,000 pixels"):
        Video().check(film(tmp_path / "a.mp4"))


def test_without_pyav_the_advice_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = film(tmp_path / "a.mp4")
    assert Video().missing() is None
    monkeypatch.setitem(sys.modules, "av", None)
    assert Video().missing() == "pip install 'ganctl[video]'"
    with pytest.raises(UserError, match=r"needs PyAV: pip install 'ganctl\[video\]'"):
        Video().check(options)


def test_the_fingerprint_follows_the_file(tmp_path: Path) -> None:
    options = film(tmp_path / "a.mp4", count=2)
    seen = [Video().fingerprint(options) for _ in range(2)]
    os.utime(options.path, (1, 1))
    seen.append(Video().fingerprint(options))
    assert seen[0] == seen[1] != seen[2]
