"""The odd pictures and bad archives are what their names say."""

import io
import zipfile

import pytest
from PIL import Image
from servers.odd import bad_archives, broken_pictures, odd_pictures


def test_odd_pictures_can_be_read() -> None:
    modes = {}
    for name, content in odd_pictures().items():
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            modes[name] = image.mode
            if name == "rotated.jpg":
                assert image.getexif()[0x0112] == 6
            assert getattr(image, "n_frames", 1) == (3 if name == "animated.gif" else 1)
    assert modes["cmyk.jpg"] == "CMYK"
    assert modes["grey.jpg"] == "L"
    assert modes["palette-transparent.png"] == "P"
    assert modes["rgba.png"] == "RGBA"
    assert modes["16-bit.png"] == "I;16"


def test_broken_pictures_cannot() -> None:
    for name, content in broken_pictures().items():
        assert len(content) < 200_000
        if "megapixels" not in name:
            with pytest.raises((OSError, SyntaxError)), Image.open(io.BytesIO(content)) as image:
                image.load()
            continue
        try:
            with Image.open(io.BytesIO(content)) as image:
                assert image.width * image.height >= 144_000_000
        except Image.DecompressionBombError:
            assert name.startswith("400")


def test_bad_archives_are_bad() -> None:
    archives = bad_archives()
    names = {}
    for name, content in archives.items():
        if name == "cut short":
            with pytest.raises(zipfile.BadZipFile):
                zipfile.ZipFile(io.BytesIO(content))
            continue
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            names[name] = [info.orig_filename for info in file.infolist()]
        assert names[name][0] == "good.jpg"
    assert names["parent"][1] == "../outside.jpg"
    assert names["absolute"][1] == "/tmp/outside.jpg"
    assert names["backslashes"][1] == "..\\outside.jpg"
    assert names["duplicates"][1:] == ["twice.jpg"] * 2
    assert "\ufffd" not in names["not UTF-8"][1]
    assert names["not UTF-8"][1] not in ("caf0.jpg", "café.jpg")
    assert len(archives["bomb"]) < 1_000_000
    with zipfile.ZipFile(io.BytesIO(archives["symlink"])) as file:
        assert file.infolist()[1].external_attr >> 28 == 0o12
