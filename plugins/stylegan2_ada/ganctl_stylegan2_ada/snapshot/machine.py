"""A stack machine for pickles that builds inert values and calls nothing of the file's.

The opcodes are those that Python 3 writes at protocols 2 to 5 for plain data and for what a
`Policy` lets through; all others are refused by name. Python's `pickletools` says what each does.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable
from typing import Any, Protocol

from . import limits
from .limits import Budget, Refused
from .stream import Stream
from .values import Global, kind


class Policy(Protocol):
    """What the names and ids in a pickle stand for; `Refused` for what it does not know."""

    def find(self, name: str) -> Global: ...

    def call(self, function: Global, arguments: tuple[Any, ...]) -> object:
        """What REDUCE gives."""

    def new(self, cls: Global, arguments: tuple[Any, ...]) -> object:
        """What NEWOBJ gives."""

    def build(self, instance: object, state: object) -> None:
        """What BUILD does."""

    def persistent(self, key: object) -> object:
        """What a persistent id stands for."""


def run(stream: Stream, policy: Policy, budget: Budget) -> object:
    """The value of the pickle that begins here; the stream is then after it."""
    machine = _Machine(stream, policy, budget)
    if stream.left < 2 or stream.unsigned(1) != _CODES["PROTO"]:
        raise Refused("not a pickle")
    if not 2 <= (protocol := stream.unsigned(1)) <= 5:
        raise Refused(f"a pickle of protocol {protocol}")
    while (code := stream.unsigned(1)) != _CODES["STOP"]:
        budget.opcode()
        operation = _OPERATIONS.get(code)
        if operation is None:
            raise Refused(f"pickle opcode {_NAMES.get(code, hex(code))} at {stream.position - 1:,}")
        operation(machine)
    return machine.result()


class _Machine:
    """The stack, its marks and the memo. The methods op_* are the opcodes."""

    def __init__(self, stream: Stream, policy: Policy, budget: Budget) -> None:
        self._in = stream
        self._policy = policy
        self._budget = budget
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        """The stacks under the open marks."""
        self._held = 0
        """Values on the stacks below."""
        self._memo: dict[int, object] = {}

    def result(self) -> object:
        if self._below or len(self._stack) != 1:
            raise Refused("a pickle that does not end with one value")
        return self._stack[0]

    def _push(self, value: object) -> None:
        if len(self._stack) + self._held >= limits.MAX_STACK:
            raise Refused(f"more than {limits.MAX_STACK:,} values on the pickle's stack")
        self._stack.append(value)

    def _pop(self) -> Any:
        if not self._stack:
            raise Refused("an empty pickle stack")
        return self._stack.pop()

    def _top(self, expected: type) -> Any:
        if not self._stack or type(self._stack[-1]) is not expected:
            raise Refused(f"no {expected.__name__} to fill")
        return self._stack[-1]

    def _marked(self) -> list[Any]:
        if not self._below:
            raise Refused("no mark on the pickle's stack")
        values = self._stack
        self._stack = self._below.pop()
        self._held -= len(self._stack)
        return values

    def _tuple(self, size: int) -> None:
        if len(self._stack) < size:
            raise Refused("an empty pickle stack")
        self._stack[-size:] = [tuple(self._stack[-size:])]

    def _text(self, size: int) -> str:
        if size > limits.MAX_STRING:
            raise Refused(f"a string of more than {limits.MAX_STRING:,} bytes")
        return self._decoded(self._in.take(size))

    def _decoded(self, data: memoryview) -> str:
        self._budget.text(len(data))
        try:
            return str(data, "utf-8")
        except UnicodeDecodeError:
            raise Refused("a string that is not UTF-8") from None

    def _integer(self, size: int) -> None:
        if size > limits.MAX_INTEGER:
            raise Refused(f"a whole number of {size:,} bytes")
        self._push(self._in.signed(size))

    def _remember(self, index: int) -> None:
        if not self._stack:
            raise Refused("an empty pickle stack")
        if len(self._memo) >= limits.MAX_MEMO:
            raise Refused(f"more than {limits.MAX_MEMO:,} values in the pickle's memo")
        self._memo[index] = self._stack[-1]

    def _recall(self, index: int) -> None:
        if index not in self._memo:
            raise Refused(f"no memo {index}")
        self._push(self._memo[index])

    def _called(self) -> tuple[Global, tuple[Any, ...]]:
        """What REDUCE and NEWOBJ find on the stack."""
        arguments, function = self._pop(), self._pop()
        if not isinstance(function, Global):
            raise Refused(f"{kind(function)} is called")
        if not isinstance(arguments, tuple):
            raise Refused(f"{function.name} is called with {kind(arguments)}")
        return function, arguments

    def _find(self, module: object, name: object) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise Refused(f"a global named by {kind(module)} and {kind(name)}")
        self._push(self._policy.find(f"{module}.{name}"))

    # Frames only say how much to read at a time.

    def op_frame(self) -> None:
        if self._in.unsigned(8) > self._in.left:
            raise Refused("ends early, within a frame")

    # Constants and numbers

    def op_none(self) -> None:
        self._push(None)

    def op_newtrue(self) -> None:
        self._push(True)

    def op_newfalse(self) -> None:
        self._push(False)

    def op_binint(self) -> None:
        self._push(self._in.signed(4))

    def op_binint1(self) -> None:
        self._push(self._in.unsigned(1))

    def op_binint2(self) -> None:
        self._push(self._in.unsigned(2))

    def op_long1(self) -> None:
        self._integer(self._in.unsigned(1))

    def op_long4(self) -> None:
        self._integer(self._in.unsigned(4))

    def op_binfloat(self) -> None:
        self._push(struct.unpack(">d", self._in.take(8))[0])

    # Strings and bytes

    def op_short_binunicode(self) -> None:
        self._push(self._text(self._in.unsigned(1)))

    def op_binunicode(self) -> None:
        self._push(self._text(self._in.unsigned(4)))

    def op_binunicode8(self) -> None:
        self._push(self._text(self._in.unsigned(8)))

    def op_short_binbytes(self) -> None:
        self._push(self._in.take(self._in.unsigned(1)))

    def op_binbytes(self) -> None:
        self._push(self._in.take(self._in.unsigned(4)))

    def op_binbytes8(self) -> None:
        self._push(self._in.take(self._in.unsigned(8)))

    # Containers

    def op_mark(self) -> None:
        if len(self._below) >= limits.MAX_MARKS:
            raise Refused(f"more than {limits.MAX_MARKS} containers within each other")
        self._held += len(self._stack)
        self._below.append(self._stack)
        self._stack = []

    def op_pop(self) -> None:
        self._pop()

    def op_pop_mark(self) -> None:
        self._marked()

    def op_empty_tuple(self) -> None:
        self._push(())

    def op_tuple1(self) -> None:
        self._tuple(1)

    def op_tuple2(self) -> None:
        self._tuple(2)

    def op_tuple3(self) -> None:
        self._tuple(3)

    def op_tuple(self) -> None:
        self._push(tuple(self._marked()))

    def op_empty_list(self) -> None:
        self._push([])

    def op_append(self) -> None:
        value = self._pop()
        self._top(list).append(value)

    def op_appends(self) -> None:
        values = self._marked()
        self._top(list).extend(values)

    def op_empty_dict(self) -> None:
        self._push({})

    def op_setitem(self) -> None:
        value, key = self._pop(), self._pop()
        self._top(dict)[_key(key)] = value

    def op_setitems(self) -> None:
        values = self._marked()
        if len(values) % 2:
            raise Refused("a key without a value")
        self._top(dict).update((_key(k), v) for k, v in zip(values[::2], values[1::2], strict=True))

    def op_empty_set(self) -> None:
        self._push(set())

    def op_additems(self) -> None:
        values = self._marked()
        self._top(set).update(map(_key, values))

    # The memo

    def op_memoize(self) -> None:
        self._remember(len(self._memo))

    def op_binput(self) -> None:
        self._remember(self._in.unsigned(1))

    def op_long_binput(self) -> None:
        self._remember(self._in.unsigned(4))

    def op_binget(self) -> None:
        self._recall(self._in.unsigned(1))

    def op_long_binget(self) -> None:
        self._recall(self._in.unsigned(4))

    # Names, and what is done with them: for the policy to say

    def op_global(self) -> None:
        module, name = (self._decoded(self._in.line()) for _ in range(2))
        self._find(module, name)

    def op_stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        self._find(module, name)

    def op_inst(self) -> None:
        self._marked()
        self.op_global()
        raise Refused(f"pickle opcode INST for {kind(self._pop())}")

    def op_reduce(self) -> None:
        self._push(self._policy.call(*self._called()))

    def op_newobj(self) -> None:
        self._push(self._policy.new(*self._called()))

    def op_build(self) -> None:
        state = self._pop()
        if not self._stack:
            raise Refused("an empty pickle stack")
        self._policy.build(self._stack[-1], state)

    def op_binpersid(self) -> None:
        self._push(self._policy.persistent(self._pop()))

    # Refused, by the number or the name they ask for

    def op_ext1(self) -> None:
        raise Refused(f"pickle extension code {self._in.unsigned(1)}")

    def op_ext2(self) -> None:
        raise Refused(f"pickle extension code {self._in.unsigned(2)}")

    def op_ext4(self) -> None:
        raise Refused(f"pickle extension code {self._in.signed(4)}")

    def op_persid(self) -> None:
        self._policy.persistent(self._decoded(self._in.line()))
        raise Refused("pickle opcode PERSID")


def _key(value: object) -> str | int:
    """A key that hashes quickly, and differently from others.

    Tuples of tuples take exponential time to hash; large integers are easily made to collide.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        if abs(value) < 2**31:
            return value
        raise Refused("a key that is a large number")
    raise Refused(f"a key that is {kind(value)}")


_NAMES = {ord(opcode.code): opcode.name for opcode in pickletools.opcodes}
_CODES = {name: code for code, name in _NAMES.items()}
_OPERATIONS: dict[int, Callable[[_Machine], None]] = {
    _CODES[name.removeprefix("op_").upper()]: operation
    for name, operation in vars(_Machine).items()
    if name.startswith("op_")
}
