"""Options: one declaration, read from texts and from values, checked, dumped."""

import json
import tomllib
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest
import tomli_w

from ganctl.errors import UserError
from ganctl.options import Opt, describe, did_you_mean, dump, load


@dataclass(frozen=True)
class Every:
    """One option of every type that readers understand."""

    flag: Annotated[bool, Opt("A switch.")] = False
    count: Annotated[int, Opt("A whole number.", ge=1, le=10)] = 3
    share: Annotated[float, Opt("A number.", gt=0, lt=1)] = 0.5
    text: Annotated[str, Opt("A text.")] = "a"
    mode: Annotated[Literal["fast", "slow"], Opt("A choice.")] = "fast"
    power: Annotated[Literal[1, 2], Opt("A choice among numbers.")] = 1
    widths: Annotated[tuple[int, ...], Opt("Some numbers.", ge=1)] = (4, 8)
    betas: Annotated[tuple[float, float], Opt("Two numbers.", ge=0, lt=1)] = (0.5, 0.9)
    limit: Annotated[float | None, Opt("A number, or none.", ge=0)] = None
    steps: Annotated[tuple[Literal["up", "down"], ...], Opt("Some choices.")] = ("up",)


def fault(values: dict[str, Any], where: str = "") -> str:
    with pytest.raises(UserError) as caught:
        load(Every, values, where)
    return str(caught.value)


def test_texts_and_values_load_to_the_same_options() -> None:
    texts = {
        "flag": "yes",
        "count": "7",
        "share": "0.25",
        "text": "b",
        "mode": "slow",
        "power": "2",
        "widths": "16, 32,64",
        "betas": "0,0.99",
        "limit": "1e3",
        "steps": "down, up",
    }
    values = {
        "flag": True,
        "count": 7,
        "share": 0.25,
        "text": "b",
        "mode": "slow",
        "power": 2,
        "widths": [16, 32, 64],
        "betas": [0, 0.99],
        "limit": 1000,
        "steps": ["down", "up"],
    }
    wanted = Every(True, 7, 0.25, "b", "slow", 2, (16, 32, 64), (0.0, 0.99), 1000.0, ("down", "up"))
    assert load(Every, texts) == wanted
    assert load(Every, values) == wanted
    assert type(load(Every, values).limit) is float


def test_what_is_not_given_has_its_default() -> None:
    assert load(Every, {}) == Every()
    assert load(Every, {"count": 4}) == Every(count=4)


def test_dashes_and_underscores_are_the_same() -> None:
    @dataclass(frozen=True)
    class Dashed:
        r1_gamma: Annotated[float, Opt("Weight.")] = 10.0

    assert load(Dashed, {"r1-gamma": 2}) == load(Dashed, {"r1_gamma": 2}) == Dashed(2.0)
    assert describe(Dashed)[0].flag == "r1-gamma"


@pytest.mark.parametrize("word", ["true", "True", "yes", "on", "1", True])
def test_words_for_true(word: object) -> None:
    assert load(Every, {"flag": word}).flag is True


@pytest.mark.parametrize("word", ["false", "FALSE", "no", "off", "0", False])
def test_words_for_false(word: object) -> None:
    assert load(Every(flag=True).__class__, {"flag": word}).flag is False


@pytest.mark.parametrize("value", [None, "none", "None"])
def test_none_is_a_value_of_an_optional_option(value: object) -> None:
    assert load(Every, {"limit": value}).limit is None


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("flag", "perhaps", "'perhaps' is not true or false"),
        ("count", "three", "'three' is not a whole number"),
        ("count", "1.5", "'1.5' is not a whole number"),
        ("count", 2.0, "2.0 is not a whole number"),
        ("count", True, "True is not a number"),
        ("count", [1], "[1] is not a whole number"),
        ("count", None, "None is not a whole number"),
        ("share", "half", "'half' is not a number"),
        ("share", "nan", "'nan' is not a finite number"),
        ("share", "inf", "'inf' is not a finite number"),
        ("share", {"a": 1}, "{'a': 1} is not a number"),
        ("text", 64, "64 is not a text: put it in quotation marks"),
        ("mode", "medium", "'medium' is not one of fast, slow"),
        ("power", 3, "3 is not one of 1, 2"),
        ("widths", "4,x", "'x' is not a whole number"),
        ("betas", "0.5", "1 values where 2 are wanted"),
        ("betas", [0.1, 0.2, 0.3], "3 values where 2 are wanted"),
    ],
)
def test_a_wrong_value_is_quoted(name: str, value: object, message: str) -> None:
    assert fault({name: value}) == f"{name}: {message}"


