"""Factors on the learning rate over the images shown."""

import pytest

from ganctl.errors import UserError
from ganctl.interfaces import Progress
from ganctl.training.schedule import parse_schedule


def factors(text: str, kimgs: list[float], total: int = 100_000) -> list[float]:
    schedule = parse_schedule(text, "lr_schedule")
    return [schedule(Progress(0, round(kimg * 1000), total)) for kimg in kimgs]


def test_constant_is_one() -> None:
    assert factors("constant", [0, 50, 100, 200]) == [1, 1, 1, 1]


def test_linear_falls_to_zero_at_the_end() -> None:
    assert factors("linear", [0, 25, 100, 150]) == pytest.approx([1, 0.75, 0, 0])


def test_cosine_falls_to_zero_at_the_end() -> None:
    wanted = [1, 0.853553391, 0.5, 0.146446609, 0, 0]
    assert factors("cosine", [0, 25, 50, 75, 100, 120]) == pytest.approx(wanted)


def test_between_points_the_factor_is_interpolated() -> None:
    assert factors("10:1,20:0.5,40:0", [10, 15, 20, 30, 40]) == pytest.approx(
        [1, 0.75, 0.5, 0.25, 0]
    )


def test_before_the_first_point_and_after_the_last_it_stays() -> None:
    assert factors("10:0.3,20:2", [0, 9.999, 20, 21, 99]) == pytest.approx([0.3, 0.3, 2, 2, 2])


def test_one_point_is_a_constant() -> None:
    assert factors("5:0.1", [0, 5, 50]) == [0.1, 0.1, 0.1]


@pytest.mark.parametrize(
    "text",
    ["", "quadratic", "10", "10:", "10:1,5:0", "10:1,10:0", "0:-1", "0:inf", "0:nan", "0:1:2", ","],
)
def test_what_is_no_schedule_is_quoted_with_its_option(text: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_schedule(text, "g_lr_schedule")
    assert str(caught.value).startswith(f"g_lr_schedule: {text!r} is not")
