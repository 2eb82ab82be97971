"""One declaration feeds four readers: CLI flags, TOML tables, validation, checkpoint headers.

An options class is a frozen dataclass whose fields read
`gamma: Annotated[float, Opt("R1 weight.", ge=0)] = 10.0`. Types: bool, int, float, str,
Literal, tuples of these, and `X | None`. Every field has a default.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import UserError

T = TypeVar("T")


@dataclass(frozen=True)
class Opt:
    """Help text and bounds of one option. Bounds apply to each number of a tuple."""

    help: str
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None

    @property
    def bounds(self) -> str:
        """`"≥ 0, < 1"`, or an empty string."""
        signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
        return ", ".join(
            f"{sign} {getattr(self, name):g}"
            for name, sign in signs.items()
            if getattr(self, name) is not None
        )


@dataclass(frozen=True)
class OptionInfo:
    """One option as its readers see it."""

    name: str
    type: Any
    default: Any
    opt: Opt

    @property
    def flag(self) -> str:
        """The name as it stands on the command line: `r1-gamma`."""
        return self.name.replace("_", "-")

    @property
    def type_text(self) -> str:
        return _type_text(self.type)

    @property
    def metavar(self) -> str:
        """What a value is in help texts: `FLOAT`, or the choices as they are typed."""
        members = _union_members(self.type) or (self.type,)
        inner = next(member for member in members if member is not type(None))
        element = get_args(inner)[0] if get_origin(inner) is tuple else inner
        return _type_text(inner) if get_origin(element) is Literal else _type_text(inner).upper()


def describe(options_class: type[Any]) -> list[OptionInfo]:
    """The options of a class in the order of their declaration.

    Raises `TypeError` for a declaration that breaks the rules: that is the plugin
    author's mistake, and the message names the field.
    """
    if not dataclasses.is_dataclass(options_class):
        raise TypeError(f"{options_class.__name__} is not a dataclass")
    hints = get_type_hints(options_class, include_extras=True)
    infos = []
    for field in dataclasses.fields(options_class):
        where = f"{options_class.__name__}.{field.name}"
        hint = hints[field.name]
        opts = [extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Opt)]
        if get_origin(hint) is not Annotated or not opts:
            raise TypeError(f"{where} is not declared as Annotated[type, Opt(...)]")
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        elif field.default is not dataclasses.MISSING:
            default = field.default
        else:
            raise TypeError(f"{where} has no default")
        if field.name == "name":
            raise TypeError(f"{where}: 'name' is reserved for the plugin's own name")
        _type_text(get_args(hint)[0])  # raises for a type that no reader understands
        infos.append(OptionInfo(field.name, get_args(hint)[0], default, opts[0]))
    return infos


def load(options_class: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """An options object from texts (command line) or values (TOML, JSON).

    Raises one `UserError` that lists every fault, a line each, `where.` before the name.
    """
    infos = {info.name: info for info in describe(options_class)}
    prefix = f"{where}." if where else ""
    faults, loaded = [], {}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in infos:
            faults.append(f"{prefix}{key}: no such option{did_you_mean(name, infos)}")
            continue
        try:
            loaded[name] = _convert(value, infos[name].type)
            _check_bounds(loaded[name], infos[name].opt)
        except ValueError as error:
            faults.append(f"{prefix}{name}: {error}")
    if faults:
        raise UserError("\n".join(faults))
    try:
        return options_class(**loaded)
    except UserError as error:  # a plugin's own __post_init__
        raise UserError(f"{prefix.rstrip('.')}: {error}" if prefix else str(error)) from None


def dump(options: Any) -> dict[str, Any]:
    """The values as JSON and TOML can hold them; `load` takes them back."""
    values = {info.name: getattr(options, info.name) for info in describe(type(options))}
    return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`"; did you mean 'r1_gamma'?"`, or the list of what there is, or nothing."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are: {', '.join(known)}" if known else ""


def _union_members(hint: Any) -> tuple[Any, ...] | None:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else None


def _type_text(hint: Any) -> str:
    if (members := _union_members(hint)) is not None:
        if len(members) != 2 or type(None) not in members:
            raise TypeError(f"options cannot be of type {hint}: the only union is with None")
        return "|".join("none" if m is type(None) else _type_text(m) for m in members)
    if get_origin(hint) is Literal:
        return "|".join(str(choice) for choice in get_args(hint))
    if get_origin(hint) is tuple:
        members = get_args(hint)
        if members[-1] is Ellipsis:
            return f"{_type_text(members[0])},…"
        return ",".join(_type_text(m) for m in members)
    if hint in (bool, int, float, str):
        return "text" if hint is str else str(hint.__name__)
    raise TypeError(f"options cannot be of type {hint}")


def _convert(value: Any, hint: Any) -> Any:
    if (members := _union_members(hint)) is not None:
        if type(None) in members and (value is None or str(value).lower() == "none"):
            return None
        (inner,) = [m for m in members if m is not type(None)]
        return _convert(value, inner)
    if get_origin(hint) is Literal:
        for choice in get_args(hint):
            if str(value) == str(choice):
                return choice
        choices = [str(choice) for choice in get_args(hint)]
        raise ValueError(f"{value!r} is not one of {', '.join(choices)}")
    if get_origin(hint) is tuple:
        return _convert_tuple(value, get_args(hint))
    if hint is bool:
        word = str(value).lower()
        if word in ("true", "yes", "on", "1"):
            return True
        if word in ("false", "no", "off", "0"):
            return False
        raise ValueError(f"{value!r} is not true or false")
    if hint is str:
        if not isinstance(value, str):
            raise ValueError(f"{value!r} is not a text: put it in quotation marks")
        return value
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is not a number")
    if hint is int:
        try:
            whole = int(value) if isinstance(value, str) else value
        except ValueError:
            raise ValueError(f"{value!r} is not a whole number") from None
        if not isinstance(whole, int):
            raise ValueError(f"{value!r} is not a whole number")
        return whole
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{value!r} is not a number") from None
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not a finite number")
    return number


def _convert_tuple(value: Any, members: tuple[Any, ...]) -> tuple[Any, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list | tuple):
        value = [value]
    if members[-1] is Ellipsis:
        return tuple(_convert(part, members[0]) for part in value)
    if len(value) != len(members):
        raise ValueError(f"{len(value)} values where {len(members)} are wanted")
    return tuple(_convert(part, member) for part, member in zip(value, members, strict=True))


def _check_bounds(value: Any, opt: Opt) -> None:
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, bool) or not isinstance(number, int | float):
            continue
        low = (opt.ge is None or number >= opt.ge) and (opt.gt is None or number > opt.gt)
        high = (opt.le is None or number <= opt.le) and (opt.lt is None or number < opt.lt)
        if not (low and high):
            raise ValueError(f"{number:g} is out of bounds: must be {opt.bounds}")
