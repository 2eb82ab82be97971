"""What the images of a run look like, and how sizes are written."""

import json

import pytest

from ganctl.errors import UserError
from ganctl.spec import ImageSpec, parse_resolution


@pytest.mark.parametrize(
    ("text", "size"),
    [("64", (64, 64)), ("96x128", (96, 128)), (" 96×128 ", (96, 128)), ("16384x1", (16384, 1))],
)
def test_a_resolution_is_height_then_width(text: str, size: tuple[int, int]) -> None:
    assert parse_resolution(text) == size


@pytest.mark.parametrize(
    "text", ["", "0", "64x0", "16385", "64x", "x64", "64.5", "-64", "64x64x3", "big", "1e3"]
)
def test_what_is_not_a_resolution_is_quoted(text: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_resolution(text)
    assert str(caught.value).startswith(f"resolution: {text!r} is not a size")


def test_a_spec_survives_json() -> None:
    spec = ImageSpec(48, 64, 3, 2, ("rock", "jazz"))
    assert ImageSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_the_size_reads_height_width_channels() -> None:
    assert ImageSpec(48, 64, 3).size == "48x64x3"
