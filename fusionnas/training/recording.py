"""Recording: the tensor operations of a piece of code, below autograd, as a program of one line each."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

Outputs = Sequence[Tensor | None]
Answer = Callable[[Outputs], Sequence[Tensor]]


@dataclass
class Program:
    """A recording.

    Attributes:
        code: a function of the inputs, or a generator.
        draws: whether it draws random numbers.
        proven: whether a replay has given what the recorded code itself gave.
    """

    code: Callable[..., Any]
    draws: bool
    proven: bool = False

    def run(self, inputs: Sequence[Tensor], answer: Answer | None) -> Outputs:
        """What was recorded, for these inputs.

        Raises:
            Changed: the code would have found something else than it did when it was recorded.
        """
        with torch.no_grad():
            if answer is None:
                return self.code(*inputs)  # type: ignore[no-any-return]
            talk = self.code(*inputs)
            asked = next(talk)
        with torch.enable_grad():
            answered = answer(asked)
        with torch.no_grad():
            return _last(talk, answered)


def told(talk: Any, answer: Answer | None) -> Outputs:
    """What a function gave; of a generator, once it has its answer."""
    return talk if answer is None else _last(talk, answer(next(talk)))


def _last(talk: Generator[Outputs, Sequence[Tensor], Outputs], answered: Sequence[Tensor]) -> Outputs:
    try:
        talk.send(answered)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    raise Unrecordable("it asks twice")


class Changed(Exception):
    """A replay met another value than the recording where the code had looked at one."""


class Unrecordable(Exception):
    """The code did what tensor operations do not tell."""


_UNTOLD = (Tensor.numpy, Tensor.__array__, Tensor.__dlpack__)
_PLAIN = {
    name: getattr(torch, name)
    for name in (
        "mm", "addmm", "bmm", "baddbmm", "mul", "add", "sub", "t", "select", "unsqueeze", "squeeze", "transpose",
        "permute", "cat", "stack", "sigmoid", "tanh", "detach", "sum", "neg", "div", "clone", "unbind", "exp", "rsub",
    )
} | {name: getattr(Tensor, name) for name in ("view", "expand")}
"""Calls of these cost half of what a call of the operator by its full name does; they are the same operators."""


def record(code: Callable[[], Any], inputs: Sequence[Tensor], answer: Answer | None = None) -> tuple[Outputs, Program]:
    """Run the code; what it gave, and the program that gives it again for other values of the inputs.

    Raises:
        Unrecordable: there is no such program.
    """
    tape = _Tape(inputs)
    with _Looks(tape), _Operations(tape):
        found = code() if answer is None else next(talk := code())
    if answer is not None:
        answered = answer(found)
        tape.exchange(found, answered)
        with _Looks(tape), _Operations(tape):
            found = _last(talk, answered)
    return found, tape.program(found)


@dataclass(frozen=True)
class _Line:
    """One line of a program.

    Attributes:
        text: as Python.
        read: names of tensors.
        made: names of tensors.
        only: what it makes is all that it does.
    """

    text: str
    read: list[str]
    made: list[str]
    only: bool


class _Tape:
    """Lines so far, and names of the tensors they speak of, by id and so only while those are there."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        self.inputs = [f"i{place}" for place in range(len(inputs))]
        self.names = {id(tensor): name for tensor, name in zip(inputs, self.inputs, strict=True)}
        self.objects: dict[str, Any] = {"Changed": Changed}
        self._known: dict[int, str] = {}
        self.lines: list[_Line] = []
        self.draws = self._exchanged = False
        self._refs: list[weakref.ref[Tensor]] = []
        self._outside = set(map(_storage, inputs))
        self._read: list[str] = []

    def check(self, operator: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Before it runs: whether a program may do it."""
        schema = operator._schema
        self.draws = self.draws or torch.Tag.nondeterministic_seeded in operator.tags
        for argument, value in zip(schema.arguments, args, strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write:
                values = value if isinstance(value, list | tuple) else [value]
                if any(id(v) not in self.names or _storage(v) in self._outside for v in values):
                    raise Unrecordable(f"{operator} changes what was there before")
        if any(isinstance(value, torch.Generator) for value in (*args, *kwargs.values())):
            raise Unrecordable("a generator of its own")
        if any(isinstance(value, Tensor) and name == "out" for name, value in kwargs.items()):
            raise Unrecordable("results that are written elsewhere")

    def operation(self, operator: Any, args: Sequence[Any], kwargs: Mapping[str, Any], found: Any) -> None:
        """What ran, and what it gave."""
        self._read = []
        given = [self._told(value) for value in args] + [f"{k}={self._told(v)}" for k, v in kwargs.items()]
        call = f"{self._operator(operator)}({', '.join(given)})"
        read = self._read
        if isinstance(found, Tensor) or (isinstance(found, list | tuple) and all(_tensor_or_none(f) for f in found)):
            several = not isinstance(found, Tensor)
            made = [self._made(tensor) for tensor in (found if isinstance(found, list | tuple) else [found])]
            new = [name for name in made if name not in read]
            left = f"({', '.join(made)},) = " if several else f"{made[0]} = "
            pure = not operator._schema.is_mutable and torch.Tag.nondeterministic_seeded not in operator.tags
            self.lines.append(_Line(left * bool(new) + call, read, new, only=pure))
        elif found is not None:
            self._look(call, found, read)

    def look(self, tensor: Tensor, method: str, found: Any) -> None:
        """What the code read of a tensor."""
        self._read = []
        self._look(f"{self._told(tensor)}.{method}()", found, self._read)

    def exchange(self, asked: Outputs, answered: Sequence[Tensor]) -> None:
        """The code gave something, and goes on with something that it got."""
        self._read = []
        given = self._all(asked)
        made = [self._made(tensor) for tensor in answered]
        self.lines.append(_Line(f"({', '.join(made)},) = yield {given}", self._read, made, only=False))
        self._outside |= set(map(_storage, answered))
        self._exchanged = True

    def _all(self, found: Outputs) -> str:
        names = ["None" if tensor is None else self._told(tensor) for tensor in found]
        return f"({', '.join(names)},)" if names else "()"

    def _look(self, call: str, found: Any, read: list[str]) -> None:
        if self._exchanged:
            raise Unrecordable("a look that comes too late to go back")
        self.lines.append(_Line(f"if {call} != {self._object(found)}: raise Changed", read, [], only=False))

    def _operator(self, operator: Any) -> str:
        name = operator._schema.name.removeprefix("aten::")
        if name == "lift_fresh":  # of a tensor made of Python's numbers: this one stays with the program
            return self._object(torch.clone)
        return self._object(_PLAIN.get(name, operator))

    def _told(self, value: Any) -> str:
        if isinstance(value, Tensor):
            if id(value) not in self.names:
                self.names[id(value)] = self._object(value)
                self._outside.add(_storage(value))
            self._read.append(self.names[id(value)])
            return self.names[id(value)]
        if isinstance(value, list | tuple) and any(isinstance(one, Tensor) for one in value):
            return f"[{', '.join(self._told(one) for one in value)}]"
        return repr(value) if value is None or isinstance(value, int) else self._object(value)

    def _object(self, value: Any) -> str:
        name = self._known.setdefault(id(value), f"c{len(self.objects)}")
        self.objects[name] = value
        return name

    def _made(self, tensor: Tensor | None) -> str:
        if tensor is None:
            return "_"
        if id(tensor) not in self.names:
            self.names[id(tensor)] = f"t{len(self._refs)}"
            self._refs.append(weakref.ref(tensor, partial(self._gone, id(tensor))))
        return self.names[id(tensor)]

    def _gone(self, key: int, _: weakref.ref[Tensor]) -> None:
        self.names.pop(key, None)

    def program(self, found: Outputs) -> Program:
        """Lines for nothing are left out, and every name is let go after the last line that reads it."""
        self._read = []
        lines = [f"return {self._all(found)}"]
        needed = set(self._read)
        for line in reversed(self.lines):
            if line.only and needed.isdisjoint(line.made):
                continue
            last = sorted({n for n in (*line.read, *line.made) if n not in needed and n not in self.objects})
            if last:
                lines.append(f"del {', '.join(last)}")
            lines.append(line.text)
            needed |= {*line.read, *line.made}
        source = f"def program({', '.join(self.inputs)}):\n " + "\n ".join(reversed(lines))
        exec(compile(source, "<recording>", "exec"), self.objects)
        return Program(self.objects.pop("program"), self.draws)  # with no cycle, weights go when it does


class _Operations(TorchDispatchMode):
    def __init__(self, tape: _Tape) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._tape = tape

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._tape.check(func, args, kwargs or {})
        found = func(*args, **(kwargs or {}))
        self._tape.operation(func, args, kwargs or {}, found)
        return found


class _Looks(TorchFunctionMode):
    def __init__(self, tape: _Tape) -> None:
        super().__init__()
        self._tape = tape

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _UNTOLD:
            raise Unrecordable(f"{func} leaves the tensors")
        found = func(*args, **(kwargs or {}))
        if func is Tensor.tolist:
            self._tape.look(args[0], "tolist", found)
        return found


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _tensor_or_none(value: Any) -> bool:
    return value is None or isinstance(value, Tensor)