@pytest.mark.parametrize(
    ("name", "good", "bad", "bounds"),
    [
        ("count", 1, 0, "≥ 1, ≤ 10"),
        ("count", 10, 11, "≥ 1, ≤ 10"),
        ("share", 1e-9, 0, "> 0, < 1"),
        ("share", 0.999, 1, "> 0, < 1"),
        ("widths", "4,1", "4,0", "≥ 1"),
        ("betas", "0.1,0.9", "0.1,1", "≥ 0, < 1"),
        ("limit", 0, -0.5, "≥ 0"),
    ],
)
def test_bounds_hold_for_every_number(name: str, good: Any, bad: Any, bounds: str) -> None:
    load(Every, {name: good})
    assert fault({name: bad}).endswith(f"is out of bounds: must be {bounds}")


def test_all_faults_are_told_at_once_with_their_table() -> None:
    lines = fault({"count": 0, "share": "x", "nothing": 1, "text": "fine"}, "arch").splitlines()
    assert len(lines) == 3
    assert {line.partition(":")[0] for line in lines} == {
        "arch.count",
        "arch.share",
        "arch.nothing",
    }


def test_a_misspelt_name_brings_the_nearest_one() -> None:
    assert fault({"betsa": 1}, "arch") == "arch.betsa: no such option; did you mean 'betas'?"


def test_a_name_like_none_of_them_brings_all_of_them() -> None:
    assert did_you_mean("zzz", {"b", "a"}) == "; there are: a, b"
    assert did_you_mean("zzz", []) == ""


def test_dump_and_load_are_inverse_through_json() -> None:
    options = Every(True, 7, 0.25, "b", "slow", 2, (16,), (0.0, 0.99), None)
    assert load(Every, json.loads(json.dumps(dump(options)))) == options


def test_dump_and_load_are_inverse_through_toml() -> None:
    options = Every(limit=0.1)
    assert load(Every, tomllib.loads(tomli_w.dumps(dump(options)))) == options


def test_a_fault_that_the_options_class_finds_carries_the_table() -> None:
    @dataclass(frozen=True)
    class Pair:
        low: Annotated[int, Opt("Low.")] = 0
        high: Annotated[int, Opt("High.")] = 1

        def __post_init__(self) -> None:
            if self.low > self.high:
                raise UserError("low is above high")

    with pytest.raises(UserError, match=r"^arch: low is above high$"):
        load(Pair, {"low": 2}, "arch")


def test_describe_keeps_the_order_and_tells_types() -> None:
    infos = describe(Every)
    assert [info.name for info in infos][:4] == ["flag", "count", "share", "text"]
    assert [info.type_text for info in infos] == [
        "bool",
        "int",
        "float",
        "text",
        "fast|slow",
        "1|2",
        "int,…",
        "float,float",
        "float|none",
        "up|down,…",
    ]
    assert [info.metavar for info in infos][-5:] == [
        "1|2",
        "INT,…",
        "FLOAT,FLOAT",
        "FLOAT",
        "up|down,…",
    ]


def test_a_default_made_by_a_factory_is_described() -> None:
    @dataclass(frozen=True)
    class Made:
        widths: Annotated[tuple[int, ...], Opt("Widths.")] = field(default_factory=lambda: (1, 2))

    assert describe(Made)[0].default == (1, 2)


def test_a_declaration_that_breaks_the_rules_names_its_field() -> None:
    @dataclass(frozen=True)
    class Bare:
        gamma: float = 1.0

    @dataclass(frozen=True)
    class Required:
        gamma: Annotated[float, Opt("Weight.")]

    @dataclass(frozen=True)
    class Named:
        name: Annotated[str, Opt("Name.")] = ""

    for broken, where in ((Bare, "Bare.gamma"), (Required, "Required.gamma"), (Named, "Named.nam")):
        with pytest.raises(TypeError, match=where):
            describe(broken)
    with pytest.raises(TypeError, match="not a dataclass"):
        describe(int)


@pytest.mark.parametrize("hint", [dict[str, int], list[int], bytes, int | str, int | float | None])
def test_a_type_that_no_reader_understands_is_refused_when_declared(hint: Any) -> None:
    broken = dataclass(frozen=True)(
        type("Broken", (), {"__annotations__": {"x": Annotated[hint, Opt("X.")]}, "x": None})
    )
    with pytest.raises(TypeError):
        describe(broken)
